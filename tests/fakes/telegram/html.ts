/** Telegram's HTML mode: a few tags, and errors in Telegram's words. */
import type { MessageEntity } from 'telegraf/types';
import { badRequest } from './api-error.ts';

export interface FormattedText {
  readonly text: string;
  readonly entities: readonly MessageEntity[];
}

type PlainType =
  | 'bold'
  | 'italic'
  | 'underline'
  | 'strikethrough'
  | 'spoiler'
  | 'code'
  | 'pre'
  | 'blockquote';
const types = new Map<string, PlainType>([
  ['b', 'bold'],
  ['strong', 'bold'],
  ['i', 'italic'],
  ['em', 'italic'],
  ['u', 'underline'],
  ['ins', 'underline'],
  ['s', 'strikethrough'],
  ['strike', 'strikethrough'],
  ['del', 'strikethrough'],
  ['tg-spoiler', 'spoiler'],
  ['code', 'code'],
  ['pre', 'pre'],
  ['blockquote', 'blockquote'],
]);
const named = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
]);

interface Open {
  readonly tag: string;
  readonly attributes: string;
  readonly offset: number;
}

/** @throws ApiError 400 for unknown, unclosed and crossing tags */
export function parseHtml(source: string): FormattedText {
  let text = '';
  const open: Open[] = [];
  const entities: MessageEntity[] = [];
  const token = /<(\/?)([^\s>]*)([^>]*)>|&(#x[\da-f]+|#\d+|lt|gt|amp|quot);|[^<&]+|[<&]/giy;
  for (const match of source.matchAll(token)) {
    const [whole, slash, name, attributes = '', reference] = match;
    const at = Buffer.byteLength(source.slice(0, match.index));
    if (reference !== undefined) text += referenced(reference.toLowerCase());
    else if (whole === '<') throw cannotParse(`Unclosed start tag at byte offset ${at}`);
    else if (name === undefined) text += whole;
    else if (slash === '') {
      const tag = name.toLowerCase();
      if (!types.has(tag) && tag !== 'a' && !isSpoilerSpan(tag, attributes))
        throw cannotParse(`Unsupported start tag "${tag}" at byte offset ${at}`);
      open.push({ tag, attributes, offset: text.length });
    } else {
      const last = open.pop();
      const tag = name.toLowerCase();
      if (!last) throw cannotParse(`Unexpected end tag at byte offset ${at}`);
      if (tag !== last.tag)
        throw cannotParse(
          `Unmatched end tag at byte offset ${at}, expected "</${last.tag}>", found "</${tag}>"`,
        );
      const entity = entityOf(last, text.length - last.offset);
      if (entity && entity.length > 0) entities.push(entity);
    }
  }
  const unclosed = open.at(-1);
  if (unclosed) throw cannotParse(`Can't find end tag corresponding to start tag "${unclosed.tag}"`);
  return { text, entities: entities.sort((a, b) => a.offset - b.offset || b.length - a.length) };
}

function entityOf({ tag, attributes, offset }: Open, length: number): MessageEntity | undefined {
  if (tag === 'a') {
    const url = /href="?([^">]*)"?/i.exec(attributes)?.[1];
    return url ? { type: 'text_link', url, offset, length } : undefined;
  }
  return { type: types.get(tag) ?? 'spoiler', offset, length };
}

function isSpoilerSpan(tag: string, attributes: string): boolean {
  return tag === 'span' && /class="tg-spoiler"/.test(attributes);
}

function referenced(reference: string): string {
  if (reference.startsWith('#x')) return String.fromCodePoint(Number.parseInt(reference.slice(2), 16));
  if (reference.startsWith('#')) return String.fromCodePoint(Number(reference.slice(1)));
  return named.get(reference) ?? '';
}

function cannotParse(why: string) {
  return badRequest(`can't parse entities: ${why}`);
}
