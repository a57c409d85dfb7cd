/** The queue in numbers. */
import { z } from 'zod';
import type { Keys } from './keys.ts';
import { type QueueMode, storedModeSchema } from './mode.ts';
import { countsByPreset, readKind } from './models.ts';
import { type Redis, replies } from './redis.ts';
import { isServing, isStranded, workerEntries } from './worker-registry.ts';

export interface QueueStats {
  readonly mode: QueueMode;
  /** Waiting jobs per preset. */
  readonly waiting: ReadonlyMap<string, number>;
  /** Those of them whose model no worker has, by model. */
  readonly stranded: ReadonlyMap<string, number>;
  readonly running: number;
  /** Jobs that are over and whose answer is on its way. */
  readonly answering: number;
  readonly workers: {
    readonly alive: number;
    readonly busy: number;
    /** Those that gave their memory back since they had nothing to do. */
    readonly unloaded: number;
    /** Those that begin no job now. */
    readonly quiet: number;
  };
  /** Of all users on the given day. */
  readonly creditsUsed: number;
  /** Error code → jobs that ever failed with it. */
  readonly failures: ReadonlyMap<string, number>;
}

/** @param day as QueueTerms.day writes it */
export async function queueStats(redis: Redis, keys: Keys, day: string): Promise<QueueStats> {
  const kinds = (await redis.smembers(keys.presets)).sort();
  // In one transaction: a job that moves on meanwhile is counted once.
  const batch = redis.multi().scard(keys.active('all')).zcard(keys.pending);
  batch.get(keys.mode).hvals(keys.used(day)).hgetall(keys.failures);
  for (const kind of kinds) batch.zcard(keys.waiting(kind));
  const counters = z.record(z.string(), z.coerce.number());
  const [active, pending, mode, used, failures, ...counts] = replies(
    await batch.exec(),
    z.tuple([z.int(), z.int(), storedModeSchema, z.array(z.coerce.number()), counters], z.int()),
  );
  const alive = [...(await workerEntries(redis, keys)).values()].filter(isServing);
  const waiting = counts.reduce((sum, count) => sum + count, 0);
  const serving = alive.map(({ entry }) => entry);
  const stranded = new Map<string, number>();
  for (const [index, kind] of kinds.entries()) {
    const { model } = readKind(kind);
    const count = counts[index] ?? 0;
    if (model === undefined || count === 0 || !isStranded({ model }, serving)) continue;
    stranded.set(model, (stranded.get(model) ?? 0) + count);
  }
  return {
    mode,
    waiting: countsByPreset(kinds.map((kind, index) => [kind, counts[index] ?? 0])),
    stranded,
    running: Math.max(0, active - waiting),
    answering: Math.max(0, pending - active),
    workers: {
      alive: alive.length,
      busy: alive.filter(({ entry }) => entry.jobId !== null).length,
      unloaded: alive.filter(({ entry }) => entry.vitals?.state === 'unloaded').length,
      quiet: alive.filter(({ entry }) => entry.quietMs > 0).length,
    },
    creditsUsed: used.reduce((sum, credits) => sum + credits, 0),
    failures: new Map(Object.entries(failures)),
  };
}
