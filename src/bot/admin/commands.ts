/**
 * What admins write, as calls of Admin and a short plain answer: "quota set discord:8035 20", "ban telegram:7 24 spam",
 * "pause". Whoever calls this has checked that they are admins. Knows no platform.
 */
import { KinoraError } from '../../errors.ts';
import type { AuditTrail } from '../../queue/audit.ts';
import { type Bans, banMs } from '../../queue/bans.ts';
import { type Target, targetKinds } from '../../queue/checks.ts';
import type { JobClient } from '../../queue/client.ts';
import { jobIdSchema } from '../../queue/jobs.ts';
import type { ModeSwitch } from '../../queue/mode.ts';
import type { Quotas } from '../../queue/quota.ts';
import type { QueueStats } from '../../queue/stats.ts';
import type { Weights } from '../../queue/weights.ts';
import type { Messages } from '../sentences/catalogue.ts';

const hourMs = 3_600_000;
const shownFailures = 8;
const shownJobs = 10;
const defaultAuditEntries = 10;
/** What fits into one message everywhere. */
const mostAuditEntries = 25;
const longestAuditLine = 140;

export interface AdminTools {
  readonly client: JobClient;
  readonly quotas: Quotas;
  readonly weights: Weights;
  readonly bans: Bans;
  readonly mode: ModeSwitch;
  readonly trail: AuditTrail;
  readonly stats: () => Promise<QueueStats>;
}

/** What an admin wrote and what is said about it. */
interface Words {
  readonly admin: AdminTools;
  /** userKey of the admin. */
  readonly by: string;
  readonly rest: readonly string[];
  readonly say: Messages;
}

const commands: Readonly<Record<string, (words: Words) => Promise<string>>> = {
  quota,
  ban,
  unban,
  stats,
  audit,
  cancel,
  pause: ({ admin, by, rest, say }) => change(admin.mode.pause(by, rest.join(' ')), say),
  resume: ({ admin, by, rest, say }) => change(admin.mode.resume(by, rest.join(' ')), say),
  drain: ({ admin, by, rest, say }) => change(admin.mode.drain(by, rest.join(' ')), say),
};

/**
 * @param by userKey of the admin
 * @returns what to answer; words that are not understood are answered with the usage
 * @throws KinoraError INVALID_OPTION for values outside their range
 */
export async function runAdminWords(
  admin: AdminTools,
  by: string,
  words: readonly string[],
  messages: Messages,
): Promise<string> {
  const [name = '', ...rest] = words.filter((word) => word !== '');
  const command = Object.hasOwn(commands, name.toLowerCase()) ? commands[name.toLowerCase()] : undefined;
  if (!command) return name === '' ? messages.admin.usage : misunderstood(name, messages);
  return await command({ admin, by, rest, say: messages });
}

function misunderstood(text: string, say: Messages): string {
  return `${say.admin.unknown(text.slice(0, 80))}\n${say.admin.usage}`;
}

async function change(changed: Promise<boolean>, say: Messages): Promise<string> {
  return (await changed) ? say.admin.done : say.admin.unchanged;
}

/** "discord:8035" is a user, "8035" one of the admin's own platform; others say what they are. */
function readTarget(text: string, by: string): Target {
  const [first = '', ...others] = text.split(':');
  const named = targetKinds.find((kind) => kind === first);
  const key = named ? others.join(':') : text;
  const platform = by.slice(0, by.indexOf(':'));
  return { kind: named ?? 'user', key: /^-?\d+$/.test(key) ? `${platform}:${key}` : key };
}

async function quota({ admin, by, rest, say }: Words): Promise<string> {
  const [verb = '', who, amount, ...reasonWords] = rest;
  const act = new Map(Object.entries({ show, set, grant, reset })).get(verb.toLowerCase());
  if (!act) return misunderstood(['quota', verb].join(' ').trim(), say);
  if (who === undefined) return `${say.admin.missing('TARGET')}\n${say.admin.usage}`;
  const target = readTarget(who, by);
  const { kind, key } = target;
  const field = `${kind}:${key}`;
  return await act();

  async function show(): Promise<string> {
    if (kind !== 'user') return say.admin.limit(field, await admin.quotas.creditsOf(target));
    const { limit, source, used, granted, left } = await admin.quotas.quotaOf(key);
    return say.admin.quota(key, { limit, source: say.admin.sources[source], used, granted, left });
  }

  async function set(): Promise<string> {
    if (amount === undefined) return `${say.admin.missing('NUMBER')}\n${say.admin.usage}`;
    const reason = reasonWords.join(' ');
    if (amount.toLowerCase() === 'default')
      return await change(admin.quotas.clearCredits(by, target, reason), say);
    await admin.quotas.setCredits(by, target, readNumber(amount, say), reason);
    return say.admin.limit(field, await admin.quotas.creditsOf(target));
  }

  async function grant(): Promise<string> {
    if (kind !== 'user') return say.admin.onlyUsers;
    if (amount === undefined) return `${say.admin.missing('NUMBER')}\n${say.admin.usage}`;
    const total = await admin.quotas.grant(by, key, readNumber(amount, say), reasonWords.join(' '));
    return say.admin.granted(key, total);
  }

  async function reset(): Promise<string> {
    const reason = rest.slice(2).join(' ');
    if (kind !== 'user') return await change(admin.quotas.clearCredits(by, target, reason), say);
    return await change(admin.quotas.resetUsed(by, key, reason), say);
  }
}

function readNumber(text: string, say: Messages): number {
  if (/^[+-]?\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new KinoraError('INVALID_OPTION', say.admin.notANumber(text.slice(0, 40)));
}

async function ban({ admin, by, rest, say }: Words): Promise<string> {
  const [who, ...others] = rest;
  if (who === undefined) return `${say.admin.missing('USER')}\n${say.admin.usage}`;
  const { kind, key } = readTarget(who, by);
  if (kind === 'role') return misunderstood(who, say);
  const hours = /^(\d+(?:\.\d+)?)h?$/i.exec(others[0] ?? '')?.[1];
  const reason = (hours === undefined ? others : others.slice(1)).join(' ');
  // 0 hours is for good, like no hours.
  const lengthMs = Number(hours ?? 0) * hourMs;
  if (lengthMs > banMs.max) {
    throw new KinoraError(
      'INVALID_OPTION',
      `A ban lasts up to ${banMs.max / hourMs} hours, or for good when no hours are given.`,
    );
  }
  const now = Date.now();
  const untilMs = lengthMs > 0 ? Math.ceil(now + lengthMs) : undefined;
  await admin.bans.ban(by, key, { untilMs, reason }, now);
  return say.admin.banned(key, untilMs === undefined ? '' : minute(untilMs));
}

async function unban({ admin, by, rest, say }: Words): Promise<string> {
  const [who, ...reason] = rest;
  if (who === undefined) return `${say.admin.missing('USER')}\n${say.admin.usage}`;
  const { key } = readTarget(who, by);
  return (await admin.bans.unban(by, key, reason.join(' '))) ? say.admin.unbanned(key) : say.admin.unchanged;
}

async function cancel({ admin, by, rest, say }: Words): Promise<string> {
  const [jobId] = rest;
  if (jobId === undefined) return `${say.admin.missing('JOB')}\n${say.admin.usage}`;
  const answer = jobIdSchema.safeParse(jobId).success
    ? await admin.client.cancel(jobId, by, true)
    : 'unknown';
  if (answer === 'unknown') return say.refusal.gone;
  return answer === 'finished' ? say.refusal.finished : say.status.cancelling;
}

async function stats({ admin, say }: Words): Promise<string> {
  const { mode, waiting, running, answering, workers, creditsUsed, failures } = await admin.stats();
  const total = [...waiting.values()].reduce((sum, count) => sum + count, 0);
  const lines = [
    say.admin.stats({
      mode: say.admin.modes[mode],
      waiting: total,
      running,
      answering,
      alive: workers.alive,
      busy: workers.busy,
      creditsUsed,
    }),
  ];
  // What "cancel" wants to be told.
  const jobs = await admin.client.ledger.pending();
  for (const { id, state, preset, request } of jobs.slice(0, shownJobs)) {
    lines.push(`• ${id} · ${request.userKey} · ${preset} · ${say.me.states[state]}`);
  }
  if (jobs.length > shownJobs) lines.push(say.me.more(jobs.length - shownJobs));
  const worst = [...failures].sort(([, a], [, b]) => b - a).slice(0, shownFailures);
  if (worst.length > 0) {
    lines.push(say.admin.failures(worst.map(([code, count]) => `${code} ${count}`).join(', ')));
  }
  return lines.join('\n');
}

async function audit({ admin, rest, say }: Words): Promise<string> {
  const [count] = rest;
  const wanted = count === undefined ? defaultAuditEntries : readNumber(count, say);
  const entries = await admin.trail.entries(Math.min(wanted, mostAuditEntries));
  if (entries.length === 0) return say.admin.noAudit;
  return entries
    .map(({ at, by, action, target, before, after, reason }) => {
      const changed = before === after ? '' : ` (${shown(before)} → ${shown(after)})`;
      const line = `${minute(at)} ${by} ${action} ${target}${changed}${reason ? `: ${reason}` : ''}`;
      return line.length > longestAuditLine ? `${line.slice(0, longestAuditLine - 1)}…` : line;
    })
    .join('\n');
}

/** A stored value; a ban is stored with its reason, which is told anyway. */
function shown(value: string): string {
  if (!value.startsWith('{')) return value || '–';
  const untilMs = Number(/"untilMs":(\d+)/.exec(value)?.[1] ?? 0);
  return untilMs === 0 ? '∞' : minute(untilMs);
}

/** "2026-11-21 07:32", UTC. */
function minute(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
}
