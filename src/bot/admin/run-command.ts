/** Carries out the commands of admins. The caller has checked that the person is one. Knows no platform. */
import { KinoraError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { type AuditEntry, AuditTrail } from '../../queue/audit.ts';
import { type Ban, Bans, banHours, type Owner } from '../../queue/bans.ts';
import type { Target } from '../../queue/checks.ts';
import type { JobClient, QueueTerms } from '../../queue/client.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { ModeSwitch } from '../../queue/mode.ts';
import { type Quota, Quotas } from '../../queue/quota.ts';
import type { Redis } from '../../queue/redis.ts';
import { type QueueStats, queueStats } from '../../queue/stats.ts';
import { type Weight, Weights } from '../../queue/weights.ts';
import { type Refused, refused } from '../refusals.ts';
import type { AdminCommand, Misunderstood } from './commands.ts';
import { type Page, pageOf } from './pages.ts';

const hourMs = 3_600_000;
/** As many as fit into one message everywhere. */
const mostAuditEntries = 25;

export interface AdminTools {
  readonly client: JobClient;
  readonly quotas: Quotas;
  readonly weights: Weights;
  readonly bans: Bans;
  readonly mode: ModeSwitch;
  readonly trail: AuditTrail;
  readonly stats: () => Promise<QueueStats>;
}

/**
 * @param redis a fail-fast connection
 * @returns tools whose `mode` the caller closes
 */
export function adminTools(
  redis: Redis,
  client: JobClient,
  terms: Pick<QueueTerms, 'day' | 'limits'>,
  log: Logger,
): AdminTools {
  const trail = new AuditTrail(redis, client.keys);
  return {
    client,
    trail,
    quotas: new Quotas(trail, terms),
    weights: new Weights(trail),
    bans: new Bans(trail),
    mode: new ModeSwitch(trail, log),
    stats: async () => queueStats(redis, client.keys, terms.day(await client.time())),
  };
}

/** A ban, and who set it and when, as far as the audit trail reaches back. */
export interface ListedBan extends Ban {
  readonly setBy?: Pick<AuditEntry, 'by' | 'at'> | undefined;
}

export type AdminOutcome =
  | { readonly kind: 'done' | 'unchanged' }
  | { readonly kind: 'quota'; readonly user: string; readonly quota: Quota }
  /** `credits` is undefined where the target has no allowance of its own. */
  | { readonly kind: 'limit'; readonly target: Target; readonly credits: number | undefined }
  | { readonly kind: 'granted'; readonly user: string; readonly total: number }
  /** `weight` is undefined where the target has none of its own. */
  | { readonly kind: 'weight'; readonly target: Target; readonly weight: number | undefined }
  | { readonly kind: 'weights'; readonly weights: Page<Weight> }
  /** `untilMs` is undefined for a permanent ban. */
  | { readonly kind: 'banned'; readonly owner: Owner; readonly untilMs: number | undefined }
  | { readonly kind: 'unbanned'; readonly owner: Owner }
  | { readonly kind: 'bans'; readonly bans: Page<ListedBan> }
  | { readonly kind: 'cancelling' }
  /** `jobs`: those that wait, run or are being answered, oldest first. */
  | { readonly kind: 'stats'; readonly stats: QueueStats; readonly jobs: readonly LedgerEntry[] }
  | { readonly kind: 'audit'; readonly entries: readonly AuditEntry[] }
  | Misunderstood
  | Refused;

/**
 * @param by userKey of the admin
 * @throws KinoraError INVALID_OPTION for values outside their range, and what Redis throws
 */
export async function runAdminCommand(
  command: AdminCommand | Misunderstood,
  by: string,
  { client, quotas, weights, bans, mode, trail, stats }: AdminTools,
): Promise<AdminOutcome> {
  switch (command.kind) {
    case 'showQuota':
      return await showQuota(command.target, quotas);
    case 'setQuota':
      await quotas.setCredits(by, command.target, command.credits, command.reason);
      return await limit(command.target, quotas);
    case 'clearQuota':
      return doneIf(await quotas.clearCredits(by, command.target, command.reason));
    case 'grant': {
      const total = await quotas.grant(by, command.user, command.credits, command.reason);
      return { kind: 'granted', user: command.user, total };
    }
    case 'resetUsed':
      return doneIf(await quotas.resetUsed(by, command.user, command.reason));
    case 'showWeight':
      return await weightOf(command.target, weights);
    case 'setWeight':
      await weights.set(by, command.target, command.weight, command.reason);
      return await weightOf(command.target, weights);
    case 'clearWeight':
      return doneIf(await weights.clear(by, command.target, command.reason));
    case 'listWeights':
      return { kind: 'weights', weights: pageOf(await weights.all(), command.page) };
    case 'ban':
      return await ban(command, by, bans, await client.time());
    case 'unban': {
      const { owner, reason } = command;
      return (await bans.unban(by, owner.key, reason)) ? { kind: 'unbanned', owner } : { kind: 'unchanged' };
    }
    case 'listBans':
      return await listBans(command.page, bans, trail);
    case 'pause':
    case 'resume':
    case 'drain':
      return doneIf(await mode[command.kind](by, command.reason));
    case 'cancel': {
      const answer = await client.cancel(command.jobId, by, true);
      if (answer === 'unknown') return refused('gone');
      return answer === 'finished' ? refused('finished') : { kind: 'cancelling' };
    }
    case 'stats':
      return { kind: 'stats', stats: await stats(), jobs: await client.ledger.pending() };
    case 'audit': {
      const { entries, before } = command;
      const page = before === undefined ? {} : { before };
      return { kind: 'audit', entries: await trail.entries(Math.min(entries, mostAuditEntries), page) };
    }
    default:
      return command;
  }
}

const doneIf = (isChanged: boolean): AdminOutcome => ({ kind: isChanged ? 'done' : 'unchanged' });

async function showQuota(target: Target, quotas: Quotas): Promise<AdminOutcome> {
  if (target.kind !== 'user') return await limit(target, quotas);
  return { kind: 'quota', user: target.key, quota: await quotas.quotaOf(target.key) };
}

async function limit(target: Target, quotas: Quotas): Promise<AdminOutcome> {
  return { kind: 'limit', target, credits: await quotas.creditsOf(target) };
}

async function weightOf(target: Target, weights: Weights): Promise<AdminOutcome> {
  return { kind: 'weight', target, weight: await weights.of(target) };
}

async function ban(
  { owner, hours, reason }: Extract<AdminCommand, { kind: 'ban' }>,
  by: string,
  bans: Bans,
  now: number,
): Promise<AdminOutcome> {
  const { min, max } = banHours;
  if (hours !== undefined && !(hours >= min && hours <= max)) {
    throw new KinoraError('INVALID_OPTION', { kind: 'banHours', min, max });
  }
  const untilMs = hours === undefined ? undefined : Math.ceil(now + hours * hourMs);
  await bans.ban(by, owner, { untilMs, reason }, now);
  return { kind: 'banned', owner, untilMs };
}

async function listBans(page: number, bans: Bans, trail: AuditTrail): Promise<AdminOutcome> {
  const found = pageOf(await bans.all(), page);
  const setBy = await trail.newest('ban', new Set(found.items.map(({ owner }) => owner.key)));
  const items = found.items.map((one) => ({ ...one, setBy: setBy.get(one.owner.key) }));
  return { kind: 'bans', bans: { ...found, items } };
}
