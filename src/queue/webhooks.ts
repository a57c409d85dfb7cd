/** Addresses that people of the HTTP API want to be told at when their videos are over. Knows no HTTP. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { Keys } from './keys.ts';
import { type Redis, redisTime } from './redis.ts';
import { readJson, readOfAny, readUnlessNewer, writeJson } from './stored-json.ts';

// Loose: what a version with more fields wrote keeps them when this one writes it anew.
const storedSchema = z.looseObject({
  userKey: z.string(),
  url: z.string(),
  createdAt: z.number(),
  /** Its server said that it is gone. */
  isDisabled: z.boolean(),
});

const ownedSchema = storedSchema.pick({ userKey: true, createdAt: true });

export interface Webhook extends z.infer<typeof storedSchema> {
  readonly id: string;
}

/** BullMQ's queue of messages to them. */
export const webhookQueueName = 'webhook';

const idBytes = 12;
/** Of one person. */
export const mostWebhooks = 10;

export class Webhooks {
  readonly #redis: Redis;
  readonly #key: string;

  constructor(redis: Redis, keys = new Keys()) {
    this.#redis = redis;
    this.#key = keys.webhooks;
  }

  async create(userKey: string, url: string): Promise<Webhook> {
    const webhook = {
      id: randomBytes(idBytes).toString('hex'),
      userKey,
      url,
      createdAt: await redisTime(this.#redis),
      isDisabled: false,
    };
    await this.#store(webhook);
    return webhook;
  }

  /** By the clock that all machines share. */
  async time(): Promise<number> {
    return await redisTime(this.#redis);
  }

  /** @throws NewerRecord */
  async read(id: string): Promise<Webhook | undefined> {
    const stored = readUnlessNewer((await this.#redis.hget(this.#key, id)) ?? '', storedSchema);
    return stored && { id, ...stored };
  }

  /** Oldest first. */
  async of(userKey: string): Promise<Webhook[]> {
    const all = Object.entries(await this.#redis.hgetall(this.#key)).flatMap(([id, text]) => {
      const stored = readJson(text, storedSchema);
      return stored?.userKey === userKey ? [{ id, ...stored }] : [];
    });
    return all.sort((a, b) => a.createdAt - b.createdAt);
  }

  async disable(id: string): Promise<void> {
    const webhook = await this.read(id);
    if (webhook) await this.#store({ ...webhook, isDisabled: true });
  }

  async remove(id: string): Promise<void> {
    await this.#redis.hdel(this.#key, id);
  }

  /** Removes those that a user had at a time. */
  async removeOf(userKey: string, createdBefore: number): Promise<void> {
    for (const [id, text] of Object.entries(await this.#redis.hgetall(this.#key))) {
      const owned = readOfAny(text, ownedSchema);
      if (owned?.userKey === userKey && owned.createdAt <= createdBefore) await this.remove(id);
    }
  }

  async #store({ id, ...stored }: Webhook): Promise<void> {
    await this.#redis.hset(this.#key, id, writeJson(stored));
  }
}
