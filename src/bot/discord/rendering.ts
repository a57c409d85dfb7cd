/**
 * Turns plain text and buttons into messages for Discord, with nothing active in the text: no mention, no markdown, no
 * link. Knows no interaction and sends nothing.
 */
import {
  type APIActionRowComponent,
  type APIButtonComponentWithCustomId,
  ButtonStyle,
  ComponentType,
} from 'discord.js';
import { type Action, buttonId } from '../buttons.ts';
import { withoutDirectionControls } from '../sentences/directions.ts';
import type { Button, ChatMessage } from '../sentences/render.ts';
import { shorten } from '../sentences/shorten.ts';

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
 * Escapes everything that Discord reads as formatting. Stricter than escapeMarkdown of discord.js, which leaves mentions,
 * quotes, small print and all that stands in or beside a link alone.
 */
export function inert(text: string): string {
  return withoutDirectionControls(text)
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
  const whole = withoutDirectionControls(text).replaceAll('```', "'''");
  return `${opening}${shorten(whole, maxContent - opening.length - closing.length)}${closing}`;
}

/** Escaped, and cut where Discord would refuse it for its length. */
export function contentOf(text: string, prefix = ''): string {
  let kept = text;
  for (;;) {
    const content = `${prefix}${inert(kept)}`;
    if (content.length <= maxContent) return content;
    kept = shorten(kept, kept.length - Math.ceil((content.length - maxContent) / 2) - 1);
  }
}

/**
 * @param mention id of a user who is notified: only the bot names one, never the text
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
        label: shorten(withoutDirectionControls(label), maxLabel),
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
