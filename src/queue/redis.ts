/**
 * Connections to Redis, and the check that its settings keep jobs safe. Knows no queue.
 */
import { Redis, type RedisOptions } from 'ioredis';
import type { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { retry } from '../retry.ts';
import { Keys } from './keys.ts';

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

/** Milliseconds since 1970 by the clock of Redis, the one that all machines share. */
export async function redisTime(redis: Redis): Promise<number> {
  const [seconds, microseconds] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
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
    // The master was demoted: its name may lead to the new one. Nothing was written, and the caller tries again.
    reconnectOnError: (error: Error) => /\bREADONLY\b/.test(error.message),
    ...(kind === 'patient'
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 1, commandTimeout: commandTimeoutMs, enableOfflineQueue: true }),
  } satisfies RedisOptions;
  const redis = 'url' in address ? new Redis(address.url, options) : new Redis(options);
  redis.on('error', onError);
  return redis;
}

/** What Redis says itself when the address or the rights of its user are wrong. */
const refusals: readonly (readonly [RegExp, string])[] = [
  [/^NOAUTH\b/, 'Redis asks for a password; expected redis://:PASSWORD@HOST:PORT'],
  [
    /^WRONGPASS\b|^ERR AUTH\b|invalid password/,
    'Redis refuses the user or the password; expected redis://USER:PASSWORD@HOST:PORT, where signs such as @ : / # % are written %40 %3A %2F %23 %25',
  ],
  [
    /^NOPERM\b/,
    'the user of Redis has too few rights; Kinora needs all keys and channels, and every command but those of administration, INFO and scripts included',
  ],
  [/^ERR (DB index is out of range|invalid DB index)/, 'Redis has no database of that number'],
];

/** The error of a connection as a refused setting, where waiting does not help; any other error as it is. */
export function asRefusal(error: unknown): unknown {
  const text = error instanceof Error ? error.message : '';
  const sentence = refusals.find(([pattern]) => pattern.test(text))?.[1];
  if (sentence === undefined) return error;
  return new KinoraError('INVALID_CONFIG', `REDIS_URL: ${sentence}.`, { cause: error });
}

/**
 * Refuses a Redis that is too old, that is a cluster or a replica, or that would evict keys when memory runs out.
 * @returns what it forgets when it dies, as a sentence; undefined when that is nothing, or a second at most
 * @throws KinoraError INVALID_CONFIG, also for a wrong password, too few rights, and a database that does not exist
 */
export async function assertTrustworthy(redis: Redis): Promise<string | undefined> {
  try {
    const info = await redis.info();
    // The client carries on with database 0 where the one of the URL does not exist.
    const { db = 0 } = redis.options;
    if (db !== 0) await redis.select(db);
    const field = (name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';
    refuseByInfo(field);
    // A user who may not run scripts, or not over Kinora's keys, is refused here rather than with every request.
    await untilRedisCan(() => redis.eval("return redis.call('EXISTS', KEYS[1])", 1, new Keys().schema));
    return await whatItForgets(redis, field);
  } catch (error) {
    throw asRefusal(error);
  }
}

function refuseByInfo(field: (name: string) => string): void {
  const refuse = (sentence: string): never => {
    throw new KinoraError('INVALID_CONFIG', sentence);
  };
  const version = field('redis_version');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1])) {
    refuse(`Redis ${version} is too old: Kinora needs ${oldestVersion.join('.')} or newer.`);
  }
  if (field('redis_mode') === 'cluster') {
    refuse('REDIS_URL: this is a Redis Cluster, over which Kinora cannot run; use a single Redis.');
  }
  if (/^(slave|replica)$/.test(field('role'))) {
    refuse('REDIS_URL: this Redis is a read-only replica; name its master.');
  }
  const policy = field('maxmemory_policy');
  if (policy !== 'noeviction') {
    refuse(
      `Redis would evict jobs when its memory is full (maxmemory-policy is "${policy}"): set "maxmemory-policy noeviction".`,
    );
  }
}

/** Servers of providers may forbid CONFIG; INFO then says whether there is an append-only file, and no more. */
async function whatItForgets(redis: Redis, field: (name: string) => string): Promise<string | undefined> {
  const remedy = 'set "appendonly yes" in its configuration';
  const failed = ['aof_last_write_status', 'aof_last_bgrewrite_status'].some((name) => field(name) === 'err');
  if (field('aof_enabled') === '1') {
    return failed ? 'Redis cannot write its append-only file; its log says why.' : undefined;
  }
  const saved = await redis.config('GET', 'save').catch(() => undefined);
  const points = Array.isArray(saved) ? String(saved[1] ?? '') : undefined;
  if (points === '') return `Redis keeps nothing on its disk and forgets everything when it dies: ${remedy}.`;
  return `Redis writes snapshots at most, and forgets what came after the last one when it dies: ${remedy}.`;
}
