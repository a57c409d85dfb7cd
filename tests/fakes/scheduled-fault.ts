/** When trouble on order strikes, and whose answers it holds back; the same for all fake servers. Knows no platform. */

export interface Schedule {
  /** How often; once when absent. */
  readonly times?: number;
  /** How many matching requests go through first. */
  readonly afterCalls?: number;
}

export class ScheduledFault<Options extends Schedule> {
  readonly options: Options;
  hits = 0;
  #skip: number;
  #left: number;
  readonly #held: (() => void)[] = [];

  constructor(options: Options) {
    this.options = options;
    this.#skip = options.afterCalls ?? 0;
    this.#left = options.times ?? 1;
  }

  /** For a request that matches: true when it is one of those that meet the fault; counts it. */
  protected isDue(): boolean {
    if (this.#left <= 0) return false;
    if (this.#skip > 0) {
      this.#skip -= 1;
      return false;
    }
    this.#left -= 1;
    this.hits += 1;
    return true;
  }

  hold(answer: () => void): void {
    this.#held.push(answer);
  }

  /** Lets the held answers go. */
  release(): void {
    for (const answer of this.#held.splice(0)) answer();
  }

  /** No more trouble. */
  lift(): void {
    this.#left = 0;
    this.release();
  }
}
