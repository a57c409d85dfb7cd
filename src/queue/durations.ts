/**
 * How long jobs of each kind took on each device, and how long its model took to load, for estimates of waiting times.
 * The workers of one queue may differ much in speed.
 */
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';

const remembered = 50;

/** @param kind its name; see models.ts */
export async function recordDuration(
  redis: Redis,
  keys: Keys,
  kind: string,
  device: string,
  ms: number,
): Promise<void> {
  await record(redis, keys, device, keys.durations(kind, device), ms);
}

export async function recordLoad(
  redis: Redis,
  keys: Keys,
  model: string,
  device: string,
  ms: number,
): Promise<void> {
  await record(redis, keys, device, keys.loads(model, device), ms);
}

async function record(redis: Redis, keys: Keys, device: string, list: string, ms: number): Promise<void> {
  await redis
    .multi()
    .sadd(keys.devices, device)
    .lpush(list, Math.max(1, Math.round(ms)))
    .ltrim(list, 0, remembered - 1)
    .exec();
}

/** The moving median of a list of such times; undefined where there is none. */
export async function usualMs(redis: Redis, list: string): Promise<number | undefined> {
  return await measuredMs(redis, list, 1);
}

/** The same; undefined where there are fewer than `least`. */
export async function measuredMs(redis: Redis, list: string, least: number): Promise<number | undefined> {
  const values = await redis.lrange(list, 0, remembered - 1);
  return values.length < least ? undefined : median(values.map(Number));
}

/**
 * Jobs of a kind that workers on `devices`, one each, finish in a millisecond, by moving medians. A device without
 * history counts as the average of the others; undefined when none has any.
 */
export async function jobsPerMs(
  redis: Redis,
  keys: Keys,
  kind: string,
  devices: readonly string[],
): Promise<number | undefined> {
  const known = await Promise.all(
    [...new Set(devices)].map(
      async (device) => [device, await usualMs(redis, keys.durations(kind, device))] as const,
    ),
  );
  const medians = new Map(known);
  const rates = devices.flatMap((device) => {
    const ms = medians.get(device);
    return ms === undefined ? [] : [1 / ms];
  });
  if (rates.length === 0) return undefined;
  return (rates.reduce((sum, rate) => sum + rate, 0) / rates.length) * devices.length;
}

function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) return undefined;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}
