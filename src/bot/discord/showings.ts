/**
 * Acceptances that some bot is showing now, told over Redis to the one that posts final answers: a late acceptance would
 * overwrite an answer. What a bot says that died meanwhile runs out.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Keys } from '../../queue/keys.ts';
import type { Redis } from '../../queue/redis.ts';

const lifeMs = 15_000;
const renewEveryMs = 5_000;
const lookEveryMs = 100;

export class Showings {
  readonly #redis: Redis;
  readonly #keys: Keys;

  /** @param redis the fail-fast connection over which jobs are submitted: what is said before is there before */
  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /**
   * Does not wait for Redis.
   * @param work resolves to whether the job was accepted, and that was shown. Otherwise its submission may still be on its
   *   way to be withdrawn, so the word of it runs out later
   */
  async during(jobId: string, work: () => Promise<boolean>): Promise<void> {
    const key = this.#keys.showing(jobId);
    const say = (): void => void this.#redis.set(key, '1', 'PX', lifeMs).catch(() => {}); // without Redis no job is accepted
    say();
    const saying = setInterval(say, renewEveryMs);
    try {
      if (await work()) await this.#redis.del(key).catch(() => {}); // it runs out
    } finally {
      clearInterval(saying);
    }
  }

  /** Resolves when no bot is showing the acceptance of this job. */
  async over(jobId: string): Promise<void> {
    while ((await this.#redis.exists(this.#keys.showing(jobId))) === 1) await sleep(lookEveryMs);
  }
}
