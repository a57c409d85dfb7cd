/**
 * Asks Redis, over a connection of its own, whether it answers, and reads what the queue looks like. Gives up after a
 * deadline; while an answer is outstanding no second question is asked. Knows nothing of how it is shown.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Keys } from '../queue/keys.ts';
import { countLiveWorkers } from '../queue/worker-registry.ts';

/** Leaves time within a second for the rest of an answer. */
const deadlineMs = 800;
/** Jobs that are looked at for the oldest that waits: finished ones whose answer is not delivered lie among them. */
const lookedAtOnce = 200;

export interface QueueReading {
  /** Waiting jobs per preset. */
  readonly waiting: ReadonlyMap<string, number>;
  /** Since the oldest waiting job was accepted; 0 when none waits. */
  readonly oldestWaitingMs: number;
  /** Accepted jobs that neither wait nor are over. */
  readonly running: number;
  /** Jobs that are over and whose answer has not arrived yet. */
  readonly undelivered: number;
  readonly liveWorkers: number;
  readonly takesRequests: boolean;
  /** How many jobs ever ended how, and failed with which code. */
  readonly endings: Readonly<Record<string, number>>;
  readonly failures: Readonly<Record<string, number>>;
}

/** An answer and how long it took, or undefined when there was none in time. */
export type Probed<T> = { readonly ms: number; readonly value: T } | undefined;

export class RedisProbe {
  readonly #redis: Redis;
  readonly #keys: Keys;
  #ping: Promise<Probed<string>> | null = null;
  #reading: Promise<Probed<QueueReading>> | null = null;

  /** @param redis a fail-fast connection that nobody else uses; close() closes it */
  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  ping(): Promise<Probed<string>> {
    this.#ping ??= timed(() => this.#redis.ping()).finally(() => {
      this.#ping = null;
    });
    return withinDeadline(this.#ping);
  }

  queue(): Promise<Probed<QueueReading>> {
    this.#reading ??= timed(() => readQueue(this.#redis, this.#keys)).finally(() => {
      this.#reading = null;
    });
    return withinDeadline(this.#reading);
  }

  close(): void {
    this.#redis.disconnect();
  }
}

async function timed<T>(ask: () => Promise<T>): Promise<Probed<T>> {
  const startedAt = performance.now();
  try {
    const value = await ask();
    return { ms: performance.now() - startedAt, value };
  } catch {
    return undefined; // the connection says why, in the log
  }
}

async function withinDeadline<T>(answer: Promise<Probed<T>>): Promise<Probed<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, deadlineMs, undefined);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

const countsSchema = z.tuple(
  [
    z.int(),
    z.int(),
    z.string().nullable(),
    z.record(z.string(), z.coerce.number()),
    z.record(z.string(), z.coerce.number()),
  ],
  z.int(),
);

async function readQueue(redis: Redis, keys: Keys, now = Date.now()): Promise<QueueReading> {
  const presets = await redis.smembers(keys.presets);
  // In one step: a job that moves on meanwhile is counted once.
  const batch = redis.multi().scard(keys.active('all')).zcard(keys.pending).get(keys.mode);
  batch.hgetall(keys.endings).hgetall(keys.failures);
  for (const preset of presets) batch.zcard(keys.waiting(preset));
  const replies = (await batch.exec()) ?? [];
  const [active, pending, mode, endings, failures, ...counts] = countsSchema.parse(
    replies.map(([error, reply]) => {
      if (error) throw error;
      return reply;
    }),
  );
  const oldest = await oldestWaiting(redis, keys);
  const waiting = counts.reduce((sum, count) => sum + count, 0);
  return {
    waiting: new Map(presets.map((preset, index) => [preset, counts[index] ?? 0])),
    oldestWaitingMs: oldest === undefined ? 0 : Math.max(0, now - oldest),
    running: Math.max(0, active - waiting),
    undelivered: Math.max(0, pending - active),
    liveWorkers: await countLiveWorkers(redis, keys),
    takesRequests: mode !== 'paused' && mode !== 'draining',
    endings,
    failures,
  };
}

/** When the oldest waiting job was accepted. The waiting sets are in serving order, so it is looked for by age. */
async function oldestWaiting(redis: Redis, keys: Keys): Promise<number | undefined> {
  for (let at = 0; ; at += lookedAtOnce) {
    const ids = await redis.zrange(keys.pending, at, String(at + lookedAtOnce - 1));
    if (ids.length === 0) return undefined;
    const entries = await Promise.all(ids.map((id) => redis.hmget(keys.job(id), 'state', 'createdAt')));
    const oldest = entries.find(([state]) => state === 'waiting' || state === 'reserved');
    if (oldest) return Number(oldest[1]);
  }
}
