/**
 * Reads the state of Redis and of the queue for metrics, over a connection of its own and with a deadline. While an
 * answer is outstanding, the same command is not sent again. Knows nothing of how the numbers are shown.
 */
import { z } from 'zod';
import { withDeadline } from '../deadline.ts';
import type { Keys } from '../queue/keys.ts';
import { countsByPreset } from '../queue/models.ts';
import { type Redis, redisTime } from '../queue/redis.ts';
import { countLiveWorkers } from '../queue/worker-registry.ts';

/** Leaves the rest of a second for the other parts of an answer. */
const deadlineMs = 800;
/** Jobs read at once while looking for the oldest waiting one: undelivered jobs lie among them. */
const jobsPerPage = 200;

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
  #ping: Promise<Probed<number>> | null = null;
  #reading: Promise<Probed<QueueReading>> | null = null;

  /** @param redis a fail-fast connection for this probe alone; close() closes it */
  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  ping(): Promise<Probed<number>> {
    // Of a key: in a Cluster, only the server that holds ours counts.
    this.#ping ??= timed(() => this.#redis.exists(this.#keys.mode)).finally(() => {
      this.#ping = null;
    });
    return withDeadline(deadlineMs, this.#ping, () => undefined);
  }

  queue(): Promise<Probed<QueueReading>> {
    this.#reading ??= timed(() => readQueue(this.#redis, this.#keys)).finally(() => {
      this.#reading = null;
    });
    return withDeadline(deadlineMs, this.#reading, () => undefined);
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
    return undefined; // the other connections of the process log the reason
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

async function readQueue(redis: Redis, keys: Keys): Promise<QueueReading> {
  const now = await redisTime(redis);
  const kinds = await redis.smembers(keys.presets);
  // In one step: a job that moves on meanwhile is counted once.
  const batch = redis.multi().scard(keys.active('all')).zcard(keys.pending).get(keys.mode);
  batch.hgetall(keys.endings).hgetall(keys.failures);
  for (const kind of kinds) batch.zcard(keys.waiting(kind));
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
    waiting: countsByPreset(kinds.map((kind, index) => [kind, counts[index] ?? 0])),
    oldestWaitingMs: oldest === undefined ? 0 : Math.max(0, now - oldest),
    running: Math.max(0, active - waiting),
    undelivered: Math.max(0, pending - active),
    liveWorkers: await countLiveWorkers(redis, keys),
    takesRequests: mode !== 'paused' && mode !== 'draining',
    endings,
    failures,
  };
}

/** When the oldest waiting job was accepted. The waiting sets are in serving order; `pending` is ordered by age. */
async function oldestWaiting(redis: Redis, keys: Keys): Promise<number | undefined> {
  for (let at = 0; ; at += jobsPerPage) {
    const ids = await redis.zrange(keys.pending, at, String(at + jobsPerPage - 1));
    if (ids.length === 0) return undefined;
    const entries = await Promise.all(ids.map((id) => redis.hmget(keys.job(id), 'state', 'createdAt')));
    const oldest = entries.find(([state]) => state === 'waiting' || state === 'reserved');
    if (oldest) return Number(oldest[1]);
  }
}
