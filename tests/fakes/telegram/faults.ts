/** Trouble on order: answers that are errors, cut off, unreadable, late, or lost after the deed was done. */
import { type Schedule, ScheduledFault } from '../scheduled-fault.ts';
import { type ApiError, ApiError as Refusal, tooManyRequests, usualError } from './api-error.ts';

/**
 * reset: the connection dies before anything was done. after: it dies when all was done, the answer is lost.
 * hang: nothing is done, no answer comes. held: all is done, the answer waits for release(). stall: half of it comes.
 * garbage: all is done, the answer is no JSON.
 */
export type Trouble = number | 'reset' | 'hang' | 'after' | 'held' | 'stall' | 'garbage';

export interface FaultOptions extends Schedule {
  /** Name of the API method, or "file" for a download. Without it: everything but getUpdates. */
  readonly method?: string | RegExp;
  /** Only calls for this chat. */
  readonly chatId?: number;
  /** An HTTP status or a kind of trouble; without it the answer is only delayed. */
  readonly status?: Trouble;
  /** With an HTTP status: the deed is done all the same, as behind a gateway that gave up too early. */
  readonly applied?: true;
  /** Seconds, for 429. */
  readonly retryAfter?: number;
  /** Of the error; Telegram's usual one when absent. */
  readonly description?: string;
  /** With an HTTP status: sent in place of an error, for example the bytes of another file. */
  readonly body?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly delayMs?: number;
}

export interface Addressed {
  readonly method: string;
  readonly chatId: number | undefined;
}

export class Fault extends ScheduledFault<FaultOptions> {
  /** True when this call meets the fault; counts it. */
  strikes(call: Addressed): boolean {
    return matches(this.options, call) && this.isDue();
  }

  /** The refusal this fault stands for, if it is one. */
  get error(): ApiError | undefined {
    const { status, retryAfter = 1, description, body } = this.options;
    if (typeof status !== 'number' || body) return undefined;
    const usual = status === 429 ? tooManyRequests(retryAfter) : usualError(status);
    return description === undefined ? usual : new Refusal(status, description, usual.parameters);
  }
}

export function matches(
  { method, chatId }: { readonly method?: string | RegExp; readonly chatId?: number },
  call: Addressed,
): boolean {
  if (chatId !== undefined && chatId !== call.chatId) return false;
  if (method === undefined) return call.method !== 'getUpdates';
  return typeof method === 'string'
    ? method.toLowerCase() === call.method.toLowerCase()
    : method.test(call.method);
}
