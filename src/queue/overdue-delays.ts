/**
 * Ends delays in time. BullMQ writes down by the clock of one machine when a delayed job is due, and goes by the clock of
 * another, or by the same clock when it has been set back: a pause of a second can then last for hours. This goes by the
 * monotonic clock, and by nothing that another machine says.
 */
import type { Redis } from './redis.ts';

interface Seen {
  /** When BullMQ means it to be due; another delay of the same job has another. */
  readonly score: string;
  readonly delayMs: number;
  /** Monotonic. */
  readonly since: number;
}

export class OverdueDelays {
  readonly #redis: Redis;
  readonly #queue: string;
  #seen: ReadonlyMap<string, Seen> = new Map();

  /** @param queue BullMQ's key of the queue, prefix included */
  constructor(redis: Redis, queue: string) {
    this.#redis = redis;
    this.#queue = queue;
  }

  /** One look. Jobs that were seen for longer than their delay become due. @returns how many */
  async run(): Promise<number> {
    const delayed = await this.#redis.zrange(`${this.#queue}:delayed`, 0, '-1', 'WITHSCORES');
    const seen = new Map<string, Seen>();
    for (let i = 0; i + 1 < delayed.length; i += 2) {
      const [jobId = '', score = ''] = delayed.slice(i, i + 2);
      const before = this.#seen.get(jobId);
      seen.set(jobId, before?.score === score ? before : await this.#first(jobId, score));
    }
    this.#seen = seen;
    const now = performance.now();
    const overdue = [...seen].filter(([, { since, delayMs }]) => now - since > delayMs);
    if (overdue.length === 0) return 0;
    const batch = this.#redis.multi();
    for (const [jobId] of overdue) batch.zadd(`${this.#queue}:delayed`, 'XX', 0, jobId);
    // Wakes a worker that waits for the next job, as BullMQ does.
    await batch.zadd(`${this.#queue}:marker`, 0, '0').exec();
    return overdue.length;
  }

  async #first(jobId: string, score: string): Promise<Seen> {
    const delay = await this.#redis.hget(`${this.#queue}:${jobId}`, 'delay');
    return { score, delayMs: Number(delay ?? 0), since: performance.now() };
  }
}
