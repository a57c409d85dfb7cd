/** Flood control: so many messages and edits of one chat in so much time, and a 429 beyond. */
import type { Addressed } from './faults.ts';

export interface LimitOptions {
  /** Messages, edits and deletions; chat actions and answers to buttons are free. */
  readonly requests: number;
  readonly perMs: number;
  /** Every chat has a count of its own; without it all chats are limited. */
  readonly chatId?: number;
}

const counted = /^(send(?!ChatAction)|edit|delete(?=Message))/;

export class Limits {
  readonly #limits: { readonly options: LimitOptions; readonly times: Map<number, number[]> }[] = [];

  add(options: LimitOptions): void {
    this.#limits.push({ options, times: new Map() });
  }

  /** Counts the call. @returns the seconds to wait when it is one too many */
  take({ method, chatId }: Addressed): number | undefined {
    if (chatId === undefined || !counted.test(method)) return undefined;
    const now = Date.now();
    for (const { options, times } of this.#limits) {
      if (options.chatId !== undefined && options.chatId !== chatId) continue;
      const recent = (times.get(chatId) ?? []).filter((at) => at > now - options.perMs);
      times.set(chatId, recent);
      const [first] = recent;
      if (first !== undefined && recent.length >= options.requests)
        return Math.max(1, Math.ceil((first + options.perMs - now) / 1000));
      recent.push(now);
    }
    return undefined;
  }
}
