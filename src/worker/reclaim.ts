/**
 * Takes back jobs of dead workers at once, instead of after BullMQ's lock and two stalled checks. A worker is dead when
 * its process is gone from this machine or container, or when its heartbeat was missing at two looks in a row. A job of
 * this worker is lost when it was active at two looks in a row while the worker did not have it.
 */
import type { Logger } from '../log.ts';
import type { Keys } from '../queue/keys.ts';
import { handedTo, takeBack } from '../queue/lost-handouts.ts';
import type { Redis } from '../queue/redis.ts';
import { diedHere, workerEntries } from '../queue/worker-registry.ts';

export class Reclaimer {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #queue: string;
  readonly #ownId: string;
  readonly #held: () => string | null;
  readonly #log: Logger;
  /** Jobs without a live worker at the last look. A second look decides: Redis may have been frozen. */
  #suspects = new Set<string>();

  /**
   * @param queue name of BullMQ's queue
   * @param held the job that the worker `ownId` has
   */
  constructor(
    redis: Redis,
    keys: Keys,
    queue: string,
    ownId: string,
    held: () => string | null,
    log: Logger,
  ) {
    this.#redis = redis;
    this.#keys = keys;
    this.#queue = `${keys.bull}:${queue}`;
    this.#ownId = ownId;
    this.#held = held;
    this.#log = log;
  }

  /** One look. Returns the ids that were handed back to the queue. */
  async run(): Promise<string[]> {
    const queue = this.#queue;
    const active = await this.#redis.lrange(`${queue}:active`, 0, -1);
    const workers = await workerEntries(this.#redis, this.#keys);
    const orphans: string[] = [];
    const suspects = new Set<string>();
    for (const jobId of active) {
      const workerId = await handedTo(this.#redis, queue, jobId);
      if (workerId === null) continue; // it has just ended
      const worker = workers.get(workerId);
      if (workerId === this.#ownId) {
        // If this worker does not have it, a broken connection lost the answer that handed it out.
        if (this.#held() === jobId) continue;
      } else if (worker && diedHere(worker.entry)) {
        orphans.push(jobId);
        continue;
      } else if (worker?.alive) continue;
      if (this.#suspects.has(jobId)) orphans.push(jobId);
      else suspects.add(jobId);
    }
    this.#suspects = suspects;
    if (orphans.length === 0) return [];
    this.#log.warn({ orphans }, 'taking back jobs of a worker that died');
    await takeBack(this.#redis, queue, orphans);
    return orphans;
  }
}
