/**
 * The audit trail: what admins and moderators changed. lua/admin.lua makes a change and adds its line to the trail in
 * one step, so both survive together or not at all. Does not decide who is an admin, and knows no platform.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { checkOwner, checkWhole } from './checks.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { runScript } from './scripts.ts';

export const reasonLength = { min: 0, max: 300 } as const;
/** Entries of the trail that can be read at a time. */
export const auditEntries = { min: 1, max: 200 } as const;

const auditActions = [
  'ban',
  'unban',
  'credits',
  'clear-credits',
  'grant',
  'reset-used',
  'weight',
  'clear-weight',
  'pause',
  'resume',
  'drain',
  'cancel',
  'rule',
] as const;
export type AuditAction = (typeof auditActions)[number];

/** One change of a value, as lua/admin.lua makes it. */
type Change =
  | { readonly change: 'set'; readonly key: string; readonly field: string; readonly value: string }
  | { readonly change: 'delete'; readonly key: string; readonly field: string }
  | {
      readonly change: 'add';
      readonly key: string;
      readonly field: string;
      readonly value: number;
      readonly least: number;
      readonly most: number;
    }
  /** Of a whole string; '' deletes it. */
  | { readonly change: 'replace'; readonly key: string; readonly value: string };

export type Act = Change & {
  /** userKey of the admin or moderator. */
  readonly by: string;
  readonly action: AuditAction;
  /** A user, a target, "queue", or a community and which of its rules. */
  readonly target: string;
  readonly reason?: string;
  /** Redis's own time where it is left out. */
  readonly now?: number;
};

const changedSchema = z.object({
  changed: z.boolean(),
  before: z.string().optional(),
  after: z.string().optional(),
});
type Changed = z.infer<typeof changedSchema>;

const fieldsSchema = z.object({
  at: z.coerce.number(),
  by: z.string(),
  action: z.enum(auditActions),
  /** As in Act, or the id of a job. */
  target: z.string(),
  /** Stored values as texts; '' where there was, or is, none. */
  before: z.string(),
  after: z.string(),
  reason: z.string(),
});

export interface AuditEntry extends z.infer<typeof fieldsSchema> {
  /** Orders the trail; pass it as `before` to read on. */
  readonly id: string;
}

/** Redis refuses to look for what is before 0-0. */
const entryIdPattern = /^(?!0+-0+$)\d{1,19}-\d{1,19}$/;

export class AuditTrail {
  readonly redis: Redis;
  readonly keys: Keys;

  /** @param redis a fail-fast connection */
  constructor(redis: Redis, keys: Keys) {
    this.redis = redis;
    this.keys = keys;
  }

  /**
   * Changes one value. An act that changes nothing is not added to the trail.
   * @throws KinoraError INVALID_OPTION for a reason that is too long
   */
  async act({ reason = '', key, ...act }: Act): Promise<Changed> {
    const text = JSON.stringify({ ...act, by: checkOwner(act.by), reason: checkReason(reason) });
    const own = { asked: this.keys.asked(randomUUID()), changed: key };
    const answer = await runScript(this.redis, 'admin', this.keys, own, [text]);
    return changedSchema.parse(JSON.parse(String(answer)));
  }

  /**
   * The entries of the trail, newest first.
   * @param before id of the last entry that was read before
   */
  async entries(limit = 20, { before }: { before?: string } = {}): Promise<AuditEntry[]> {
    const count = checkWhole('number of entries', limit, auditEntries);
    if (before !== undefined && !entryIdPattern.test(before)) {
      throw new KinoraError('INVALID_OPTION', { kind: 'auditId' });
    }
    const newest = before === undefined ? '+' : `(${before}`;
    const found = await this.redis.xrevrange(this.keys.audit, newest, '-', 'COUNT', count);
    return found.flatMap(([id, flat]) => {
      const fields: Record<string, string> = {};
      for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] ?? ''] = flat[i + 1] ?? '';
      const { data } = fieldsSchema.safeParse(fields);
      return data ? [{ id, ...data }] : []; // another version knows other acts
    });
  }

  /** The latest entry of an action for each of the targets, as far as the trail reaches back. */
  async newest(action: AuditAction, targets: ReadonlySet<string>): Promise<ReadonlyMap<string, AuditEntry>> {
    const found = new Map<string, AuditEntry>();
    let page: AuditEntry[] = [];
    do {
      const last = page.at(-1);
      page = await this.entries(auditEntries.max, last ? { before: last.id } : {});
      for (const entry of page) {
        const isWanted = entry.action === action && targets.has(entry.target);
        if (isWanted && !found.has(entry.target)) found.set(entry.target, entry);
      }
    } while (page.length === auditEntries.max && found.size < targets.size);
    return found;
  }
}

/** One line without surrounding spaces. */
export function checkReason(reason: string): string {
  const text = reason.replace(/\s+/gu, ' ').trim();
  const length = [...text].length;
  if (length <= reasonLength.max) return text;
  throw new KinoraError('INVALID_OPTION', { kind: 'reasonLength', got: length, max: reasonLength.max });
}
