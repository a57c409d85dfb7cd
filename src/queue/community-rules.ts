/** Rules of a community as they are stored, field by field. What a field may contain is for the caller to know. */
import type { AuditTrail } from './audit.ts';
import { checkOwner } from './checks.ts';
import type { Keys } from './keys.ts';
import { type Redis, scanKeys } from './redis.ts';

export class RuleStore {
  readonly #trail: AuditTrail;

  constructor(trail: AuditTrail) {
    this.#trail = trail;
  }

  /**
   * @param by userKey of a moderator of the community, or of an admin
   * @param value absent removes the field
   * @returns whether this changed anything
   */
  async setRule(by: string, community: string, field: string, value: string | undefined): Promise<boolean> {
    const where = { key: await this.#keyOf(community), field };
    const act = { by, action: 'rule', target: `${community} ${field}`, ...where } as const;
    const { changed } = await this.#trail.act(
      value === undefined ? { ...act, change: 'delete' } : { ...act, change: 'set', value },
    );
    return changed;
  }

  async rulesOf(community: string): Promise<Readonly<Record<string, string>>> {
    return await this.#trail.redis.hgetall(await this.#keyOf(community));
  }

  async #keyOf(community: string): Promise<string> {
    const { redis, keys } = this.#trail;
    return keys.rules((await redis.hget(keys.moved, checkOwner(community))) ?? community);
  }
}

/** The most communities that are listed. */
const mostListed = 1_000;

/** Keys of the communities that have rules, in order. Looks at all keys of Redis. */
export async function rulesOfAll(redis: Redis, keys: Keys): Promise<string[]> {
  const prefix = keys.rules('');
  const found = new Set<string>();
  for await (const names of scanKeys(redis, keys, `${prefix}*`, mostListed)) {
    for (const name of names) found.add(name.slice(prefix.length)); // what SCAN answers
  }
  return [...found].sort().slice(0, mostListed);
}
