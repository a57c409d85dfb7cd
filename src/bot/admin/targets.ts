/** Whom a command of admins is about, where they write it as text, also in a reply to somebody. Knows no platform. */
import { type Target, targetKinds } from '../../queue/checks.ts';

/** What is meant where the text does not say it. */
export interface AdminDefaults {
  /** Of a target without one: "telegram". */
  readonly platform: string;
  /** userKey of the author of the message that is replied to. */
  readonly user?: string | undefined;
  /** Whether a message is replied to, be it one of a bot that cannot be meant. */
  readonly isReply?: boolean;
  /** Of the message that is replied to. */
  readonly jobId?: string | undefined;
}

/** The number that a command takes behind its target. */
export interface ExpectedNumber {
  readonly most: number;
  /** Also written as "24h"; credits and weights have no such sign. */
  readonly isHours: boolean;
}

export interface TakenTarget {
  readonly kind: 'taken';
  readonly target: Target | undefined;
  readonly behind: readonly string[];
}

/** Acting on the wrong person is worse than asking again. */
export type UnclearTarget =
  | { readonly kind: 'severalTargets' }
  /** Names somebody in a way that is not known here. */
  | { readonly kind: 'unknown'; readonly text: string }
  /** In a reply: a user's id, or hours for the author. */
  | { readonly kind: 'idOrHours'; readonly hours: string; readonly target: string }
  /** In a reply: a user's id, or credits for the author. */
  | { readonly kind: 'idOrCredits'; readonly credits: string; readonly target: string };

/** Other words with a colon, such as addresses and "rule:5", name nobody. */
const platforms = ['discord', 'telegram', 'inbox', 'web'];
/** Ids with fewer digits are unknown in practice; most hours, credits and weights have fewer. */
const shortestId = 4;
const wholeNumber = /^-?\d+$/;
const amount = /^[+-]?\d+(\.\d+)?h?$|^default$/i;

/** "id:5002", "group:-1001234", "#id5002", "tg://user?id=5002" */
const likeName = /^(?:[a-z]+[:=]|#|#?id|tg:\/\/user\?id=)-?\d{4,}$/i;

const isShort = (number: string): boolean => number.replace('-', '').length < shortestId;

/**
 * The target that the words begin with. A reply means the author of the message that is replied to, unless somebody
 * is named.
 */
export function takeTarget(
  words: readonly string[],
  { platform, user, isReply = user !== undefined }: AdminDefaults,
  number?: ExpectedNumber,
): TakenTarget | UnclearTarget {
  const [first, second] = words;
  const author = {
    kind: 'taken',
    target: user ? ({ kind: 'user', key: user } as const) : undefined,
    behind: words,
  } as const;
  if (first === undefined) return author;
  const named = { kind: 'taken', target: readTarget(first, platform), behind: words.slice(1) } as const;
  const isNamed = names(first, platform);
  if (second !== undefined && names(second, platform) && (isNamed || amount.test(first))) {
    return { kind: 'severalTargets' };
  }
  if (isNamed) return named;
  if (likeName.test(first)) return { kind: 'unknown', text: first };
  if (!wholeNumber.test(first)) return isReply || first.includes(':') ? author : named;
  if (!number) return named;
  if (isShort(first)) return isReply && isBareId(words.slice(1)) ? { kind: 'severalTargets' } : author;
  const isId = !isReply || Number(first) > number.most || (second !== undefined && amount.test(second));
  if (isId) return named;
  const target = `${platform}:${first}`;
  if (number.isHours) return { kind: 'idOrHours', hours: `${first}h`, target };
  return user ? { kind: 'idOrCredits', credits: `${user} ${first}`, target } : named;
}

/** Nothing but a number that is rather somebody's id than a reason. */
function isBareId([word = '', ...others]: readonly string[]): boolean {
  return others.length === 0 && wholeNumber.test(word) && !isShort(word);
}

/** Also where the name is spelled wrongly: then it is refused, and nobody else is meant. */
function names(word: string, platform: string): boolean {
  const [prefix = '', ...others] = word.normalize('NFKC').toLowerCase().split(':');
  const isKnown = [...targetKinds, ...platforms, platform].includes(prefix);
  return (isKnown && others.length > 0) || /^<?@/.test(prefix);
}

/** "discord:8035" is a user, "8035" is a user of `platform`; "role:…" and "community:…" name their kind. */
export function readTarget(text: string, platform: string): Target {
  const word = text.normalize('NFKC');
  const [first = '', ...others] = word.split(':');
  const named = targetKinds.find((kind) => kind === first);
  const key = named ? others.join(':') : word;
  return { kind: named ?? 'user', key: wholeNumber.test(key) ? `${platform}:${key}` : key };
}
