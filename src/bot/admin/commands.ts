/**
 * What admins can tell Kinora to do, and the parser for platforms where they write it as text: "quota set discord:8035
 * 20", "ban telegram:7 24 spam", "pause". Knows no platform.
 */
import { banHours, type Owner } from '../../queue/bans.ts';
import type { Target } from '../../queue/checks.ts';
import { creditRange, grantRange } from '../../queue/quota.ts';
import { weightRange } from '../../queue/weights.ts';
import { invalid, type Refused } from '../refusals.ts';
import { type AdminDefaults, takeTarget, type UnclearTarget } from './targets.ts';

/** In the order in which they are listed. */
export const adminCommandNames = [
  'quota',
  'weight',
  'ban',
  'unban',
  'bans',
  'pause',
  'resume',
  'drain',
  'cancel',
  'stats',
  'audit',
] as const;
export type AdminCommandName = (typeof adminCommandNames)[number];

export type AdminCommand =
  | { readonly kind: 'showQuota'; readonly target: Target }
  | { readonly kind: 'setQuota'; readonly target: Target; readonly credits: number; readonly reason: string }
  /** Back to what applies without an allowance of its own. */
  | { readonly kind: 'clearQuota'; readonly target: Target; readonly reason: string }
  /** `user` is a userKey. */
  | { readonly kind: 'grant'; readonly user: string; readonly credits: number; readonly reason: string }
  | { readonly kind: 'resetUsed'; readonly user: string; readonly reason: string }
  | { readonly kind: 'showWeight'; readonly target: Target }
  | { readonly kind: 'setWeight'; readonly target: Target; readonly weight: number; readonly reason: string }
  | { readonly kind: 'clearWeight'; readonly target: Target; readonly reason: string }
  | { readonly kind: 'listWeights'; readonly page: number }
  /** Permanent without `hours`. */
  | { readonly kind: 'ban'; readonly owner: Owner; readonly hours?: number; readonly reason: string }
  | { readonly kind: 'unban'; readonly owner: Owner; readonly reason: string }
  | { readonly kind: 'listBans'; readonly page: number }
  | { readonly kind: 'pause' | 'resume' | 'drain'; readonly reason: string }
  | { readonly kind: 'cancel'; readonly jobId: string }
  | { readonly kind: 'stats' }
  /** `before`: id of the last entry that was read before. */
  | { readonly kind: 'audit'; readonly entries: number; readonly before?: string };

/** Why a text, or a choice of options, is not a command. */
export type Misunderstood =
  /** '' where nothing was written. */
  | { readonly kind: 'unknown'; readonly text: string }
  | { readonly kind: 'missing'; readonly what: 'TARGET' | 'USER' | 'NUMBER' | 'JOB' }
  | UnclearTarget
  | { readonly kind: 'usersOnly' }
  | Refused;

export const defaultAuditEntries = 10;

/** @param words the name of the command first */
export function parseAdminCommand(
  words: readonly string[],
  defaults: AdminDefaults,
): AdminCommand | Misunderstood {
  const [name = '', ...rest] = words.filter((word) => word !== '').map(narrow);
  const kind = name.toLowerCase();
  switch (kind) {
    case 'quota':
      return parseQuota(rest, defaults);
    case 'weight':
      return parseWeight(rest, defaults);
    case 'ban':
      return parseBan(rest, defaults);
    case 'unban':
      return parseUnban(rest, defaults);
    case 'bans':
      return withNumber(rest[0], 1, (page) => ({ kind: 'listBans', page }));
    case 'pause':
    case 'resume':
    case 'drain':
      return { kind, reason: rest.join(' ') };
    case 'cancel': {
      const jobId = rest[0] ?? defaults.jobId;
      return jobId === undefined ? { kind: 'missing', what: 'JOB' } : { kind, jobId };
    }
    case 'stats':
      return { kind };
    case 'audit':
      return withNumber(rest[0], defaultAuditEntries, (entries) => ({ kind, entries }));
    default:
      return { kind: 'unknown', text: name };
  }
}

/** Keyboards of Chinese and Japanese write wide digits: "２４". */
function narrow(word: string): string {
  const composed = word.normalize('NFKC');
  return /^[+-]?\d/.test(composed) ? composed : word;
}

function parseQuota(words: readonly string[], defaults: AdminDefaults): AdminCommand | Misunderstood {
  const [verb = '', ...rest] = words;
  const action = (['show', 'set', 'grant', 'reset'] as const).find((known) => known === verb.toLowerCase());
  if (!action) return { kind: 'unknown', text: ['quota', verb].join(' ').trim() };
  const { max: most } = action === 'grant' ? grantRange : creditRange;
  const needsNumber = action === 'set' || action === 'grant';
  const taken = takeTarget(rest, defaults, needsNumber ? { most, isHours: false } : undefined);
  if (taken.kind !== 'taken') return taken;
  const { target, behind } = taken;
  if (!target) return { kind: 'missing', what: 'TARGET' };
  if (action === 'show') return { kind: 'showQuota', target };
  if (action === 'reset') return resetQuota(target, behind.join(' '));
  if (action === 'grant' && target.kind !== 'user') return { kind: 'usersOnly' };
  const [amount, ...others] = behind;
  const reason = others.join(' ');
  if (action === 'set' && amount?.toLowerCase() === 'default') return { kind: 'clearQuota', target, reason };
  return withNumber(amount, undefined, (credits) =>
    action === 'set'
      ? { kind: 'setQuota', target, credits, reason }
      : { kind: 'grant', user: target.key, credits, reason },
  );
}

/** Of a user, today's use is reset; a role or community has no use of its own and loses its allowance. */
export function resetQuota(target: Target, reason: string): AdminCommand {
  return target.kind === 'user'
    ? { kind: 'resetUsed', user: target.key, reason }
    : { kind: 'clearQuota', target, reason };
}

function parseWeight(words: readonly string[], defaults: AdminDefaults): AdminCommand | Misunderstood {
  const [verb = '', ...rest] = words;
  const action = (['show', 'set', 'reset', 'list'] as const).find((known) => known === verb.toLowerCase());
  if (!action) return { kind: 'unknown', text: ['weight', verb].join(' ').trim() };
  if (action === 'list') return withNumber(rest[0], 1, (page) => ({ kind: 'listWeights', page }));
  const number = action === 'set' ? { most: weightRange.max, isHours: false } : undefined;
  const taken = takeTarget(rest, defaults, number);
  if (taken.kind !== 'taken') return taken;
  const { target, behind } = taken;
  if (!target) return { kind: 'missing', what: 'TARGET' };
  if (action === 'show') return { kind: 'showWeight', target };
  if (action === 'reset') return { kind: 'clearWeight', target, reason: behind.join(' ') };
  const [amount, ...reason] = behind;
  return withNumber(amount, undefined, (weight) => ({
    kind: 'setWeight',
    target,
    weight,
    reason: reason.join(' '),
  }));
}

const hours = /^(\d+(?:\.\d+)?)(?:h|hrs?|hours?|小时|小時)?[,;.:]?$/i;
const otherUnits =
  '[smdwy]|secs?|seconds?|mins?|minutes?|days?|weeks?|months?|years?|分钟|分鐘|天|日|周|週|个?月|年';
const otherUnit = new RegExp(`^(?:${otherUnits})$`, 'i');
/** What may be meant as the length of a ban, so that it must not end up in the reason of one for good. */
const likeHours = new RegExp(`^[+-]?(?:\\.?\\d[\\d.,e+-]*(?:h|${otherUnits})?[,;.:]?|nan|infinity)$`, 'i');

function parseBan(words: readonly string[], defaults: AdminDefaults): AdminCommand | Misunderstood {
  const taken = takeTarget(words, defaults, { most: banHours.max, isHours: true });
  if (taken.kind !== 'taken') return taken;
  const owner = ownerOf(taken.target);
  if (!('key' in owner)) return owner;
  const [first = '', ...others] = taken.behind;
  const [, number] = hours.exec(first) ?? [];
  const hasOtherUnit = number !== undefined && otherUnit.test(others[0] ?? '');
  if (hasOtherUnit || (number === undefined && likeHours.test(first))) {
    return invalid({ kind: 'banHours', ...banHours });
  }
  if (number !== undefined) return { kind: 'ban', owner, hours: Number(number), reason: others.join(' ') };
  return { kind: 'ban', owner, reason: taken.behind.join(' ') };
}

function parseUnban(words: readonly string[], defaults: AdminDefaults): AdminCommand | Misunderstood {
  const taken = takeTarget(words, defaults);
  if (taken.kind !== 'taken') return taken;
  const owner = ownerOf(taken.target);
  return 'key' in owner ? { kind: 'unban', owner, reason: taken.behind.join(' ') } : owner;
}

function ownerOf(target: Target | undefined): Owner | Misunderstood {
  if (!target) return { kind: 'missing', what: 'USER' };
  const { kind, key } = target;
  return kind === 'role' ? { kind: 'unknown', text: `${kind}:${key}` } : { kind, key };
}

/** @param absent stands for a word that is not there; without it the word is needed */
function withNumber(
  word: string | undefined,
  absent: number | undefined,
  command: (number: number) => AdminCommand,
): AdminCommand | Misunderstood {
  if (word !== undefined && !/^[+-]?\d+(\.\d+)?$/.test(word))
    return invalid({ kind: 'notANumber', got: word.slice(0, 40) });
  const number = word === undefined ? absent : Number(word);
  return number === undefined ? { kind: 'missing', what: 'NUMBER' } : command(number);
}
