/**
 * What moderators can set about their community, and the parser for platforms where they write it as text: "channels
 * allow here", "words add foo /colou?r/", "preset standard". Knows no platform.
 */
import { type PresetName, presetNames } from '../../request/presets.ts';
import { invalid, type Refused } from '../refusals.ts';

export type RuleCommand =
  | { readonly kind: 'showRules' }
  /** Keys of channels or roles. */
  | { readonly kind: 'allow'; readonly what: NamedRule; readonly keys: readonly string[] }
  /** Without keys, all of them. */
  | { readonly kind: 'clear'; readonly what: NamedRule; readonly keys: readonly string[] }
  | { readonly kind: 'toggle'; readonly what: ToggledRule; readonly isOn: boolean }
  | { readonly kind: 'limitPreset'; readonly preset: PresetName | 'any' }
  /** `text` as readBlockedWords() takes it. */
  | { readonly kind: 'addWords' | 'removeWords'; readonly text: string }
  | { readonly kind: 'listWords'; readonly page: number };

export type NamedRule = 'channels' | 'roles';
export type ToggledRule = 'spoiler' | 'age' | 'aschannel';

/** Why a text, or a choice of options, is not a command. */
export type MisunderstoodRule =
  | { readonly kind: 'unknown'; readonly text: string }
  | { readonly kind: 'missing'; readonly what: 'ID' | 'WORD' }
  /** The platform, or this community, has none. */
  | { readonly kind: 'noChannels' }
  | Refused;

export interface RuleDefaults {
  /** Of an id without one: "telegram". */
  readonly platform: string;
  /** What "here" means; absent where there are no channels. */
  readonly channelKey?: string | undefined;
}

/** @param words without the leading "rules" */
export function parseRuleCommand(
  words: readonly string[],
  defaults: RuleDefaults,
): RuleCommand | MisunderstoodRule {
  const [name = 'show', verb = '', ...rest] = words.filter((word) => word !== '');
  const rule = name.toLowerCase();
  const value = verb.toLowerCase();
  const unknown = { kind: 'unknown', text: `${rule} ${value}`.trim() } as const;
  switch (rule) {
    case 'show':
      return { kind: 'showRules' };
    case 'channels':
    case 'roles':
      return value === 'allow' || value === 'clear' ? parseNamed(rule, value, rest, defaults) : unknown;
    case 'spoiler':
    case 'age':
    case 'aschannel':
      return value === 'on' || value === 'off'
        ? { kind: 'toggle', what: rule, isOn: value === 'on' }
        : unknown;
    case 'preset': {
      const preset = value === 'any' ? value : presetNames.find((known) => known === value);
      if (preset) return { kind: 'limitPreset', preset };
      return value === '' ? unknown : invalid({ kind: 'highestPreset', allowed: [...presetNames, 'any'] });
    }
    case 'words':
      return value === 'add' || value === 'remove' || value === 'list' ? parseWords(value, rest) : unknown;
    default:
      return { kind: 'unknown', text: name };
  }
}

function parseNamed(
  what: NamedRule,
  kind: 'allow' | 'clear',
  words: readonly string[],
  defaults: RuleDefaults,
): RuleCommand | MisunderstoodRule {
  if (kind === 'allow' && words.length === 0) return { kind: 'missing', what: 'ID' };
  if (kind === 'allow' && what === 'channels' && defaults.channelKey === undefined)
    return { kind: 'noChannels' };
  const keys: string[] = [];
  for (const word of words) {
    const key = readKey(what, word, defaults);
    if (key === undefined) return invalid({ kind: 'notNamed', what, got: word.slice(0, 40) });
    keys.push(key);
  }
  return { kind, what, keys };
}

/** "here", "123", "<#123>", "<@&123>" or "discord:123". */
function readKey(what: NamedRule, word: string, { platform, channelKey }: RuleDefaults): string | undefined {
  if (what === 'channels' && word.toLowerCase() === 'here' && channelKey) return channelKey;
  const bare = word.startsWith(`${platform}:`) ? word.slice(platform.length + 1) : word;
  const [, mention, number] = /^(?:<(?:#|@&)(\d{1,32})>|(-?\d{1,32}))$/u.exec(bare) ?? [];
  const id = mention ?? number;
  return id === undefined ? undefined : `${platform}:${id}`;
}

function parseWords(
  verb: 'add' | 'remove' | 'list',
  words: readonly string[],
): RuleCommand | MisunderstoodRule {
  if (verb !== 'list') {
    if (words.length === 0) return { kind: 'missing', what: 'WORD' };
    return { kind: verb === 'add' ? 'addWords' : 'removeWords', text: words.join(' ') };
  }
  const [page = '1'] = words;
  return { kind: 'listWords', page: Number(page) };
}
