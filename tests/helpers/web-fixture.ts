/** The bot process with the HTTP API as its surface, over a real Redis, with workers as a test wants them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BotOptions } from '../../src/bot/main.ts';
import { Models } from '../../src/bot/models.ts';
import type { ChatPlatform } from '../../src/bot/platform.ts';
import { Engine } from '../../src/engine/supervisor.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { type ApiKeyScope, ApiKeys } from '../../src/queue/api-keys.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { Keys } from '../../src/queue/keys.ts';
import { tellOfModels } from '../../src/queue/models.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { type WebOptions, WebPlatform } from '../../src/web/platform.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import type { WorkerSettings } from '../../src/worker/settings.ts';
import { TravellingLatents } from '../../src/worker/travelling-latents.ts';
import { type Generate, JobWorker } from '../../src/worker/worker.ts';
import { engineOptions, ffmpegPath, tinyPack } from './engine-fixture.ts';
import { startBot } from './leading-bot.ts';
import { eventually, log, openTerms } from './queue-harness.ts';
import { TestRedis } from './redis-server.ts';
import { WebPerson } from './web-person.ts';

export { photo, videoOf, WebPerson } from './web-person.ts';

const { manifest } = await loadPack(tinyPack);
/** The only one that there is. */
export const model = manifest.id;
export interface WebFixtureOptions {
  /** With data in it already. It is taken over, and stopped. */
  readonly redis?: TestRedis;
  readonly host?: string;
  readonly port?: number;
  readonly log?: WebOptions['log'];
  readonly limits?: WebOptions['limits'];
  readonly publicUrl?: string;
  readonly pageFolder?: string;
  /** Without it, addresses of this machine are refused as they are by default. */
  readonly outgoing?: WebOptions['outgoing'];
  readonly webhookPausesMs?: readonly number[];
  /** Of a bot and a worker on machines of their own; one folder for both when absent. */
  readonly storage?: { readonly bot: Storage; readonly worker: Storage };
  readonly bot?: Partial<Pick<BotOptions, 'terms' | 'jobFiles'>>;
  /** Other surfaces beside the API. */
  readonly platforms?: readonly ChatPlatform[];
}

export class WebFixture {
  readonly redis: TestRedis;
  readonly folder: string;
  readonly #options: WebFixtureOptions;
  readonly #cleanups: (() => Promise<unknown>)[] = [];
  readonly #models = new Models([manifest]);
  #running: { readonly web: WebPlatform; readonly stop: () => Promise<void> } | null = null;

  private constructor(redis: TestRedis, folder: string, options: WebFixtureOptions) {
    this.redis = redis;
    this.folder = folder;
    this.#options = options;
  }

  static async start(options: WebFixtureOptions = {}): Promise<WebFixture> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-web-'));
    const fixture = new WebFixture(options.redis ?? (await TestRedis.start()), folder, options);
    try {
      await fixture.startBot();
    } catch (error) {
      await fixture.stop();
      throw error;
    }
    return fixture;
  }

  get artifacts(): Artifacts {
    return new Artifacts(this.#storage.worker);
  }

  get #storage(): { readonly bot: Storage; readonly worker: Storage } {
    const folder = new FolderStorage(join(this.folder, 'jobs'));
    return this.#options.storage ?? { bot: folder, worker: folder };
  }

  async startBot(): Promise<void> {
    const { host = '127.0.0.1', port = 0, limits, bot, platforms = [] } = this.#options;
    const { address } = this.redis;
    const { outgoing = { mayBePrivate: false }, webhookPausesMs = [100, 100] } = this.#options;
    const { folder: dataFolder } = this;
    const settings = {
      host,
      port,
      redis: address,
      dataFolder,
      outgoing,
      webhookPausesMs,
      log: this.#options.log ?? log,
    };
    const { publicUrl, pageFolder } = this.#options;
    const web = new WebPlatform({
      ...settings,
      publicUrl,
      ...(limits ? { limits } : {}),
      ...(pageFolder ? { pageFolder } : {}),
    });
    const running = await startBot({
      address,
      storage: this.#storage.bot,
      cacheFolder: join(this.folder, 'cache'),
      terms: openTerms,
      jobFiles: { retentionMs: 86_400_000, budgetBytes: 1e9, minFreeBytes: 0 },
      expireAfterMs: 86_400_000,
      platforms: [web, ...platforms],
      publicUrl,
      ffmpegPath,
      models: this.#models,
      log,
      ...bot,
    });
    this.#running = { web, stop: () => running.stop() };
  }

  async stopBot(): Promise<void> {
    await this.#running?.stop();
    this.#running = null;
  }

  async worker(
    generate: Generate,
    models: readonly string[] = [model],
    settings: Partial<WorkerSettings> = {},
  ): Promise<JobWorker> {
    const all = { models, ...settings };
    const worker = new JobWorker(this.redis.patient(), this.artifacts, generate, log, all);
    await worker.start();
    this.#cleanups.push(() => worker.stop(0));
    return worker;
  }

  /** A worker with a real engine. @param machine has a latent cache of its own */
  async realWorker(
    packPath = tinyPack,
    otherPackPaths: readonly string[] = [],
    machine = '.',
  ): Promise<JobWorker> {
    const folder = join(this.folder, machine);
    const engine = Engine.start(engineOptions(folder, { packPath, otherPackPaths }));
    const latents = new TravellingLatents(this.artifacts, join(folder, 'cache'), log);
    const packs = await Promise.all([packPath, ...otherPackPaths].map((folder) => loadPack(folder)));
    const ids = packs.map((pack) => pack.manifest.id);
    const descriptions = packs.map((pack) => [pack.manifest.id, JSON.stringify(pack.manifest)] as const);
    await tellOfModels(this.redis.connect(), new Keys(), new Map(descriptions));
    const generate = latents.before(engineGenerate(engine, packs, true));
    const onMade: WorkerSettings['onMade'] = (...made) => latents.store(...made);
    const worker = await this.worker(generate, ids, { onMade, fullDiskWaitMs: 100 });
    await eventually('the bot knows of them', () => ids.every((id) => this.#models.isOffered(id)));
    this.#cleanups.push(() => engine.stop());
    return worker;
  }

  get url(): string {
    return this.#running?.web.address ?? '';
  }

  /** Somebody with a key. */
  async person(userKey?: string, scopes: readonly ApiKeyScope[] = ['use']): Promise<WebPerson> {
    const { key, token } = await new ApiKeys(this.redis.connect()).create({ name: 'test', userKey, scopes });
    return new WebPerson(this, token, key.userKey);
  }

  async stop(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0)) await cleanup();
    await this.stopBot();
    await this.redis.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
