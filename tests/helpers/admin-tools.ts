/** What admins work with, as the bot process makes it. */
import type { Redis } from 'ioredis';
import type { AdminTools } from '../../src/bot/admin/run-command.ts';
import { AuditTrail } from '../../src/queue/audit.ts';
import { type Ban, Bans } from '../../src/queue/bans.ts';
import type { JobClient, QueueTerms } from '../../src/queue/client.ts';
import { ModeSwitch } from '../../src/queue/mode.ts';
import { Quotas } from '../../src/queue/quota.ts';
import { queueStats } from '../../src/queue/stats.ts';
import { Weights } from '../../src/queue/weights.ts';
import { log } from './queue-harness.ts';

/** The caller closes `mode`. */
export function adminTools(
  redis: Redis,
  client: JobClient,
  terms: Pick<QueueTerms, 'day' | 'limits'>,
): AdminTools {
  const trail = new AuditTrail(redis, client.keys);
  return {
    client,
    trail,
    quotas: new Quotas(trail, terms),
    weights: new Weights(trail),
    bans: new Bans(trail),
    mode: new ModeSwitch(trail, log),
    stats: () => queueStats(redis, client.keys, terms.day(Date.now())),
  };
}

export const user = (key: string) => ({ kind: 'user', key }) as const;
export const role = (key: string) => ({ kind: 'role', key }) as const;
export const community = (key: string) => ({ kind: 'community', key }) as const;

/** The ban of a user or community that is in force at `now`. */
export async function banOf(bans: Bans, key: string, now?: number): Promise<Ban | undefined> {
  return (await bans.all(now)).find(({ owner }) => owner.key === key);
}
