/** Bans: all requests of a user, or from a community, are refused. lua/admit.lua enforces them. */
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { type AuditTrail, checkReason } from './audit.ts';
import { checkOwner, type Target } from './checks.ts';
import { redisTime } from './redis.ts';
import { readJson, writeJson } from './stored-json.ts';

const banMs = { min: 1, max: 10 * 366 * 86_400_000 } as const;
/** How long a ban can be made that ends. */
export const banHours = { min: 0.01, max: banMs.max / 3_600_000 } as const;

/** Who can be banned. */
export type Owner = Target & { readonly kind: 'user' | 'community' };

export interface Ban {
  readonly owner: Owner;
  /** 0 means permanent. */
  readonly untilMs: number;
  readonly reason: string;
}

export const storedBanSchema = z.object({
  untilMs: z.number(),
  reason: z.string(),
  /** Bans of older versions do not say. */
  kind: z.enum(['user', 'community']).default('user'),
});
type StoredBan = z.infer<typeof storedBanSchema>;

export class Bans {
  readonly #trail: AuditTrail;

  constructor(trail: AuditTrail) {
    this.#trail = trail;
  }

  /**
   * Jobs that were accepted before go on.
   * @param by userKey of the admin
   * @param untilMs when the ban ends; absent means never
   * @param time Redis's own where it is left out, here and below
   * @returns whether this changed anything
   */
  async ban(
    by: string,
    owner: Owner,
    { untilMs, reason }: { untilMs?: number | undefined; reason: string },
    time?: number,
  ): Promise<boolean> {
    const now = time ?? (await redisTime(this.#trail.redis));
    if (untilMs !== undefined) {
      const { min, max } = banMs;
      if (!Number.isSafeInteger(untilMs) || untilMs < now + min || untilMs > now + max) {
        throw new KinoraError('INVALID_OPTION', { kind: 'banEnd' });
      }
    }
    const ban: StoredBan = { untilMs: untilMs ?? 0, reason: checkReason(reason), kind: owner.kind };
    const { changed } = await this.#trail.act({
      by,
      action: 'ban',
      target: owner.key,
      change: 'set',
      key: this.#trail.keys.bans,
      field: checkOwner(owner.key),
      value: writeJson(ban),
      reason,
      now,
    });
    return changed;
  }

  /**
   * @param owner key of a user or community
   * @returns whether there was a ban
   */
  async unban(by: string, owner: string, reason = ''): Promise<boolean> {
    const change = { change: 'delete', key: this.#trail.keys.bans, field: checkOwner(owner) } as const;
    return (await this.#trail.act({ by, action: 'unban', target: owner, ...change, reason })).changed;
  }

  /** @param owner key of a user or community */
  async isBanned(owner: string): Promise<boolean> {
    return (await this.all()).some(({ owner: { key } }) => key === owner);
  }

  /** The bans in force, ordered by key. */
  async all(time?: number): Promise<Ban[]> {
    const now = time ?? (await redisTime(this.#trail.redis));
    const stored = await this.#trail.redis.hgetall(this.#trail.keys.bans);
    const bans = Object.keys(stored)
      .sort()
      .flatMap((key): Ban[] => {
        const ban = parseBan(stored[key] ?? '');
        return ban ? [{ owner: { kind: ban.kind, key }, untilMs: ban.untilMs, reason: ban.reason }] : [];
      });
    return bans.filter(({ untilMs }) => untilMs === 0 || untilMs > now);
  }
}

/** A ban as it is stored, and as the audit trail tells it before and after a change; undefined for what is none. */
export function parseBan(text: string): StoredBan | undefined {
  return readJson(text, storedBanSchema);
}
