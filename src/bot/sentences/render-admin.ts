/** Makes the answers to admins' commands of their outcomes. */
import type { AuditEntry } from '../../queue/audit.ts';
import { parseBan } from '../../queue/bans.ts';
import { parseTarget, type Target } from '../../queue/checks.ts';
import type { AdminOutcome, ListedBan } from '../admin/run-command.ts';
import type { Person } from '../people.ts';
import type { Messages } from './catalogue.ts';
import { asWritten, type Names } from './names.ts';
import { renderRefusal } from './render.ts';
import { shorten } from './shorten.ts';

const shownFailures = 8;
const shownJobs = 10;
const longestLine = 140;
/** Of what was not understood, as much as tells which part of it. */
const shownText = 80;

/** One line of how each command is written. */
export function adminUsage({ admin }: Messages): string {
  return Object.values(admin.commands).join(' · ');
}

/** A platform's help, and below it the commands that only admins have. */
export function renderHelp(help: string, { isAdmin }: Pick<Person, 'isAdmin'>, say: Messages): string {
  return isAdmin ? `${help}\n${say.admin.help(adminUsage(say))}` : help;
}

export function renderAdmin(outcome: AdminOutcome, say: Messages, names: Names = asWritten): string {
  const text = say.admin;
  switch (outcome.kind) {
    case 'done':
    case 'unchanged':
    case 'usersOnly':
    case 'severalTargets':
      return text[outcome.kind];
    case 'idOrHours':
      return text.idOrHours(outcome.hours, outcome.target);
    case 'idOrCredits':
      return text.idOrCredits(outcome.credits, outcome.target);
    case 'quota': {
      const { user, quota } = outcome;
      return text.quota(names({ kind: 'user', key: user }, user), {
        ...quota,
        source: text.sources[quota.source],
      });
    }
    case 'limit':
      return text.limit(nameOf(outcome.target, names), outcome.credits);
    case 'granted':
      return text.granted(names({ kind: 'user', key: outcome.user }, outcome.user), outcome.total);
    case 'weight':
      return text.weight(nameOf(outcome.target, names), outcome.weight);
    case 'weights': {
      const { items, count, page, pages } = outcome.weights;
      if (count === 0) return text.noWeights;
      const lines = items.map(({ target, weight }) => `• ${nameOf(target, names)} · ${weight}`);
      return [text.weights(count, page, pages), ...lines].join('\n');
    }
    case 'banned': {
      const { owner, untilMs } = outcome;
      return text.banned(names(owner, owner.key), untilMs === undefined ? '' : minute(untilMs));
    }
    case 'unbanned':
      return text.unbanned(names(outcome.owner, outcome.owner.key));
    case 'bans': {
      const { items, count, page, pages } = outcome.bans;
      if (count === 0) return text.noBans;
      return [text.bans(count, page, pages), ...items.map((ban) => renderBan(ban, say, names))].join('\n');
    }
    case 'cancelling':
      return say.status.cancelling;
    case 'stats':
      return renderStats(outcome, say, names);
    case 'audit':
      if (outcome.entries.length === 0) return text.noAudit;
      return outcome.entries.map((entry) => renderEntry(entry, names)).join('\n');
    case 'missing':
      return `${text.missing(outcome.what)}\n${adminUsage(say)}`;
    case 'unknown':
      if (outcome.text === '') return adminUsage(say);
      return `${text.unknown(outcome.text.slice(0, shownText))}\n${adminUsage(say)}`;
    case 'refused':
      return renderRefusal(outcome.reason, say);
  }
}

function nameOf(target: Target, names: Names): string {
  return names(target, `${target.kind}:${target.key}`);
}

function renderBan({ owner, untilMs, reason, setBy }: ListedBan, { admin }: Messages, names: Names): string {
  const until = admin.banLasts(untilMs === 0 ? '' : minute(untilMs));
  const by = setBy ? ` · ${names({ kind: 'user', key: setBy.by }, setBy.by)} ${minute(setBy.at)}` : '';
  return shorten(`• ${names(owner, owner.key)} · ${until}${by}${reason ? `: ${reason}` : ''}`, longestLine);
}

function renderStats(
  { stats, jobs }: Extract<AdminOutcome, { kind: 'stats' }>,
  say: Messages,
  names: Names,
): string {
  const { mode, waiting, stranded, running, answering, workers, creditsUsed, failures } = stats;
  const total = [...waiting.values()].reduce((sum, count) => sum + count, 0);
  const counts = { waiting: total, running, answering, ...workers, creditsUsed };
  const lines = [say.admin.stats({ mode: say.admin.modes[mode], ...counts })];
  const models = [...stranded].map(([model, count]) => `${model} ${count}`);
  if (models.length > 0) lines.push(say.admin.stranded(models.join(', ')));
  // With the ids that "cancel" takes.
  for (const { id, state, preset, request } of jobs.slice(0, shownJobs)) {
    const user = names({ kind: 'user', key: request.userKey }, request.userKey);
    lines.push(`• ${id} · ${user} · ${preset} · ${say.me.states[state]}`);
  }
  if (jobs.length > shownJobs) lines.push(say.me.more(jobs.length - shownJobs));
  const worst = [...failures].sort(([, a], [, b]) => b - a).slice(0, shownFailures);
  if (worst.length > 0) {
    lines.push(say.admin.failures(worst.map(([code, count]) => `${code} ${count}`).join(', ')));
  }
  return lines.join('\n');
}

function renderEntry(entry: AuditEntry, names: Names): string {
  const { at, by, action, before, after, reason } = entry;
  const who = names({ kind: 'user', key: by }, by);
  const changed = before === after ? '' : ` (${shown(before, names)} → ${shown(after, names)})`;
  return shorten(
    `${minute(at)} ${who} ${action} ${targetOf(entry, names)}${changed}${reason ? `: ${reason}` : ''}`,
    longestLine,
  );
}

function targetOf({ action, target, before, after }: AuditEntry, names: Names): string {
  switch (action) {
    case 'credits':
    case 'clear-credits':
    case 'weight':
    case 'clear-weight': {
      const parsed = parseTarget(target);
      return parsed ? names(parsed, target) : target;
    }
    case 'grant':
    case 'reset-used':
      return names({ kind: 'user', key: target }, target);
    case 'ban':
    case 'unban':
      return names({ kind: parseBan(after || before)?.kind ?? 'user', key: target }, target);
    default:
      return target;
  }
}

/** A stored value of the trail; a ban is stored with its reason, which the line tells anyway. */
function shown(value: string, names: Names): string {
  // lua/cancel.lua writes whose job it was.
  const [, job, owner] = /^(\w+ job of )(\S+)$/.exec(value) ?? [];
  if (job !== undefined && owner !== undefined) return `${job}${names({ kind: 'user', key: owner }, owner)}`;
  if (!value.startsWith('{')) return value || '–';
  const ban = parseBan(value);
  if (!ban) return '?';
  return ban.untilMs === 0 ? '∞' : minute(ban.untilMs);
}

/** "2026-11-21 07:32", UTC. */
function minute(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
}
