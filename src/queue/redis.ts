/**
 * Connections to Redis, and the check that its settings keep jobs safe. Knows no queue.
 */
import { Redis, type RedisOptions } from 'ioredis';
import type { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { retry } from '../retry.ts';

/** Where Redis listens: a URL, or the unix socket of the private server. */
export type RedisAddress = { readonly url: string } | { readonly socketPath: string };

const oldestVersion = [6, 2] as const;

/**
 * `fail-fast` fails within `commandTimeoutMs` when Redis is away: where a person waits for the answer.
 * `patient` waits for Redis to come back: for workers and their blocking reads.
 */
export type ConnectionKind = 'fail-fast' | 'patient';

const commandTimeoutMs = 2_000;

/**
 * A connection whose answer is overdue for this long is replaced: a dead peer may send no reset, and the kernel would
 * notice after a quarter of an hour. Longer than BullMQ's blocking reads (ten seconds while a job is delayed) and than
 * any command takes.
 */
const silenceMs = { patient: 13_000, 'fail-fast': 3_000 } as const;
/** TCP keep-alive, for connections that only listen. */
const keepAliveMs = 10_000;

/** Answers by which Redis says that it cannot now, but may again: out of memory or disk, loading, failing over. */
const passingAnswer = /^(OOM|MISCONF|LOADING|READONLY|BUSY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN) /;
const retryEveryMs = 500;

/** Repeats `work` for as long as Redis answers that it cannot now. For steps whose loss would break a promise. */
export async function untilRedisCan<T>(work: () => Promise<T>): Promise<T> {
  return await retry(work, (error) =>
    error instanceof Error && passingAnswer.test(error.message) ? retryEveryMs : undefined,
  );
}

/** The replies of a transaction, or the first error among them. */
export function replies<T>(answers: [Error | null, unknown][] | null, schema: z.ZodType<T>): T {
  const values = (answers ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
  return schema.parse(values);
}

/** Opens a connection. The caller closes it; errors between commands go to `onError`. */
export function connectRedis(
  address: RedisAddress,
  kind: ConnectionKind,
  onError: (error: Error) => void,
): Redis {
  const options = {
    ...('socketPath' in address ? { path: address.socketPath } : {}),
    retryStrategy: (attempt: number) => Math.min(100 * attempt, 2_000),
    socketTimeout: silenceMs[kind],
    keepAlive: keepAliveMs,
    ...(kind === 'patient'
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 1, commandTimeout: commandTimeoutMs, enableOfflineQueue: true }),
  } satisfies RedisOptions;
  const redis = 'url' in address ? new Redis(address.url, options) : new Redis(options);
  redis.on('error', onError);
  return redis;
}

/** Refuses a Redis that is too old, or that would evict keys when memory runs out. */
export async function assertTrustworthy(redis: Redis): Promise<void> {
  const info = await redis.info();
  const field = (name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';
  const version = field('redis_version');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1])) {
    throw new KinoraError(
      'INVALID_CONFIG',
      `Redis ${version} is too old: Kinora needs ${oldestVersion.join('.')} or newer.`,
    );
  }
  const policy = field('maxmemory_policy');
  if (policy !== 'noeviction') {
    throw new KinoraError(
      'INVALID_CONFIG',
      `Redis would evict jobs when its memory is full (maxmemory-policy is "${policy}"): set "maxmemory-policy noeviction".`,
    );
  }
}
