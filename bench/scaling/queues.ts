/** The order in which a simulated fleet takes jobs. */
import { Heap } from './heap.ts';

export interface Job {
  readonly user: number;
  readonly credits: number;
  /** Virtual start and order of arrival: set by the queue. */
  tag: number;
  sequence: number;
}

export interface Queue<J extends Job> {
  readonly waiting: number;
  add(job: J): void;
  /** The next job, or undefined. */
  take(): J | undefined;
  /** A job whose worker died waits again, in front. */
  handBack(job: J): void;
  /** A job that was taken is made. */
  finish(): void;
}

/** What admit.lua and transition.lua do, without weights: start-time fair queueing (decision 4). */
export class FairQueue<J extends Job> implements Queue<J> {
  readonly #heap = new Heap<J>((a, b) => a.tag < b.tag || (a.tag === b.tag && a.sequence < b.sequence));
  #virtualTime = 0;
  #finishes = new Map<number, number>();
  #sequence = 0;
  #active = 0;

  get waiting(): number {
    return this.#heap.size;
  }

  add(job: J): void {
    if (this.#active === 0) {
      this.#virtualTime = 0;
      this.#finishes = new Map();
    }
    this.#active += 1;
    job.tag = Math.max(this.#virtualTime, this.#finishes.get(job.user) ?? 0);
    job.sequence = this.#sequence++;
    this.#finishes.set(job.user, job.tag + job.credits * 12);
    this.#heap.push(job);
  }

  take(): J | undefined {
    const job = this.#heap.pop();
    if (job) this.#virtualTime = Math.max(this.#virtualTime, job.tag);
    return job;
  }

  handBack(job: J): void {
    this.#heap.push(job);
  }

  finish(): void {
    this.#active -= 1;
  }
}

/** First come, first served: what fairness is compared with. */
export class PlainQueue<J extends Job> implements Queue<J> {
  readonly #heap = new Heap<J>((a, b) => a.sequence < b.sequence);
  #sequence = 0;

  get waiting(): number {
    return this.#heap.size;
  }

  add(job: J): void {
    job.sequence = this.#sequence++;
    this.#heap.push(job);
  }

  take(): J | undefined {
    return this.#heap.pop();
  }

  handBack(job: J): void {
    this.#heap.push(job);
  }

  finish(): void {}
}
