/** What the people behind user keys are called, for those who administer Kinora. */
import type { Keys } from '../queue/keys.ts';
import { Ledger } from '../queue/ledger.ts';
import { Profiles } from '../queue/profiles.ts';
import type { Redis } from '../queue/redis.ts';

/** The names of their profiles, else those that their latest requests carry. Users without one are left out. */
export async function namesOf(
  { redis, keys }: { readonly redis: Redis; readonly keys: Keys },
  userKeys: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const asked = [...new Set(userKeys)];
  const names = await new Profiles(redis, keys).namesOf(asked);
  const ledger = new Ledger(redis, keys);
  const looks = asked.map(async (userKey) => {
    if (names.has(userKey)) return;
    const [latest] = await redis.zrevrange(keys.history(userKey), 0, 0);
    const entry = latest === undefined ? undefined : await ledger.read(latest).catch(() => undefined);
    const name = entry?.request.userName;
    if (name !== undefined) names.set(userKey, name);
  });
  await Promise.all(looks);
  return names;
}
