/** Kinora on hosts of its own: Redis, a server of S3, bots and workers, each as people run them. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { Redis } from 'ioredis';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { Keys } from '../../src/queue/keys.ts';
import { s3Client } from '../../src/storage/s3-client.ts';
import { S3Storage } from '../../src/storage/s3-storage.ts';
import { type FakeTelegram, startFakeTelegram } from '../fakes/telegram/server.ts';
import { svdPackPath, tinyPackPath } from '../helpers/golden.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { Host, type Program } from './host.ts';
import { type Network, outside } from './network.ts';

const kinora = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
const bucket = 'kinora';
const ports = { redis: 6379, s3: 5000, web: 7080 };
const readyWithinMs = 180_000;

export const models = { tiny: 'tiny-i2vgen-xl', svd: 'tiny-svd', builtin: 'kinora-builtin-2' } as const;
export type Model = (typeof models)[keyof typeof models];

/** Packs and devices: every model has two workers. */
const workerSettings = [
  { KINORA_MODEL: `${tinyPackPath},builtin`, KINORA_DEVICE: 'cpu', KINORA_THREADS: '1' },
  { KINORA_MODEL: `${svdPackPath},builtin`, KINORA_DEVICE: 'auto', KINORA_THREADS: '1' },
  { KINORA_MODEL: `${svdPackPath},${tinyPackPath}`, KINORA_DEVICE: 'cpu', KINORA_THREADS: '2' },
] as const;

/** Host → "+3h", "-2d" and the like. */
export type Clocks = Readonly<Record<string, string>>;

export class Installation {
  readonly telegram: FakeTelegram;
  readonly redisHost: Host;
  readonly s3Host: Host;
  readonly bot: Host;
  /** A second bot, which is switched on where a scenario has two. */
  readonly standby: Host;
  readonly workers: readonly [Host, Host, Host];
  readonly redis: Redis;
  readonly keys = new Keys();
  readonly artifacts: Artifacts;
  readonly #folder: string;
  #leader: Host;
  #isOver = false;

  private constructor(network: Network, telegram: FakeTelegram, folder: string) {
    this.telegram = telegram;
    this.#folder = folder;
    const host = (name: string, program: (address: string) => Program): Host => {
      const plug = network.plug(name);
      return new Host(plug, program(plug.address), join(folder, `${name}.log`));
    };
    this.redisHost = host('redis', () => redisServer(this.#ownFolder('redis')));
    this.s3Host = host('s3', (address) => s3Server(address));
    const [redis, s3] = [this.redisHost.address, this.s3Host.address];
    const shared = {
      KINORA_THREADS: '1',
      KINORA_WARMUP: 'off',
      KINORA_LOG_LEVEL: 'info',
      REDIS_URL: `redis://${redis}:${ports.redis}`,
      KINORA_STORAGE: `s3://${bucket}/jobs`,
      AWS_ACCESS_KEY_ID: 'kinora',
      AWS_SECRET_ACCESS_KEY: 'kinora',
      AWS_ENDPOINT_URL: `http://${s3}:${ports.s3}`,
    };
    const bot = (name: string): Host =>
      host(name, (address) =>
        this.#kinora(name, 'bot', {
          ...shared,
          KINORA_STORAGE_URL: shared.AWS_ENDPOINT_URL,
          KINORA_TELEGRAM_TOKEN: telegram.token,
          KINORA_TELEGRAM_API: telegram.apiRoot,
          KINORA_WEB_HOST: address,
          KINORA_WEB_PORT: String(ports.web),
          KINORA_USER_LIMIT: '1000',
          KINORA_COMMUNITY_LIMIT: '1000',
          KINORA_CREDITS_PER_DAY: '100000',
        }),
      );
    [this.bot, this.standby] = [bot('bot'), bot('standby')];
    this.#leader = this.bot;
    const worker = (index: 0 | 1 | 2): Host => {
      const name = `worker${index + 1}`;
      return host(name, () => this.#kinora(name, 'worker', { ...shared, ...workerSettings[index] }));
    };
    this.workers = [worker(0), worker(1), worker(2)];
    this.redis = new Redis(shared.REDIS_URL, { maxRetriesPerRequest: null, retryStrategy: () => 100 });
    this.redis.on('error', () => {}); // its host is cut off on purpose
    const settings = {
      ...{ bucket, prefix: 'jobs', region: 'us-east-1', endpoint: shared.AWS_ENDPOINT_URL },
      ...{
        workFolder: join(folder, 'judge'),
        credentials: { accessKeyId: 'judge', secretAccessKey: 'judge' },
      },
    };
    this.artifacts = new Artifacts(new S3Storage(settings));
  }

  /**
   * Resolves when all serve.
   * @param folder for data and logs of the hosts
   * @param clocks that are wrong
   * @param hasStandby a second bot stands by
   */
  static async start(
    network: Network,
    folder: string,
    clocks: Clocks = {},
    hasStandby = false,
  ): Promise<Installation> {
    const made = new Installation(network, await startFakeTelegram({ host: outside }), folder);
    try {
      await made.#begin(clocks);
      if (hasStandby) await made.#standBy();
    } catch (error) {
      await made.stop();
      throw error;
    }
    return made;
  }

  async #begin(clocks: Clocks): Promise<void> {
    this.redisHost.switchOn();
    this.s3Host.switchOn();
    await eventually('the server of S3', () => answers(`http://${this.s3Host.address}:${ports.s3}`));
    const endpoint = `http://${this.s3Host.address}:${ports.s3}`;
    const credentials = { accessKeyId: 'kinora', secretAccessKey: 'kinora' };
    const client = s3Client(
      { bucket, prefix: '', region: 'us-east-1', endpoint, credentials, workFolder: '' },
      { connectMs: 5_000, silenceMs: 30_000 },
    );
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    client.destroy();
    for (const host of [this.bot, ...this.workers]) {
      const clock = clocks[host.name];
      host.switchOn(clock === undefined ? {} : this.setClock(host, clock));
    }
    await this.ready();
  }

  get hosts(): readonly Host[] {
    return [this.redisHost, this.s3Host, this.bot, this.standby, ...this.workers];
  }

  /** Of the bot that led at the last look: what a load balancer passes requests on to. */
  get url(): string {
    return urlOf(this.#leader);
  }

  get leader(): Host {
    return this.#leader;
  }

  async #standBy(): Promise<void> {
    this.standby.switchOn();
    await eventually('a bot that stands by', async () =>
      (await readiness(this.standby)).includes('standing_by'),
    );
    void this.#watch();
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      for (const bot of [this.bot, this.standby]) {
        const said = await readiness(bot);
        if (said.includes('"mode"')) this.#leader = bot;
      }
      await sleep(200);
    }
  }

  /** Resolves when the API takes requests and all workers serve. */
  async ready(): Promise<void> {
    const isReady = async (): Promise<boolean> =>
      (await readiness(this.#leader)).includes(`"workers":${this.workers.length}`);
    await eventually('all hosts serve', isReady, readyWithinMs);
  }

  /** @returns what a host is switched on with, so that it has a clock of its own */
  setClock({ name }: Host, offset: string): Readonly<Record<string, string>> {
    const file = join(this.#folder, `${name}.clock`);
    writeFileSync(file, offset);
    return {
      LD_PRELOAD: wrongClockLibrary() ?? '',
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: '1',
      // It is the wall clock that is wrong.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  #ownFolder(name: string): string {
    const folder = join(this.#folder, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  #kinora(name: string, command: 'bot' | 'worker', settings: Readonly<Record<string, string>>): Program {
    const folder = this.#ownFolder(name);
    const envFile = join(folder, 'settings.env');
    writeFileSync(envFile, '');
    const env = {
      TMPDIR: folder,
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: join(folder, 'data'),
      ...settings,
    };
    return { command: process.execPath, args: [kinora, command], env };
  }

  /** Switches everything off. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.redis.disconnect();
    await Promise.all(this.hosts.map((host) => host.switchOff()));
    await this.telegram.stop();
  }
}

/** With an append-only file, as docs/redis.md asks for. */
function redisServer(folder: string): Program {
  const listening = ['--bind', '0.0.0.0', '--port', String(ports.redis), '--protected-mode', 'no'];
  const durable = ['--appendonly', 'yes', '--save', '', '--dir', folder];
  return { command: 'redis-server', args: [...listening, ...durable], env: {} };
}

function s3Server(address: string): Program {
  const command = process.env['KINORA_MOTO'] ?? 'moto_server';
  return { command, args: ['-H', address, '-p', String(ports.s3)], env: {} };
}

/** Of the package faketime; undefined where it is not installed. */
export function wrongClockLibrary(): string | undefined {
  const folders = readdirSync('/usr/lib').map((name) => `/usr/lib/${name}/faketime/libfaketimeMT.so.1`);
  return folders.find((file) => existsSync(file));
}

const urlOf = ({ address }: Host): string => `http://${address}:${ports.web}`;

/** What a bot answers to those who watch over it; '' where it does not. */
export async function readiness(bot: Host): Promise<string> {
  const asked = fetch(`${urlOf(bot)}/ready`, { signal: AbortSignal.timeout(1_500) });
  return await asked.then((answer) => answer.text()).catch(() => '');
}

async function answers(url: string): Promise<boolean> {
  return await fetch(url).then(
    () => true,
    () => false,
  );
}
