/**
 * Keeps updates in Redis until they are handled, since Telegram forgets them when the next are fetched, with the ids of those
 * that were: whichever bot leads next takes them up. Serves several people at once, and each person's updates in their
 * order. Does not know what updates mean.
 */
import { setMaxListeners } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Update } from 'telegraf/types';
import { z } from 'zod';
import { withDeadline } from '../../deadline.ts';
import type { Logger } from '../../log.ts';
import type { Keys } from '../../queue/keys.ts';
import { type Redis, replies } from '../../queue/redis.ts';
import { isNewerJson, readJson, writeJson } from '../../queue/stored-json.ts';
import { answerWithinMs } from '../../queue/watched-lease.ts';
import { retry } from '../../retry.ts';
import { CallError, errorCode, whereOf } from './api.ts';

/** An update, with notes of what was done about it so far. */
export interface SpooledUpdate {
  readonly update: Update;
  /** What must not be done again after a crash, by name: for example the id of a message that was posted. */
  readonly notes: Readonly<Record<string, number>>;
  /** Resolves when the note is kept. */
  readonly note: (name: string, value: number) => Promise<void>;
  /** Aborted when the process ends: what is given up then is taken up by the bot that leads next. */
  readonly signal: AbortSignal;
}

export interface UpdateSpoolOptions {
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly keys: Keys;
  /** Where earlier versions kept updates: they are taken over once. */
  readonly folder?: string | undefined;
  readonly handle: (spooled: SpooledUpdate) => Promise<void>;
  /** Updates with the same key are served one after another. */
  readonly keyOf: (update: Update) => string;
  /** Whether take() waits until Redis keeps an update, rather than have it served without. */
  readonly mustKeep: () => boolean;
  readonly log: Logger;
}

const recordSchema = z.object({
  // An update as Telegram sent it; handlers check the fields that they use.
  update: z.custom<Update>((value) => z.object({ update_id: z.int() }).safeParse(value).success),
  notes: z.record(z.string(), z.number()),
});

/** When it was handled, and whether it was new. */
const takenSchema = z.tuple([z.string().nullable(), z.int()]);

/** Downloads are at most 20 MB each. */
const servedAtOnce = 16;
/** While Telegram is away: about a minute in all, on top of the repeated calls. */
const attempts = 5;
const firstPauseMs = 1_000;
/** For what may be done without: people wait no longer for a Redis that is away. */
const keptWithinMs = 250;
const keepAgainMs = 250;
const tickAgainMs = 1_000;
/** Telegram repeats what was not confirmed: the last hundred updates. */
const rememberedIds = 5_000;
const notKept = 'a Telegram update could not be kept';

async function inTime<T>(work: Promise<T>, ms = keptWithinMs): Promise<T> {
  const late = (): never => {
    throw new Error('Redis does not answer');
  };
  return await withDeadline(ms, work, late);
}

export class UpdateSpool {
  readonly #options: UpdateSpoolOptions;
  readonly #known = new Set<number>();
  /**
   * Score of the id that was ticked off last. No time, since the bot that leads next may have another clock; and not the id,
   * as Telegram begins with any number again after a week without updates.
   */
  #order = 0;
  readonly #lines = new Map<string, Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #served = 0;
  readonly #stopping = new AbortController();
  /** Updates that are being ticked off. */
  readonly #ticking = new Set<Promise<void>>();

  constructor(options: UpdateSpoolOptions) {
    this.#options = options;
    // Each update that is served may listen; Node warns of more than ten listeners.
    setMaxListeners(2 * servedAtOnce, this.#stopping.signal);
  }

  /** Reads the ids of handled updates, and takes up those that another bot, or an earlier start, left. */
  async start(): Promise<void> {
    const { redis, keys, folder, log } = this.#options;
    const [, last] = await redis.zrange(keys.updatesDone, '-1', '-1', 'WITHSCORES');
    this.#order = Number(last ?? 0);
    if (folder !== undefined) await this.#adopt(folder);
    for (const id of await redis.zrange(keys.updatesDone, 0, '-1')) this.#known.add(Number(id));
    const kept = Object.entries(await redis.hgetall(keys.updates));
    for (const [id, text] of kept.sort(([a], [b]) => Number(a) - Number(b))) {
      if (isNewerJson(text)) {
        log.warn('a newer version of Kinora kept a Telegram update: it waits for a bot of that version');
        continue;
      }
      const record = readJson(text, recordSchema);
      if (record && !this.#known.has(Number(id))) this.#enqueue(record.update, record.notes);
      else await redis.hdel(keys.updates, id);
      if (!record) log.warn('a kept Telegram update cannot be read and is dropped');
    }
  }

  /** What an earlier version left on the disk of this machine. */
  async #adopt(folder: string): Promise<void> {
    const { redis, keys } = this.#options;
    const names = await readdir(folder).catch(() => []);
    if (names.length === 0) return;
    const read = (name: string): Promise<string> => readFile(join(folder, name), 'utf8').catch(() => '');
    const done = new Set((await read('done')).split('\n').filter(Boolean));
    for (const name of names.filter((each) => /^\d+\.json$/.test(each))) {
      const text = await read(name);
      const id = name.replace('.json', '');
      const isOne = isNewerJson(text) || readJson(text, recordSchema) !== undefined;
      if (isOne && !done.has(id)) await redis.hsetnx(keys.updates, id, text);
    }
    const ids = [...done].filter((id) => Number.isSafeInteger(Number(id))).slice(-rememberedIds);
    if (ids.length > 0) await redis.zadd(keys.updatesDone, ...ids.flatMap((id) => [++this.#order, id]));
    await rm(folder, { recursive: true, force: true });
  }

  /** Resolves when the update is kept; it is served soon after. One that is known, or that another bot served, is dropped. */
  async take(update: Update): Promise<void> {
    const { redis, keys } = this.#options;
    if (this.#known.has(update.update_id)) return;
    this.#known.add(update.update_id);
    const doneAt = await this.#keep(update);
    if (doneAt === null) this.#enqueue(update, {});
    else await this.#kept(redis.hdel(keys.updates, String(update.update_id)), 0);
  }

  /**
   * Where nobody leads next, an update is served without Redis, too: its person waits, and only a crash would lose it.
   * @returns when it was handled, or null
   */
  async #keep(update: Update): Promise<string | null> {
    const { redis, keys, mustKeep, log } = this.#options;
    const keep = async (): Promise<string | null> => {
      const look = redis.multi().zscore(keys.updatesDone, String(update.update_id));
      look.hsetnx(keys.updates, String(update.update_id), writeJson({ update, notes: {} }));
      const [doneAt] = replies(await look.exec(), takenSchema);
      return doneAt;
    };
    return await retry(
      // A Redis that is slow, and in time for the lease, must not leave Telegram unanswered.
      () => inTime(keep(), mustKeep() ? answerWithinMs : keptWithinMs),
      (error, attempt) => {
        if (attempt === 1) log.warn({ err: errorCode(error) }, notKept);
        return mustKeep() ? keepAgainMs : undefined;
      },
    ).catch(() => null);
  }

  async #kept<T>(work: Promise<T>, otherwise: T): Promise<T> {
    try {
      return await inTime(work);
    } catch (error) {
      this.#options.log.warn({ err: errorCode(error) }, notKept);
      return otherwise;
    }
  }

  /** Waits for updates that are being served; the others are left for the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#lines.values());
    await Promise.all(this.#ticking);
  }

  #enqueue(update: Update, notes: Readonly<Record<string, number>>): void {
    this.#known.add(update.update_id);
    const key = this.#options.keyOf(update);
    const before = this.#lines.get(key) ?? Promise.resolve();
    const line = before
      .then(() => this.#serve(update, { ...notes }))
      .finally(() => {
        if (this.#lines.get(key) === line) this.#lines.delete(key);
      });
    this.#lines.set(key, line);
  }

  async #serve(update: Update, notes: Record<string, number>): Promise<void> {
    const { handle, redis, keys } = this.#options;
    while (this.#served >= servedAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#served++;
    try {
      const { signal } = this.#stopping;
      const note = async (name: string, value: number): Promise<void> => {
        notes[name] = value;
        const record = writeJson({ update, notes });
        await this.#kept(redis.hset(keys.updates, String(update.update_id), record), 0);
      };
      let isOver = false;
      for (let attempt = 1; !isOver && !signal.aborted; attempt++) {
        try {
          await handle({ update, notes, note, signal });
          isOver = true;
        } catch (error) {
          isOver = !signal.aborted && (await this.#isOver(error, attempt));
        }
      }
      if (isOver) this.#tickOff(update.update_id);
    } finally {
      this.#served--;
      this.#waiting.shift()?.();
    }
  }

  /** Whether a failed update is given up; otherwise waits until it may be tried again. */
  async #isOver(error: unknown, attempt: number): Promise<boolean> {
    const { log } = this.#options;
    if (!(error instanceof CallError && error.isPassing)) {
      log.error({ err: errorCode(error), at: whereOf(error) }, 'a Telegram update failed');
      return true;
    }
    log.warn({ err: error.message, attempt }, 'a Telegram update has to wait');
    if (attempt >= attempts) return true;
    const { signal } = this.#stopping;
    await sleep(firstPauseMs * 2 ** attempt, undefined, { signal }).catch(() => {});
    return false;
  }

  /** Repeated while Redis is away: at the next start it would be served again. */
  #tickOff(id: number): void {
    const { redis, keys, log } = this.#options;
    if (this.#known.size > 2 * rememberedIds) {
      for (const old of [...this.#known].slice(0, rememberedIds)) this.#known.delete(old);
    }
    const order = ++this.#order;
    const tick = async (): Promise<void> => {
      const batch = redis.multi().hdel(keys.updates, String(id)).zadd(keys.updatesDone, order, String(id));
      batch.zremrangebyrank(keys.updatesDone, 0, -rememberedIds - 1);
      replies(await batch.exec(), z.array(z.unknown()));
    };
    const { signal } = this.#stopping;
    const ticking = retry(tick, () => (signal.aborted ? undefined : tickAgainMs))
      .catch((error) => log.warn({ err: errorCode(error) }, 'a Telegram update could not be ticked off'))
      .finally(() => this.#ticking.delete(ticking));
    this.#ticking.add(ticking);
  }
}
