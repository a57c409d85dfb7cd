/**
 * What admins may do to the queue: bans, allowances, weights, pausing, and cancelling anybody's job. Every act and the
 * line about it in the audit trail are written to Redis in one step, so both survive together or not at all. Does not
 * decide who is an admin, and knows no platform.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { independentOfRedis, type JobClient, type QueueTerms } from './client.ts';
import { generateQueueName, jobIdSchema, jobRequestSchema } from './jobs.ts';
import type { Keys } from './keys.ts';
import type { CancelAnswer, LedgerEntry } from './ledger.ts';
import { workerEntries } from './worker-registry.ts';

/** Ranges of what admins may set. */
export const adminRanges = {
  credits: { min: 0, max: 1_000_000 },
  grant: { min: -1_000_000, max: 1_000_000 },
  weight: { min: 0.1, max: 10 },
  banMs: { min: 1, max: 10 * 366 * 86_400_000 },
  reasonLength: { min: 0, max: 300 },
  auditEntries: { min: 1, max: 200 },
} as const;

/** Whose allowance or weight: "user:discord:8035…", "role:discord:77…", "community:telegram:-100…". */
export type QuotaTarget = `${'user' | 'role' | 'community'}:${string}`;

const banSchema = z.object({
  /** 0 is for good. */
  untilMs: z.number(),
  reason: z.string(),
});
export type Ban = z.infer<typeof banSchema>;

/**
 * running: everything goes on. paused: no requests are taken and no job is begun; one that runs finishes.
 * draining: no requests are taken; what waits is still made.
 */
export type QueueMode = 'running' | 'paused' | 'draining';

export interface Quota {
  /** Credits per day. */
  readonly limit: number;
  /** Whose setting that is. */
  readonly source: 'user' | 'role' | 'community' | 'default';
  readonly used: number;
  /** Extra credits that do not expire with the day. */
  readonly granted: number;
  /** What can be spent now: the rest of the day's credits, and the granted ones. */
  readonly left: number;
}

export interface AuditEntry {
  /** Orders the trail; pass it as `before` to read on. */
  readonly id: string;
  readonly at: number;
  /** userKey of the admin or moderator. */
  readonly by: string;
  readonly action: AuditAction;
  /** A user, a quota target, a job id, "queue", or a community and which of its rules. */
  readonly target: string;
  /** Stored values as texts; empty where there was, or is, none. */
  readonly before: string;
  readonly after: string;
  readonly reason: string;
}

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

export interface QueueStats {
  readonly mode: QueueMode;
  /** Waiting jobs per preset. */
  readonly waiting: ReadonlyMap<string, number>;
  readonly running: number;
  /** Jobs that are over and whose answer is on its way. */
  readonly answering: number;
  readonly workers: { readonly alive: number; readonly busy: number };
  /** By everybody today. */
  readonly creditsUsed: number;
  /** Error code → jobs that ever failed with it. */
  readonly failures: ReadonlyMap<string, number>;
}

/** One change, as lua/admin.lua makes it. */
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
  | { readonly change: 'replace'; readonly key: string; readonly value: string };

const changedSchema = z.object({
  changed: z.boolean(),
  before: z.string().optional(),
  after: z.string().optional(),
});
type Changed = z.infer<typeof changedSchema>;

const modeSchema = z.enum(['paused', 'draining']).nullable();
const auditSchema = z.object({
  at: z.coerce.number(),
  by: z.string(),
  action: z.enum(auditActions),
  target: z.string(),
  before: z.string(),
  after: z.string(),
  reason: z.string(),
});

const ownerKeySchema = jobRequestSchema.shape.userKey;
const dayPattern = /^\d{4}-\d{2}-\d{2}$/;
const entryIdPattern = /^\d{1,20}-\d{1,20}$/;

const source = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
const lua = `${source('common')}\n${source('admin')}`;

/**
 * Every changing method takes the userKey of the admin first and resolves to whether anything changed; what changes
 * nothing is not written down. Wrong values are refused with INVALID_OPTION and the range.
 */
export class Admin {
  readonly #redis: Redis;
  readonly #client: JobClient;
  readonly #terms: Pick<QueueTerms, 'day' | 'limits'>;
  readonly #queue: Queue;

  /** @param redis a fail-fast connection; the caller closes it after close() */
  constructor(redis: Redis, client: JobClient, terms: Pick<QueueTerms, 'day' | 'limits'>, log: Logger) {
    this.#redis = redis;
    this.#client = client;
    this.#terms = terms;
    this.#queue = new Queue(generateQueueName, {
      connection: redis,
      prefix: client.keys.bull,
      ...independentOfRedis,
    });
    this.#queue.on('error', (error) => log.warn({ err: error.message }, 'admin connection'));
    redis.defineCommand('kinora_admin', { numberOfKeys: 0, lua });
  }

  get #keys(): Keys {
    return this.#client.keys;
  }

  /**
   * Refuses all requests of a user, or from a community. Jobs that were accepted before go on.
   * @param untilMs when it ends; absent is for good
   */
  async ban(
    by: string,
    owner: string,
    { untilMs, reason }: { untilMs?: number | undefined; reason: string },
    now = Date.now(),
  ): Promise<boolean> {
    if (untilMs !== undefined) {
      const { min, max } = adminRanges.banMs;
      if (!Number.isSafeInteger(untilMs) || untilMs < now + min || untilMs > now + max) {
        throw new KinoraError(
          'INVALID_OPTION',
          'A ban ends between 1 millisecond and 10 years from now, or never.',
        );
      }
    }
    const text = checkReason(reason);
    const ban: Ban = { untilMs: untilMs ?? 0, reason: text };
    const change = {
      change: 'set',
      key: 'bans',
      field: checkOwner(owner),
      value: JSON.stringify(ban),
    } as const;
    return (await this.#act(by, 'ban', owner, change, text, now)).changed;
  }

  async unban(by: string, owner: string, reason = '', now = Date.now()): Promise<boolean> {
    const change = { change: 'delete', key: 'bans', field: checkOwner(owner) } as const;
    return (await this.#act(by, 'unban', owner, change, reason, now)).changed;
  }

  /** The ban of a user or community, unless it has ended. */
  async banOf(owner: string, now = Date.now()): Promise<Ban | undefined> {
    const text = await this.#redis.hget(this.#keys.bans, checkOwner(owner));
    if (text === null) return undefined;
    const ban = banSchema.parse(JSON.parse(text));
    return isOver(ban, now) ? undefined : ban;
  }

  /** Everybody who is banned now. */
  async bans(now = Date.now()): Promise<ReadonlyMap<string, Ban>> {
    const all = await this.#redis.hgetall(this.#keys.bans);
    const bans = Object.entries(all).map(
      ([owner, text]) => [owner, banSchema.parse(JSON.parse(text))] as const,
    );
    return new Map(bans.filter(([, ban]) => !isOver(ban, now)));
  }

  /** Credits per person and day for one user, everybody with a role, or everybody in a community. */
  async setCredits(
    by: string,
    target: QuotaTarget,
    credits: number,
    reason = '',
    now = Date.now(),
  ): Promise<boolean> {
    const value = String(checkWhole('credits', credits, adminRanges.credits));
    const change = { change: 'set', key: 'limits', field: checkTarget(target), value } as const;
    return (await this.#act(by, 'credits', target, change, reason, now)).changed;
  }

  async clearCredits(by: string, target: QuotaTarget, reason = '', now = Date.now()): Promise<boolean> {
    const change = { change: 'delete', key: 'limits', field: checkTarget(target) } as const;
    return (await this.#act(by, 'clear-credits', target, change, reason, now)).changed;
  }

  /** What setCredits() has set for exactly this target. */
  async creditsOf(target: QuotaTarget): Promise<number | undefined> {
    const text = await this.#redis.hget(this.#keys.limits, checkTarget(target));
    return text === null ? undefined : Number(text);
  }

  /** Share of the worker relative to others, whose weight is 1. Counts for requests from now on. */
  async setWeight(
    by: string,
    target: QuotaTarget,
    weight: number,
    reason = '',
    now = Date.now(),
  ): Promise<boolean> {
    const { min, max } = adminRanges.weight;
    if (!(weight >= min && weight <= max)) {
      throw new KinoraError('INVALID_OPTION', `The weight is between ${min} and ${max}, not ${weight}.`);
    }
    const change = {
      change: 'set',
      key: 'weights',
      field: checkTarget(target),
      value: String(weight),
    } as const;
    return (await this.#act(by, 'weight', target, change, reason, now)).changed;
  }

  async clearWeight(by: string, target: QuotaTarget, reason = '', now = Date.now()): Promise<boolean> {
    const change = { change: 'delete', key: 'weights', field: checkTarget(target) } as const;
    return (await this.#act(by, 'clear-weight', target, change, reason, now)).changed;
  }

  /**
   * Gives a user extra credits that do not expire with the day, or takes some back, never below none.
   * @returns the extra credits they have now
   */
  async grant(by: string, user: string, credits: number, reason = '', now = Date.now()): Promise<number> {
    const change = {
      change: 'add',
      key: 'grants',
      field: checkOwner(user),
      value: checkWhole('credits', credits, adminRanges.grant),
      least: 0,
      most: adminRanges.credits.max,
    } as const;
    const { after } = await this.#act(by, 'grant', user, change, reason, now);
    return Number(after ?? 0);
  }

  /**
   * Gives a user the whole allowance of a day back.
   * @param day as QueueTerms.day writes it; today when absent
   */
  async resetUsed(by: string, user: string, day?: string, reason = '', now = Date.now()): Promise<boolean> {
    const whichDay = checkDay(day ?? this.#terms.day(now));
    const change = { change: 'delete', key: `used:${whichDay}`, field: checkOwner(user) } as const;
    return (await this.#act(by, 'reset-used', user, change, reason, now)).changed;
  }

  /** What a user may spend, by the same rules as lua/admit.lua. */
  async quotaOf(
    user: string,
    { roles = [], community, day }: { roles?: readonly string[]; community?: string; day?: string } = {},
    now = Date.now(),
  ): Promise<Quota> {
    const used = this.#keys.used(checkDay(day ?? this.#terms.day(now)));
    const fields = [
      `user:${checkOwner(user)}`,
      `community:${community ?? ''}`,
      ...roles.map((role) => `role:${role}`),
    ] as const;
    const batch = this.#redis
      .multi()
      .hmget(this.#keys.limits, ...fields)
      .hget(used, user);
    const [limits, usedText, grantedText] = replies(
      await batch.hget(this.#keys.grants, user).exec(),
      z.tuple([z.array(z.string().nullable()), z.string().nullable(), z.string().nullable()]),
    );
    const [own = null, shared = null, ...roleLimits] = limits;
    const ofRoles = roleLimits.filter((limit) => limit !== null).map(Number);
    const chosen =
      own !== null
        ? ({ limit: Number(own), source: 'user' } as const)
        : ofRoles.length > 0
          ? ({ limit: Math.max(...ofRoles), source: 'role' } as const)
          : shared !== null
            ? ({ limit: Number(shared), source: 'community' } as const)
            : ({ limit: this.#terms.limits.credits, source: 'default' } as const);
    const spent = Number(usedText ?? 0);
    const granted = Number(grantedText ?? 0);
    return { ...chosen, used: spent, granted, left: Math.max(0, chosen.limit - spent) + granted };
  }

  /** No requests and no new jobs; a running one finishes, and answers still go out. */
  async pause(by: string, reason = '', now = Date.now()): Promise<boolean> {
    return await this.#setMode(by, 'pause', 'paused', reason, now);
  }

  /** Back to normal, after pause or drain. */
  async resume(by: string, reason = '', now = Date.now()): Promise<boolean> {
    return await this.#setMode(by, 'resume', '', reason, now);
  }

  /** No requests any more; what waits is still made. */
  async drain(by: string, reason = '', now = Date.now()): Promise<boolean> {
    return await this.#setMode(by, 'drain', 'draining', reason, now);
  }

  async mode(): Promise<QueueMode> {
    return modeSchema.parse(await this.#redis.get(this.#keys.mode)) ?? 'running';
  }

  async #setMode(
    by: string,
    action: AuditAction,
    mode: 'paused' | 'draining' | '',
    reason: string,
    now: number,
  ): Promise<boolean> {
    const change = { change: 'replace', key: 'mode', value: mode } as const;
    const { changed } = await this.#act(by, action, 'queue', change, reason, now);
    await this.enforceMode();
    return changed;
  }

  /**
   * Makes the workers follow the mode. To be called once at the start, too: whoever set the mode may have died before
   * the workers heard of it.
   */
  async enforceMode(): Promise<void> {
    for (;;) {
      const mode = await this.mode();
      await (mode === 'paused' ? this.#queue.pause() : this.#queue.resume());
      // Of two admins at once, whoever told the workers last looks whether that was what the later of them wanted.
      if ((await this.mode()) === mode) return;
    }
  }

  /**
   * One rule of a community, by its moderators or an admin; what may stand there is for the caller to know.
   * @param value absent removes it
   */
  async setRule(
    by: string,
    community: string,
    field: string,
    value: string | undefined,
    now = Date.now(),
  ): Promise<boolean> {
    const key = `rules:${checkOwner(community)}`;
    const change =
      value === undefined
        ? ({ change: 'delete', key, field } as const)
        : ({ change: 'set', key, field, value } as const);
    return (await this.#act(by, 'rule', `${community} ${field}`, change, '', now)).changed;
  }

  /** All that setRule() has set for a community. */
  async rulesOf(community: string): Promise<Readonly<Record<string, string>>> {
    return await this.#redis.hgetall(this.#keys.rules(checkOwner(community)));
  }

  /** Cancels anybody's job by its exact id, like JobClient.cancel. */
  async cancelJob(by: string, jobId: string, now = Date.now()): Promise<CancelAnswer> {
    if (!jobIdSchema.safeParse(jobId).success) return 'unknown';
    return await this.#client.cancel(jobId, checkOwner(by), true, now);
  }

  /**
   * What admins did, newest first.
   * @param limit 1 to 200
   * @param before id of the last entry that was read before
   */
  async audit(limit = 20, { before }: { before?: string } = {}): Promise<AuditEntry[]> {
    const count = checkWhole('number of entries', limit, adminRanges.auditEntries);
    if (before !== undefined && !entryIdPattern.test(before)) {
      throw new KinoraError('INVALID_OPTION', 'That is not the id of an audit entry.');
    }
    const newest = before === undefined ? '+' : `(${before}`;
    const found = await this.#redis.xrevrange(this.#keys.audit, newest, '-', 'COUNT', count);
    return found.map(([id, flat]) => {
      const fields: Record<string, string> = {};
      for (let i = 0; i + 1 < flat.length; i += 2) fields[flat[i] ?? ''] = flat[i + 1] ?? '';
      return { id, ...auditSchema.parse(fields) };
    });
  }

  async stats(now = Date.now()): Promise<QueueStats> {
    const presets = (await this.#redis.smembers(this.#keys.presets)).sort();
    // In one step: a job that moves on meanwhile is counted once.
    const batch = this.#redis.multi().scard(this.#keys.active('all')).zcard(this.#keys.pending);
    batch
      .get(this.#keys.mode)
      .hvals(this.#keys.used(this.#terms.day(now)))
      .hgetall(this.#keys.failures);
    for (const preset of presets) batch.zcard(this.#keys.waiting(preset));
    const [active, pending, mode, used, failures, ...counts] = replies(
      await batch.exec(),
      z.tuple(
        [z.int(), z.int(), modeSchema, z.array(z.coerce.number()), z.record(z.string(), z.coerce.number())],
        z.int(),
      ),
    );
    const alive = [...(await workerEntries(this.#redis, this.#keys, now)).values()].filter(
      (worker) => worker.alive,
    );
    const waiting = counts.reduce((sum, count) => sum + count, 0);
    return {
      mode: mode ?? 'running',
      waiting: new Map(presets.map((preset, index) => [preset, counts[index] ?? 0])),
      running: Math.max(0, active - waiting),
      answering: Math.max(0, pending - active),
      workers: { alive: alive.length, busy: alive.filter(({ entry }) => entry.jobId !== null).length },
      creditsUsed: used.reduce((sum, credits) => sum + credits, 0),
      failures: new Map(Object.entries(failures)),
    };
  }

  /** Jobs that wait, run or are being answered, oldest first. */
  async jobs(): Promise<LedgerEntry[]> {
    return await this.#client.ledger.pending();
  }

  async close(): Promise<void> {
    await this.#queue.close().catch(() => {}); // a dead Redis must not keep us
  }

  async #act(
    by: string,
    action: AuditAction,
    target: string,
    change: Change,
    reason: string,
    now: number,
  ): Promise<Changed> {
    const act = {
      ...change,
      ask: randomUUID(),
      by: checkOwner(by),
      action,
      target,
      reason: checkReason(reason),
      now,
    };
    const answer = await (
      this.#redis as unknown as { kinora_admin: (prefix: string, act: string) => Promise<unknown> }
    ).kinora_admin(this.#keys.prefix, JSON.stringify(act));
    return changedSchema.parse(JSON.parse(String(answer)));
  }
}

const isOver = ({ untilMs }: Ban, now: number): boolean => untilMs !== 0 && untilMs <= now;

/** The replies of a transaction, or the first error among them. */
function replies<T>(answers: [Error | null, unknown][] | null, schema: z.ZodType<T>): T {
  const values = (answers ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
  return schema.parse(values);
}

function checkOwner(key: string): string {
  if (ownerKeySchema.safeParse(key).success) return key;
  throw new KinoraError(
    'INVALID_OPTION',
    `"${key.slice(0, 80)}" is no user or community; they are written like "discord:123".`,
  );
}

function checkTarget(target: QuotaTarget): string {
  const [, kind, key] = /^(user|role|community):(.*)$/s.exec(target) ?? [];
  if (kind !== undefined && key !== undefined && ownerKeySchema.safeParse(key).success) return target;
  throw new KinoraError(
    'INVALID_OPTION',
    `"${target.slice(0, 80)}" is no target; they are written like "user:discord:123", "role:…" or "community:…".`,
  );
}

function checkDay(day: string): string {
  if (dayPattern.test(day)) return day;
  throw new KinoraError(
    'INVALID_OPTION',
    `"${day.slice(0, 40)}" is no day; they are written like 2026-11-21.`,
  );
}

function checkReason(reason: string): string {
  const text = reason.replace(/\s+/gu, ' ').trim();
  const { max } = adminRanges.reasonLength;
  if ([...text].length <= max) return text;
  throw new KinoraError('INVALID_OPTION', `The reason has ${[...text].length} characters; at most ${max}.`);
}

function checkWhole(what: string, value: number, { min, max }: { min: number; max: number }): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new KinoraError(
    'INVALID_OPTION',
    `The ${what} must be a whole number from ${min} to ${max}, not ${value}.`,
  );
}
