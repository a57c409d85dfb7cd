/**
 * The interaction tokens of jobs that are not answered yet, in Redis for whichever bot leads then. They are secrets: Redis
 * has them encrypted with a key that comes from the bot's own token, which it never sees. They are removed after 14 minutes,
 * when Discord forgets them, too.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Logger } from '../../log.ts';
import { jobIdSchema } from '../../queue/jobs.ts';
import type { Keys } from '../../queue/keys.ts';
import { type Redis, replies } from '../../queue/redis.ts';
import { readJson } from '../../queue/stored-json.ts';
import type { InteractionToken } from './api.ts';

/** Discord's limit is 15 minutes; an upload that begins now should also end in time. */
export const tokenLifeMs = 14 * 60_000;
const mostInMemory = 10_000;

const tokenSchema = z.object({ applicationId: z.string(), token: z.string() });
const foundSchema = z.tuple([z.string().nullable(), z.int()]);
/** As earlier versions kept it in a file. */
const fileSchema = tokenSchema.extend({ expiresAt: z.number() });

const cipher = 'aes-256-gcm';
const bytesOf = { iv: 12, tag: 16 } as const;

export class TokenStore {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #key: Buffer;
  readonly #log: Logger;
  readonly #tokens = new LRUCache<string, InteractionToken>({ max: mostInMemory, ttl: tokenLifeMs });

  /**
   * @param redis the fail-fast connection over which jobs are submitted: what is saved before is there before
   * @param secret the bot's token
   */
  constructor(redis: Redis, keys: Keys, secret: string, log: Logger) {
    this.#redis = redis;
    this.#keys = keys;
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', 'kinora: interaction tokens', 32));
    this.#log = log;
  }

  /** Takes over, once, what an earlier version kept in the folder. */
  async adopt(folder: string): Promise<void> {
    for (const name of await readdir(folder).catch(() => [])) {
      const saved = readJson(await readFile(join(folder, name), 'utf8').catch(() => ''), fileSchema);
      const leftMs = saved ? saved.expiresAt - Date.now() : 0;
      if (saved && leftMs > 0 && jobIdSchema.safeParse(name).success) this.save(name, saved, leftMs);
    }
    await rm(folder, { recursive: true, force: true });
  }

  /** Does not wait: a Redis that is away delays nobody's answer. */
  save(jobId: string, { applicationId, token }: InteractionToken, lifeMs = tokenLifeMs): void {
    const saved = { applicationId, token };
    this.#tokens.set(jobId, saved, { ttl: lifeMs });
    this.#redis
      .set(this.#keys.interaction(jobId), this.#seal(jobId, saved), 'PX', Math.ceil(lifeMs))
      .catch((error: unknown) =>
        this.#log.warn({ jobId, err: String(error) }, 'another bot will not know how to answer in place'),
      );
  }

  /** The token of a job while it is valid. */
  async read(jobId: string): Promise<InteractionToken | undefined> {
    const known = this.#tokens.get(jobId);
    if (known) return known;
    const key = this.#keys.interaction(jobId);
    const [sealed, leftMs] = replies(await this.#redis.multi().get(key).pttl(key).exec(), foundSchema);
    const token = sealed === null || leftMs <= 0 ? undefined : this.#open(jobId, sealed);
    if (token) this.#tokens.set(jobId, token, { ttl: leftMs });
    return token;
  }

  /** For a job that is answered, or a token that Discord refuses. Does not wait, either. */
  forget(jobId: string): void {
    this.#tokens.delete(jobId);
    this.#redis.del(this.#keys.interaction(jobId)).catch(() => {}); // it expires
  }

  #seal(jobId: string, token: InteractionToken): string {
    const iv = randomBytes(bytesOf.iv);
    const seal = createCipheriv(cipher, this.#key, iv).setAAD(Buffer.from(jobId));
    const text = Buffer.concat([seal.update(JSON.stringify(token), 'utf8'), seal.final()]);
    return Buffer.concat([iv, seal.getAuthTag(), text]).toString('base64');
  }

  /** Undefined where it was sealed with another bot's token. */
  #open(jobId: string, sealed: string): InteractionToken | undefined {
    const bytes = Buffer.from(sealed, 'base64');
    const textAt = bytesOf.iv + bytesOf.tag;
    try {
      const open = createDecipheriv(cipher, this.#key, bytes.subarray(0, bytesOf.iv));
      open.setAAD(Buffer.from(jobId)).setAuthTag(bytes.subarray(bytesOf.iv, textAt));
      const text = Buffer.concat([open.update(bytes.subarray(textAt)), open.final()]).toString('utf8');
      return readJson(text, tokenSchema);
    } catch {
      return undefined;
    }
  }
}
