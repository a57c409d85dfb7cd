/**
 * Connections to Redis, and the check that a Redis may be trusted with jobs. Knows nothing of queues.
 */
import { Redis, type RedisOptions } from 'ioredis';
import { KinoraError } from '../errors.ts';

/** Where Redis listens: a URL, or the unix socket of the private server. */
export type RedisAddress = { readonly url: string } | { readonly socketPath: string };

const oldestVersion = [6, 2] as const;

/**
 * `fail-fast` answers within `commandTimeoutMs` when Redis is away: for whoever has a person waiting.
 * `patient` waits for Redis to come back: for workers and their blocking reads.
 */
export type ConnectionKind = 'fail-fast' | 'patient';

const commandTimeoutMs = 2_000;

/** Opens a connection. The caller closes it; errors between commands go to `onError`. */
export function connectRedis(
  address: RedisAddress,
  kind: ConnectionKind,
  onError: (error: Error) => void,
): Redis {
  const options = {
    ...('socketPath' in address ? { path: address.socketPath } : {}),
    retryStrategy: (attempt: number) => Math.min(100 * attempt, 2_000),
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
