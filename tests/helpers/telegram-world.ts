/**
 * One Kinora on Telegram for a test: the fake Bot API, a real Redis, the real bot with the real telegraf, and a worker
 * that returns a real MP4 when the test lets it.
 */
import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import type { TestContext } from 'vitest';
import type { RunningBot } from '../../src/bot/main.ts';
import { Models } from '../../src/bot/models.ts';
import { TelegramPlatform } from '../../src/bot/telegram/adapter.ts';
import type { PackManifest } from '../../src/inference/packs/manifest.ts';
import { createLogger } from '../../src/log.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import type { QueueTerms } from '../../src/queue/client.ts';
import type { LedgerEntry } from '../../src/queue/ledger.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { encodeVideo } from '../../src/video/encode.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { type Generate, JobWorker } from '../../src/worker/worker.ts';
import type { FakeChat } from '../fakes/telegram/chat.ts';
import type { FakeMessage } from '../fakes/telegram/message.ts';
import { type FakeTelegram, startFakeTelegram } from '../fakes/telegram/server.ts';
import { cancelledError } from './cancelled.ts';
import { startBot } from './leading-bot.ts';
import { TestRedis } from './redis-server.ts';

const terms: QueueTerms = {
  cost: () => 2,
  day: () => '2026-11-21',
  cooldownMs: 0,
  limits: { queue: 1_000, user: 5, community: 50, credits: 50 },
};

/** A landscape picture with texture. */
export async function photo(): Promise<Buffer> {
  const background = { r: 60, g: 120, b: 190 };
  return await sharp({ create: { width: 320, height: 240, channels: 3, background } })
    .jpeg()
    .toBuffer();
}

async function* frames(width: number, height: number, isNoise: boolean) {
  for (let n = 0; n < 8; n++) {
    const data = isNoise ? randomBytes(width * height * 3) : Buffer.alloc(width * height * 3, 40 + n * 20);
    yield { data };
  }
}

/** Until the end of the test; then it is looked for secrets in the log. */
export async function telegramWorld(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  ...args: Parameters<typeof TelegramWorld.start>
): Promise<TelegramWorld> {
  const world = await TelegramWorld.start(...args);
  onTestFinished(() => world.stop());
  return world;
}

interface Overrides {
  /** That the bot's settings name. */
  readonly models?: readonly PackManifest[];
  /** In place of one that copies a clip. */
  readonly generate?: Generate;
  readonly adminUserIds?: readonly number[];
  readonly statusEveryMs?: number;
  readonly notifyAfterMs?: number;
  /** The address of the fake as the bot knows it. */
  readonly apiRoot?: string;
  readonly isLocalServer?: boolean;
}

export class TelegramWorld {
  readonly fake: FakeTelegram;
  readonly redis: TestRedis;
  readonly folder: string;
  readonly ffmpegPath: string;
  readonly artifacts: Artifacts;
  /** Everything that was logged, as one text. */
  logged = '';
  /** Jobs in the order in which they began to be generated. */
  readonly runs: LedgerEntry[] = [];
  /** While true, a running job waits at its first step. */
  isHeld = false;
  #size = { width: 64, height: 48 };
  #bot: RunningBot | null = null;
  #worker: JobWorker | null = null;
  readonly #overrides: Overrides;

  private constructor(
    fake: FakeTelegram,
    redis: TestRedis,
    folder: string,
    ffmpegPath: string,
    overrides: Overrides,
  ) {
    this.fake = fake;
    this.redis = redis;
    this.folder = folder;
    this.ffmpegPath = ffmpegPath;
    this.artifacts = new Artifacts(new FolderStorage(join(folder, 'jobs')));
    this.#overrides = overrides;
  }

  /** @param fake with people who were there before the bot */
  static async start(overrides: Overrides = {}, fake?: FakeTelegram): Promise<TelegramWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-telegram-'));
    const { path } = await findFfmpeg();
    const world = new TelegramWorld(
      fake ?? (await startFakeTelegram()),
      await TestRedis.start(),
      folder,
      path,
      overrides,
    );
    await world.useClip(64, 48, false);
    await world.startBot();
    await world.startWorker();
    return world;
  }

  /** The video that the worker returns from now on. Noise makes large files. */
  async useClip(width: number, height: number, isNoise: boolean): Promise<void> {
    this.#size = { width, height };
    await encodeVideo(frames(width, height, isNoise), {
      width,
      height,
      fps: 8,
      outPath: join(this.folder, 'clip.mp4'),
      thumbnailPath: join(this.folder, 'clip.jpg'),
      ffmpegPath: this.ffmpegPath,
    });
  }

  get log() {
    return createLogger('test', 'debug', {
      write: (line: string) => {
        this.logged += line;
      },
    });
  }

  async startBot(): Promise<void> {
    const { adminUserIds = [], statusEveryMs = 100, notifyAfterMs = 120_000 } = this.#overrides;
    const telegram = new TelegramPlatform({
      token: this.fake.token,
      adminUserIds,
      log: this.log,
      dataFolder: this.folder,
      apiRoot: this.#overrides.apiRoot ?? this.fake.apiRoot,
      isLocalServer: this.#overrides.isLocalServer ?? false,
      ffmpegPath: this.ffmpegPath,
      statusEveryMs: { private: statusEveryMs, group: statusEveryMs },
      notifyAfterMs,
      shortestPauseMs: 50,
    });
    this.#bot = await startBot({
      models: new Models(this.#overrides.models),
      address: this.redis.address,
      storage: new FolderStorage(join(this.folder, 'jobs')),
      terms,
      jobFiles: { retentionMs: 86_400_000, budgetBytes: 1e9, minFreeBytes: 0 },
      expireAfterMs: 3_600_000,
      platforms: [telegram],
      log: this.log,
      cacheFolder: join(this.folder, 'cache'),
      ffmpegPath: this.ffmpegPath,
    });
  }

  async stopBot(): Promise<void> {
    await this.#bot?.stop();
    this.#bot = null;
  }

  async startWorker(): Promise<void> {
    const models = this.#overrides.models?.map(({ id }) => id) ?? [];
    const { generate = this.#generate } = this.#overrides;
    this.#worker = new JobWorker(this.redis.patient(), this.artifacts, generate, this.log, { models });
    await this.#worker.start();
  }

  readonly #generate: Generate = async (entry, files, { signal, onProgress }) => {
    this.runs.push(entry);
    for (let done = 1; done <= 4; done++) {
      onProgress({ phase: 'denoising', done, total: 4, leftMs: (4 - done) * 1000 });
      do {
        await sleep(20);
        if (signal.aborted) throw cancelledError();
      } while (this.isHeld);
    }
    await copyFile(join(this.folder, 'clip.mp4'), files.video);
    await copyFile(join(this.folder, 'clip.jpg'), files.thumbnail);
    const { size } = await stat(files.video);
    return {
      videoId: `v-${entry.id}`,
      bytes: size,
      ...this.#size,
      numFrames: 8,
      fps: 8,
      durationSeconds: 1,
      seed: entry.request.generation.seed,
      model: 'test',
      device: 'cpu',
      cache: { hits: [], misses: [] },
      timings: { total: 4_000 },
    };
  };

  /** Sends a photo with a caption and waits for the video that it becomes. */
  async animated(chat: FakeChat, caption = 'waves rolling'): Promise<FakeMessage> {
    const before = this.videos(chat).length;
    await chat.sendsPhoto(await photo(), caption);
    await this.fake.until(() => this.videos(chat).length > before);
    const video = this.videos(chat).at(-1);
    if (!video) throw new Error('there is no video');
    return video;
  }

  videos(chat: FakeChat): FakeMessage[] {
    return this.fake.answers(chat).filter(({ video }) => video !== undefined);
  }

  last(chat: FakeChat): FakeMessage | undefined {
    return this.fake.answers(chat).at(-1);
  }

  /** @throws when a secret was logged, or the fake broke */
  async stop(): Promise<void> {
    this.isHeld = false;
    await this.stopBot();
    await this.#worker?.stop(0);
    await this.redis.stop();
    const leaked = this.fake.secrets().filter((secret) => this.logged.includes(secret));
    await this.fake.stop();
    await rm(this.folder, { recursive: true, force: true });
    if (leaked.length > 0) throw new Error('a secret was logged');
  }
}
