/** Whether processes use the data of an installation: before these are moved or replaced. */
import { Cluster } from 'ioredis';
import { botEntries } from './bot-registry.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { workerEntries } from './worker-registry.ts';

/** Bots and workers listen to events; a worker that still loads its model, and a bot that stands by, only beat. */
export async function isInUse(redis: Redis, keys: Keys): Promise<boolean> {
  const servers = redis instanceof Cluster ? redis.nodes('all') : [redis];
  const counts = await Promise.all(servers.map((server) => server.pubsub('NUMSUB', keys.events)));
  if (counts.some(([, count]) => Number(count) > 0)) return true;
  if ((await botEntries(redis, keys)).some(({ isAlive }) => isAlive)) return true;
  return [...(await workerEntries(redis, keys)).values()].some(({ alive }) => alive);
}
