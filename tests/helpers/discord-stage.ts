/**
 * A whole Kinora in front of the fake Discord: real bot, real discord.js, real Redis, a real worker. Only the generator
 * is the test's, unless it brings the engine.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PermissionFlagsBits } from 'discord.js';
import { type DiscordOptions, DiscordPlatform } from '../../src/bot/discord/adapter.ts';
import type { RunningBot } from '../../src/bot/main.ts';
import { Models } from '../../src/bot/models.ts';
import { createLogger } from '../../src/log.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import type { QueueTerms } from '../../src/queue/client.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { type Generate, JobWorker } from '../../src/worker/worker.ts';
import type { FakeChannel } from '../fakes/discord/channel.ts';
import type { FakeGuild } from '../fakes/discord/guild.ts';
import type { FakeInteraction } from '../fakes/discord/interaction.ts';
import type { FakeMessage } from '../fakes/discord/message.ts';
import type { FakeUser } from '../fakes/discord/people.ts';
import type { FakeRole } from '../fakes/discord/role.ts';
import { type FakeDiscord, type FakeDiscordOptions, startFakeDiscord } from '../fakes/discord/server.ts';
import { cancelledError } from './cancelled.ts';
import { startBot } from './leading-bot.ts';
import { artifactOf, openTerms } from './queue-harness.ts';
import { TestRedis } from './redis-server.ts';

const run = promisify(execFile);

export const photo = {
  name: 'photo.jpg',
  bytes: await readFile(fileURLToPath(new URL('../fixtures/pictures/plain.jpg', import.meta.url))),
  contentType: 'image/jpeg',
};

/** A busy machine is slow; who waits for nothing more loses nothing. */
const videoWithinMs = 50_000;
const saidWithinMs = 30_000;

export interface StageOptions extends FakeDiscordOptions {
  /** Without a worker jobs wait. */
  readonly generate?: Generate | 'nobody';
  readonly terms?: Partial<QueueTerms>;
  /** Of a bot and a worker on machines of their own; one folder for both when absent. */
  readonly storage?: { readonly bot: Storage; readonly worker: Storage };
  readonly platform?: Partial<DiscordOptions>;
  readonly restTimeoutMs?: number;
}

export class Stage {
  readonly server: FakeDiscord;
  readonly redis: TestRedis;
  readonly folder: string;
  readonly guild: FakeGuild;
  readonly channel: FakeChannel;
  readonly ada: FakeUser;
  readonly bob: FakeUser;
  readonly root: FakeUser;
  /** Members with this role are admins. */
  readonly keepers: FakeRole;
  readonly ffmpegPath: string;
  readonly options: StageOptions;
  /** Every line, before any scrubbing. */
  readonly logged: string[] = [];
  readonly jobs: Artifacts;
  #bot: RunningBot | null = null;
  #worker: JobWorker | null = null;

  private constructor(
    server: FakeDiscord,
    redis: TestRedis,
    folder: string,
    ffmpegPath: string,
    options: StageOptions,
  ) {
    this.server = server;
    this.redis = redis;
    this.folder = folder;
    this.ffmpegPath = ffmpegPath;
    this.options = options;
    this.jobs = new Artifacts(options.storage?.worker ?? new FolderStorage(join(folder, 'jobs')));
    this.guild = server.guild({ name: 'Painters' });
    this.keepers = this.guild.role({ name: 'keepers' });
    this.channel = this.guild.channel({ name: 'animations' });
    this.ada = server.user({ name: 'ada' });
    this.bob = server.user({ name: 'bob' });
    this.root = server.user({ name: 'root' });
    this.guild.member(this.root, { permissions: PermissionFlagsBits.ManageGuild });
  }

  static async start(options: StageOptions = {}): Promise<Stage> {
    const [server, redis, folder, { path }] = await Promise.all([
      startFakeDiscord(options),
      TestRedis.start(),
      mkdtemp(join(tmpdir(), 'kinora-discord-')),
      findFfmpeg(),
    ]);
    const stage = new Stage(server, redis, folder, path, options);
    await stage.startBot();
    const { generate = stage.clips() } = options;
    if (generate !== 'nobody') await stage.startWorker(generate);
    return stage;
  }

  async startBot(): Promise<void> {
    const write = (line: string): void => {
      this.logged.push(line);
    };
    const log = createLogger('bot', 'debug', { write });
    const { server, folder, redis, ffmpegPath } = this;
    const platform = new DiscordPlatform({
      token: server.token,
      adminUserIds: [this.root.id],
      adminRoleIds: [this.keepers.id],
      adminServerIds: [this.guild.id],
      dataFolder: join(folder, 'data'),
      ffmpegPath,
      log,
      clientOptions: {
        ...server.clientOptions,
        rest: { ...server.clientOptions.rest, timeout: this.options.restTimeoutMs ?? 10_000 },
      },
      pictureOrigins: [server.cdn],
      statusEveryMs: 0,
      ...this.options.platform,
    });
    this.#bot = await startBot({
      models: new Models(),
      address: redis.address,
      storage: this.options.storage?.bot ?? new FolderStorage(join(folder, 'jobs')),
      terms: { ...openTerms, ...this.options.terms },
      jobFiles: { retentionMs: 86_400_000, budgetBytes: 1e9, minFreeBytes: 0 },
      expireAfterMs: 86_400_000,
      platforms: [platform],
      log,
      cacheFolder: join(folder, 'cache'),
      ffmpegPath,
    });
    await server.until(() => server.commands(this.guild).length > 0);
  }

  async stopBot(): Promise<void> {
    await this.#bot?.stop();
    this.#bot = null;
  }

  async startWorker(generate: Generate, models: readonly string[] = []): Promise<void> {
    const log = createLogger('worker', 'silent');
    this.#worker = new JobWorker(this.redis.patient(), this.jobs, generate, log, { models });
    await this.#worker.start();
  }

  async stopWorker(): Promise<void> {
    await this.#worker?.stop(0);
    this.#worker = null;
  }

  /** Copies a small real clip, after as many steps as asked for. */
  clips({ steps = 1, stepMs = 5 }: { steps?: number; stepMs?: number } = {}): Generate {
    return async (entry, files, { signal, onProgress }) => {
      for (let done = 1; done <= steps; done++) {
        await sleep(stepMs);
        if (signal.aborted) throw cancelledError();
        onProgress({ phase: 'denoising', done, total: steps, leftMs: (steps - done) * stepMs });
      }
      await writeFile(files.video, await clip(this.ffmpegPath));
      return artifactOf(entry, (await stat(files.video)).size);
    };
  }

  /** Waits for the answer of an interaction with a video in it. */
  async video(asked: FakeInteraction): Promise<FakeMessage> {
    return await this.server.until(
      () => answers(asked).find(({ attachments }) => attachments.length > 0),
      videoWithinMs,
    );
  }

  /** Waits for a reply with this text. */
  async said(asked: FakeInteraction, pattern: RegExp): Promise<FakeMessage> {
    return await this.server.until(() => answers(asked).find(({ text }) => pattern.test(text)), saidWithinMs);
  }

  async stop(): Promise<void> {
    await this.stopWorker();
    await this.stopBot();
    await this.redis.stop();
    await this.server.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Without the message whose button was pressed. */
function answers(asked: FakeInteraction): FakeMessage[] {
  return asked.replies().filter((message) => message !== asked.asked.source);
}

let made: Promise<Buffer> | undefined;

/** A second of noise, 64×64, so that there is something to compress. */
function clip(ffmpegPath: string): Promise<Buffer> {
  made ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-clip-'));
    const file = join(folder, 'clip.mp4');
    const noise = 'nullsrc=s=64x64:d=1:r=8,geq=random(1)*255:128:128';
    const codec = ['-c:v', 'libx264', '-crf', '1', '-pix_fmt', 'yuv420p', '-movflags', '+faststart'];
    await run(ffmpegPath, ['-v', 'error', '-f', 'lavfi', '-i', noise, ...codec, file]);
    const bytes = await readFile(file);
    await rm(folder, { recursive: true });
    return bytes;
  })();
  return made;
}
