/** Buttons under messages, checked as Telegram checks them. */
import { z } from 'zod';
import { badRequest } from './api-error.ts';
import type { Params } from './params.ts';

const button = z.object({
  text: z.string(),
  callback_data: z.string().optional(),
  url: z.string().optional(),
  copy_text: z.object({ text: z.string() }).optional(),
  switch_inline_query: z.string().optional(),
  switch_inline_query_current_chat: z.string().optional(),
});
const keyboard = z.object({ inline_keyboard: z.array(z.array(button)) });
/** Keyboards in place of the person's own, and the like: kept, not checked. */
const other = z.union([
  z.looseObject({ keyboard: z.array(z.unknown()) }),
  z.looseObject({ remove_keyboard: z.literal(true) }),
  z.looseObject({ force_reply: z.literal(true) }),
]);

export type FakeButton = z.output<typeof button>;
export type Keyboard = readonly (readonly FakeButton[])[];

const maxButtons = 100;
const maxDataBytes = 64;
const maxCopyCharacters = 256;

/** @returns the inline keyboard without its empty rows; empty when there is none */
export function readKeyboard(params: Params, { inlineOnly = false } = {}): Keyboard {
  const markup = params.object(
    'reply_markup',
    inlineOnly ? keyboard : z.union([keyboard, other]),
    'reply keyboard markup',
  );
  if (!markup || !('inline_keyboard' in markup)) return [];
  const { inline_keyboard: rows } = keyboard.parse(markup);
  const buttons = rows.flat();
  if (buttons.length > maxButtons) throw badRequest('reply markup is too long');
  buttons.forEach(check);
  return rows.filter((row) => row.length > 0);
}

function check({ text, callback_data: data, url, copy_text: copied, ...rest }: FakeButton): void {
  const fail = (why: string) => badRequest(`can't parse inline keyboard button: ${why}`);
  if (text.trim() === '') throw fail('Field "text" must be non-empty');
  if (data === undefined && url === undefined && !copied && Object.keys(rest).length === 0)
    throw fail('Text buttons are unallowed in the inline keyboard');
  if (data !== undefined && (data === '' || Buffer.byteLength(data) > maxDataBytes))
    throw badRequest('BUTTON_DATA_INVALID');
  if (url !== undefined && !/^(?:https?:\/\/[^\s/]+\.[^\s]+|tg:\/\/.+)$/.test(url))
    throw badRequest(`inline keyboard button URL '${url}' is invalid: Wrong HTTP URL`);
  if (copied && (copied.text === '' || copied.text.length > maxCopyCharacters))
    throw badRequest('BUTTON_COPY_TEXT_INVALID');
}
