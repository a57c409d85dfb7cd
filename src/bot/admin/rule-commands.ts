/**
 * What moderators write about the rules of their community, as changes of the rules and a short plain answer:
 * "channels allow here", "words add foo /colou?r/", "preset standard". Whoever calls this has checked that they are
 * moderators of that community. Knows no platform.
 */
import { KinoraError } from '../../errors.ts';
import { presetNames } from '../../request/presets.ts';
import type { Messages } from '../sentences/catalogue.ts';
import { checkBlockedWords, readBlockedWords } from './blocked-words.ts';
import { type CommunityRules, mostNamed, on, type RuleBook, ruleFields } from './rules.ts';

/** What fits into one message everywhere. */
const wordsPerPage = 15;
const shownKeys = 20;

export interface RuleWords {
  readonly book: RuleBook;
  /** userKey of the moderator. */
  readonly by: string;
  readonly communityKey: string;
  /** Where they write; "here" is that channel. Undefined where there are none. */
  readonly channelKey: string | undefined;
  /** Undefined where the platform has no such channels. */
  readonly isAgeRestricted: boolean | undefined;
  readonly hasRoles: boolean;
  /** Without the leading "rules". */
  readonly words: readonly string[];
  readonly say: Messages;
}

/**
 * @returns what to answer; words that are not understood are answered with the usage
 * @throws KinoraError INVALID_OPTION for values outside their range, and whatever Redis throws
 */
export async function runRuleWords(given: RuleWords): Promise<string> {
  const { words, say } = given;
  const [name = 'show', verb = '', ...rest] = words.filter((word) => word !== '');
  const command = name.toLowerCase();
  switch (command) {
    case 'show':
      return show(await given.book.read(given.communityKey), say);
    case 'channels':
    case 'roles':
      return await named(given, command, verb.toLowerCase(), rest);
    case 'spoiler':
    case 'age':
      return await toggle(given, command, verb.toLowerCase());
    case 'preset':
      return await preset(given, verb.toLowerCase());
    case 'words':
      return await blocked(given, verb.toLowerCase(), rest);
    default:
      return misunderstood(name, say);
  }
}

function misunderstood(text: string, say: Messages): string {
  return `${say.admin.unknown(text.slice(0, 80))}\n${say.rules.usage}`;
}

/** What holds now, or that it held before. */
async function answer(given: RuleWords, isChanged: boolean): Promise<string> {
  if (!isChanged) return given.say.admin.unchanged;
  return `${given.say.admin.done}\n${show(await given.book.read(given.communityKey), given.say)}`;
}

function show(rules: CommunityRules, say: Messages): string {
  const { rules: text } = say;
  const ids = (keys: readonly string[]): string => {
    const shown = keys.slice(0, shownKeys).map((key) => key.slice(key.indexOf(':') + 1));
    return [...shown, ...(keys.length > shownKeys ? ['…'] : [])].join(', ');
  };
  return [
    `${text.labels.channels}: ${rules.channels.length === 0 ? text.everywhere : ids(rules.channels)}`,
    `${text.labels.roles}: ${rules.roles.length === 0 ? text.everybody : ids(rules.roles)}`,
    `${text.labels.spoiler}: ${rules.isSpoiler ? text.on : text.off}`,
    `${text.labels.age}: ${rules.isAgeRestrictedOnly ? text.on : text.off}`,
    `${text.labels.preset}: ${rules.maxPreset ?? text.any}`,
    `${text.labels.words}: ${rules.words.length}`,
  ].join('\n');
}

async function toggle(given: RuleWords, field: 'spoiler' | 'age', state: string): Promise<string> {
  const { book, by, communityKey, say } = given;
  if (state !== 'on' && state !== 'off') return misunderstood(`${field} ${state}`.trim(), say);
  // Nothing would be left where it could be used.
  if (field === 'age' && state === 'on' && given.isAgeRestricted === undefined) return say.rules.noAge;
  const changed = await book.set(by, communityKey, ruleFields[field], state === 'on' ? on : undefined);
  return await answer(given, changed);
}

async function preset(given: RuleWords, name: string): Promise<string> {
  const { book, by, communityKey, say } = given;
  const known = presetNames.find((one) => one === name);
  if (!known && name !== 'any') {
    if (name === '') return misunderstood('preset', say);
    throw new KinoraError(
      'INVALID_OPTION',
      `The highest preset is one of ${[...presetNames, 'any'].join(', ')}.`,
    );
  }
  return await answer(given, await book.set(by, communityKey, ruleFields.preset, known));
}

async function named(
  given: RuleWords,
  kind: 'channels' | 'roles',
  verb: string,
  rest: readonly string[],
): Promise<string> {
  const { book, by, communityKey, say } = given;
  if (verb !== 'allow' && verb !== 'clear') return misunderstood(`${kind} ${verb}`.trim(), say);
  if (verb === 'allow' && rest.length === 0) return `${say.admin.missing('ID')}\n${say.rules.usage}`;
  // Nobody could ever ask again.
  if (verb === 'allow' && kind === 'channels' && given.channelKey === undefined) return say.rules.noChannels;
  if (verb === 'allow' && kind === 'roles' && !given.hasRoles) return say.rules.noRoles;
  const before = (await book.read(communityKey))[kind];
  const wanted = [...new Set(rest.map((word) => readKey(given, kind, word)))];
  const keys = verb === 'clear' && rest.length === 0 ? before : wanted;
  const count = new Set([...before, ...wanted]).size;
  if (verb === 'allow' && count > mostNamed) {
    throw new KinoraError('INVALID_OPTION', `There can be 0 to ${mostNamed} ${kind}, not ${count}.`);
  }
  const field = kind === 'channels' ? ruleFields.channel : ruleFields.role;
  let changed = false;
  for (const key of keys) {
    const value = verb === 'allow' ? on : undefined;
    changed = (await book.set(by, communityKey, field(key), value)) || changed;
  }
  return await answer(given, changed);
}

/** "here", "123", "<#123>", "<@&123>" or "discord:123". */
function readKey({ by, channelKey }: RuleWords, kind: 'channels' | 'roles', word: string): string {
  const platform = by.slice(0, by.indexOf(':') + 1);
  if (kind === 'channels' && word.toLowerCase() === 'here' && channelKey) return channelKey;
  const bare = word.startsWith(platform) ? word.slice(platform.length) : word;
  const [, mention, number] = /^(?:<(?:#|@&)(\d{1,32})>|(-?\d{1,32}))$/u.exec(bare) ?? [];
  const id = mention ?? number;
  if (id !== undefined) return `${platform}${id}`;
  throw new KinoraError(
    'INVALID_OPTION',
    `"${word.slice(0, 40)}" is none of the ${kind}; name them by their number${kind === 'channels' ? ', or "here"' : ''}.`,
  );
}

async function blocked(given: RuleWords, verb: string, rest: readonly string[]): Promise<string> {
  const { book, by, communityKey, say } = given;
  const { words: before } = await book.read(communityKey);
  if (verb === 'list') return list(before, rest[0], say);
  if (verb !== 'add' && verb !== 'remove') return misunderstood(`words ${verb}`.trim(), say);
  if (rest.length === 0) return `${say.admin.missing('WORD')}\n${say.rules.usage}`;
  const entries = verb === 'add' ? readBlockedWords(rest.join(' ')) : readForRemoval(rest.join(' '), before);
  if (verb === 'add') checkBlockedWords([...new Set([...before, ...entries])]);
  let changed = false;
  for (const entry of entries) {
    const value = verb === 'add' ? on : undefined;
    changed = (await book.set(by, communityKey, ruleFields.word(entry), value)) || changed;
  }
  return await answer(given, changed);
}

/** What stands there can go, even when nothing like it could be added today. */
function readForRemoval(text: string, before: readonly string[]): string[] {
  return before.includes(text) ? [text] : readBlockedWords(text);
}

function list(words: readonly string[], page: string | undefined, say: Messages): string {
  if (words.length === 0) return say.rules.noWords;
  const pages = Math.ceil(words.length / wordsPerPage);
  const wanted = page === undefined ? 1 : Number(page);
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > pages) {
    throw new KinoraError('INVALID_OPTION', `The page is a number from 1 to ${pages}.`);
  }
  const shown = words.slice((wanted - 1) * wordsPerPage, wanted * wordsPerPage);
  const quoted = shown.map((word) => (word.includes(' ') && !word.startsWith('/') ? `"${word}"` : word));
  return `${say.rules.words(words.length, wanted, pages)}\n${quoted.join('\n')}`;
}
