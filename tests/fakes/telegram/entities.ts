/**
 * Text as Telegram stores it: trimmed, with the entities that the sender gave and those that Telegram finds by itself.
 * Even plain text of a bot has active mentions and links, except inside code.
 */
import type { MessageEntity, User } from 'telegraf/types';
import { z } from 'zod';
import { badRequest } from './api-error.ts';
import { type FormattedText, parseHtml } from './html.ts';
import type { Params } from './params.ts';

const given = z.array(
  z.object({
    type: z.string(),
    offset: z.number().int().nonnegative(),
    length: z.number().int().positive(),
    url: z.string().optional(),
    language: z.string().optional(),
  }),
);

const found = [
  [
    'url',
    /(?:https?|ftp|tg):\/\/[^\s<>"]+|(?<![\w@.-])(?:[a-z\d-]+\.)+(?:com|org|net|io|me|dev|app|ai|cn|de|ru|gg|co|xyz)(?![\w.-]*@)\b(?:\/[^\s<>"]*)?/giu,
  ],
  ['email', /(?<![\w.+-])[\w.+-]+@[a-z\d-]+(?:\.[a-z\d-]+)+/giu],
  ['mention', /(?<![\w@/.])@[a-z]\w{3,31}(?!\w)/giu],
  ['bot_command', /(?<![\w/<>@])\/\w{1,64}(?:@\w{3,32})?(?![\w/])/gu],
  ['hashtag', /(?<![\w#])#(?=\S*\p{L})[\p{L}\p{N}_]{1,256}/gu],
] as const;

/**
 * Reads a text or a caption with its parse mode or entities.
 * @param name "text" or "caption"; their entities are in "entities" and "caption_entities"
 */
export function readText(params: Params, name: 'text' | 'caption'): FormattedText {
  const text = params.text(name) ?? '';
  const mode = params.text('parse_mode')?.toLowerCase() ?? '';
  if (mode === 'html') return stored(parseHtml(text));
  if (mode === 'markdown' || mode === 'markdownv2')
    throw badRequest('the fake Telegram reads no Markdown; use entities or HTML');
  if (mode !== '') throw badRequest('unsupported parse_mode');
  const entities =
    params.object(name === 'text' ? 'entities' : 'caption_entities', given, 'MessageEntity') ?? [];
  return stored({
    text,
    // What a sender may give is what Telegram may store; the schema has checked the shape that all types share.
    entities: entities.filter(({ offset }) => offset < text.length) as MessageEntity[],
  });
}

/**
 * What a person types into a client: no formatting, but the names of these people, who have no user name, where the
 * person chose them from the client's list.
 */
export function typed(text: string, mentions: readonly User[] = []): FormattedText {
  const entities = mentions.map((user): MessageEntity => {
    const offset = text.indexOf(user.first_name);
    if (offset < 0) throw new Error(`"${user.first_name}" is not in the text.`);
    return { type: 'text_mention', offset, length: user.first_name.length, user };
  });
  return stored({ text, entities });
}

function stored({ text, entities }: FormattedText): FormattedText {
  const cleaned = text.replaceAll('\r', '');
  const start = cleaned.length - cleaned.trimStart().length;
  const trimmed = cleaned.trim();
  const kept = entities.flatMap((entity) => {
    const offset = Math.max(0, entity.offset - start);
    const end = Math.min(trimmed.length, entity.offset - start + entity.length);
    return end > offset ? [{ ...entity, offset, length: end - offset }] : [];
  });
  const all = [...kept, ...findEntities(trimmed, kept)];
  return { text: trimmed, entities: all.sort((a, b) => a.offset - b.offset || b.length - a.length) };
}

function findEntities(text: string, kept: readonly MessageEntity[]): MessageEntity[] {
  const taken = kept.filter(({ type }) => type === 'code' || type === 'pre' || type === 'text_link');
  const all: MessageEntity[] = [];
  for (const [type, pattern] of found) {
    for (const match of text.matchAll(pattern)) {
      const entity = { type, offset: match.index, length: match[0].length };
      if (![...taken, ...all].some((other) => overlaps(entity, other))) all.push(entity);
    }
  }
  return all;
}

interface Span {
  readonly offset: number;
  readonly length: number;
}

function overlaps(a: Span, b: Span): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}
