/** Owners and bans, as tests of the admins' side of the queue name them. */
import type { Ban, Bans } from '../../src/queue/bans.ts';

export const user = (key: string) => ({ kind: 'user', key }) as const;
export const role = (key: string) => ({ kind: 'role', key }) as const;
export const community = (key: string) => ({ kind: 'community', key }) as const;

/** The ban of a user or community that is in force at `now`. */
export async function banOf(bans: Bans, key: string, now?: number): Promise<Ban | undefined> {
  return (await bans.all(now)).find(({ owner }) => owner.key === key);
}
