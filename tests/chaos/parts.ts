/** The processes of Kinora as the command line starts them, for tests that kill them: a Redis, the bot and a worker. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tinyPackPath } from '../helpers/golden.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { freePort } from '../helpers/running-kinora.ts';

const entry = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
/** As the private Redis of `kinora start`: what was acknowledged is on the disk. */
const durable = ['--appendonly', 'yes', '--appendfsync', 'always'];

export const partNames = ['bot', 'worker', 'Redis'] as const;
/** The HTTP API runs inside the bot. */
export type PartName = (typeof partNames)[number];

export class Parts {
  readonly redis: TestRedis;
  readonly url: string;
  /** The last words of processes that ended by themselves. */
  readonly deaths: string[] = [];
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #processes = new Map<'bot' | 'worker', ChildProcess>();

  private constructor(redis: TestRedis, url: string, folder: string, env: NodeJS.ProcessEnv) {
    this.redis = redis;
    this.url = url;
    this.#folder = folder;
    this.#env = env;
  }

  static async start(): Promise<Parts> {
    const redis = await TestRedis.start(...durable);
    const folder = await mkdtemp(join(tmpdir(), 'kinora-parts-'));
    const envFile = join(folder, 'settings.env');
    await writeFile(envFile, '');
    const port = await freePort();
    const parts = new Parts(redis, `http://127.0.0.1:${port}`, folder, {
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: join(folder, 'data'),
      KINORA_MODEL: tinyPackPath,
      KINORA_DEVICE: 'cpu',
      KINORA_THREADS: '1',
      KINORA_WEB_PORT: String(port),
      KINORA_QUEUE_LIMIT: '10000',
      KINORA_USER_LIMIT: '10000',
      KINORA_CREDITS_PER_DAY: '10000',
      REDIS_URL: `unix://${redis.socketPath}`,
    });
    parts.#spawn('bot');
    parts.#spawn('worker');
    await parts.ready();
    return parts;
  }

  #spawn(name: 'bot' | 'worker'): void {
    const child = spawn(process.execPath, [entry, name], {
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-2_000);
    });
    child.once('exit', (code) => {
      if (code !== null) this.deaths.push(`${name} ended with ${code}: ${said}`);
    });
    this.#processes.set(name, child);
  }

  /** Resolves when the API answers and a worker serves. */
  async ready(): Promise<void> {
    await eventually('Kinora is ready', async () => {
      return await fetch(`${this.url}/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
  }

  /** Kills with SIGKILL, waits `awayMs`, and starts it again; does not wait until it serves. */
  async kill(name: PartName, awayMs: number): Promise<void> {
    if (name === 'Redis') return await this.redis.crashAndRestart(awayMs);
    await this.#end(name);
    await new Promise((resolve) => setTimeout(resolve, awayMs));
    this.#spawn(name);
  }

  async #end(name: 'bot' | 'worker'): Promise<void> {
    const child = this.#processes.get(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#end('bot'), this.#end('worker')]);
    await this.redis.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
