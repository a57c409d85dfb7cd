/**
 * Who is signed in on the studio page. The browser holds a cookie with 256 random bits; Redis holds their SHA-256 and
 * drops it after 30 days. Every call looks its session up: one that is revoked ends at once.
 */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type ApiKeyScope, apiKeyScopes } from './api-keys.ts';
import { Keys } from './keys.ts';
import { type Redis, redisTime } from './redis.ts';
import { readJson, readUnlessNewer, writeJson } from './stored-json.ts';

const storedSchema = z.object({
  userKey: z.string(),
  scopes: z.array(z.enum(apiKeyScopes)),
  createdAt: z.number(),
  expiresAt: z.number(),
  /** What the browser called itself, so that a person knows their own devices. */
  browser: z.string(),
});

export interface Session extends z.infer<typeof storedSchema> {
  /** Not secret: the beginning of the hash. */
  readonly id: string;
}

export const sessionMs = 30 * 86_400_000;
const tokenBytes = 32;
const tokenForm = /^[\w-]{43}$/;
const idLength = 16;
const longestBrowser = 200;

export const newToken = (): string => randomBytes(tokenBytes).toString('base64url');
/** Under which a token is kept; undefined for what cannot be one. */
export const hashOfToken = (token: string): string | undefined =>
  tokenForm.test(token) ? createHash('sha256').update(token).digest('hex') : undefined;

export class Sessions {
  readonly #redis: Redis;
  readonly #keys: Keys;

  constructor(redis: Redis, keys = new Keys()) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /**
   * @param time Redis's own where it is left out
   * @returns the session with its token, which is told to the browser and kept nowhere
   */
  async create(
    { userKey, scopes, browser }: { userKey: string; scopes: readonly ApiKeyScope[]; browser: string },
    time?: number,
  ): Promise<{ readonly session: Session; readonly token: string }> {
    const now = time ?? (await redisTime(this.#redis));
    const token = newToken();
    const hash = hashOfToken(token) ?? '';
    const stored: z.infer<typeof storedSchema> = {
      userKey,
      scopes: [...scopes],
      createdAt: now,
      expiresAt: now + sessionMs,
      browser: browser.slice(0, longestBrowser),
    };
    const index = this.#keys.sessions(userKey);
    await this.#redis
      .multi()
      .set(this.#keys.session(hash), writeJson(stored), 'PXAT', stored.expiresAt)
      .zremrangebyscore(index, '-inf', now)
      .zadd(index, stored.expiresAt, hash)
      .pexpireat(index, stored.expiresAt)
      .exec();
    return { session: { id: hash.slice(0, idLength), ...stored }, token };
  }

  /**
   * The session that a token belongs to, or undefined when it is none, has ended or was revoked.
   * @throws NewerRecord
   */
  async find(token: string): Promise<Session | undefined> {
    const hash = hashOfToken(token);
    return hash === undefined ? undefined : await this.#read(hash, readUnlessNewer);
  }

  /** Newest first. */
  async of(userKey: string): Promise<Session[]> {
    const hashes = await this.#redis.zrevrange(this.#keys.sessions(userKey), 0, '-1');
    const found = await Promise.all(hashes.map((hash) => this.#read(hash)));
    return found.filter((session) => session !== undefined);
  }

  /** @returns whether the user had such a session */
  async revoke(userKey: string, id: string): Promise<boolean> {
    const hashes = await this.#redis.zrange(this.#keys.sessions(userKey), 0, '-1');
    const hash = hashes.find((one) => one.slice(0, idLength) === id);
    return hash !== undefined && (await this.#remove(userKey, hash));
  }

  /**
   * Revokes the sessions that a user had at a time; all where it is left out.
   * @returns how many
   */
  async revokeOf(userKey: string, createdBefore = Number.POSITIVE_INFINITY): Promise<number> {
    let revoked = 0;
    for (const hash of await this.#redis.zrange(this.#keys.sessions(userKey), 0, '-1')) {
      const session = await this.#read(hash);
      if (session && session.createdAt > createdBefore) continue;
      if (await this.#remove(userKey, hash)) revoked++;
    }
    return revoked;
  }

  async #read(hash: string, read: typeof readJson = readJson): Promise<Session | undefined> {
    const stored = read((await this.#redis.get(this.#keys.session(hash))) ?? '', storedSchema);
    return stored && { id: hash.slice(0, idLength), ...stored };
  }

  async #remove(userKey: string, hash: string): Promise<boolean> {
    const removed = await this.#redis.del(this.#keys.session(hash));
    await this.#redis.zrem(this.#keys.sessions(userKey), hash);
    return removed === 1;
  }
}
