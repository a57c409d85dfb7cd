/**
 * Keys of the HTTP API: who may call it, and as whom. A key is "kinora_<id>_<secret>" with 256 random bits; Redis holds
 * only their SHA-256, so whoever reads Redis cannot call the API. Every call looks its key up: one that is revoked ends
 * at once.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { checkOwner } from './checks.ts';
import { Keys } from './keys.ts';
import { type Redis, redisTime } from './redis.ts';
import { readJson, readOfAny, readUnlessNewer, writeJson } from './stored-json.ts';

/** What a key may do: make videos and ask for one's own, or what admins do. */
export const apiKeyScopes = ['use', 'admin'] as const;
export type ApiKeyScope = (typeof apiKeyScopes)[number];

const storedSchema = z.object({
  name: z.string(),
  userKey: z.string(),
  scopes: z.array(z.enum(apiKeyScopes)),
  /** Hexadecimal SHA-256 of the secret part. */
  hash: z.string(),
  createdAt: z.number(),
});

const ownedSchema = storedSchema.pick({ userKey: true, createdAt: true });

export interface ApiKey extends Omit<z.infer<typeof storedSchema>, 'hash'> {
  readonly id: string;
}

const idBytes = 6;
const secretBytes = 32;
const form = /^kinora_([0-9a-f]{12})_([\w-]{43})$/;
const longestName = 64;

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

export class ApiKeys {
  readonly #redis: Redis;
  readonly #key: string;

  constructor(redis: Redis, keys = new Keys()) {
    this.#redis = redis;
    this.#key = keys.apiKeys;
  }

  /**
   * @param userKey whose credits, jobs and bans count; absent for somebody new, who is not in any chat
   * @param now Redis's own time where it is left out
   * @returns the key as it is told once, and never again
   * @throws KinoraError INVALID_OPTION for a name or user in another form
   */
  async create(
    wanted: {
      readonly name: string;
      readonly userKey?: string | undefined;
      readonly scopes: readonly ApiKeyScope[];
    },
    now?: number,
  ): Promise<{ readonly key: ApiKey; readonly token: string }> {
    const name = wanted.name.trim();
    if (name === '' || name.length > longestName || /\p{Cc}/u.test(name)) {
      throw new KinoraError('INVALID_OPTION', `The name of a key has 1 to ${longestName} characters.`);
    }
    const id = randomBytes(idBytes).toString('hex');
    const secret = randomBytes(secretBytes).toString('base64url');
    const userKey = checkOwner(wanted.userKey ?? `web:${randomBytes(idBytes).toString('hex')}`);
    const key = {
      name,
      userKey,
      scopes: [...wanted.scopes],
      createdAt: now ?? (await redisTime(this.#redis)),
    };
    const stored = { ...key, hash: hashOf(secret).toString('hex') } satisfies z.infer<typeof storedSchema>;
    await this.#redis.hset(this.#key, id, writeJson(stored));
    return { key: { id, ...key }, token: `kinora_${id}_${secret}` };
  }

  /**
   * The key that a token belongs to, or undefined when it is none, or was revoked.
   * @throws NewerRecord
   */
  async find(token: string): Promise<ApiKey | undefined> {
    const [, id, secret] = form.exec(token) ?? [];
    if (id === undefined || secret === undefined) return undefined;
    const stored = readUnlessNewer((await this.#redis.hget(this.#key, id)) ?? '', storedSchema);
    if (!stored) return undefined;
    const { hash, ...key } = stored;
    const expected = Buffer.from(hash, 'hex');
    const given = hashOf(secret);
    return expected.length === given.length && timingSafeEqual(expected, given) ? { id, ...key } : undefined;
  }

  /** All keys, oldest first. */
  async list(): Promise<ApiKey[]> {
    const found: ApiKey[] = [];
    for (const [id, text] of Object.entries(await this.#redis.hgetall(this.#key))) {
      const stored = readJson(text, storedSchema);
      if (!stored) continue;
      const { hash: _, ...key } = stored;
      found.push({ id, ...key });
    }
    return found.sort((a, b) => a.createdAt - b.createdAt);
  }

  /** @returns whether there was such a key */
  async revoke(id: string): Promise<boolean> {
    return (await this.#redis.hdel(this.#key, id)) === 1;
  }

  /** Revokes the keys that a user had at a time. */
  async revokeOf(userKey: string, createdBefore: number): Promise<void> {
    for (const [id, text] of Object.entries(await this.#redis.hgetall(this.#key))) {
      const owned = readOfAny(text, ownedSchema);
      if (owned?.userKey === userKey && owned.createdAt <= createdBefore) await this.revoke(id);
    }
  }
}
