/** How long jobs of each preset really took, and what that means for those who wait. */
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

const remembered = 50;

export async function recordDuration(redis: Redis, keys: Keys, preset: string, ms: number): Promise<void> {
  await redis
    .multi()
    .lpush(keys.durations(preset), Math.round(ms))
    .ltrim(keys.durations(preset), 0, remembered - 1)
    .exec();
}

/** Moving median in ms, or undefined while there is no history. */
export async function medianDuration(redis: Redis, keys: Keys, preset: string): Promise<number | undefined> {
  const values = (await redis.lrange(keys.durations(preset), 0, remembered - 1))
    .map(Number)
    .sort((a, b) => a - b);
  const middle = values.length >> 1;
  const upper = values[middle];
  if (upper === undefined) return undefined;
  return values.length % 2 === 1 ? upper : (upper + (values[middle - 1] ?? upper)) / 2;
}
