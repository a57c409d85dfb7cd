/** Something that is done now and then again a while after it was done, one at a time. */

export class Periodic {
  readonly #work: () => Promise<unknown>;
  readonly #everyMs: number;
  readonly #onError: (error: unknown) => void;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();
  #stopped = true;

  /** @param onError told of a turn that failed; the next one comes nevertheless */
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
