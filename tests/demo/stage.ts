/**
 * Everything that the demonstration needs, and nothing of it pretended but the wire: two fake servers, and behind them
 * the parts of `kinora start`: a Redis of its own, the bot with the platforms' own clients and the page, a worker, and
 * the engine.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiscordPlatform } from '../../src/bot/discord/adapter.ts';
import type { RunningBot } from '../../src/bot/main.ts';
import { Models } from '../../src/bot/models.ts';
import { TelegramPlatform } from '../../src/bot/telegram/adapter.ts';
import { startEngine } from '../../src/commands/engines.ts';
import { choosePack } from '../../src/commands/packs.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import type { Engine } from '../../src/engine/supervisor.ts';
import type { Pack } from '../../src/inference/packs/files.ts';
import { createLogger, type Logger } from '../../src/log.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { connectRedis } from '../../src/queue/redis.ts';
import { queueTerms } from '../../src/queue/terms.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { type PrivateRedis, startPrivateRedis } from '../../src/supervisor/private-redis.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { WebPlatform } from '../../src/web/platform.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { JobWorker } from '../../src/worker/worker.ts';
import { type FakeDiscord, startFakeDiscord } from '../fakes/discord/server.ts';
import { type FakeTelegram, startFakeTelegram } from '../fakes/telegram/server.ts';
import { startBot } from '../helpers/leading-bot.ts';
import { freePort } from '../helpers/running-kinora.ts';

/** Who may do what; known before the bot starts, as in its settings. */
export interface Admins {
  readonly discordUserId: string;
  readonly discordServerId: string;
  readonly telegramUserId: number;
}

/** Often enough to be read in a transcript; real servers are edited less often. */
const statusEveryMs = 150;

export class Stage {
  readonly discord: FakeDiscord;
  readonly telegram: FakeTelegram;
  readonly #folder: string;
  readonly #log: Logger;
  #config: Config | undefined;
  #pack: Pack | undefined;
  #redis: PrivateRedis | undefined;
  #engine: Engine | undefined;
  #worker: JobWorker | undefined;
  #bot: RunningBot | undefined;
  #closeRedis: () => void = () => {};

  private constructor(discord: FakeDiscord, telegram: FakeTelegram, folder: string, log: Logger) {
    this.discord = discord;
    this.telegram = telegram;
    this.#folder = folder;
    this.#log = log;
  }

  /** The two servers, with nobody there yet. */
  static async open(): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-demo-'));
    const log = createLogger('demo', process.env['KINORA_LOG_LEVEL'] ?? 'error');
    return new Stage(await startFakeDiscord(), await startFakeTelegram(), folder, log);
  }

  /** @param settings as they would stand in .env; nobody's own .env is read */
  async start(admins: Admins, settings: Readonly<Record<string, string>>): Promise<void> {
    const envFile = join(this.#folder, 'settings.env');
    await writeFile(envFile, '');
    const port = await freePort();
    const config = loadConfig({
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: join(this.#folder, 'data'),
      KINORA_DEVICE: 'cpu',
      KINORA_DISCORD_TOKEN: this.discord.token,
      KINORA_DISCORD_ADMINS: admins.discordUserId,
      KINORA_DISCORD_ADMIN_SERVERS: admins.discordServerId,
      KINORA_TELEGRAM_TOKEN: this.telegram.token,
      KINORA_TELEGRAM_ADMINS: String(admins.telegramUserId),
      KINORA_WEB_PORT: String(port),
      KINORA_PUBLIC_URL: `http://127.0.0.1:${port}`,
      ...settings,
    });
    this.#config = config;
    await mkdir(config.dataDir, { recursive: true });
    this.#pack = await choosePack(config, config.model);
    this.#redis = await startPrivateRedis(config.dataDir, this.#log);
    const { engine } = await startEngine(config, [this.#pack], config.device, this.#log);
    this.#engine = engine;
    const connection = connectRedis(this.#address, 'patient', () => {});
    this.#closeRedis = () => connection.disconnect();
    const generate = engineGenerate(engine, [this.#pack], config.metadata);
    this.#worker = new JobWorker(
      connection,
      new Artifacts(new FolderStorage(this.#jobsFolder)),
      generate,
      this.#log,
      {
        models: [this.#pack.manifest.id],
      },
    );
    await this.#worker.start();
    await this.startBot();
    await this.discord.until(() => this.discord.commands().length > 0);
  }

  get #address() {
    return { socketPath: this.#redis?.socketPath ?? '' };
  }

  get #jobsFolder(): string {
    return join(this.#folder, 'data', 'jobs');
  }

  async startBot(): Promise<void> {
    const config = this.#config;
    if (!config?.discord || !config.telegram || !this.#pack) throw new Error('start() comes first');
    const { path: ffmpegPath } = await findFfmpeg();
    const common = { dataFolder: config.dataDir, ffmpegPath, log: this.#log };
    const { manifest } = this.#pack;
    const { host, port = 0, publicUrl, mayCallPrivate: mayBePrivate } = config.web;
    const platforms = [
      new DiscordPlatform({
        ...config.discord,
        ...common,
        clientOptions: this.discord.clientOptions,
        pictureOrigins: [this.discord.cdn],
        statusEveryMs,
      }),
      new TelegramPlatform({
        ...config.telegram,
        ...common,
        apiRoot: this.telegram.apiRoot,
        statusEveryMs: { private: statusEveryMs, group: statusEveryMs },
      }),
      new WebPlatform({
        ...{ ...common, host, port, publicUrl },
        redis: this.#address,
        outgoing: { mayBePrivate, proxies: config.proxies },
      }),
    ];
    this.#bot = await startBot({
      address: this.#address,
      storage: new FolderStorage(this.#jobsFolder),
      terms: queueTerms(config.queue, () => manifest),
      jobFiles: config.jobFiles,
      expireAfterMs: config.queue.expireAfterMs,
      platforms,
      log: this.#log,
      models: new Models([manifest]),
      publicUrl,
      cacheFolder: config.cacheFolder,
      ffmpegPath,
    });
  }

  async stopBot(): Promise<void> {
    await this.#bot?.stop();
    this.#bot = undefined;
  }

  /** Leaves no process and no file. May be called in any state. */
  async close(): Promise<void> {
    await this.stopBot();
    await this.#worker?.stop(0);
    await this.#engine?.stop();
    this.#closeRedis();
    await this.#redis?.stop();
    await Promise.all([this.discord.stop(), this.telegram.stop()]);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** One of the example photographs. */
export async function photograph(name: 'cat' | 'coffee' | 'astronaut') {
  const bytes = await readFile(new URL(`../../examples/${name}.jpg`, import.meta.url));
  return { name: `${name}.jpg`, bytes, contentType: 'image/jpeg' };
}
