/**
 * Calls of the Bot API through telegraf's client, each with its own deadline, and its errors reduced to what we do
 * about them. Neither the token nor what people wrote ever leaves this file in an error.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Telegram, TelegramError } from 'telegraf';
import type { Opts as MethodOptions, Telegram as Methods } from 'telegraf/types';

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

  /** What we wanted to be is so already. */
  get isUnchanged(): boolean {
    return this.status === 400 && /message is not modified/i.test(this.reason);
  }

  /** The message that was to be edited is gone, or not ours. */
  get isMessageGone(): boolean {
    return (
      this.status === 400 &&
      /message (to edit|to delete|can't be edited|identifier)|MESSAGE_ID_INVALID|there is no (text|caption|media)/i.test(
        this.reason,
      )
    );
  }

  /** Nobody will ever read what we post there. */
  get isChatLost(): boolean {
    if (this.status === 403) return true;
    return this.status === 400 && /chat not found|user is deactivated|PEER_ID_INVALID/i.test(this.reason);
  }

  get isTooLarge(): boolean {
    return this.status === 413 || (this.status === 400 && /file is too big|too large/i.test(this.reason));
  }

  /** Telegram, or the way to it, is in trouble; another attempt may succeed. */
  get isPassing(): boolean {
    return this.status >= 500 || this.retryAfterMs !== undefined || this.isBrokenConnection;
  }

  /** The connection was refused or broken at once: mostly an idle one that had died unnoticed. */
  get isBrokenConnection(): boolean {
    return (
      this.status === 0 && /^(ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)/.test(this.reason)
    );
  }
}

const callDeadlineMs = 15_000;
const attempts = 4;
const longestWaitMs = 40_000;

export interface CallOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export class Api {
  readonly #telegram: Telegram;

  constructor(telegram: Telegram) {
    this.#telegram = telegram;
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
    const deadline = AbortSignal.timeout(deadlineMs);
    try {
      return await this.#telegram.callApi(method, payload, {
        signal: asCallSignal(signal ? AbortSignal.any([signal, deadline]) : deadline),
      });
    } catch (error) {
      throw toCallError(method, error);
    }
  }

  /**
   * For what a person waits for: waits out a flood limit, and tries again when the way to Telegram broke.
   * @throws CallError
   */
  async insist<M extends Method>(
    method: M,
    payload: MethodOptions<M>,
    options: CallOptions = {},
  ): Promise<Result<M>> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.call(method, payload, options);
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        const waitMs = error.retryAfterMs ?? 250 * 2 ** attempt;
        if (!error.isPassing || waitMs > longestWaitMs || attempt >= attempts) throw error;
        await sleep(waitMs, undefined, options.signal ? { signal: options.signal } : {});
      }
    }
  }
}

type CallSignal = NonNullable<NonNullable<Parameters<Telegram['callApi']>[2]>['signal']>;

/** telegraf's types know only the signal of a polyfill; node-fetch beneath it takes the standard one. */
export function asCallSignal(signal: AbortSignal): CallSignal {
  return signal as unknown as CallSignal;
}

/** Keeps codes and Telegram's own words, drops the rest: it may hold the token, or what people wrote. */
export function toCallError(method: string, error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (error instanceof TelegramError) {
    const { retry_after: seconds, migrate_to_chat_id: movedTo } = error.parameters ?? {};
    const retryAfterMs = seconds === undefined ? (error.code === 429 ? 5_000 : undefined) : seconds * 1000;
    return new CallError(method, error.code, error.description ?? '', retryAfterMs, movedTo);
  }
  return new CallError(method, 0, errorCode(error));
}

/** The places in our code, without the message: that may hold what people wrote. */
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
