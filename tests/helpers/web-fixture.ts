/** The bot process with the HTTP API as its only surface, over a real Redis, and a client that speaks to it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BotOptions, startBot } from '../../src/bot/main.ts';
import type { ChatPlatform } from '../../src/bot/platform.ts';
import { type ApiKeyScope, ApiKeys } from '../../src/queue/api-keys.ts';
import { type WebOptions, WebPlatform } from '../../src/web/platform.ts';
import { ffmpegPath } from './engine-fixture.ts';
import { log, openTerms } from './queue-harness.ts';
import { TestRedis } from './redis-server.ts';

export interface WebFixtureOptions {
  readonly limits?: WebOptions['limits'];
  readonly bot?: Partial<Pick<BotOptions, 'terms' | 'manifest' | 'jobFiles'>>;
  /** Other surfaces beside the API. */
  readonly platforms?: readonly ChatPlatform[];
}

export class WebFixture {
  readonly redis: TestRedis;
  readonly folder: string;
  readonly #options: WebFixtureOptions;
  #running: { readonly web: WebPlatform; readonly stop: () => Promise<void> } | null = null;

  private constructor(redis: TestRedis, folder: string, options: WebFixtureOptions) {
    this.redis = redis;
    this.folder = folder;
    this.#options = options;
  }

  static async start(options: WebFixtureOptions = {}): Promise<WebFixture> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-web-'));
    const fixture = new WebFixture(await TestRedis.start(), folder, options);
    await fixture.startBot();
    return fixture;
  }

  get jobsFolder(): string {
    return join(this.folder, 'jobs');
  }

  async startBot(): Promise<void> {
    const { limits, bot, platforms = [] } = this.#options;
    const { address } = this.redis;
    const web = new WebPlatform({
      host: '127.0.0.1',
      port: 0,
      redis: address,
      log,
      ...(limits ? { limits } : {}),
    });
    const running = await startBot({
      address,
      jobsFolder: this.jobsFolder,
      cacheFolder: join(this.folder, 'cache'),
      terms: openTerms,
      jobFiles: { retentionMs: 86_400_000, budgetBytes: 1e9, minFreeBytes: 0 },
      expireAfterMs: 86_400_000,
      platforms: [web, ...platforms],
      ffmpegPath,
      log,
      ...bot,
    });
    this.#running = { web, stop: () => running.stop() };
  }

  async stopBot(): Promise<void> {
    await this.#running?.stop();
    this.#running = null;
  }

  get url(): string {
    return this.#running?.web.address ?? '';
  }

  /** A new key, as "Authorization" takes it. */
  async token(userKey?: string, scopes: readonly ApiKeyScope[] = ['use']): Promise<string> {
    return (await new ApiKeys(this.redis.connect()).create({ name: 'test', userKey, scopes })).token;
  }

  async stop(): Promise<void> {
    await this.stopBot();
    await this.redis.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
