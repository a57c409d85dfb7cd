/**
 * Words and patterns that a community does not want in prompts. Patterns come from untrusted people, so they run in an
 * engine whose time grows with the text alone (RE2: no look-around, no back-references), never in JavaScript's own.
 * Knows no community and no platform.
 */
import { RE2JS, RE2Set } from 're2js';
import { KinoraError } from '../../errors.ts';

/** Both ends included. */
const blockedWordRanges = {
  count: { min: 0, max: 100 },
  /** In characters, the slashes of a pattern not counted. */
  length: { min: 1, max: 100 },
  /** Instructions of the compiled patterns of one community together: "a{500}" is short, and yet large. */
  patternSize: { min: 1, max: 1_000 },
} as const;

/** Memory of one community's automaton; a larger one becomes slower instead. */
const patternMemoryBytes = 1 << 20;
/**
 * In UTF-16 units. Far longer than any prompt, but a single ligature can unfold to 18 characters, and a prompt of a
 * thousand of them would be an attack.
 */
const longestUnfolded = 4_000;

/** Zero-width characters, soft hyphens, joiners, direction marks, variation selectors. */
const invisible = /[\p{Default_Ignorable_Code_Point}\p{Cf}]/gu;
/** Strokes, dots and rings over letters; NFKC has joined those that belong to a letter of some language. */
const strayMarks = /[\u0300-\u036F\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF\uFE20-\uFE2F]/gu;
/** Scripts that are written without spaces between words: there, a word is found anywhere in the text. */
const unspaced =
  '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}';
const letter = '[\\p{L}\\p{N}\\p{M}]';
const endsInWord = new RegExp(`(?![${unspaced}])${letter}$`, 'u');
const startsInWord = new RegExp(`^(?![${unspaced}])${letter}`, 'u');

/** The text without compatibility forms, invisible characters, stray marks and layout. */
function plain(text: string): string {
  return text
    .replace(invisible, '')
    .normalize('NFKC')
    .replace(invisible, '')
    .replace(strayMarks, '')
    .replace(/\s+/gu, ' ')
    .trim();
}

/** The same result for "Straße", "STRAẞE", "STRASSE" and "strasse". */
function fold(text: string): string {
  // Lower, upper, lower: a letter of one case may have several forms in the other.
  return plain(plain(text).toLowerCase().toUpperCase().toLowerCase()).replaceAll('ς', 'σ');
}

const isPattern = (entry: string): boolean =>
  entry.length > 2 && entry.startsWith('/') && entry.endsWith('/');
const sourceOf = (entry: string): string => entry.slice(1, -1);

/** A pattern between slashes, words in any kind of double quotes, or one word. */
const entryPattern = /(\/(?:[^\\/]|\\.)+\/)(?=\s|$)|["“”„«»＂]([^"“”„«»＂]*)["“”„«»＂]|(\S+)/gu;

/**
 * Parses what a moderator wrote, such as `foo "two words" /colou?r/`, into the entries that are stored and compared.
 * @throws KinoraError INVALID_OPTION with what is allowed
 */
export function readBlockedWords(text: string): string[] {
  // One line, as prompts are.
  const line = text.replace(/[\s\p{Cc}]+/gu, ' ');
  const entries = [...line.matchAll(entryPattern)].map(([, pattern, quoted, bare]) => {
    if (pattern !== undefined) return checkPattern(pattern.normalize('NFC'));
    if (bare?.startsWith('/')) {
      throw new KinoraError('INVALID_OPTION', { kind: 'patternForm' });
    }
    return checkWord(quoted ?? bare ?? '');
  });
  return [...new Set(entries)];
}

function checkWord(word: string): string {
  const folded = fold(word);
  checkLength(folded, 'word');
  return folded;
}

function checkPattern(entry: string): string {
  const source = sourceOf(entry);
  checkLength(source, 'pattern');
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(source, RE2JS.CASE_INSENSITIVE);
  } catch (error) {
    const why =
      error instanceof Error ? error.message.replace(/^error parsing regexp: /, '').slice(0, 120) : '';
    throw new KinoraError('INVALID_OPTION', { kind: 'pattern', why });
  }
  if (pattern.test('')) {
    throw new KinoraError('INVALID_OPTION', { kind: 'patternFitsAll' });
  }
  return entry;
}

function checkLength(text: string, what: 'word' | 'pattern'): void {
  const range = blockedWordRanges.length;
  const got = [...text].length;
  if (got >= range.min && got <= range.max) return;
  throw new KinoraError('INVALID_OPTION', { kind: 'blockedLength', what, ...range, got });
}

/**
 * Checks all entries of one community together.
 * @throws KinoraError INVALID_OPTION with the range
 */
export function checkBlockedWords(entries: readonly string[]): void {
  const { count, patternSize } = blockedWordRanges;
  if (entries.length > count.max) {
    throw new KinoraError('INVALID_OPTION', { kind: 'blockedCount', ...count, got: entries.length });
  }
  const sizes = entries
    .filter(isPattern)
    .map((entry) => RE2JS.compile(sourceOf(entry), RE2JS.CASE_INSENSITIVE).programSize());
  const size = sizes.reduce((sum, one) => sum + one, 0);
  if (size > patternSize.max) {
    throw new KinoraError('INVALID_OPTION', { kind: 'patternSize', max: patternSize.max, got: size });
  }
}

/** One community's entries, compiled. */
export class BlockedWords {
  readonly #words: readonly string[];
  readonly #patterns: RE2Set | undefined;

  /** @param entries as readBlockedWords() returned them */
  constructor(entries: readonly string[]) {
    this.#words = entries.filter((entry) => !isPattern(entry));
    const patterns = entries.filter(isPattern);
    if (patterns.length === 0) return;
    this.#patterns = new RE2Set(RE2Set.UNANCHORED, RE2JS.CASE_INSENSITIVE, patternMemoryBytes);
    for (const entry of patterns) this.#patterns.add(sourceOf(entry));
    this.#patterns.compile();
  }

  /** The entry that is found in the text, if any; '' for a text that unfolds to more than `longestUnfolded`. */
  find(text: string): string | undefined {
    if (this.#words.length === 0 && !this.#patterns) return undefined;
    const cleaned = plain(text);
    if (cleaned.length > longestUnfolded) return '';
    const folded = fold(text);
    const word = this.#words.find((one) => contains(folded, one));
    if (word !== undefined) return word;
    return this.#patterns && this.#patterns.match(cleaned).length > 0 ? '/…/' : undefined;
  }
}

/** As a whole word: where it begins or ends in a letter or digit, the text has none beside it. */
function contains(text: string, word: string): boolean {
  const isOpenBefore = !startsInWord.test(word);
  const isOpenAfter = !endsInWord.test(word);
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const end = at + word.length;
    const before = text.slice(Math.max(0, at - 2), at);
    const after = text.slice(end, end + 2);
    if ((isOpenBefore || !endsInWord.test(before)) && (isOpenAfter || !startsInWord.test(after))) return true;
  }
  return false;
}
