/**
 * Allowances: credits per day, set for a user, a role or a community, and extra credits of a user. lua/admit.lua spends
 * them by the same rules that quotaOf() tells.
 */
import { z } from 'zod';
import type { AuditTrail } from './audit.ts';
import { checkOwner, checkWhole, parseTarget, type Target, targetField } from './checks.ts';
import type { QueueTerms } from './client.ts';
import type { Keys } from './keys.ts';
import { type Redis, redisTime, replies } from './redis.ts';

export const creditRange = { min: 0, max: 1_000_000 } as const;
export const grantRange = { min: -1_000_000, max: 1_000_000 } as const;

export interface Quota {
  /** Credits per day. */
  readonly limit: number;
  /** Whose setting that is. */
  readonly source: 'user' | 'role' | 'community' | 'default';
  readonly used: number;
  /** Extra credits that do not expire with the day. */
  readonly granted: number;
  /** What can be spent now: the rest of the day's credits, and the extra ones. */
  readonly left: number;
}

/** What was set for a target, and given to it. */
export interface Allowance {
  readonly target: Target;
  readonly credits: number | undefined;
  readonly granted: number;
}

/** Everybody for whom credits were set, or who has extra ones, by name. */
export async function allowances(redis: Redis, keys: Keys): Promise<Allowance[]> {
  const [limits, grants] = await Promise.all([redis.hgetall(keys.limits), redis.hgetall(keys.grants)]);
  const given = Object.keys(grants).map((user) => `user:${user}`);
  const fields = [...new Set([...Object.keys(limits), ...given])].sort();
  return fields.flatMap((field): Allowance[] => {
    const target = parseTarget(field);
    if (!target) return [];
    const credits = limits[field] === undefined ? undefined : Number(limits[field]);
    const granted = target.kind === 'user' ? Number(grants[target.key] ?? 0) : 0;
    return credits === undefined && granted === 0 ? [] : [{ target, credits, granted }];
  });
}

/** Changing methods take the userKey of the admin first and resolve to whether anything changed, if not said otherwise. */
export class Quotas {
  readonly #trail: AuditTrail;
  readonly #terms: Pick<QueueTerms, 'day' | 'limits'>;

  constructor(trail: AuditTrail, terms: Pick<QueueTerms, 'day' | 'limits'>) {
    this.#trail = trail;
    this.#terms = terms;
  }

  /** Credits per user and day, for everybody whom the target names. */
  async setCredits(by: string, target: Target, credits: number, reason = ''): Promise<boolean> {
    const field = targetField(target);
    const value = String(checkWhole('credits', credits, creditRange));
    const change = { change: 'set', key: this.#trail.keys.limits, field, value } as const;
    return (await this.#trail.act({ by, action: 'credits', target: field, ...change, reason })).changed;
  }

  async clearCredits(by: string, target: Target, reason = ''): Promise<boolean> {
    const field = targetField(target);
    const change = { change: 'delete', key: this.#trail.keys.limits, field } as const;
    return (await this.#trail.act({ by, action: 'clear-credits', target: field, ...change, reason })).changed;
  }

  /** What setCredits() has set for exactly this target. */
  async creditsOf(target: Target): Promise<number | undefined> {
    const text = await this.#trail.redis.hget(this.#trail.keys.limits, targetField(target));
    return text === null ? undefined : Number(text);
  }

  /**
   * Gives a user extra credits that do not expire with the day, or takes some back, never below 0.
   * @returns the extra credits they have now
   */
  async grant(by: string, user: string, credits: number, reason = ''): Promise<number> {
    const { after } = await this.#trail.act({
      by,
      action: 'grant',
      target: user,
      change: 'add',
      key: this.#trail.keys.grants,
      field: checkOwner(user),
      value: checkWhole('credits', credits, grantRange),
      least: 0,
      most: creditRange.max,
      reason,
    });
    return Number(after ?? 0);
  }

  /** Gives a user the whole allowance of today back. */
  async resetUsed(by: string, user: string, reason = ''): Promise<boolean> {
    const { keys, redis } = this.#trail;
    const key = keys.used(this.#terms.day(await redisTime(redis)));
    const change = { change: 'delete', key, field: checkOwner(user) } as const;
    return (await this.#trail.act({ by, action: 'reset-used', target: user, ...change, reason })).changed;
  }

  /** What a user may spend. */
  async quotaOf(
    user: string,
    { roles = [], community }: { roles?: readonly string[]; community?: string } = {},
  ): Promise<Quota> {
    const { redis, keys } = this.#trail;
    const fields = [
      `user:${checkOwner(user)}`,
      `community:${community ?? ''}`,
      ...roles.map((role) => `role:${role}`),
    ] as const;
    const batch = redis
      .multi()
      .hmget(keys.limits, ...fields)
      .hget(keys.used(this.#terms.day(await redisTime(redis))), user)
      .hget(keys.grants, user);
    const [limits, usedText, grantedText] = replies(
      await batch.exec(),
      z.tuple([z.array(z.string().nullable()), z.string().nullable(), z.string().nullable()]),
    );
    const [own = null, shared = null, ...ofRoles] = limits;
    const chosen = this.#choose(own, ofRoles, shared);
    const used = Number(usedText ?? 0);
    const granted = Number(grantedText ?? 0);
    return { ...chosen, used, granted, left: Math.max(0, chosen.limit - used) + granted };
  }

  /** The user's own value wins, then the largest of their roles, then the community's, then the default. */
  #choose(
    own: string | null,
    ofRoles: readonly (string | null)[],
    shared: string | null,
  ): Pick<Quota, 'limit' | 'source'> {
    if (own !== null) return { limit: Number(own), source: 'user' };
    const known = ofRoles.filter((limit) => limit !== null).map(Number);
    if (known.length > 0) return { limit: Math.max(...known), source: 'role' };
    if (shared !== null) return { limit: Number(shared), source: 'community' };
    return { limit: this.#terms.limits.credits, source: 'default' };
  }
}
