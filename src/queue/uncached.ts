/**
 * What must leave the latent caches of all machines, because a person deleted their data: a list of names of entries, which
 * say nothing of the person. Each machine works it off at its own pace (worker/forgotten-entries.ts) and remembers how
 * far it came. The list is bounded: whoever was away for longer than it reaches hears that it cannot know.
 */
import { z } from 'zod';
import type { Keys } from './keys.ts';
import { type Redis, replies } from './redis.ts';
import { runScript } from './scripts.ts';
import { readJson } from './stored-json.ts';

/** Then the names leave Redis; as long as the latent cache keeps by default what nobody uses. */
const keptMs = 30 * 86_400_000;
/** 35 MB at worst. */
const mostEntries = 5_000;
const namesOfEntry = 100;
const readAtOnce = 100;

/** How far somebody has read. */
export const positionSchema = z.object({
  /** How many entries there had been, to see whether some were missed. */
  count: z.int().nonnegative(),
  /** Of the last of them. */
  id: z.string().regex(/^\d{1,20}-\d{1,20}$/),
});
export type Position = z.infer<typeof positionSchema>;

export const beginning: Position = { count: 0, id: '0-0' };

export interface Uncached {
  /** `all`: entries were missed or cannot be read, so anything may be among them. */
  readonly names: ReadonlySet<string> | 'all';
  readonly position: Position;
  /** Whether there is nothing behind it. */
  readonly isLast: boolean;
}

const entriesSchema = z.array(z.tuple([z.string(), z.array(z.string())]));
const answerSchema = z.tuple([z.coerce.number(), entriesSchema, entriesSchema]);
const namesSchema = z.array(z.string());

export class UncachedList {
  readonly #redis: Redis;
  readonly #keys: Keys;

  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  async add(names: readonly string[]): Promise<void> {
    for (let at = 0; at < names.length; at += namesOfEntry) {
      const part = JSON.stringify(names.slice(at, at + namesOfEntry));
      await runScript(this.#redis, 'uncache', this.#keys, {}, [part, keptMs, mostEntries]);
    }
  }

  /** What came behind a position: as much as one read takes. */
  async after({ count, id }: Position): Promise<Uncached> {
    const { uncached, uncachedCount } = this.#keys;
    const same: Uncached = { names: new Set(), position: { count, id }, isLast: true };
    // Mostly nothing has come. Alone, this also says why Redis cannot tell now; a transaction says that it was discarded.
    const [latest] = entriesSchema.parse(await this.#redis.xrevrange(uncached, '+', '-', 'COUNT', 1));
    if (latest?.[0] === id) return same;
    const answers = await this.#redis
      .multi()
      .get(uncachedCount)
      .xrange(uncached, `(${id}`, '+', 'COUNT', readAtOnce)
      .xrevrange(uncached, '+', '-', 'COUNT', 1)
      .exec();
    const [total, found, [newest]] = replies(answers, answerSchema);
    // A list without entries has had none for long. One with others is new: Redis lost its data, and as many came again.
    if (total === count && !newest) return same;
    const [first] = found;
    // Entries have left the list, or it is that of another Redis, or of this one after a loss.
    if (first === undefined || numberOf(first) !== count + 1) {
      return { names: 'all', position: { count: total, id: newest?.[0] ?? beginning.id }, isLast: true };
    }
    const last = found.at(-1) ?? first;
    const lists = found.map(([, fields]) => readJson(fields[3] ?? '', namesSchema));
    const isReadable = lists.every((list) => list !== undefined);
    const position = { count: numberOf(last), id: last[0] };
    const names = isReadable ? new Set(lists.flat()) : 'all';
    return { names, position, isLast: position.count === total };
  }
}

/** Of an entry, counted from 1. */
const numberOf = ([, fields]: z.output<typeof entriesSchema>[number]): number => Number(fields[1]);
