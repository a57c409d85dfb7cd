/** Bots and workers of several versions over one Redis, one data folder and one fake Telegram, as people start them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { botEntries } from '../../src/queue/bot-registry.ts';
import { Keys } from '../../src/queue/keys.ts';
import { workerEntries } from '../../src/queue/worker-registry.ts';
import { type FakeTelegram, startFakeTelegram } from '../fakes/telegram/server.ts';
import { tinyPackPath } from '../helpers/golden.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { freePort } from '../helpers/running-kinora.ts';
import type { Version } from './versions.ts';

const readyWithinMs = 300_000;
const saidKept = 4_000;

/** A process that serves. */
export interface Serving {
  readonly version: Version;
  readonly kind: 'bot' | 'worker';
  readonly pid: number;
  /** Asks it to end, as systemd does, and waits until it has. */
  drain(): Promise<void>;
}

export class Processes {
  readonly redis: TestRedis;
  readonly telegram: FakeTelegram;
  readonly url: string;
  readonly folder: string;
  /** Processes that ended otherwise than they were asked to, with their last words. */
  readonly deaths: string[] = [];
  readonly #env: NodeJS.ProcessEnv;
  readonly #running = new Set<ChildProcess>();

  private constructor(
    redis: TestRedis,
    telegram: FakeTelegram,
    folder: string,
    port: number,
    settings: NodeJS.ProcessEnv,
  ) {
    this.redis = redis;
    this.telegram = telegram;
    this.folder = folder;
    this.url = `http://127.0.0.1:${port}`;
    this.#env = {
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: join(folder, 'settings.env'),
      KINORA_DATA_DIR: join(folder, 'data'),
      KINORA_MODEL: tinyPackPath,
      KINORA_DEVICE: 'cpu',
      KINORA_THREADS: '1',
      KINORA_WARMUP: 'off',
      KINORA_WEB_PORT: String(port),
      KINORA_TELEGRAM_TOKEN: telegram.token,
      KINORA_TELEGRAM_API: telegram.apiRoot,
      KINORA_QUEUE_LIMIT: '10000',
      KINORA_USER_LIMIT: '10000',
      KINORA_COMMUNITY_LIMIT: '10000',
      KINORA_CREDITS_PER_DAY: '10000',
      REDIS_URL: `unix://${redis.socketPath}`,
      ...settings,
    };
  }

  /** @param settings others than those of one bot with Telegram and the page */
  static async start(settings: NodeJS.ProcessEnv = {}): Promise<Processes> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-rolling-'));
    await writeFile(join(folder, 'settings.env'), '');
    const telegram = await startFakeTelegram({ localFolder: folder });
    return new Processes(await TestRedis.start(), telegram, folder, await freePort(), settings);
  }

  /** Runs a command of a version to its end. @returns what it printed */
  async command(version: Version, ...args: readonly string[]): Promise<string> {
    const child = this.#spawn(version, args, 'pipe');
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`${version.name}: kinora ${args.join(' ')} ended with ${code}`);
    return said;
  }

  /** Resolves when its API answers. */
  async bot(version: Version): Promise<Serving> {
    const bot = this.#serve(version, 'bot');
    await this.#until(bot, async () =>
      fetch(`${this.url}/v1/models`).then(
        ({ status }) => status === 401,
        () => false,
      ),
    );
    return bot;
  }

  /** One of several. Resolves when the others hear of it. */
  async sharing(version: Version): Promise<Serving> {
    const bot = this.#serve(version, 'bot');
    const redis = this.redis.connect();
    await this.#until(bot, async () => {
      return (await botEntries(redis, new Keys())).some(({ pid, isAlive }) => isAlive && pid === bot.pid);
    });
    return bot;
  }

  /** Resolves when it takes jobs. */
  async worker(version: Version): Promise<Serving> {
    const worker = this.#serve(version, 'worker');
    const redis = this.redis.connect();
    await this.#until(worker, async () => {
      const entries = [...(await workerEntries(redis, new Keys())).values()];
      return entries.some(({ entry, alive }) => alive && entry.isServing && entry.pid === worker.pid);
    });
    return worker;
  }

  async #until({ version, kind }: Serving, condition: () => Promise<boolean>): Promise<void> {
    const deaths = this.deaths.length;
    await eventually(
      `the ${version.name} ${kind} serves`,
      async () => {
        if (this.deaths.length > deaths) throw new Error(this.deaths.at(-1));
        return await condition();
      },
      readyWithinMs,
    );
  }

  #spawn({ root }: Version, args: readonly string[], stdout: 'pipe' | 'ignore'): ChildProcess {
    const child = spawn(process.execPath, [join(root, 'src/kinora.mjs'), ...args], {
      env: this.#env,
      cwd: this.folder,
      stdio: ['ignore', stdout, 'pipe'],
    });
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    return child;
  }

  #serve(version: Version, kind: 'bot' | 'worker'): Serving {
    const child = this.#spawn(version, [kind], 'ignore');
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-saidKept);
      if (process.env['TEST_LOG']) process.stderr.write(`${version.name} ${kind}: ${chunk}`);
    });
    let isAsked = false;
    child.once('exit', (code, signal) => {
      if (isAsked && code === 0) return;
      this.deaths.push(`the ${version.name} ${kind} ended with ${code ?? signal}: ${said}`);
    });
    const drain = async (): Promise<void> => {
      isAsked = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    };
    return { version, kind, pid: child.pid ?? 0, drain };
  }

  async stop(): Promise<void> {
    for (const child of this.#running) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await this.redis.stop();
    await this.telegram.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
