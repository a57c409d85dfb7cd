/** The private Redis, started again whenever it dies: its file holds every acknowledged write, and clients reconnect. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isKinoraError, serializeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { retry } from '../retry.ts';
import { type PrivateRedis, startPrivateRedis } from './private-redis.ts';

const firstRestartDelayMs = 500;
/** A disk may be full for hours; people wait from the moment on when it no longer is. */
const longestRestartDelayMs = 5_000;

export class SupervisedRedis {
  readonly socketPath: string;
  #server: PrivateRedis;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;

  private constructor(server: PrivateRedis, dataDir: string, log: Logger) {
    this.#server = server;
    this.socketPath = server.socketPath;
    this.#done = this.#keepRunning(dataDir, log);
  }

  /**
   * Waits while the disk is full, and while a large file is read; the process exits when `end` resolves meanwhile.
   * @throws KinoraError INVALID_CONFIG as startPrivateRedis()
   */
  static async start(dataDir: string, log: Logger, end: Promise<void>): Promise<SupervisedRedis> {
    const isPassing = (error: unknown): boolean => isKinoraError(error) && error.code === 'DISK_FULL';
    const server = await Promise.race([untilStarted(dataDir, log, isPassing), end]);
    return server ? new SupervisedRedis(server, dataDir, log) : process.exit(0);
  }

  /** It has run before, so whatever keeps it from running now may pass. */
  async #keepRunning(dataDir: string, log: Logger): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      const words = await this.#server.ended;
      if (signal.aborted) return;
      log.error({ words }, 'redis-server ended; starting it again');
      await sleep(firstRestartDelayMs, undefined, { signal }).catch(() => {}); // stop() ends the wait
      if (signal.aborted) return;
      const server = await untilStarted(dataDir, log, () => true, signal).catch(() => undefined);
      if (!server) return;
      this.#server = server;
      if (signal.aborted) return await server.stop();
      log.warn('redis-server is back');
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#server.stop();
    await this.#done;
  }
}

/** Tries again after errors that pass, and says each reason once. */
async function untilStarted(
  dataDir: string,
  log: Logger,
  isPassing: (error: unknown) => boolean,
  signal?: AbortSignal,
): Promise<PrivateRedis> {
  let said = '';
  const pauseMs = (error: unknown, attempt: number): number | undefined => {
    if (!isPassing(error)) return undefined;
    const { message } = serializeError(error);
    if (message !== said) log.error(`${message} Waiting until redis-server can be started.`);
    said = message;
    return Math.min(firstRestartDelayMs * attempt, longestRestartDelayMs);
  };
  return await retry(() => startPrivateRedis(dataDir, log), pauseMs, signal);
}
