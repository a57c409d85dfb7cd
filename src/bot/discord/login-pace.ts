/**
 * The pace at which shards log in, over all bots: Discord takes one login in five seconds from each group of shards, and
 * refuses the others.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { WebSocketOptions } from 'discord.js';
import type { Keys } from '../../queue/keys.ts';
import type { Redis } from '../../queue/redis.ts';

/** Discord counts from when a login arrives, and one that was let go first may arrive late. */
const paceMs = 5_500;
const askAgainMs = 1_000;

/** @param redis a fail-fast connection; while Redis is away, or takes no writes, nobody logs in */
export function loginPace(redis: Redis, keys: Keys): NonNullable<WebSocketOptions['buildIdentifyThrottler']> {
  return async (manager) => {
    const { session_start_limit: limit } = await manager.fetchGatewayInformation();
    return {
      waitForIdentify: async (shard, signal) => {
        const key = keys.shardLogin(shard % limit.max_concurrency);
        for (;;) {
          let waitMs = askAgainMs;
          try {
            if (await redis.set(key, String(shard), 'PX', paceMs, 'NX')) return;
            waitMs = Math.max(await redis.pttl(key), 1);
          } catch {} // Redis is away, or takes no writes
          await sleep(waitMs, undefined, { signal });
        }
      },
    };
  };
}
