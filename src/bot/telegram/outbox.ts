/**
 * Writes plain messages: always inert, never with a preview, in the right topic, as an answer to what was asked.
 */
import type { ForceReply, InlineKeyboardMarkup, Message, MessageEntity } from 'telegraf/types';
import type { Button } from '../sentences/render.ts';
import type { Api, CallOptions } from './api.ts';
import { cut, inert, keyboard, maxTextLength } from './rendering.ts';

/** Where a message goes. */
export interface Spot {
  readonly chatId: number;
  readonly threadId?: number | undefined;
  /** Sent even when this message is gone. */
  readonly replyToId?: number | undefined;
}

export interface Extras {
  readonly markup?: InlineKeyboardMarkup | ForceReply | undefined;
  /** For text that is made inert by being code, instead of by invisible signs. */
  readonly entities?: MessageEntity[];
}

/** Beside a message: its topic only where there are topics, since threads of replies have such an id, too. */
export function besides(message: Message): Spot {
  return {
    chatId: message.chat.id,
    replyToId: message.message_id,
    threadId: message.is_topic_message ? message.message_thread_id : undefined,
  };
}

export function spotFields({ chatId, threadId, replyToId }: Spot) {
  return {
    chat_id: chatId,
    ...(threadId === undefined ? {} : { message_thread_id: threadId }),
    ...(replyToId === undefined
      ? {}
      : { reply_parameters: { message_id: replyToId, allow_sending_without_reply: true } }),
  };
}

export class Outbox {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * @returns the id of the message
   * @throws CallError
   */
  async send(spot: Spot, text: string, extras: Extras = {}, options: CallOptions = {}): Promise<number> {
    const { markup, entities } = extras;
    const sent = await this.#api.insist(
      'sendMessage',
      {
        ...spotFields(spot),
        text: cut(entities ? text : inert(text), maxTextLength),
        link_preview_options: { is_disabled: true },
        ...(entities ? { entities } : {}),
        ...(markup ? { reply_markup: markup } : {}),
      },
      options,
    );
    return sent.message_id;
  }

  /** Best effort: a message that is left over does no harm. */
  async remove(chatId: number, messageId: number): Promise<void> {
    await this.#api.insist('deleteMessage', { chat_id: chatId, message_id: messageId }).catch(() => {});
  }

  /** @throws CallError; "message is not modified" is none */
  async edit(
    chatId: number,
    messageId: number,
    text: string,
    buttons: readonly Button[],
    how: 'insist' | 'once' = 'insist',
    options: CallOptions = {},
  ): Promise<void> {
    const markup = keyboard(buttons);
    const payload = {
      chat_id: chatId,
      message_id: messageId,
      text: cut(inert(text), maxTextLength),
      link_preview_options: { is_disabled: true },
      ...(markup ? { reply_markup: markup } : {}),
    };
    await unlessUnchanged(
      how === 'insist'
        ? this.#api.insist('editMessageText', payload, options)
        : this.#api.call('editMessageText', payload, options),
    );
  }
}

/** An edit that changes nothing has succeeded: mostly its first answer was lost. */
export async function unlessUnchanged(edit: Promise<unknown>): Promise<void> {
  try {
    await edit;
  } catch (error) {
    if (!(error instanceof Error && 'isUnchanged' in error && error.isUnchanged)) throw error;
  }
}
