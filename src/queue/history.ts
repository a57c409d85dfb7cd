/**
 * A person's jobs of every surface, for lists and for the tree of what was made from what. Places in a list are times
 * and ids, so that a page goes on where the last one ended, whatever was added or removed meanwhile.
 */
import { z } from 'zod';
import { artifactSchema, jobIdSchema } from './jobs.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import { type Redis, replies } from './redis.ts';
import { readJson } from './stored-json.ts';

export interface HistoryFilter {
  /** Words that the prompt has, in any order and in capitals or not. */
  readonly search?: string | undefined;
  readonly preset?: string | undefined;
  /** The model that made it. */
  readonly model?: string | undefined;
  readonly onlyFavourites?: boolean | undefined;
}

export interface HistoryPage {
  readonly entries: readonly LedgerEntry[];
  /** There is more, or there may be: so many were looked at that the rest is for the next page. */
  readonly hasMore: boolean;
  /** Where the next page begins; undefined at the end. */
  readonly next: string | undefined;
}

/** A place in a list: that of a job, which may be gone. */
interface Place {
  readonly at: number;
  readonly id: string;
}

export interface Family {
  /** The first one first; each other one was made from one before it. */
  readonly entries: readonly LedgerEntry[];
  /** There are more, or there may be. */
  readonly isTruncated: boolean;
}

/** Jobs that are read at a time; others have their turn between. */
const readAtOnce = 100;
/** Jobs that one call looks at. */
const mostFiltered = 2_000;
const mostGenerations = 20;
const mostRelatives = 40;
const mostDescendantsLooked = 5_000;

const placeSchema = z
  .string()
  .regex(/^\d{1,15}~/)
  .transform((text, context): Place => {
    const [at = '', id = ''] = text.split('~');
    if (jobIdSchema.safeParse(id).success) return { at: Number(at), id };
    context.addIssue('no id');
    return z.NEVER;
  });
const placeText = ({ at, id }: Place): string => `${at}~${id}`;

const field = z.string().nullable();
const filteredRow = z.tuple([field, field, field, field]);
const promptSchema = z.object({ generation: z.object({ prompt: z.string() }) });
const madeSchema = artifactSchema.pick({ model: true, reducedTo: true });

export class History {
  readonly #redis: Redis;
  readonly #ledger: Ledger;

  constructor(redis: Redis, ledger: Ledger) {
    this.#redis = redis;
    this.#ledger = ledger;
  }

  /**
   * A page of a person's jobs by the time of their requests; those that were withdrawn or deleted are left out.
   * @param after `next` of the page before, or the id of its last job
   * @returns undefined when `after` is neither a place nor one of their jobs
   */
  async page(
    userKey: string,
    query: {
      readonly after?: string | undefined;
      readonly limit: number;
      readonly newestFirst: boolean;
      readonly filter?: HistoryFilter;
    },
  ): Promise<HistoryPage | undefined> {
    const { after, limit, newestFirst } = query;
    let from = after === undefined ? undefined : await this.#placeOf(userKey, after);
    if (after !== undefined && !from) return undefined;
    const filter = readyFilter(query.filter);
    const found: { readonly place: Place; readonly entry: LedgerEntry }[] = [];
    for (let looked = 0; found.length <= limit && looked < mostFiltered; ) {
      // Without a filter, most that are read are shown.
      const count = filter ? readAtOnce : Math.min(readAtOnce, limit + 1 - found.length);
      const places = await this.#places(userKey, from, count, newestFirst);
      const entries = new Map((await this.#shown(places, filter)).map((entry) => [entry.id, entry] as const));
      for (const place of places) {
        const entry = entries.get(place.id);
        if (entry) found.push({ place, entry });
      }
      looked += places.length;
      from = places.at(-1) ?? from;
      if (places.length < count) {
        from = undefined;
        break;
      }
    }
    const last = found.length > limit ? found[limit - 1]?.place : from;
    const next = last && placeText(last);
    return { entries: found.slice(0, limit).map(({ entry }) => entry), hasMore: next !== undefined, next };
  }

  async #placeOf(userKey: string, after: string): Promise<Place | undefined> {
    const place = placeSchema.safeParse(after).data;
    if (place) return place;
    const at = await this.#redis.zscore(this.#ledger.keys.history(userKey), after);
    return at === null ? undefined : { at: Number(at), id: after };
  }

  /** The places that follow one. Jobs of the same millisecond are ordered by their ids, as Redis orders them. */
  async #places(
    userKey: string,
    after: Place | undefined,
    count: number,
    newestFirst: boolean,
  ): Promise<Place[]> {
    const key = this.#ledger.keys.history(userKey);
    let start = 0;
    if (after) {
      const { at, id } = after;
      const isBefore = (other: string): boolean => (newestFirst ? other >= id : other <= id);
      const [from, to] = newestFirst ? [`(${at}`, '+inf'] : ['-inf', `(${at}`];
      const [before, same] = await Promise.all([
        this.#redis.zcount(key, from, to),
        this.#redis.zrangebyscore(key, at, at),
      ]);
      start = before + same.filter(isBefore).length;
    }
    const to = start + count - 1;
    const flat = await (newestFirst
      ? this.#redis.zrevrange(key, start, to, 'WITHSCORES')
      : this.#redis.zrange(key, start, String(to), 'WITHSCORES'));
    const places: Place[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) places.push({ id: flat[i] ?? '', at: Number(flat[i + 1]) });
    return places;
  }

  async #shown(places: readonly Place[], filter: ReadyFilter | undefined): Promise<LedgerEntry[]> {
    const ids = places.map(({ id }) => id);
    const entries = await this.#ledger.readAll(filter ? await this.#matching(ids, filter) : ids);
    return entries.filter(isShown);
  }

  /** The ids of jobs that pass a filter, by the few fields that it needs. */
  async #matching(ids: readonly string[], filter: ReadyFilter): Promise<string[]> {
    const batch = this.#redis.pipeline();
    for (const id of ids) {
      batch.hmget(this.#ledger.keys.job(id), 'request', 'preset', 'artifact', 'favourite');
    }
    const rows = replies(await batch.exec(), z.array(filteredRow));
    return ids.filter((_, index) => passes(rows[index], filter));
  }

  /**
   * The jobs that one was made from and those that were made from it, as far as they are this person's: its ancestors,
   * then the nearest descendants of the first of them.
   */
  async family(entry: LedgerEntry): Promise<Family> {
    const { userKey } = entry.request;
    const line = [entry];
    for (let first = entry; line.length < mostGenerations; line.unshift(first)) {
      const parentId = first.request.madeFrom?.jobId;
      const parent = parentId === undefined ? undefined : (await this.#ledger.readAll([parentId]))[0];
      if (!parent || parent.request.userKey !== userKey || !isShown(parent)) break;
      first = parent;
    }
    const [root = entry] = line;
    const { children, isTruncated } = await this.#childrenSince(userKey, root.createdAt);
    const own = new Set(line.map(({ id }) => id));
    const others = new Set<string>();
    // Those nearest to the job itself come first.
    const queue = [...own].reverse();
    for (let id = queue.shift(); id !== undefined && others.size <= mostRelatives; id = queue.shift()) {
      for (const child of children.get(id) ?? []) {
        if (own.has(child) || others.has(child)) continue;
        others.add(child);
        queue.push(child);
      }
    }
    const relatives = await this.#ledger.readAll([...others].slice(0, mostRelatives));
    const entries = [...line];
    // What was made from a deleted one has no place in the tree.
    for (const relative of relatives.filter(isShown)) {
      const parentId = relative.request.madeFrom?.jobId;
      if (entries.some(({ id }) => id === parentId)) entries.push(relative);
    }
    return {
      entries,
      isTruncated: isTruncated || others.size > mostRelatives,
    };
  }

  /** What was made from what, of a person's jobs since a time, oldest first. */
  async #childrenSince(
    userKey: string,
    since: number,
  ): Promise<{ readonly children: ReadonlyMap<string, readonly string[]>; readonly isTruncated: boolean }> {
    const { keys } = this.#ledger;
    const most = mostDescendantsLooked;
    const ids = await this.#redis.zrangebyscore(keys.history(userKey), since, '+inf', 'LIMIT', 0, most + 1);
    const children = new Map<string, string[]>();
    for (let at = 0; at < ids.length; at += readAtOnce) {
      const some = ids.slice(at, at + readAtOnce);
      const batch = this.#redis.pipeline();
      for (const id of some) batch.hget(keys.job(id), 'madeFrom');
      const parents = replies(await batch.exec(), z.array(field));
      for (const [index, id] of some.entries()) {
        const parent = parents[index];
        if (parent) children.set(parent, [...(children.get(parent) ?? []), id]);
      }
    }
    return { children, isTruncated: ids.length > most };
  }
}

const isShown = ({ isWithdrawn, isDiscarded }: LedgerEntry): boolean => !isWithdrawn && !isDiscarded;

interface ReadyFilter extends Omit<HistoryFilter, 'search'> {
  readonly words: readonly string[];
}

/** undefined where everything passes. */
function readyFilter({ search = '', ...filter }: HistoryFilter = {}): ReadyFilter | undefined {
  const words = folded(search)
    .split(/\s+/)
    .filter((word) => word !== '');
  const { preset, model, onlyFavourites } = filter;
  const isEmpty = words.length === 0 && preset === undefined && model === undefined && !onlyFavourites;
  return isEmpty ? undefined : { ...filter, words };
}

function passes(row: z.infer<typeof filteredRow> | undefined, filter: ReadyFilter): boolean {
  const [request, preset, artifact, favourite] = row ?? [];
  if (!request || (filter.onlyFavourites && !favourite)) return false;
  if (filter.preset !== undefined || filter.model !== undefined) {
    const made = readJson(artifact ?? '', madeSchema);
    if (filter.preset !== undefined && (made?.reducedTo ?? preset) !== filter.preset) return false;
    if (filter.model !== undefined && made?.model !== filter.model) return false;
  }
  if (filter.words.length === 0) return true;
  const prompt = folded(readJson(request, promptSchema)?.generation.prompt ?? '');
  return filter.words.every((word) => prompt.includes(word));
}

/** A text as it is compared: without capitals, accents of Latin, Greek and Cyrillic letters, and widths. */
export function folded(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .toUpperCase()
    .toLowerCase();
}
