/** The private Redis, started again whenever it dies: its file holds every acknowledged write, and clients reconnect. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import { type PrivateRedis, startPrivateRedis } from './private-redis.ts';

const restartDelayMs = 500;

export class SupervisedRedis {
  readonly socketPath: string;
  /** Rejects when it died and cannot be started again. */
  readonly lost: Promise<never>;
  #server: PrivateRedis;
  readonly #stopping = new AbortController();

  private constructor(server: PrivateRedis, dataDir: string, log: Logger) {
    this.#server = server;
    this.socketPath = server.socketPath;
    this.lost = this.#keepRunning(dataDir, log);
    this.lost.catch(() => {}); // a caller that is ending no longer awaits it
  }

  /** Reading a large file takes long; the process exits when `end` resolves meanwhile. */
  static async start(dataDir: string, log: Logger, end: Promise<void>): Promise<SupervisedRedis> {
    const server = await Promise.race([startPrivateRedis(dataDir, log), end]);
    return server ? new SupervisedRedis(server, dataDir, log) : process.exit(0);
  }

  async #keepRunning(dataDir: string, log: Logger): Promise<never> {
    const { signal } = this.#stopping;
    for (;;) {
      await this.#server.ended;
      if (!signal.aborted) {
        log.error('redis-server ended; starting it again');
        await sleep(restartDelayMs, undefined, { signal }).catch(() => {}); // stop() ends the wait
      }
      if (signal.aborted) return await new Promise<never>(() => {});
      this.#server = await startPrivateRedis(dataDir, log);
      if (signal.aborted) await this.#server.stop();
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#server.stop();
  }
}
