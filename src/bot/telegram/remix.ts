/**
 * Remix without forms: we send a message that asks for a reply, with the old prompt to copy; its last line names the
 * job, so the reply is understood after a restart and weeks later, without anything being kept.
 */
import type { Message, MessageEntity, User } from 'telegraf/types';
import { buttonId, parseButtonId } from '../buttons.ts';
import type { Messages } from '../sentences/catalogue.ts';
import { besides, type Outbox } from './outbox.ts';
import { codeFrom, cut, inert, maxTextLength } from './rendering.ts';

/** Telegram shows at most this much in the input field. */
const placeholderLength = 64;

export async function askForPrompt(
  outbox: Outbox,
  {
    message,
    user,
    jobId,
    prompt,
    say,
  }: {
    readonly message: Message;
    readonly user: User;
    readonly jobId: string;
    readonly prompt: string;
    readonly say: Messages;
  },
): Promise<void> {
  const { ask, noPrompt } = say.remix;
  const inGroup = message.chat.type !== 'private';
  // In a group only the one who is named is asked.
  const name = inGroup ? inert(user.first_name) : '';
  const entities: MessageEntity[] = inGroup
    ? [{ type: 'text_mention', offset: 0, length: name.length, user }]
    : [];
  const head = `${inGroup ? `${name}: ` : ''}${inert(ask)}\n`;
  const reference = buttonId({ action: 'remix', jobId });
  const shown = cut(prompt.trim() || noPrompt, maxTextLength - head.length - reference.length - 2);
  const promptEnd = head.length + shown.length;
  const text = `${head}${shown}\n\n${reference}`;
  entities.push({ type: 'pre', offset: head.length, length: shown.length }, ...codeFrom(text, promptEnd + 2));
  const placeholder = cut(prompt.replace(/\s+/gu, ' ').trim(), placeholderLength);
  await outbox.send(besides(message), text, {
    entities,
    markup: {
      force_reply: true,
      ...(inGroup ? { selective: true as const } : {}),
      ...(placeholder ? { input_field_placeholder: placeholder } : {}),
    },
  });
}

/** The job that a reply is about, when it replies to such a message of ours. */
export function remixedJob(replied: Message | undefined, ownId: number): string | undefined {
  if (!replied || !('text' in replied) || replied.from?.id !== ownId) return undefined;
  const reference = parseButtonId(replied.text.slice(replied.text.lastIndexOf('\n') + 1).trim());
  return reference?.action === 'remix' ? reference.jobId : undefined;
}

/** The job of a result of ours. */
export function resultJob(replied: Message | undefined, ownId: number): string | undefined {
  return replied && 'video' in replied ? jobOf(replied, ownId) : undefined;
}

/** The job that a message of ours is about: its buttons say it. */
export function jobOf(message: Message | undefined, ownId: number): string | undefined {
  if (!message || message.from?.id !== ownId || !('reply_markup' in message)) return undefined;
  for (const button of message.reply_markup?.inline_keyboard.flat() ?? []) {
    const reference = 'callback_data' in button ? parseButtonId(button.callback_data) : undefined;
    if (reference) return reference.jobId;
  }
  return undefined;
}
