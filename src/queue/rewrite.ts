/** What was deleted stays in Redis's append-only file until Redis writes the file anew. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis as SingleRedis } from 'ioredis';
import type { Logger } from '../log.ts';
import type { Keys } from './keys.ts';
import { type Redis, serversOf } from './redis.ts';

/**
 * Has the file written anew if somebody was forgotten since that was last done, and waits for it. What does not succeed
 * within `withinMs` is still in keys.rewrites: to be called again later. Where Redis does not allow it, its operator
 * has to do it; that is logged once for each.
 */
export async function rewriteWithoutForgotten(
  redis: Redis,
  keys: Keys,
  log: Logger,
  withinMs: number,
  lookEveryMs: number,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (; performance.now() < deadline; await sleep(lookEveryMs)) {
    // Only a rewrite that begins after they were forgotten is without them.
    const forgotten = await redis.smembers(keys.rewrites);
    if (forgotten.length === 0) return;
    const result = await rewriteAll(redis, keys, deadline, lookEveryMs).catch((error: unknown) => {
      if (!/^(NOPERM|ERR unknown command)/.test(error instanceof Error ? error.message : '')) throw error;
      log.warn({ err: String(error) }, 'Redis may keep deleted data in its files until BGREWRITEAOF is run');
      return 'done';
    });
    if (result === 'done') await redis.srem(keys.rewrites, ...forgotten);
    if (result === 'failed') {
      log.warn('Redis could not write its append-only file anew; it will be asked again');
      return;
    }
  }
}

/** Of a Cluster's shard, the replicas have files of their own. */
async function rewriteAll(
  redis: Redis,
  keys: Keys,
  deadline: number,
  lookEveryMs: number,
): Promise<'done' | 'failed' | 'busy'> {
  for (const server of await serversOf(redis, keys)) {
    const result = await rewrite(server, deadline, lookEveryMs);
    if (result !== 'done') return result;
  }
  return 'done';
}

async function rewrite(
  redis: SingleRedis,
  deadline: number,
  lookEveryMs: number,
): Promise<'done' | 'failed' | 'busy'> {
  if ((await persistence(redis)).get('aof_enabled') !== '1') return 'done';
  try {
    await redis.bgrewriteaof();
  } catch (error) {
    if (/already in progress/.test(String(error))) return 'busy';
    throw error;
  }
  while (performance.now() < deadline) {
    await sleep(lookEveryMs);
    const now = await persistence(redis);
    if (now.get('aof_rewrite_in_progress') === '0' && now.get('aof_rewrite_scheduled') === '0') {
      return now.get('aof_last_bgrewrite_status') === 'ok' ? 'done' : 'failed';
    }
  }
  return 'busy';
}

async function persistence(redis: SingleRedis): Promise<ReadonlyMap<string, string>> {
  const lines = (await redis.info('persistence')).split('\r\n');
  return new Map(lines.map((line) => [line.split(':')[0] ?? '', line.split(':')[1] ?? '']));
}
