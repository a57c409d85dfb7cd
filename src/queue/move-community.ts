/** A community that its platform calls by another key now. */
import { checkOwner } from './checks.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { runScript } from './scripts.ts';

/**
 * Rules, allowance, weight, ban and extra credits move to the new key, once; what it has already stays. Later requests
 * under the old key are held to them, too.
 */
export async function moveCommunity(redis: Redis, keys: Keys, from: string, to: string): Promise<void> {
  const args = [checkOwner(from), checkOwner(to)] as const;
  await runScript(redis, 'move', keys, { oldRules: keys.rules(from), newRules: keys.rules(to) }, args);
}
