/**
 * Turns the plain words and buttons of the conversation into what Discord takes, with nothing in the words alive: no
 * mention, no markdown, no link. Knows no interaction and sends nothing.
 */
import {
  type APIActionRowComponent,
  type APIButtonComponentWithCustomId,
  ButtonStyle,
  ComponentType,
} from 'discord.js';
import { type Action, buttonId } from '../buttons.ts';
import type { Button, ChatMessage } from '../sentences/render.ts';

/** Limits of Discord. */
const maxContent = 2000;
const maxLabel = 80;
const buttonsPerRow = 5;

/** Body of a message as Discord's API takes it, for new messages and for edits. */
export interface MessageBody {
  readonly content: string;
  readonly components: readonly APIActionRowComponent<APIButtonComponentWithCustomId>[];
  readonly allowed_mentions: { readonly parse: readonly []; readonly users?: readonly string[] };
}

/**
 * Escapes whatever Discord would read as formatting. Stricter than escapeMarkdown of discord.js, which leaves mentions,
 * quotes, small print and whatever stands in or beside a link alone.
 */
export function inert(text: string): string {
  return text
    .replace(/[\\*_~`|<>[\]]/g, '\\$&')
    .replaceAll('://', ':\\/\\/')
    .replace(/^(\s*)([#+-])/gm, '$1\\$2')
    .replace(/^(\s*\d+)([.)])/gm, '$1\\$2');
}

/** Discord covers a file whose name begins so. */
export function fileName(name: string, isSpoiler = false): string {
  return isSpoiler ? `SPOILER_${name}` : name;
}

/** Shown as it is, and easy to copy. */
export function asCode(text: string): string {
  const opening = '```\n';
  const closing = '\n```';
  const whole = text.replaceAll('```', "'''");
  return `${opening}${cut(whole, maxContent - opening.length - closing.length)}${closing}`;
}

/** Escaped, and cut where Discord would refuse it for its length. */
export function contentOf(text: string, prefix = ''): string {
  let kept = text;
  for (;;) {
    const content = `${prefix}${inert(kept)}`;
    if (content.length <= maxContent) return content;
    kept = cut(kept, kept.length - Math.ceil((content.length - maxContent) / 2) - 1);
  }
}

function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  // Never through the middle of a character that takes two.
  return `${text.slice(0, Math.max(0, length - 1)).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/**
 * @param mention user id to be addressed before the words: by us, never by what somebody wrote
 */
export function toBody({ text, buttons }: ChatMessage, mention?: string): MessageBody {
  return {
    content: contentOf(text, mention === undefined ? '' : `<@${mention}> `),
    components: buttonRows(buttons),
    allowed_mentions: { parse: [], ...(mention === undefined ? {} : { users: [mention] }) },
  };
}

export function buttonRows(
  buttons: readonly Button[],
): APIActionRowComponent<APIButtonComponentWithCustomId>[] {
  return rowsOf(
    buttons.map((button) => ({
      id: buttonId(button),
      label: button.label,
      style: styles[button.action] ?? ButtonStyle.Secondary,
    })),
  );
}

export function rowsOf(
  buttons: readonly { readonly id: string; readonly label: string; readonly style: PressStyle }[],
): APIActionRowComponent<APIButtonComponentWithCustomId>[] {
  const rows: APIActionRowComponent<APIButtonComponentWithCustomId>[] = [];
  for (let at = 0; at < buttons.length; at += buttonsPerRow) {
    rows.push({
      type: ComponentType.ActionRow,
      components: buttons.slice(at, at + buttonsPerRow).map(({ id, label, style }) => ({
        type: ComponentType.Button,
        custom_id: id,
        label: cut(label, maxLabel),
        style,
      })),
    });
  }
  return rows;
}

type PressStyle = APIButtonComponentWithCustomId['style'];

const styles: Partial<Record<Action, PressStyle>> = {
  reroll: ButtonStyle.Primary,
  remix: ButtonStyle.Primary,
  cancel: ButtonStyle.Danger,
  delete: ButtonStyle.Danger,
};
