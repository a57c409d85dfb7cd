/** The text of a prompt: how it is cleaned, and what is refused. */
import { KinoraError } from '../errors.ts';

/** In code points. */
const longestPrompt = 1000;
const farTooLong = 100 * longestPrompt;

/** White space, and signs that shape, join or hide others and are nothing by themselves. */
const onlyInvisible = /^[\p{White_Space}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]*$/u;

/** Whether nothing of a text can be seen. */
export function isBlank(text: string): boolean {
  return onlyInvisible.test(text);
}

/**
 * As it is encoded and shown: composed (NFC), every run of white space one space, none at the ends. The tokenizer does
 * the same; done here, equal prompts also meet in the cache. A text of which nothing can be seen is empty.
 * @throws KinoraError INVALID_PROMPT for a text that is too long or not a text
 */
export function cleanPrompt(what: string, text = ''): string {
  if (isBlank(text)) return '';
  // A file of many megabytes is not normalised and counted first.
  const cleaned = text.length > farTooLong ? text : text.normalize('NFC').replace(/\s+/gu, ' ').trim();
  const length = cleaned.length > farTooLong ? cleaned.length : [...cleaned].length;
  if (length > longestPrompt) {
    throw new KinoraError('INVALID_PROMPT', { kind: 'promptLength', what, got: length, max: longestPrompt });
  }
  // Control characters, halves of surrogate pairs, private and non-characters and the replacement character are what
  // a binary file looks like when it is read as text. Joiners and direction marks belong to languages.
  const junk = /[\p{Cc}\p{Cs}\p{Co}\p{Noncharacter_Code_Point}\uFFFD]/u.exec(cleaned);
  if (junk) {
    const code = junk[0].codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
    throw new KinoraError('INVALID_PROMPT', { kind: 'promptText', what, character: `U+${code}` });
  }
  return cleaned;
}
