/**
 * What admins can tell Kinora to do, and the parser for platforms where they write it as text: "quota set discord:8035
 * 20", "ban telegram:7 24 spam", "pause". Knows no platform.
 */
import type { Owner } from '../../queue/bans.ts';
import { type Target, targetKinds } from '../../queue/checks.ts';
import { invalid, type Refused } from '../refusals.ts';

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
  /** Permanent without `hours`, and with 0. */
  | { readonly kind: 'ban'; readonly owner: Owner; readonly hours?: number; readonly reason: string }
  | { readonly kind: 'unban'; readonly owner: Owner; readonly reason: string }
  | { readonly kind: 'listBans'; readonly page: number }
  | { readonly kind: 'pause' | 'resume' | 'drain'; readonly reason: string }
  | { readonly kind: 'cancel'; readonly jobId: string }
  | { readonly kind: 'stats' }
  | { readonly kind: 'audit'; readonly entries: number };

/** Why a text, or a choice of options, is not a command. */
export type Misunderstood =
  /** '' where nothing was written. */
  | { readonly kind: 'unknown'; readonly text: string }
  | { readonly kind: 'missing'; readonly what: 'TARGET' | 'USER' | 'NUMBER' | 'JOB' }
  | { readonly kind: 'severalTargets' }
  | { readonly kind: 'usersOnly' }
  | Refused;

export const defaultAuditEntries = 10;

/** What is meant where the text does not say it. */
export interface AdminDefaults {
  /** Of a target without one: "telegram". */
  readonly platform: string;
  /** userKey of the person whose message is replied to. */
  readonly user?: string | undefined;
  /** Of the message that is replied to. */
  readonly jobId?: string | undefined;
}

/** @param words the name of the command first */
export function parseAdminCommand(
  words: readonly string[],
  defaults: AdminDefaults,
): AdminCommand | Misunderstood {
  const [name = '', ...rest] = words.filter((word) => word !== '');
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

function parseQuota(words: readonly string[], defaults: AdminDefaults): AdminCommand | Misunderstood {
  const [verb = '', ...rest] = words;
  const action = (['show', 'set', 'grant', 'reset'] as const).find((known) => known === verb.toLowerCase());
  if (!action) return { kind: 'unknown', text: ['quota', verb].join(' ').trim() };
  const { target, behind } = takeTarget(rest, defaults);
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
  const { target, behind } = takeTarget(rest, defaults);
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

function parseBan(words: readonly string[], defaults: AdminDefaults): AdminCommand | Misunderstood {
  const { target, behind } = takeTarget(words, defaults);
  const owner = ownerOf(target);
  if (!('key' in owner)) return owner;
  const [, hours] = /^(\d+(?:\.\d+)?)h?$/i.exec(behind[0] ?? '') ?? [];
  if (hours === undefined) return { kind: 'ban', owner, reason: behind.join(' ') };
  return { kind: 'ban', owner, hours: Number(hours), reason: behind.slice(1).join(' ') };
}

function parseUnban(words: readonly string[], defaults: AdminDefaults): AdminCommand | Misunderstood {
  const { target, behind } = takeTarget(words, defaults);
  const owner = ownerOf(target);
  return 'key' in owner ? { kind: 'unban', owner, reason: behind.join(' ') } : owner;
}

function ownerOf(target: Target | undefined): Owner | Misunderstood {
  if (!target) return { kind: 'missing', what: 'USER' };
  const { kind, key } = target;
  return kind === 'role' ? { kind: 'unknown', text: `${kind}:${key}` } : { kind, key };
}

/** Without a target, a reply means the person who is replied to. Targets are told from other words by their colon. */
function takeTarget(
  words: readonly string[],
  { platform, user }: AdminDefaults,
): { readonly target: Target | undefined; readonly behind: readonly string[] } {
  const [first, ...behind] = words;
  if (user !== undefined && !first?.includes(':'))
    return { target: { kind: 'user', key: user }, behind: words };
  return { target: first === undefined ? undefined : readTarget(first, platform), behind };
}

/** "discord:8035" is a user, "8035" is a user of `platform`; "role:…" and "community:…" name their kind. */
export function readTarget(text: string, platform: string): Target {
  const [first = '', ...others] = text.split(':');
  const named = targetKinds.find((kind) => kind === first);
  const key = named ? others.join(':') : text;
  return { kind: named ?? 'user', key: /^-?\d+$/.test(key) ? `${platform}:${key}` : key };
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
