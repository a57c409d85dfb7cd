/** A real redis-server for one test: a unix socket in a temporary folder, stopped by pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { connectRedis, type RedisAddress } from '../../src/queue/redis.ts';

export class TestRedis {
  readonly socketPath: string;
  /** Address for the connections under test; a test may put a proxy in between. */
  address: RedisAddress;
  readonly #folder: string;
  readonly #arguments: readonly string[];
  readonly #connections: Redis[] = [];
  #process: ChildProcess;

  private constructor(folder: string, extraArguments: readonly string[]) {
    this.#folder = folder;
    this.#arguments = extraArguments;
    this.socketPath = join(folder, 'redis.sock');
    this.address = { socketPath: this.socketPath };
    this.#process = this.#spawn();
  }

  static async start(...extraArguments: string[]): Promise<TestRedis> {
    const server = new TestRedis(await mkdtemp(join(tmpdir(), 'kinora-redis-')), extraArguments);
    await server.#answers();
    return server;
  }

  get process(): ChildProcess {
    return this.#process;
  }

  #spawn(): ChildProcess {
    const base = ['--port', '0', '--unixsocket', this.socketPath, '--dir', this.#folder, '--save', ''];
    return spawn('redis-server', [...base, ...this.#arguments], { stdio: 'ignore' });
  }

  async #answers(): Promise<void> {
    const late = sleep(10_000, undefined, { ref: false }).then(() => {
      throw new Error('redis-server did not start');
    });
    await Promise.race([this.connect().ping(), late]);
  }

  /** A test's own look at the server: a new connection that waits when it is away; closed by stop(). */
  connect(): Redis {
    const redis = new Redis({ path: this.socketPath, maxRetriesPerRequest: null, retryStrategy: () => 50 });
    redis.on('error', () => {}); // the server may be stopped on purpose
    this.#connections.push(redis);
    return redis;
  }

  /** The kind of connection that workers use. */
  patient(): Redis {
    const redis = connectRedis(this.address, 'patient', () => {});
    this.#connections.push(redis);
    return redis;
  }

  /** The kind of connection that adapters use. */
  failFast(): Redis {
    const redis = connectRedis(this.address, 'fail-fast', () => {});
    this.#connections.push(redis);
    return redis;
  }

  async #kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGCONT');
    this.#process.kill('SIGKILL');
    await ended;
  }

  /** Kills the server, waits a moment and starts a new one on the same files. */
  async crashAndRestart(awayMs = 300): Promise<void> {
    await this.#kill();
    await rm(this.socketPath, { force: true });
    await sleep(awayMs);
    this.#process = this.#spawn();
    await this.#answers();
  }

  async stop(): Promise<void> {
    for (const redis of this.#connections) redis.disconnect();
    await this.#kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
