/** Runs the scripts that end a job or give its credits back: they touch what belongs to its user, community and day. */
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { type OwnKeys, runScript } from './scripts.ts';

/** What the entry of a job says of whom it belongs to, and never changes; '' where it says nothing, or there is none. */
export interface JobOwner {
  readonly user: string;
  readonly community: string;
  readonly kind: string;
  readonly day: string;
}

const nobody: JobOwner = { user: '', community: '', kind: '', day: '' };

/** The keys of a job, and of all that counts it. */
export function placesOfJob(keys: Keys, jobId: string, { user, community, kind, day }: JobOwner) {
  return {
    job: keys.job(jobId),
    waiting: keys.waiting(kind),
    activeAll: keys.active('all'),
    activeUser: keys.active(user),
    activeCommunity: keys.active(community),
    used: keys.used(day),
  };
}

type ScriptOfJob = 'cancel' | 'settle' | 'transition' | 'withdraw';

/**
 * Reads whom the job belongs to, and runs the script with their keys. A script that finds a job where there was none
 * before answers "again", and changes nothing.
 * @param args those behind the owner; the id of the job is the first
 * @param isAlone the script will touch nothing but the job, and its owner need not be read
 */
export async function runJobScript(
  redis: Redis,
  name: ScriptOfJob,
  keys: Keys,
  args: readonly [jobId: string, ...(string | number)[]],
  { isAlone = false, callId = '' } = {},
): Promise<unknown> {
  const [jobId] = args;
  for (;;) {
    const owner = isAlone ? nobody : await readOwner(redis, keys, jobId);
    const places = { ...placesOfJob(keys, jobId, owner), withdrawn: keys.withdrawn(callId) };
    const own: OwnKeys<ScriptOfJob> = places;
    const { user, community, kind, day } = owner;
    const text = [user, community, kind, day].join('\n');
    const reply = await runScript(redis, name, keys, own, [text, ...args]);
    if (reply !== 'again') return reply;
  }
}

async function readOwner(redis: Redis, keys: Keys, jobId: string): Promise<JobOwner> {
  const fields = await redis.hmget(keys.job(jobId), 'user', 'community', 'kind', 'preset', 'day');
  const [user, community, kind, preset, day] = fields;
  return { user: user ?? '', community: community ?? '', kind: kind ?? preset ?? '', day: day ?? '' };
}
