/** What the long-running commands share: how they end, their data folder, and their connection for metrics. */
import { access, constants, mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { calledAs } from '../called-as.ts';
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import { isThere } from '../is-there.ts';
import { RedisProbe } from '../metrics/redis-probe.ts';
import { Keys } from '../queue/keys.ts';
import { connectRedis, type Redis, type RedisAddress } from '../queue/redis.ts';
import { assertAdopted } from '../queue/schema.ts';
import { privateSocket } from '../supervisor/private-redis.ts';
import { CommandError } from './command-error.ts';

/** How long a process that ends waits for Redis: accepted jobs are safe there already. */
const redisDeadlineMs = 5_000;
const usualStartDeadlineMs = 500;

/** Resolves with the first signal that asks the process to end. */
export function endRequested(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
  });
}

/**
 * Starts a process of Kinora, serves until it is asked to end, and stops within `graceMs`. When "kinora start" is killed,
 * the channel to it closes, and this process ends at once, even while it starts: the private Redis is gone too.
 * @param startDeadlineMs how long one that is asked to end while it starts may take to say so to others
 */
export async function serve(
  start: () => Promise<() => Promise<void>>,
  graceMs: number,
  startDeadlineMs = usualStartDeadlineMs,
): Promise<never> {
  process.on('disconnect', () => process.exit(1));
  if (process.connected === false) process.exit(1); // the channel closed while the modules were loaded
  const ended = endRequested();
  const stop = await Promise.race([start(), ended.then(() => sleep(startDeadlineMs))]);
  if (stop) {
    await ended;
    await Promise.race([stop(), sleep(graceMs + redisDeadlineMs)]);
  }
  // Connections that wait for a lost Redis, and the channel to the parent, would keep the process alive.
  process.exit(0);
}

export async function prepareDataFolder({ dataDir }: Config): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await access(dataDir, constants.W_OK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const message = `KINORA_DATA_DIR: ${dataDir} cannot be written to (${code}).`;
    throw new KinoraError('INVALID_CONFIG', message, { cause });
  }
}

export function sharedRedis(config: Config): RedisAddress {
  if (config.redis) return config.redis;
  throw new KinoraError(
    'INVALID_CONFIG',
    `REDIS_URL is not set; only "${calledAs('start')}" brings a Redis of its own.`,
  );
}

/**
 * Calls `use` with a connection to Redis of the settings, else to that of a running "kinora start" on the same folder.
 * @throws CommandError when there is none, or it does not answer
 */
export async function withRunningRedis(config: Config, use: (redis: Redis) => Promise<void>): Promise<void> {
  const redis = connectRedis(await runningRedis(config), 'fail-fast', () => {});
  try {
    await redis.ping().catch((error: unknown) => {
      if (error instanceof Error && error.name === 'ReplyError') throw error;
      // The address may hold a password, so it is not printed.
      throw new CommandError('Redis does not answer: start it, or correct REDIS_URL.', 'INVALID_CONFIG');
    });
    await assertAdopted(redis, new Keys());
    await use(redis);
  } finally {
    redis.disconnect();
  }
}

async function runningRedis({ redis, dataDir }: Config): Promise<RedisAddress> {
  if (redis) return redis;
  const socketPath = privateSocket(dataDir);
  if (await isThere(socketPath)) return { socketPath };
  throw new CommandError(
    `REDIS_URL is not set, and no "kinora start" runs on ${dataDir}; set REDIS_URL, or start Kinora.`,
    'INVALID_CONFIG',
  );
}

/** A connection of its own; its errors are those of the other connections, which log them. */
export const metricsProbe = (address: RedisAddress): RedisProbe =>
  new RedisProbe(
    connectRedis(address, 'fail-fast', () => {}),
    new Keys(),
  );
