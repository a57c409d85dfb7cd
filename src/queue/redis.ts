/**
 * Connections to Redis, and the check that its settings keep jobs safe. Knows no queue.
 */
import { Cluster, type Command, type RedisOptions, Redis as SingleRedis } from 'ioredis';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { retry } from '../retry.ts';
import { Keys } from './keys.ts';
import { type RedisTarget, readRedisUrl } from './redis-url.ts';

/** A connection: to one Redis, which Sentinels may name, or to a Cluster. */
export type Redis = SingleRedis | Cluster;

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

const timeSchema = z.tuple([z.coerce.number(), z.coerce.number()]);

/**
 * Milliseconds since 1970 by the clock of Redis, the one that all machines share. In a Cluster each shard has its own: it
 * is that of the shard that holds the keys.
 */
export async function redisTime(redis: Redis): Promise<number> {
  const time =
    redis instanceof Cluster
      ? await redis.eval("return redis.call('TIME')", 1, new Keys().schema)
      : await redis.time();
  const [seconds, microseconds] = timeSchema.parse(time);
  return seconds * 1000 + Math.floor(microseconds / 1000);
}

/**
 * The servers that hold the keys, the master first: one, or in a Cluster the shard of our hash tag. For commands that
 * concern a server and not a key.
 */
export async function serversOf(redis: Redis, keys: Keys): Promise<SingleRedis[]> {
  if (!(redis instanceof Cluster)) return [redis];
  const slot = z.int().parse(await redis.cluster('KEYSLOT', keys.schema));
  const nodes = new Map(
    redis.nodes('all').map((node) => [`${node.options.host}:${node.options.port}`, node]),
  );
  const found = (redis.slots[slot] ?? []).flatMap((name) => nodes.get(name) ?? []);
  if (found.length === 0) throw new Error('no server of the Cluster holds the keys now');
  return found;
}

/** Names of keys that match a pattern, in batches of about `count`; one that is renamed or made meanwhile may be missing. */
export async function* scanKeys(
  redis: Redis,
  keys: Keys,
  match: string,
  count: number,
): AsyncGenerator<string[]> {
  const [master] = await serversOf(redis, keys);
  if (!master) return;
  for await (const names of master.scanStream({ match, count })) yield z.array(z.string()).parse(names);
}

/** The replies of a transaction, or the first error among them. */
export function replies<T>(answers: [Error | null, unknown][] | null, schema: z.ZodType<T>): T {
  const values = (answers ?? []).map(([error, value]) => {
    if (error) throw error;
    return value;
  });
  return schema.parse(values);
}

/** In a Cluster, ioredis gives no time limit to a command that waits for a server. */
class FailFastCluster extends Cluster {
  override sendCommand(command: Command, ...rest: [stream?: never, node?: unknown]): unknown {
    command.setTimeout(commandTimeoutMs);
    return super.sendCommand(command, ...rest);
  }
}

const retryAfterMs = (attempt: number): number => Math.min(100 * attempt, 2_000);

/** Opens a connection. The caller closes it; errors between commands go to `onError`. */
export function connectRedis(
  address: RedisAddress,
  kind: ConnectionKind,
  onError: (error: Error) => void,
): Redis {
  const redis = open(address, kind);
  redis.on('error', onError);
  return redis;
}

function open(address: RedisAddress, kind: ConnectionKind): Redis {
  const options = {
    socketTimeout: silenceMs[kind],
    keepAlive: keepAliveMs,
    ...(kind === 'patient'
      ? { maxRetriesPerRequest: null }
      : { maxRetriesPerRequest: 1, commandTimeout: commandTimeoutMs }),
  } satisfies RedisOptions;
  const single = {
    ...options,
    retryStrategy: retryAfterMs,
    // The master was demoted: its name may lead to the new one. Nothing was written, and the caller tries again.
    reconnectOnError: (error: Error) => /\bREADONLY\b/.test(error.message),
  } satisfies RedisOptions;
  if ('socketPath' in address) return new SingleRedis({ ...single, path: address.socketPath });
  const target = readRedisUrl(address.url);
  if (target === undefined) throw new KinoraError('INVALID_CONFIG', 'REDIS_URL: no address of a Redis.');
  if (target.kind === 'single') return new SingleRedis(target.url, single);
  if (target.kind === 'sentinels') return new SingleRedis({ ...single, ...sentinelOptions(target) });
  const Client = kind === 'patient' ? Cluster : FailFastCluster;
  return new Client([...target.hosts], {
    clusterRetryStrategy: retryAfterMs,
    // Steps of a tenth of a second, for as long as no server has the keys.
    maxRedirections: kind === 'patient' ? Number.MAX_SAFE_INTEGER : commandTimeoutMs / 100,
    slotsRefreshInterval: 2_000,
    // BullMQ and ioredis may wait for each other after a check that failed; a command that comes too early is tried again.
    enableReadyCheck: false,
    // Certificates name hosts, not addresses.
    ...(target.isTls ? { dnsLookup: (host, answer) => answer(null, host) } : {}),
    redisOptions: { ...options, ...credentialsOf(target), ...(target.isTls ? { tls: {} } : {}) },
  });
}

function sentinelOptions(target: Extract<RedisTarget, { kind: 'sentinels' }>) {
  const { hosts, name, db, sentinel, isTls } = target;
  return {
    ...{ name, db, sentinels: [...hosts] },
    ...credentialsOf(target),
    ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
    ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
    ...(isTls ? { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
    sentinelRetryStrategy: retryAfterMs,
    // A master that is frozen says nothing: the Sentinels tell of the new one long before its silence is noticed.
    failoverDetector: true,
  } satisfies RedisOptions;
}

function credentialsOf({ username, password }: Pick<RedisOptions, 'username' | 'password'>) {
  return { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) };
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
  const text = lastWord(error);
  const sentence = refusals.find(([pattern]) => pattern.test(text))?.[1];
  if (sentence === undefined) return error;
  return new KinoraError('INVALID_CONFIG', `REDIS_URL: ${sentence}.`, { cause: error });
}

/** What the server said: the client puts words of its own around it where it has asked several. */
function lastWord(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('lastNodeError' in error) return lastWord(error.lastNodeError);
  return /Last error: (.*)$/.exec(error.message)?.[1] ?? error.message;
}

/**
 * Refuses a Redis that is too old, that is a replica, or that would evict keys when memory runs out.
 * @returns what it forgets when it dies, as a sentence; undefined when that is nothing, or a second at most
 * @throws KinoraError INVALID_CONFIG, also for a wrong password, too few rights, and a database that does not exist
 */
export async function assertTrustworthy(redis: Redis): Promise<string | undefined> {
  let onError: (error: Error) => void = () => {};
  // Where several servers may answer, the client goes on trying after a refusal.
  const refused = new Promise<never>((_, reject) => {
    onError = (error) => asRefusal(error) !== error && reject(error);
  });
  redis.on('error', onError);
  try {
    return await Promise.race([look(redis), refused]);
  } catch (error) {
    throw asRefusal(error);
  } finally {
    redis.off('error', onError);
  }
}

async function look(redis: Redis): Promise<string | undefined> {
  const keys = new Keys();
  const isCluster = redis instanceof Cluster;
  const forgets: (string | undefined)[] = [];
  for (const [index, server] of (await serversOf(redis, keys)).entries()) {
    const info = await server.info();
    // The client carries on with database 0 where the one of the URL does not exist.
    const { db = 0 } = server.options;
    if (db !== 0) await server.select(db);
    const field = (name: string): string => new RegExp(`^${name}:(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';
    refuseByInfo(field, isCluster, index > 0);
    forgets.push(await whatItForgets(server, field));
  }
  // A user who may not run scripts, or not over Kinora's keys, is refused here rather than with every request.
  await untilRedisCan(() => redis.eval("return redis.call('EXISTS', KEYS[1])", 1, keys.schema));
  return forgets.find((sentence) => sentence !== undefined);
}

function refuseByInfo(field: (name: string) => string, isCluster: boolean, mayBeReplica: boolean): void {
  const refuse = (sentence: string): never => {
    throw new KinoraError('INVALID_CONFIG', sentence);
  };
  const version = field('redis_version');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1])) {
    refuse(`Redis ${version} is too old: Kinora needs ${oldestVersion.join('.')} or newer.`);
  }
  // Dragonfly says so where it emulates one, and is spoken to as a single server.
  const isDragonfly = field('dragonfly_version') !== '';
  // Valkey has a name of its own for it.
  const mode = field('redis_mode') || field('server_mode');
  if (mode === 'cluster' && !isCluster && !isDragonfly) {
    refuse('REDIS_URL: this is a Redis Cluster: write redis+cluster://HOST:PORT.');
  }
  if (!mayBeReplica && /^(slave|replica)$/.test(field('role'))) {
    refuse('REDIS_URL: this Redis is a read-only replica; name its master.');
  }
  const policy = isDragonfly
    ? field('cache_mode') === 'cache'
      ? 'cache_mode'
      : 'noeviction'
    : field('maxmemory_policy');
  if (policy !== 'noeviction') {
    refuse(
      `Redis would evict jobs when its memory is full (maxmemory-policy is "${policy}"): set "maxmemory-policy noeviction".`,
    );
  }
}

/** Servers of providers may forbid CONFIG; INFO then says whether there is an append-only file, and no more. */
async function whatItForgets(
  redis: SingleRedis,
  field: (name: string) => string,
): Promise<string | undefined> {
  const remedy = 'set "appendonly yes" in its configuration';
  const failed = ['aof_last_write_status', 'aof_last_bgrewrite_status'].some((name) => field(name) === 'err');
  if (field('aof_enabled') === '1') {
    return failed ? 'Redis cannot write its append-only file; its log says why.' : undefined;
  }
  if (field('dragonfly_version') !== '') {
    return 'Dragonfly has no append-only file, and forgets what came after its latest snapshot when it dies; "--snapshot_cron" says how often it writes one.';
  }
  const saved = await redis.config('GET', 'save').catch(() => undefined);
  const points = Array.isArray(saved) ? String(saved[1] ?? '') : undefined;
  if (points === '') return `Redis keeps nothing on its disk and forgets everything when it dies: ${remedy}.`;
  return `Redis writes snapshots at most, and forgets what came after the last one when it dies: ${remedy}.`;
}
