/**
 * Carries out the commands of moderators. The caller has checked that the person is a moderator of the community, or an
 * admin. Knows no platform.
 */
import { KinoraError } from '../../errors.ts';
import type { Place } from '../people.ts';
import type { Refused } from '../refusals.ts';
import { checkBlockedWords, readBlockedWords } from './blocked-words.ts';
import { type Page, pageOf } from './pages.ts';
import type { MisunderstoodRule, RuleCommand, ToggledRule } from './rule-commands.ts';
import { type CommunityRules, mostNamed, on, type RuleBook, ruleFields } from './rules.ts';

export type RuleOutcome =
  /** What holds now. */
  | { readonly kind: 'rules'; readonly rules: CommunityRules; readonly isChanged: boolean }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'blockedWords'; readonly words: Page<string> }
  /** The platform has none, so the rule would refuse everybody. */
  | { readonly kind: 'noAge' | 'noRoles' }
  | { readonly kind: 'notHere' | 'notModerator' }
  | MisunderstoodRule
  | Refused;

export interface RuleContext {
  readonly book: RuleBook;
  /** userKey of the moderator. */
  readonly by: string;
  readonly communityKey: string;
  readonly place: Pick<Place, 'channelKey' | 'isAgeRestricted' | 'hasRoles'>;
}

/** @throws KinoraError INVALID_OPTION with what is allowed, and what Redis throws */
export async function runRuleCommand(
  command: RuleCommand | MisunderstoodRule,
  context: RuleContext,
): Promise<RuleOutcome> {
  const { book, by, communityKey } = context;
  switch (command.kind) {
    case 'showRules':
      return { kind: 'rules', rules: await book.read(communityKey), isChanged: false };
    case 'allow':
    case 'clear':
      return await setNamed(command, context);
    case 'toggle':
      return await toggle(command.what, command.isOn, context);
    case 'limitPreset': {
      const value = command.preset === 'any' ? undefined : command.preset;
      return await answer(context, await book.set(by, communityKey, ruleFields.preset, value));
    }
    case 'addWords':
    case 'removeWords':
      return await setWords(command.kind, command.text, context);
    case 'listWords': {
      const { words } = await book.read(communityKey);
      return { kind: 'blockedWords', words: pageOf(words, command.page) };
    }
    default:
      return command;
  }
}

async function answer({ book, communityKey }: RuleContext, isChanged: boolean): Promise<RuleOutcome> {
  if (!isChanged) return { kind: 'unchanged' };
  return { kind: 'rules', rules: await book.read(communityKey), isChanged };
}

async function toggle(what: ToggledRule, isOn: boolean, context: RuleContext): Promise<RuleOutcome> {
  const { book, by, communityKey, place } = context;
  if (what === 'age' && isOn && place.isAgeRestricted === undefined) return { kind: 'noAge' };
  return await answer(context, await book.set(by, communityKey, ruleFields[what], isOn ? on : undefined));
}

async function setNamed(
  { kind, what, keys }: Extract<RuleCommand, { kind: 'allow' | 'clear' }>,
  context: RuleContext,
): Promise<RuleOutcome> {
  const { book, communityKey, place } = context;
  if (kind === 'allow' && what === 'channels' && place.channelKey === undefined)
    return { kind: 'noChannels' };
  if (kind === 'allow' && what === 'roles' && place.hasRoles === false) return { kind: 'noRoles' };
  const before = (await book.read(communityKey))[what];
  const count = new Set([...before, ...keys]).size;
  if (kind === 'allow' && count > mostNamed) {
    throw new KinoraError('INVALID_OPTION', { kind: 'tooManyNamed', what, max: mostNamed, got: count });
  }
  const field = what === 'channels' ? ruleFields.channel : ruleFields.role;
  const named = kind === 'clear' && keys.length === 0 ? before : keys;
  return await setAll(named.map(field), kind === 'allow', context);
}

async function setWords(
  kind: 'addWords' | 'removeWords',
  text: string,
  context: RuleContext,
): Promise<RuleOutcome> {
  const before = (await context.book.read(context.communityKey)).words;
  const isAdded = kind === 'addWords';
  // A stored entry can be removed even if today's checks would refuse it.
  const entries = !isAdded && before.includes(text) ? [text] : readBlockedWords(text);
  if (isAdded) checkBlockedWords([...new Set([...before, ...entries])]);
  return await setAll(entries.map(ruleFields.word), isAdded, context);
}

async function setAll(fields: readonly string[], isOn: boolean, context: RuleContext): Promise<RuleOutcome> {
  const { book, by, communityKey } = context;
  let isChanged = false;
  for (const field of fields) {
    isChanged = (await book.set(by, communityKey, field, isOn ? on : undefined)) || isChanged;
  }
  return await answer(context, isChanged);
}
