/**
 * Calls of the Bot API through telegraf's client, each with its own deadline, and its errors reduced to what is done
 * about them. Neither the token nor what people wrote leaves this file in an error. Plain messages are always inert,
 * without a preview, in the right topic, and a reply to the request.
 */
import { type Telegram, TelegramError } from 'telegraf';
import type {
  ForceReply,
  InlineKeyboardMarkup,
  Message,
  MessageEntity,
  Opts as MethodOptions,
  Telegram as Methods,
} from 'telegraf/types';
import { retry } from '../../retry.ts';
import type { ChatMessage } from '../sentences/render.ts';
import { shorten } from '../sentences/shorten.ts';
import { inert, keyboard, maxTextLength } from './rendering.ts';

/** A group that became a supergroup: its old id and its new one. */
export interface GroupMove {
  readonly from: number;
  readonly to: number;
}

type Method = keyof Methods;
type Result<M extends Method> = ReturnType<Methods[M]>;

/** Why a call came to nothing. */
export class CallError extends Error {
  override readonly name = 'CallError';
  /** HTTP status of Telegram's answer; 0 when there was none. */
  readonly status: number;
  /** Telegram's own words, or the code of the connection's end. */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
  /** A group that became a supergroup has a new id. */
  readonly movedTo: number | undefined;

  constructor(method: string, status: number, reason: string, retryAfterMs?: number, movedTo?: number) {
    super(`${method}: ${status === 0 ? reason : `${status} ${reason}`}`);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
    this.movedTo = movedTo;
  }

  /** The edit changes nothing: mostly an earlier attempt succeeded and its answer was lost. */
  get isUnchanged(): boolean {
    return this.status === 400 && /message is not modified/i.test(this.reason);
  }

  /** The message that was to be edited is gone, not the bot's, or where nothing can be changed any more. */
  get isMessageGone(): boolean {
    if (this.movedTo !== undefined || this.isTopicLost) return true;
    return (
      this.status === 400 &&
      /message (to edit|to delete|can't be edited|identifier)|MESSAGE_ID_INVALID|there is no (text|caption|media)/i.test(
        this.reason,
      )
    );
  }

  /** The topic of a forum is closed or deleted. */
  get isTopicLost(): boolean {
    return this.status === 400 && /message thread not found|TOPIC_(CLOSED|DELETED)/i.test(this.reason);
  }

  /** Telegram does not take it, and will hardly take it later. */
  get isRefusal(): boolean {
    return this.status >= 400 && this.status < 500 && this.retryAfterMs === undefined;
  }

  /** The chat is closed to the bot for good. */
  get isChatLost(): boolean {
    if (this.status === 403) return true;
    return this.status === 400 && lostChat.test(this.reason);
  }

  get isTooLarge(): boolean {
    return this.status === 413 || (this.status === 400 && /file is too big|too large/i.test(this.reason));
  }

  /** Telegram, or the way to it, is in trouble; another attempt may succeed. */
  get isPassing(): boolean {
    return this.status >= 500 || this.retryAfterMs !== undefined || this.isBrokenConnection;
  }

  /** The connection was refused or broken at once: mostly an idle one that had been closed unnoticed. */
  get isBrokenConnection(): boolean {
    return (
      this.status === 0 && /^(ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)/.test(this.reason)
    );
  }
}

const lostChat =
  /chat not found|group chat was (deleted|deactivated)|user is deactivated|PEER_ID_INVALID|CHANNEL_PRIVATE|CHAT_RESTRICTED|CHAT_WRITE_FORBIDDEN|(not enough|no) rights to send/i;

const callDeadlineMs = 15_000;
const attempts = 4;
const longestWaitMs = 40_000;

export interface CallOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** Where a message goes. */
export interface Target {
  readonly chatId: number;
  readonly threadId?: number | undefined;
  /** Sent even when this message is gone. */
  readonly replyToId?: number | undefined;
}

/** Messages belong to the general topic by naming none; Telegram does not find it by its id. */
export const generalTopicId = 1;

/** A reply to a message: in its topic only where there are topics, since threads of replies have such an id, too. */
export function replyTo(message: Message): Target {
  const { is_topic_message: isInTopic, message_thread_id: threadId } = message;
  return {
    chatId: message.chat.id,
    replyToId: message.message_id,
    threadId: isInTopic && threadId !== generalTopicId ? threadId : undefined,
  };
}

export function targetFields({ chatId, threadId, replyToId }: Target) {
  return {
    chat_id: chatId,
    ...(threadId === undefined ? {} : { message_thread_id: threadId }),
    ...(replyToId === undefined
      ? {}
      : { reply_parameters: { message_id: replyToId, allow_sending_without_reply: true } }),
  };
}

export interface Extras {
  readonly markup?: InlineKeyboardMarkup | ForceReply | undefined;
  /** For text that is inert already, or by being code. */
  readonly entities?: MessageEntity[];
}

/** The largest files, in bytes. */
export interface FileLimits {
  readonly download: number;
  readonly upload: number;
}

export const fileLimits = {
  /** Of Telegram's own server of the Bot API. */
  telegram: { download: 20_000_000, upload: 50_000_000 },
  /** Of one of the owner's, run with --local; it has no limit for downloads, but larger files are no pictures. */
  local: { download: 100_000_000, upload: 2_000_000_000 },
} as const satisfies Readonly<Record<string, FileLimits>>;

export class TelegramApi {
  readonly limits: FileLimits;
  readonly #telegram: Telegram;
  readonly #mayAct: () => Promise<boolean>;
  readonly #onMoved: (move: GroupMove) => void;
  /** Groups that have another id now. What is not known here, Telegram tells. */
  readonly #moved = new Map<number, number>();

  /**
   * @param mayAct asked before every call; without it, the call fails
   * @param onMoved called when a call tells that a group has another id now
   */
  constructor(
    telegram: Telegram,
    mayAct: () => Promise<boolean>,
    onMoved: (move: GroupMove) => void,
    limits: FileLimits = fileLimits.telegram,
  ) {
    this.limits = limits;
    this.#telegram = telegram;
    this.#mayAct = mayAct;
    this.#onMoved = onMoved;
  }

  /** The old id is not called any more. */
  hasMoved({ from, to }: GroupMove): void {
    this.#moved.set(from, to);
  }

  /**
   * One call, once.
   * @throws CallError
   */
  async call<M extends Method>(
    method: M,
    payload: MethodOptions<M>,
    { deadlineMs = callDeadlineMs, signal }: CallOptions = {},
  ): Promise<Result<M>> {
    const { chat_id: chatId } = payload as { readonly chat_id?: unknown }; // most methods have it
    const movedTo = this.#moved.get(Number(chatId));
    if (movedTo !== undefined) throw new CallError(method, 400, 'the group has moved', undefined, movedTo);
    if (!(await this.#mayAct())) throw new CallError(method, 0, 'another bot leads');
    const deadline = AbortSignal.timeout(deadlineMs);
    try {
      return await this.#telegram.callApi(method, payload, {
        signal: asCallSignal(signal ? AbortSignal.any([signal, deadline]) : deadline),
      });
    } catch (error) {
      const failure = toCallError(method, error);
      if (failure.movedTo !== undefined) {
        const move = { from: Number(chatId), to: failure.movedTo };
        this.hasMoved(move);
        this.#onMoved(move);
      }
      throw failure;
    }
  }

  /**
   * For what a person waits for: waits out a flood limit, and tries again when the connection to Telegram broke.
   * @throws CallError
   */
  async callWithRetries<M extends Method>(
    method: M,
    payload: MethodOptions<M>,
    options: CallOptions = {},
  ): Promise<Result<M>> {
    return await retry(
      () => this.call(method, payload, options),
      (error, attempt) => {
        if (!(error instanceof CallError && error.isPassing)) return undefined;
        const waitMs = error.retryAfterMs ?? 250 * 2 ** attempt;
        return waitMs > longestWaitMs || attempt >= attempts ? undefined : waitMs;
      },
      options.signal,
    );
  }

  /**
   * Sends again where a group has moved to: earlier messages and topics are not known there.
   * @throws CallError
   */
  async following<T>(target: Target, send: (target: Target) => Promise<T>): Promise<T> {
    try {
      return await send(target);
    } catch (error) {
      if (!(error instanceof CallError) || error.movedTo === undefined) throw error;
      return await send({ chatId: error.movedTo });
    }
  }

  /** @throws CallError */
  async send(
    target: Target,
    text: string,
    extras: Extras = {},
    options: CallOptions = {},
  ): Promise<Message.TextMessage> {
    const { markup, entities } = extras;
    const message = {
      text: shorten(entities ? text : inert(text), maxTextLength),
      link_preview_options: { is_disabled: true },
      ...(entities ? { entities } : {}),
      ...(markup ? { reply_markup: markup } : {}),
    };
    return await this.following(target, (where) =>
      this.callWithRetries('sendMessage', { ...targetFields(where), ...message }, options),
    );
  }

  /**
   * Replaces the text and the buttons of a message.
   * @throws CallError; an edit that changes nothing succeeds
   */
  async edit(
    chatId: number,
    messageId: number,
    { text, buttons }: ChatMessage,
    how: 'once' | 'with retries' = 'with retries',
    options: CallOptions = {},
  ): Promise<void> {
    const markup = keyboard(buttons);
    const payload = {
      chat_id: chatId,
      message_id: messageId,
      text: shorten(inert(text), maxTextLength),
      link_preview_options: { is_disabled: true },
      ...(markup ? { reply_markup: markup } : {}),
    };
    await unlessUnchanged(
      how === 'once'
        ? this.call('editMessageText', payload, options)
        : this.callWithRetries('editMessageText', payload, options),
    );
  }

  /** Best effort: a message that is left over does no harm. */
  async remove(chatId: number, messageId: number): Promise<void> {
    await this.callWithRetries('deleteMessage', { chat_id: chatId, message_id: messageId }).catch(() => {});
  }
}

/** Lets an edit that changes nothing succeed. */
export async function unlessUnchanged(edit: Promise<unknown>): Promise<void> {
  try {
    await edit;
  } catch (error) {
    if (!(error instanceof CallError && error.isUnchanged)) throw error;
  }
}

type CallSignal = NonNullable<NonNullable<Parameters<Telegram['callApi']>[2]>['signal']>;

/** telegraf's types know only the signal of a polyfill; node-fetch beneath it takes the standard one. */
export function asCallSignal(signal: AbortSignal): CallSignal {
  return signal as unknown as CallSignal;
}

/** Keeps codes and Telegram's own words. The rest is dropped: it may hold the token, or what people wrote. */
export function toCallError(method: string, error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (error instanceof TelegramError) {
    const { retry_after: seconds, migrate_to_chat_id: movedTo } = error.parameters ?? {};
    const retryAfterMs = seconds === undefined ? (error.code === 429 ? 5_000 : undefined) : seconds * 1000;
    return new CallError(method, error.code, error.description ?? '', retryAfterMs, movedTo);
  }
  return new CallError(method, 0, errorCode(error));
}

/** The places in the code, without the message, which may hold what people wrote. */
export function whereOf(error: unknown): string[] {
  const lines = error instanceof Error ? (error.stack ?? '').split('\n') : [];
  return lines
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 4)
    .map((line) => line.trim());
}

/** "ECONNRESET", "invalid-json", "AbortError": never a message. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'unknown';
  for (const field of ['code', 'type', 'name'] as const) {
    const value = (error as Record<string, unknown>)[field];
    if (typeof value === 'string' && /^[\w-]{1,64}$/.test(value)) return value;
  }
  return 'unknown';
}
