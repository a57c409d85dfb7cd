/**
 * Reads options where they come in (words of a caption, values of a form or a command, flags of the command line) and
 * writes them as words again.
 */
import { KinoraError } from '../errors.ts';
import {
  type ChatOptions,
  type Generation,
  type GenerationOptions,
  type Option,
  type OptionName,
  optionTable,
} from './request.ts';
import { readSize } from './sizes.ts';

interface Named {
  readonly name: OptionName;
  readonly option: Option;
}

const all: readonly Named[] = Object.entries<Option>(optionTable).map(([name, option]) => ({
  name: name as OptionName, // Object.entries does not know the keys of a constant
  option,
}));
/** By the word that is typed in a chat. */
const typed: ReadonlyMap<string, Named> = new Map(
  all.flatMap((named) => (named.option.word === undefined ? [] : [[named.option.word, named]])),
);

/** What chats put between letters so that nothing becomes a link or command, and what keyboards leave behind. */
const invisible = /[\u200B\u2060\uFEFF]/gu;
/** At the start: "/animate" or "/animate@some_bot". */
const commandPattern = /^\s*\/[a-z_]+(?:@\w+)?(?=\s|$)/iu;
/** key=value with the value bare or in any kind of double quotes, or a single word. */
const wordPattern =
  /([\p{L}_-]+)\s?[=＝]\s?(?:["“”„«»＂]([^"“”„«»＂]*)["“”„«»＂]|((?![\p{L}_-]+[=＝])[^\s"“”„«»＂]*))|(\S+)/gu;
const yes = ['yes', 'on', 'true'];
const no = ['no', 'off', 'false'];

/**
 * Reads a caption such as `/animate zoom in preset=fast seed=7 negative="blurry, text" loop smooth private`. Words
 * that are no options are the prompt. "loop", "smooth" and "private" are options only at the end, or beside others: a
 * prompt may speak of a loop. `sed=7` is a mistyped option, since an option may have this value; `price=50$` is words.
 * @param from who wrote it: in what is forwarded from others, only what is a whole option is one
 * @throws KinoraError INVALID_OPTION for an unknown key, naming the known ones, or a value outside its range
 */
export function parseWords(caption: string, from: 'the person' | 'others' = 'the person'): ChatOptions {
  const isMeant = from === 'others' ? isWholeOption : mayBeMeant;
  const words = readWords(caption.replace(invisible, '').replace(commandPattern, ''), isMeant);
  const values = new Map<string, unknown>();
  const prompt: string[] = [];
  for (const [index, word] of words.entries()) {
    if (typeof word !== 'string') setValue(values, word);
    else if (
      isSwitch(word) &&
      words.slice(index + 1).every((next) => typeof next !== 'string' || isSwitch(next))
    ) {
      setValue(values, { key: word, value: 'yes' });
    } else prompt.push(word);
  }
  // `prompt="…"` and loose words are one prompt.
  if (prompt.length > 0) values.set('prompt', [values.get('prompt'), ...prompt].filter(Boolean).join(' '));
  return readOptions(Object.fromEntries(values));
}

interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly isQuoted?: boolean;
}

/** @param isMeant whether this is an option, and no words with a sign between them */
function readWords(caption: string, isMeant: (read: KeyValue) => boolean): (string | KeyValue)[] {
  return [...caption.matchAll(wordPattern)].map(([whole, key, quoted, bare]) => {
    if (key === undefined) return whole;
    const value = (quoted ?? bare ?? '').trim();
    const read = { key: key.toLowerCase(), value, isQuoted: quoted !== undefined };
    return isMeant(read) ? read : whole;
  });
}

/** An option, right or wrong, or what may be a mistyped one by its value. */
function mayBeMeant({ key, value, isQuoted }: KeyValue): boolean {
  return typed.has(key) || isQuoted || [...typed.values()].some(({ option }) => hasForm(option, value));
}

function isWholeOption({ key, value }: KeyValue): boolean {
  const option = typed.get(key)?.option;
  try {
    if (option) checkValue(key, option, readValue(option, value));
    return option !== undefined;
  } catch {
    return false;
  }
}

/** Whether a value is one of this option, within its range or not. */
function hasForm(option: Option, text: string): boolean {
  const value = readValue(option, text);
  switch (option.kind) {
    case 'range':
      return typeof value === 'number';
    case 'oneOf':
      return option.allowed.some((allowed) => allowed === value);
    case 'size':
      return readSize(text) !== undefined;
    case 'switch':
    case 'factor':
      return typeof value === 'boolean' || (typeof value === 'number' && !Number.isNaN(value));
    case 'text':
    case 'name':
      return false; // any text
  }
}

/** Options that may stand alone, without a value. */
function isSwitch(word: string): boolean {
  const kind = typed.get(word.toLowerCase())?.option.kind;
  return kind === 'switch' || kind === 'factor';
}

function setValue(values: Map<string, unknown>, { key, value }: KeyValue): void {
  const word = key.toLowerCase();
  const { option } = optionOf(word);
  if (values.has(word)) throw new KinoraError('INVALID_OPTION', { kind: 'givenTwice', what: word });
  values.set(word, readValue(option, value));
}

function optionOf(word: string): Named {
  const found = typed.get(word);
  if (found) return found;
  throw new KinoraError('INVALID_OPTION', {
    kind: 'unknownOption',
    got: word.slice(0, 40),
    known: [...typed.keys()],
  });
}

/** The value that a text stands for. A text that stands for none is returned as it is, and checkValue() refuses it. */
function readValue({ kind }: Option, text: string): unknown {
  const word = text.toLowerCase();
  switch (kind) {
    case 'text':
      return text;
    case 'range':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case 'switch':
    case 'factor':
      if (yes.includes(word)) return true;
      if (no.includes(word)) return false;
      return kind === 'factor' ? Number(/^[×x]?(\d)$/.exec(word)?.[1]) : word;
    default:
      return word;
  }
}

/**
 * Values by the words of their options, as a form or a command of a platform gives them.
 * @throws KinoraError INVALID_OPTION with what is allowed
 */
export function readOptions(values: Readonly<Record<string, unknown>>): ChatOptions {
  const read = Object.entries(values).flatMap(([word, value]) => {
    if (value === undefined) return [];
    const { name, option } = optionOf(word);
    return [[name, checkValue(word, option, value)]];
  });
  return Object.fromEntries(read) as ChatOptions; // every value has been checked against its option
}

function checkValue(what: string, option: Option, value: unknown): string | number | boolean {
  switch (option.kind) {
    case 'text':
      if (typeof value === 'string') return value;
      throw new KinoraError('INVALID_OPTION', `The option "${what}" must be a text.`);
    case 'name':
      if (typeof value === 'string' && /^[a-z0-9][a-z0-9._-]{0,63}$/.test(value)) return value;
      throw new KinoraError('INVALID_OPTION', { kind: 'nameForm', what });
    case 'range': {
      const { min, max, isWhole } = option;
      if (typeof value === 'number' && value >= min && value <= max) {
        if (!isWhole || Number.isSafeInteger(value)) return value;
      }
      throw new KinoraError('INVALID_OPTION', { kind: 'range', what, min, max, isWhole });
    }
    case 'oneOf': {
      const { allowed } = option;
      if (typeof value === 'string' && allowed.includes(value)) return value;
      throw new KinoraError('INVALID_OPTION', { kind: 'oneOf', what, allowed: [...allowed] });
    }
    case 'size': {
      const { min, max } = option;
      const size = typeof value === 'string' ? readSize(value) : undefined;
      if (size && [size.width, size.height].every((side) => side >= min && side <= max)) {
        return size.isSquare ? String(size.width) : `${size.width}x${size.height}`;
      }
      throw new KinoraError('INVALID_OPTION', { kind: 'sizeForm' });
    }
    case 'switch':
      if (typeof value === 'boolean') return value;
      throw new KinoraError('INVALID_OPTION', { kind: 'yesOrNo', what });
    case 'factor':
      if (typeof value === 'boolean') return value ? 3 : 1;
      if (value === 1 || value === 2 || value === 3) return value;
      throw new KinoraError('INVALID_OPTION', { kind: 'yesOrNo', what, factors: [1, 2, 3] });
  }
}

/** The values of a request by the words of their options: prompt, preset and seed first, then the others. */
export function typedValues(
  generation: Generation,
): readonly (readonly [string, string | number | boolean])[] {
  const { prompt, preset, seed, ...rest } = generation;
  const chosen: GenerationOptions = rest;
  const others = [...typed].flatMap(([word, { name }]) => {
    if (name === 'camera' || name === 'isPrivate') return [];
    const value = chosen[name];
    return value === undefined || value === '' ? [] : [[word, value] as const];
  });
  return [['prompt', prompt], ['preset', preset], ['seed', seed], ...others];
}

/** The order in a caption: plain values, then quoted texts, then switches. */
const rank = { range: 0, oneOf: 0, name: 0, size: 0, text: 1, factor: 2, switch: 2 } as const;

/** A generation as a caption that parseWords() reads back. */
export function optionsAsWords(generation: Generation): string {
  const [, ...others] = typedValues(generation);
  const words = others
    .map(([word, value]) => ({ word, value, kind: optionOf(word).option.kind }))
    .sort((one, other) => rank[one.kind] - rank[other.kind])
    .flatMap(({ word, value, kind }) => {
      if (kind === 'text') return [`${word}="${withoutQuotes(String(value))}"`];
      if (kind === 'switch') return value ? [word] : [];
      if (kind === 'factor' && Number(value) <= 1) return [];
      return [kind === 'factor' && value === 3 ? word : `${word}=${value}`];
    });
  return [promptAsWords(generation.prompt), ...words].filter(Boolean).join(' ');
}

/** A prompt that would be read as options is put in quotes. */
function promptAsWords(prompt: string): string {
  const last = prompt.split(' ').at(-1) ?? '';
  if (!/[=＝]|^\//u.test(prompt) && !isSwitch(last)) return prompt;
  return `prompt="${withoutQuotes(prompt)}"`;
}

const withoutQuotes = (text: string): string => text.replace(/["“”„«»＂]/gu, "'");

/** A flag of the command line. */
export interface Flag {
  readonly flags: string;
  readonly help: string;
  readonly isNumber: boolean;
}

/** "--guidance-end <share>" → "guidanceEnd", as commander names it. */
function attributeOf(flags: string): string {
  const [, long = ''] = /--([a-z-]+)/.exec(flags) ?? [];
  return long.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** "--steps", as it is given on the command line. */
export function flagOf(name: OptionName): string {
  const { flags = '' }: Option = optionTable[name];
  return /--[a-z-]+/.exec(flags)?.[0] ?? name;
}

export const requestFlags: readonly Flag[] = all.flatMap(({ option: { flags, help = '', kind } }) =>
  flags === undefined ? [] : [{ flags, help, isNumber: kind === 'range' || kind === 'factor' }],
);

/** Reads flags by the names that commander gives them. resolveRequest() checks the values. */
export function readFlags(given: Readonly<Record<string, unknown>>): GenerationOptions {
  const read = all.flatMap(({ name, option: { flags } }) => {
    const value = flags === undefined ? undefined : given[attributeOf(flags)];
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(read) as GenerationOptions; // texts and numbers, as the flags ask for
}
