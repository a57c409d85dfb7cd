/** The queue of updates: what is not confirmed by a higher offset is given again, and only one may ask at a time. */
import { conflict } from './api-error.ts';

export interface Update {
  readonly update_id: number;
  readonly kind: string;
  readonly payload: object;
}

export interface Poll {
  readonly offset: number;
  readonly limit: number;
  readonly timeoutMs: number;
  readonly allowed: readonly string[] | undefined;
  /** Aborted when the asker hangs up. */
  readonly signal: AbortSignal;
}

interface Waiting {
  readonly end: (how: 'look' | 'conflict') => void;
}

/** Told only to those who ask for them by name. */
const onlyOnRequest = ['chat_member', 'message_reaction', 'message_reaction_count'];

export class UpdateQueue {
  /** Not yet confirmed, oldest first. */
  #pending: Update[] = [];
  readonly #all: Update[] = [];
  /** To be given once more, whatever the offset says. */
  #again: Update[] = [];
  #allowed: readonly string[] = [];
  #waiting: Waiting | undefined;
  #nextId = 731_000_001;

  get pending(): readonly Update[] {
    return this.#pending;
  }

  add(kind: string, payload: object): void {
    const wanted = this.#allowed.length > 0 ? this.#allowed.includes(kind) : !onlyOnRequest.includes(kind);
    if (!wanted) return;
    const update = { update_id: this.#nextId, kind, payload };
    this.#nextId += 1;
    this.#pending.push(update);
    this.#all.push(update);
    this.wake();
  }

  /** Gives all updates so far once more with their old ids, as after a confirmation that got lost. */
  redeliver(): void {
    this.#again = [...this.#all];
    this.wake();
  }

  drop(): void {
    this.#pending = [];
  }

  /** The open poll answers now, with what there is. */
  wake(): void {
    this.#waiting?.end('look');
  }

  /** @throws ApiError 409 when another one begins to wait meanwhile: the older one loses */
  async poll({ offset, limit, timeoutMs, allowed, signal }: Poll): Promise<object[]> {
    if (allowed) this.#allowed = allowed;
    this.#confirm(offset);
    if (this.#pending.length === 0 && this.#again.length === 0 && timeoutMs > 0) {
      this.#waiting?.end('conflict');
      const how = await this.#wait(timeoutMs, signal);
      if (how === 'conflict')
        throw conflict(
          'terminated by other getUpdates request; make sure that only one bot instance is running',
        );
      if (signal.aborted) return [];
    }
    const given = this.#again.length > 0 ? this.#again.splice(0, limit) : this.#pending.slice(0, limit);
    return given.map(({ update_id, kind, payload }) => ({ update_id, [kind]: payload }));
  }

  #confirm(offset: number): void {
    if (offset > 0) this.#pending = this.#pending.filter(({ update_id }) => update_id >= offset);
    if (offset < 0) this.#pending = this.#pending.slice(offset);
  }

  #wait(ms: number, signal: AbortSignal): Promise<'look' | 'conflict'> {
    return new Promise((resolve) => {
      const end: Waiting['end'] = (how) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', hungUp);
        if (this.#waiting === waiting) this.#waiting = undefined;
        resolve(how);
      };
      const hungUp = (): void => end('look');
      const waiting = { end };
      const timer = setTimeout(hungUp, ms);
      signal.addEventListener('abort', hungUp);
      this.#waiting = waiting;
    });
  }
}
