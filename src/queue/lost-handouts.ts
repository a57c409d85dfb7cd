/**
 * Finds jobs that BullMQ handed out in an answer that a broken connection lost: they are active and locked under the
 * worker's name, but the worker does not have them. Without this they wait until the lock expires. Knows no ledger.
 */
import type { Redis } from './redis.ts';

export class LostHandouts {
  readonly #redis: Redis;
  readonly #queue: string;
  readonly #ownId: string;
  readonly #isHeld: (jobId: string) => boolean;
  #suspects = new Set<string>();

  /**
   * @param queue BullMQ's key of the queue, prefix included
   * @param ownId the name that our BullMQ worker goes by
   */
  constructor(redis: Redis, queue: string, ownId: string, isHeld: (jobId: string) => boolean) {
    this.#redis = redis;
    this.#queue = queue;
    this.#ownId = ownId;
    this.#isHeld = isHeld;
  }

  /** One look. Jobs that were lost at the look before as well go back to the queue. Returns how many. */
  async run(): Promise<number> {
    const lost = new Set<string>();
    for (const jobId of await this.#redis.lrange(`${this.#queue}:active`, 0, -1)) {
      const worker = await handedTo(this.#redis, this.#queue, jobId);
      if (worker === this.#ownId && !this.#isHeld(jobId)) lost.add(jobId);
    }
    const certain = [...lost].filter((jobId) => this.#suspects.has(jobId));
    this.#suspects = lost;
    await takeBack(this.#redis, this.#queue, certain);
    return certain.length;
  }
}

/** The worker that took an active job: written by BullMQ ("processed by") in the very step that hands it out. */
export async function handedTo(redis: Redis, queue: string, jobId: string): Promise<string | null> {
  return await redis.hget(`${queue}:${jobId}`, 'pb');
}

/** Frees active jobs from their locks; BullMQ puts them at the front of the queue at its next stalled check. */
export async function takeBack(redis: Redis, queue: string, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  const batch = redis.multi();
  for (const jobId of jobIds) batch.del(`${queue}:${jobId}:lock`);
  await batch
    .sadd(`${queue}:stalled`, ...jobIds)
    .del(`${queue}:stalled-check`)
    .exec();
}
