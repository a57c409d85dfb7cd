/**
 * Plain text for Telegram. Even without a parse mode it finds mentions, commands, hashtags and links by itself: here
 * they are made inert, since any text may carry words of a stranger.
 */
import type { InlineKeyboardMarkup, MessageEntity } from 'telegraf/types';
import { buttonId } from '../buttons.ts';
import { withoutDirectionControls } from '../sentences/directions.ts';
import type { Button } from '../sentences/render.ts';
import { lengthOfWhole, shorten } from '../sentences/shorten.ts';

export const maxTextLength = 4096;
export const maxCaptionLength = 1024;

/** Invisible, and ends every name, link and command. */
const wordJoiner = '\u2060';
/**
 * The sign of a command, a name, a hashtag or a cashtag before its word, the dot before the last part of a domain, and
 * the colon of an address. Numbers such as 1/4 and 7.5 are left alone.
 */
const activating =
  /(?<![\p{L}\p{N}_])\/(?=[\p{L}\p{N}_])|[@＠#＃](?=[\p{L}\p{N}_])|\$(?=[A-Z])|(?<=[\p{L}\p{N}_-])\.(?=\p{L})|:(?=\/\/)/gu;

/** Looks the same, but nothing in it can be pressed or notifies anybody. */
export function inert(text: string): string {
  return withoutDirectionControls(text).replace(activating, (sign) => `${sign}${wordJoiner}`);
}

/** In pieces that fit into a message, broken at line ends where there are any. */
export function inPieces(text: string, limit = maxTextLength): string[] {
  const pieces: string[] = [];
  let rest = text;
  while (rest.length > limit) {
    const lineEnd = rest.lastIndexOf('\n', limit);
    const at = lineEnd > limit / 2 ? lineEnd : lengthOfWhole(rest, limit);
    pieces.push(rest.slice(0, at));
    rest = rest.slice(at).replace(/^\n/, '');
  }
  return [...pieces, rest];
}

/**
 * A caption with a prompt in it, made to fit by shortening the prompt: seed, preset and cost stay.
 * @param write the caption with a given prompt
 */
export function fittingCaption(prompt: string, write: (prompt: string) => string): string {
  let shown = prompt;
  let caption = inert(write(shown));
  while (caption.length > maxCaptionLength && shown.length > 1) {
    const length = Math.max(1, shown.length - Math.max(1, caption.length - maxCaptionLength));
    shown = shorten(prompt, length === shown.length ? length - 1 : length);
    caption = inert(write(shown));
  }
  return shorten(caption, maxCaptionLength);
}

/** The part of `text` from `offset` on as code: nothing in it is active, and a tap copies it. */
export function codeFrom(text: string, offset: number): MessageEntity[] {
  return [{ type: 'code', offset, length: text.length - offset }];
}

/** Words with a link of ours behind them, which can be pressed, unlike any in the words. */
export function withLink(words: string, url: string): { text: string; entities: MessageEntity[] } {
  const above = `${inert(words)}\n`;
  const link: MessageEntity = { type: 'text_link', url, offset: above.length, length: url.length };
  return { text: `${above}${url}`, entities: [link] };
}

const buttonsPerRow = 3;

/** @returns undefined for no buttons: an edit without a keyboard removes the old one */
export function keyboard(buttons: readonly Button[]): InlineKeyboardMarkup | undefined {
  if (buttons.length === 0) return undefined;
  const all = buttons.map((button) => ({ text: inert(button.label), callback_data: buttonId(button) }));
  const rows = Math.ceil(all.length / buttonsPerRow);
  const perRow = Math.ceil(all.length / rows);
  return {
    inline_keyboard: Array.from({ length: rows }, (_, row) => all.slice(row * perRow, (row + 1) * perRow)),
  };
}
