/**
 * How many uploads a person has begun and not used: a link that was given out may be used without a word to Kinora. Counted in
 * Redis, so for all bots together and also after one was started anew.
 */
import { z } from 'zod';
import type { Keys } from './keys.ts';
import { type Redis, redisTime, replies } from './redis.ts';

/** The sentence of the API names it. */
const mostOpen = 20;
/** Time after which one counts no more: housekeeping has removed it. */
const countedMs = 4_200_000;

const answerSchema = z.tuple([z.int(), z.int(), z.int(), z.int()]);

export class OpenUploads {
  readonly #redis: Redis;
  readonly #keys: Keys;

  /** @param redis a fail-fast connection */
  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** Counts one more, unless there are too many. */
  async add(userKey: string, id: string): Promise<boolean> {
    const key = this.#keys.uploads(userKey);
    const now = await redisTime(this.#redis);
    const answers = await this.#redis
      .multi()
      .zremrangebyscore(key, '-inf', now - countedMs)
      .zadd(key, now, id)
      .zcard(key)
      .pexpire(key, countedMs)
      .exec();
    const [, , open] = replies(answers, answerSchema);
    // Added first: of several at once, none slips through.
    if (open > mostOpen) await this.remove(userKey, id);
    return open <= mostOpen;
  }

  async remove(userKey: string, id: string): Promise<void> {
    await this.#redis.zrem(this.#keys.uploads(userKey), id);
  }
}
