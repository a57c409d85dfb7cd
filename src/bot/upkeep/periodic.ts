/** Repeats a task: at once, then always a pause after it ended, never twice at the same time. */

export class Periodic {
  readonly #work: () => Promise<unknown>;
  readonly #everyMs: number;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = true;

  /** @param onError called with the error of a failed turn; the next turn comes all the same */
  constructor(work: () => Promise<unknown>, everyMs: number, onError: (error: unknown) => void) {
    this.#work = work;
    this.#everyMs = everyMs;
    this.#onError = onError;
  }

  start(): void {
    this.#stopped = false;
    this.#turn();
  }

  #turn(): void {
    this.#running = this.#work()
      .catch(this.#onError)
      .then(() => {
        if (!this.#stopped) this.#timer = setTimeout(() => this.#turn(), this.#everyMs);
      });
  }

  /** Resolves when the turn under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer) clearTimeout(this.#timer);
    await this.#running;
  }
}
