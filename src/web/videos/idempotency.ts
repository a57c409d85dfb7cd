/**
 * Requests that a client repeats, since it cannot know whether the first was heard: with the same Idempotency-Key they
 * are one job and one charge. The id of the job is written down before the job is submitted, so that holds over any
 * crash.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { jobIdSchema } from '../../queue/jobs.ts';
import type { Keys } from '../../queue/keys.ts';
import type { Redis } from '../../queue/redis.ts';
import { readUnlessNewer, writeJson } from '../../queue/stored-json.ts';
import { ProblemError } from '../problem.ts';

const keptSeconds = 86_400;
const videoPrefix = 'video-';
const idBytes = 12;
const newVideoId = (): string => `${videoPrefix}${randomBytes(idBytes).toString('hex')}`;

const storedSchema = z.looseObject({
  jobId: jobIdSchema,
  bodyHash: z.string(),
  /** The job was accepted: where it is gone, it was deleted, and is not made again. */
  isAccepted: z.boolean(),
});

/** One request of a client, or the repetition of one. */
export interface Repeatable {
  readonly jobId: string;
  /** It was accepted before. */
  readonly isAccepted: boolean;
  /** To be called when it is accepted. */
  accepted(): Promise<void>;
  /** To be called when the job of the first was withdrawn: the repetition is a job of its own. */
  renew(): Promise<Repeatable>;
}

/** What makes two requests the same. Fields of a body are in the order of their schema. */
export function hashOf(
  route: string,
  body: object,
  {
    picture,
    mask,
  }: { readonly picture?: Uint8Array | undefined; readonly mask?: Uint8Array | undefined } = {},
): string {
  const hash = createHash('sha256').update(`${route}\n${JSON.stringify(body)}\n`);
  hash.update(picture ?? '');
  if (mask) hash.update('\nmask\n').update(mask);
  return hash.digest('hex');
}

const idAfter = (jobId: string): string =>
  `${videoPrefix}${createHash('sha256')
    .update(jobId)
    .digest('hex')
    .slice(0, 2 * idBytes)}`;

export class Repetitions {
  readonly #redis: Redis;
  readonly #keys: Keys;

  /** @param redis a fail-fast connection */
  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** @throws ProblemError when the Idempotency-Key came with another body, or Redis does not answer */
  async of({ headers, caller }: FastifyRequest, bodyHash: string): Promise<Repeatable> {
    const header = headers['idempotency-key'];
    if (header === undefined) return this.#single();
    if (typeof header !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(header)) {
      throw new ProblemError({ kind: 'idempotencyForm' });
    }
    const key = this.#keys.idempotency(caller?.id ?? '', createHash('sha256').update(header).digest('hex'));
    try {
      const fresh = { jobId: newVideoId(), bodyHash, isAccepted: false };
      if (await this.#redis.set(key, writeJson(fresh), 'EX', keptSeconds, 'NX'))
        return this.#repeatable(key, fresh);
      const stored = readUnlessNewer((await this.#redis.get(key)) ?? '', storedSchema);
      if (stored && stored.bodyHash !== bodyHash) throw new ProblemError({ kind: 'otherBody' });
      return this.#repeatable(key, stored ?? fresh);
    } catch (error) {
      throw error instanceof ProblemError ? error : new ProblemError({ kind: 'unavailable' });
    }
  }

  #single(): Repeatable {
    return {
      jobId: newVideoId(),
      isAccepted: false,
      accepted: async () => {},
      renew: async () => this.#single(),
    };
  }

  #repeatable(key: string, stored: z.infer<typeof storedSchema>): Repeatable {
    const store = async (value: z.infer<typeof storedSchema>): Promise<void> => {
      await this.#redis.set(key, writeJson(value), 'EX', keptSeconds);
    };
    return {
      jobId: stored.jobId,
      isAccepted: stored.isAccepted,
      accepted: async () => {
        // The job is known by its id all the same.
        await store({ ...stored, isAccepted: true }).catch(() => {});
      },
      renew: async () => {
        // Of repetitions at once, each takes the same.
        const renewed = { ...stored, jobId: idAfter(stored.jobId), isAccepted: false };
        await store(renewed);
        return this.#repeatable(key, renewed);
      },
    };
  }
}
