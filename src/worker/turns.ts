/**
 * One job at a time from several queues of BullMQ, one for each model. Each queue has a loop of its own, which waits here
 * before it takes a job; when the worker is free, the loop that has its turn goes on. Knows no engine.
 */
import { type Job, Worker, type WorkerOptions } from 'bullmq';
import type { QueueData } from '../queue/jobs.ts';

const quietLookMs = 60_000;

interface Waiting {
  readonly model: string | undefined;
  readonly enter: (mayGoOn: boolean) => void;
}

/**
 * Which of these models has its turn; undefined where it does not matter.
 * @param models each once; undefined for jobs that name none
 */
export type ChooseTurn = (models: readonly (string | undefined)[]) => Promise<string | undefined>;

export class Turns {
  readonly #choose: ChooseTurn;
  readonly #onError: (error: Error) => void;
  readonly #quietMs: () => number;
  #quietTimer: NodeJS.Timeout | undefined;
  #waiting: readonly Waiting[] = [];
  #isTaken = false;
  #isStopped = false;

  /**
   * @param choose is asked before each turn; when it fails, the one that came first goes on
   * @param quietMs for how long nobody's turn may begin
   */
  constructor(choose: ChooseTurn, onError: (error: Error) => void, quietMs: () => number = () => 0) {
    this.#choose = choose;
    this.#onError = onError;
    this.#quietMs = quietMs;
  }

  /** Resolves when it is this model's turn, which lasts until leave(); to false when there will be none any more. */
  async enter(model: string | undefined): Promise<boolean> {
    if (this.#isStopped) return false;
    return await new Promise((enter) => {
      this.#waiting = [...this.#waiting, { model, enter }];
      void this.#next();
    });
  }

  leave(): void {
    this.#isTaken = false;
    void this.#next();
  }

  /** Nobody has a turn from now on but the one that has it. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#quietTimer);
    for (const { enter } of this.#waiting) enter(false);
    this.#waiting = [];
  }

  async #next(): Promise<void> {
    if (this.#isTaken || this.#waiting.length === 0 || this.#isQuiet()) return;
    this.#isTaken = true;
    const chosen = await this.#chosen();
    // Stopped meanwhile.
    if (!this.#waiting.includes(chosen)) return;
    this.#waiting = this.#waiting.filter((other) => other !== chosen);
    chosen.enter(true);
  }

  /** Looks again from time to time: a clock may be set. */
  #isQuiet(): boolean {
    const restMs = this.#quietMs();
    clearTimeout(this.#quietTimer);
    if (restMs > 0) this.#quietTimer = setTimeout(() => void this.#next(), Math.min(restMs, quietLookMs));
    return restMs > 0;
  }

  async #chosen(): Promise<Waiting> {
    // Those that were just free come back in the same turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    const [first] = this.#waiting;
    if (!first) return nobody;
    try {
      const model = await this.#choose(this.#waiting.map((waiting) => waiting.model));
      return this.#waiting.find((waiting) => waiting.model === model) ?? first;
    } catch (error) {
      this.#onError(error instanceof Error ? error : new Error(String(error)));
      return first;
    }
  }
}

const nobody: Waiting = { model: undefined, enter: () => {} };

/** The loop of one queue. */
export class TurnWorker extends Worker<QueueData> {
  readonly #turns: Turns;
  readonly #model: string | undefined;
  #isProcessing = false;

  constructor(
    queue: string,
    process: (job: Job<QueueData>, token: string | undefined) => Promise<void>,
    options: WorkerOptions,
    turns: Turns,
    model: string | undefined,
  ) {
    super(queue, process, { ...options, autorun: false, concurrency: 1 });
    this.#turns = turns;
    this.#model = model;
  }

  protected override async moveToActive(token: string, name?: string): Promise<Job<QueueData>> {
    // Without data there is no job: BullMQ's own way to say so.
    if (!(await this.#turns.enter(this.#model))) return await this.nextJobFromJobData();
    let job: Job<QueueData> | undefined;
    try {
      job = await super.moveToActive(token, name);
      return job;
    } finally {
      if (!job) this.#turns.leave();
    }
  }

  /** The next job is taken when its turn comes, not together with the end of this one. */
  override async processJob(job: Job<QueueData>, token: string): Promise<void> {
    this.#isProcessing = true;
    try {
      await super.processJob(job, token, () => false);
    } finally {
      this.#isProcessing = false;
      this.#turns.leave();
    }
  }

  /**
   * No next job comes with the end of one, by which BullMQ would take the queue for empty, and ask Redis whether it is
   * before it waits for its turn again: too late to be preferred.
   */
  override async nextJobFromJobData(
    ...args: Parameters<Worker<QueueData>['nextJobFromJobData']>
  ): Promise<Job<QueueData>> {
    // BullMQ's type leaves out the undefined by which it says itself that there is no job.
    if (this.#isProcessing) return undefined as unknown as Job<QueueData>;
    return await super.nextJobFromJobData(...args);
  }
}
