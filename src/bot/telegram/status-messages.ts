/**
 * Edits of status messages, at a pace that each chat bears: Telegram counts by chat, whatever message is edited. What
 * comes too soon is dropped, since the next edit says more; a flood limit in one chat does not silence the others.
 */
import type { TrackedJob } from '../requests.ts';
import type { ChatMessage } from '../sentences/render.ts';
import { CallError } from './api.ts';
import { readAnswerPlace } from './ids.ts';
import type { Outbox } from './outbox.ts';
import { isGroup } from './people.ts';

/** Shortest time in ms between two edits of one message. */
export interface StatusPace {
  readonly private: number;
  readonly group: number;
}

/** Telegram bears one message per second in a private chat and 20 per minute in a group. */
export const defaultStatusPace: StatusPace = { private: 5_000, group: 15_000 };

/** Several messages of one chat share this part of the pace of one: 3.75 s in a group. */
const chatShare = 0.25;
const rememberedChats = 10_000;

export class StatusMessages {
  readonly #outbox: Outbox;
  readonly #pace: StatusPace;
  /** Chat → when it may be written to again. */
  readonly #free = new Map<number, number>();

  constructor(outbox: Outbox, pace: StatusPace) {
    this.#outbox = outbox;
    this.#pace = pace;
  }

  everyMs(chatId: number): number {
    return isGroup(chatId) ? this.#pace.group : this.#pace.private;
  }

  /** @throws when it comes too soon, and CallError */
  async show({ request }: TrackedJob, { text, buttons }: ChatMessage): Promise<void> {
    const { chatId, statusId } = readAnswerPlace(request.replyTo);
    if (statusId === undefined) return;
    const now = Date.now();
    if (now < (this.#free.get(chatId) ?? 0)) throw new Error('too soon for this chat');
    this.#busy(chatId, now + this.everyMs(chatId) * chatShare);
    try {
      await this.#outbox.edit(chatId, statusId, text, buttons, 'once');
    } catch (error) {
      if (error instanceof CallError && error.retryAfterMs !== undefined) {
        this.#busy(chatId, Date.now() + error.retryAfterMs);
      }
      throw error;
    }
  }

  #busy(chatId: number, until: number): void {
    if (this.#free.size > rememberedChats) this.#free.clear();
    this.#free.set(chatId, until);
  }
}
