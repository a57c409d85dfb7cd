/** Reads the typed options of a slash command as a command of admins or moderators. No text is parsed here. */
import type { ChatInputCommandInteraction } from 'discord.js';
import type { Target } from '../../queue/checks.ts';
import { presetNames } from '../../request/presets.ts';
import {
  type AdminCommand,
  adminCommandNames,
  defaultAuditEntries,
  type Misunderstood,
  resetQuota,
} from '../admin/commands.ts';
import type { MisunderstoodRule, RuleCommand } from '../admin/rule-commands.ts';
import { readTarget } from '../admin/targets.ts';

type Options = ChatInputCommandInteraction['options'];
type Command = Pick<ChatInputCommandInteraction, 'commandName' | 'options'>;

const keyOf = ({ id }: { readonly id: string }): string => `discord:${id}`;

export function adminCommandOf({ commandName, options }: Command): AdminCommand | Misunderstood {
  const name = adminCommandNames.find((known) => known === commandName);
  const reason = options.getString('reason') ?? '';
  const page = options.getInteger('page') ?? 1;
  switch (name) {
    case 'quota':
      return quotaCommand(options, reason);
    case 'weight':
      return weightCommand(options, reason, page);
    case 'ban': {
      const hours = options.getNumber('hours');
      return withUser(options, (key) => ({
        kind: name,
        owner: { kind: 'user', key },
        ...(hours === null ? {} : { hours }),
        reason,
      }));
    }
    case 'unban':
      return withUser(options, (key) => ({ kind: name, owner: { kind: 'user', key }, reason }));
    case 'bans':
      return { kind: 'listBans', page };
    case 'pause':
    case 'resume':
    case 'drain':
      return { kind: name, reason };
    case 'cancel': {
      const jobId = options.getString('job');
      return jobId === null ? { kind: 'missing', what: 'JOB' } : { kind: name, jobId };
    }
    case 'stats':
      return { kind: name };
    case 'audit':
      return { kind: name, entries: options.getInteger('entries') ?? defaultAuditEntries };
    case undefined:
      return { kind: 'unknown', text: commandName };
  }
}

function quotaCommand(options: Options, reason: string): AdminCommand | Misunderstood {
  const action = options.getSubcommand();
  const credits = options.getInteger('credits');
  switch (action) {
    case 'show':
      return withTarget(options, (target) => ({ kind: 'showQuota', target }));
    case 'set':
      if (credits === null) return { kind: 'missing', what: 'NUMBER' };
      return withTarget(options, (target) => ({ kind: 'setQuota', target, credits, reason }));
    case 'grant':
      if (credits === null) return { kind: 'missing', what: 'NUMBER' };
      return withUser(options, (user) => ({ kind: 'grant', user, credits, reason }));
    case 'reset':
      return withTarget(options, (target) => resetQuota(target, reason));
    default:
      return { kind: 'unknown', text: `quota ${action}` };
  }
}

function weightCommand(options: Options, reason: string, page: number): AdminCommand | Misunderstood {
  const action = options.getSubcommand();
  switch (action) {
    case 'list':
      return { kind: 'listWeights', page };
    case 'show':
      return withTarget(options, (target) => ({ kind: 'showWeight', target }));
    case 'set': {
      const weight = options.getNumber('weight');
      if (weight === null) return { kind: 'missing', what: 'NUMBER' };
      return withTarget(options, (target) => ({ kind: 'setWeight', target, weight, reason }));
    }
    case 'reset':
      return withTarget(options, (target) => ({ kind: 'clearWeight', target, reason }));
    default:
      return { kind: 'unknown', text: `weight ${action}` };
  }
}

/** A command about exactly one of the user, role and community that can be chosen. */
function withTarget(
  options: Options,
  command: (target: Target) => AdminCommand,
): AdminCommand | Misunderstood {
  const user = options.getUser('user');
  const role = options.getRole('role');
  const community = options.getString('community');
  const targets: Target[] = [
    ...(user ? [{ kind: 'user', key: keyOf(user) } as const] : []),
    ...(role ? [{ kind: 'role', key: keyOf(role) } as const] : []),
    ...(community === null ? [] : [readTarget(`community:${community}`, 'discord')]),
  ];
  const [target] = targets;
  if (!target) return { kind: 'missing', what: 'TARGET' };
  return targets.length === 1 ? command(target) : { kind: 'severalTargets' };
}

function withUser(
  options: Options,
  command: (userKey: string) => AdminCommand,
): AdminCommand | Misunderstood {
  const user = options.getUser('user');
  return user ? command(keyOf(user)) : { kind: 'missing', what: 'USER' };
}

export function ruleCommandOf({ options }: Pick<Command, 'options'>): RuleCommand | MisunderstoodRule {
  const rule = options.getSubcommand();
  const action = options.getString('action') ?? '';
  const unknown = { kind: 'unknown', text: `${rule} ${action}`.trim() } as const;
  switch (rule) {
    case 'show':
      return { kind: 'showRules' };
    case 'channels':
    case 'roles': {
      const named = rule === 'channels' ? options.getChannel('channel') : options.getRole('role');
      if (action === 'clear') return { kind: action, what: rule, keys: named ? [keyOf(named)] : [] };
      if (action !== 'allow') return unknown;
      return named ? { kind: action, what: rule, keys: [keyOf(named)] } : { kind: 'missing', what: 'ID' };
    }
    case 'spoiler':
    case 'age':
      return action === 'on' || action === 'off'
        ? { kind: 'toggle', what: rule, isOn: action === 'on' }
        : unknown;
    case 'preset': {
      const preset = action === 'any' ? action : presetNames.find((known) => known === action);
      return preset ? { kind: 'limitPreset', preset } : unknown;
    }
    case 'words': {
      if (action === 'list') return { kind: 'listWords', page: options.getInteger('page') ?? 1 };
      if (action !== 'add' && action !== 'remove') return unknown;
      const text = options.getString('words');
      if (text === null) return { kind: 'missing', what: 'WORD' };
      return { kind: action === 'add' ? 'addWords' : 'removeWords', text };
    }
    default:
      return unknown;
  }
}
