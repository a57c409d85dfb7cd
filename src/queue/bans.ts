/** Bans: all requests of a user, or from a community, are refused. lua/admit.lua enforces them. */
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { type AuditTrail, checkReason } from './audit.ts';
import { checkOwner } from './checks.ts';

export const banMs = { min: 1, max: 10 * 366 * 86_400_000 } as const;

const banSchema = z.object({
  /** 0 means permanent. */
  untilMs: z.number(),
  reason: z.string(),
});
export type Ban = z.infer<typeof banSchema>;

export class Bans {
  readonly #trail: AuditTrail;

  constructor(trail: AuditTrail) {
    this.#trail = trail;
  }

  /**
   * Jobs that were accepted before go on.
   * @param by userKey of the admin
   * @param owner key of a user or community
   * @param untilMs when the ban ends; absent means never
   * @returns whether this changed anything
   */
  async ban(
    by: string,
    owner: string,
    { untilMs, reason }: { untilMs?: number | undefined; reason: string },
    now = Date.now(),
  ): Promise<boolean> {
    if (untilMs !== undefined) {
      const { min, max } = banMs;
      if (!Number.isSafeInteger(untilMs) || untilMs < now + min || untilMs > now + max) {
        throw new KinoraError('INVALID_OPTION', { kind: 'banEnd' });
      }
    }
    const ban: Ban = { untilMs: untilMs ?? 0, reason: checkReason(reason) };
    const { changed } = await this.#trail.act({
      by,
      action: 'ban',
      target: owner,
      change: 'set',
      key: this.#trail.keys.bans,
      field: checkOwner(owner),
      value: JSON.stringify(ban),
      reason,
      now,
    });
    return changed;
  }

  /** @returns whether there was a ban */
  async unban(by: string, owner: string, reason = ''): Promise<boolean> {
    const change = { change: 'delete', key: this.#trail.keys.bans, field: checkOwner(owner) } as const;
    return (await this.#trail.act({ by, action: 'unban', target: owner, ...change, reason })).changed;
  }

  /** The bans in force, by the key of the user or community. */
  async all(now = Date.now()): Promise<ReadonlyMap<string, Ban>> {
    const stored = await this.#trail.redis.hgetall(this.#trail.keys.bans);
    const bans = Object.entries(stored).map(([owner, text]) => [owner, parseBan(text)] as const);
    return new Map(bans.filter(([, { untilMs }]) => untilMs === 0 || untilMs > now));
  }
}

/** A ban as it is stored, and as the audit trail shows it before and after a change. */
export function parseBan(text: string): Ban {
  return banSchema.parse(JSON.parse(text));
}
