/**
 * Takes over the data of versions whose keys had no hash tag: kinora:… becomes {kinora}:…. Every key moves with all that
 * BullMQ says of it in one step, so this may die at any moment and be run again, or by two processes at a time; nobody
 * uses the data before all of it has moved.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis as SingleRedis } from 'ioredis';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { isInUse } from './in-use.ts';
import type { Keys } from './keys.ts';
import { untilRedisCan } from './redis.ts';
import { runScript } from './scripts.ts';

/** Keys that move in one step; Redis answers nobody else meanwhile. */
const keysAtOnce = 200;
const lookEveryMs = 250;
/**
 * A process of an earlier version that had looked at the schema just before it changed listens, or beats every two
 * seconds while it loads its model, by then.
 */
const startsWithinMs = 5_000;

interface Adoption {
  /** What an earlier version shall find from now on, which keeps it from starting. */
  readonly version: number;
  /** What it would have found; null where none ever used this database. */
  readonly before: string | null;
  /** How long its processes may take to end. */
  readonly quietWithinMs: number;
}

/**
 * @throws KinoraError INVALID_CONFIG while processes of an earlier version use the data
 */
export async function adoptUntagged(
  redis: SingleRedis,
  keys: Keys,
  { version, before, quietWithinMs }: Adoption,
  log: Logger,
): Promise<void> {
  const old = keys.untagged;
  // Listeners are those of the whole server: where there was no earlier version, they are of another database.
  if (before !== null) await untilQuiet(redis, old, quietWithinMs, log);
  await untilRedisCan(() => redis.set(old.schema, version));
  if (before !== null) {
    await sleep(Math.min(startsWithinMs, quietWithinMs));
    if (await isInUse(redis, old)) {
      await untilRedisCan(() => redis.set(old.schema, before));
      throw stillUsed();
    }
  }
  // A scan that goes on at another master, or at one that was restarted, may skip keys.
  let moved = 0;
  for (let found = -1; found !== 0; moved += found) found = await moveAll(redis, keys);
  if (moved > 0)
    log.warn({ keys: moved }, 'the data of an earlier version were taken over; it can no longer use them');
}

/** One pass. @returns how many keys it moved */
async function moveAll(redis: SingleRedis, keys: Keys): Promise<number> {
  const old = keys.untagged;
  let moved = 0;
  for await (const batch of redis.scanStream({ match: `${old.prefix}:*`, count: keysAtOnce })) {
    // SCAN may answer with more than it was asked for.
    const names = (batch as string[]).filter((name) => name !== old.schema);
    for (let at = 0; at < names.length; at += keysAtOnce) {
      moved += await move(redis, keys, names.slice(at, at + keysAtOnce));
    }
  }
  return moved;
}

async function move(redis: SingleRedis, keys: Keys, names: readonly string[]): Promise<number> {
  const old = keys.untagged;
  const pairs = names.flatMap((name) => [name, `${keys.prefix}${name.slice(old.prefix.length)}`]);
  const bull = [`${old.bull}:`, `${keys.bull}:`] as const;
  return z.int().parse(await untilRedisCan(() => runScript(redis, 'adopt', keys, {}, bull, pairs)));
}

/** Waits until no process of an earlier version is there. Each listens to events, or is a worker that loads its model. */
async function untilQuiet(redis: SingleRedis, old: Keys, withinMs: number, log: Logger): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (let isTold = false; await isInUse(redis, old); await sleep(lookEveryMs)) {
    if (performance.now() > deadline) throw stillUsed();
    if (!isTold) log.warn('waiting for processes of an earlier version of Kinora to end');
    isTold = true;
  }
}

function stillUsed(): KinoraError {
  return new KinoraError(
    'INVALID_CONFIG',
    'REDIS_URL: processes of an earlier version of Kinora still use this Redis: end all of them, bots and workers, then start this version again.',
  );
}
