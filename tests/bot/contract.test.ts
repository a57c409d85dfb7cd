/**
 * What every chat platform must do, whichever it is: one suite for both adapters. Everything is real but the wire: the
 * platforms' own clients, Redis, the worker, the engine and the built-in model. A photo goes in, an MP4 comes out.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiscordPlatform } from '../../src/bot/discord/adapter.ts';
import type { RunningBot } from '../../src/bot/main.ts';
import { Models } from '../../src/bot/models.ts';
import type { ChatPlatform } from '../../src/bot/platform.ts';
import { en } from '../../src/bot/sentences/en.ts';
import { TelegramPlatform } from '../../src/bot/telegram/adapter.ts';
import { Engine } from '../../src/engine/supervisor.ts';
import type { Pack } from '../../src/inference/packs/files.ts';
import { createLogger } from '../../src/log.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { JobWorker } from '../../src/worker/worker.ts';
import type { FakeInteraction } from '../fakes/discord/interaction.ts';
import { startFakeDiscord } from '../fakes/discord/server.ts';
import { startFakeTelegram } from '../fakes/telegram/server.ts';
import { loadI2VGenXL } from '../helpers/i2vgen-xl-pack.ts';
import { startBot } from '../helpers/leading-bot.ts';
import { eventually, openTerms } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { decodeFrames, ffprobe, psnr } from '../helpers/video-fixture.ts';

const log = createLogger('contract', 'silent');
const packPath = fileURLToPath(new URL('../../models/builtin', import.meta.url));
const photo = await readFile(fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url)));

/** The built-in model, with short clips and fewer frames than the option may name. */
async function smallPack(): Promise<Pack> {
  const pack = await loadI2VGenXL(packPath);
  const limits = { ...pack.manifest.limits, numFrames: { min: 1, max: 24 } };
  const fast = { size: 256, numFrames: 8, numInferenceSteps: 1, guidanceScale: 1 };
  return { ...pack, manifest: { ...pack.manifest, limits, presets: { fast } } };
}

interface Seen {
  readonly id: string;
  readonly text: string;
  readonly buttons: readonly string[];
  readonly video: Uint8Array | undefined;
}

/** One place of one platform with a person in it, as people see it. */
interface Chat {
  platform(folder: string): ChatPlatform;
  asks(prompt: string, file?: Uint8Array): Promise<void>;
  /** What the bot has written and not deleted, oldest first. */
  seen(): readonly Seen[];
  /** Everything that the person was told, also where nobody else sees it. */
  heard(): readonly string[];
  presses(messageId: string, label: string): void;
  /** By the button, and whatever the platform then shows for the new prompt. */
  remixes(messageId: string, prompt: string): Promise<void>;
  /** Whether somebody else's press was answered with the polite sentence. */
  strangerIsRefused(messageId: string, label: string): Promise<boolean>;
  stop(): Promise<void>;
}

async function telegramChat(): Promise<Chat> {
  const server = await startFakeTelegram();
  const person = server.user({ name: 'Ada' });
  const stranger = server.user({ name: 'Mallory' });
  const chat = server.group({ members: [person, stranger] });
  const find = (id: string) => {
    const message = chat.find(Number(id));
    if (!message) throw new Error(`there is no message ${id}`);
    return message;
  };
  return {
    platform: (dataFolder) =>
      new TelegramPlatform({
        token: server.token,
        apiRoot: server.apiRoot,
        adminUserIds: [],
        dataFolder,
        statusEveryMs: { private: 50, group: 50 },
        shortestPauseMs: 50,
        log,
      }),
    asks: async (prompt, file) => {
      const caption = `/animate ${prompt}`;
      if (file)
        chat.sendsDocument({ name: 'photo.jpg', bytes: file, mimeType: 'image/jpeg' }, caption, {
          from: person,
        });
      else await chat.sendsPhoto(photo, caption, { from: person });
    },
    seen: () =>
      server.answers(chat).map((message) => ({
        id: String(message.id),
        text: message.text,
        buttons: message.buttons.map(({ text }) => text),
        video: message.video?.file.bytes,
      })),
    heard: () => server.answers(chat).map(({ text }) => text),
    presses: (id, label) => {
      chat.presses(find(id), label, { from: person });
    },
    remixes: async (id, prompt) => {
      const before = server.answers(chat).length;
      chat.presses(find(id), 'Remix', { from: person });
      const question = await server.until(() => server.answers(chat)[before]);
      chat.repliesTo(question, prompt, { from: person });
    },
    strangerIsRefused: async (id, label) => {
      const press = chat.presses(find(id), label, { from: stranger });
      const answer = await server.until(() => press.answer);
      return answer.text === en.refusal.notYours;
    },
    stop: () => server.stop(),
  };
}

async function discordChat(): Promise<Chat> {
  const server = await startFakeDiscord();
  const channel = server.guild().channel();
  const person = server.user({ name: 'Ada' });
  const stranger = server.user({ name: 'Mallory' });
  const asked: FakeInteraction[] = [];
  const find = (id: string) => {
    const message = channel.visible.find((candidate) => candidate.id === id);
    if (!message) throw new Error(`there is no message ${id}`);
    return message;
  };
  return {
    platform: (dataFolder) =>
      new DiscordPlatform({
        token: server.token,
        clientOptions: server.clientOptions,
        pictureOrigins: [server.cdn],
        adminUserIds: [],
        adminRoleIds: [],
        dataFolder,
        statusEveryMs: 50,
        log,
      }),
    asks: async (prompt, picture = photo) => {
      await server.until(() => server.commands().length > 0);
      const image = { name: 'photo.jpg', bytes: picture, contentType: 'image/jpeg' };
      // Options have fields of their own here.
      const values = [...prompt.matchAll(/ (\w+)=(\w+)/g)].map(([, key = '', value = '']) => {
        return [key, /^\d+$/.test(value) ? Number(value) : value] as const;
      });
      const options = { image, prompt: prompt.replaceAll(/ \w+=\w+/g, ''), ...Object.fromEntries(values) };
      asked.push(person.runs('/animate', options, { channel }));
    },
    seen: () =>
      channel.visible.map((message) => ({
        id: message.id,
        text: message.text,
        buttons: message.pressables.map(({ label }) => label),
        video: message.attachments[0]?.bytes,
      })),
    heard: () =>
      [...channel.visible, ...asked.flatMap((interaction) => interaction.replies())].map(({ text }) => text),
    presses: (id, label) => {
      person.presses(find(id), label);
    },
    remixes: async (id, prompt) => {
      const press = person.presses(find(id), 'Remix');
      await server.until(() => press.modal());
      person.submits(press.modal(), { prompt });
    },
    strangerIsRefused: async (id, label) => {
      const press = stranger.presses(find(id), label);
      // The message with the button counts as a reply too.
      return await server.until(() => press.replies().some(({ text }) => text.includes(en.refusal.notYours)));
    },
    stop: () => server.stop(),
  };
}

describe.each([
  ['Telegram', telegramChat],
  ['Discord', discordChat],
])('%s', (_name, open) => {
  let folder: string;
  let redis: TestRedis;
  let engine: Engine;
  let worker: JobWorker;
  let bot: RunningBot;
  let chat: Chat;
  let ffmpegPath: string;
  let pack: Pack;

  const startTheBot = async (): Promise<void> => {
    bot = await startBot({
      address: redis.address,
      storage: new FolderStorage(join(folder, 'jobs')),
      terms: openTerms,
      jobFiles: { retentionMs: 86_400_000, budgetBytes: 1e9, minFreeBytes: 0 },
      expireAfterMs: 86_400_000,
      platforms: [chat.platform(join(folder, 'data'))],
      cacheFolder: join(folder, 'cache'),
      models: new Models([pack.manifest]),
      ffmpegPath,
      log,
    });
  };
  const videos = (): Seen[] => chat.seen().filter(({ video }) => video !== undefined);
  const nextVideo = async (before: number): Promise<Seen> => {
    await eventually('a video', () => videos().length > before);
    return videos().at(-1) as Seen; // there is one more than before
  };
  const framesOf = async ({ video = new Uint8Array() }: Seen): Promise<number> => {
    const file = join(folder, 'seen.mp4');
    await writeFile(file, video);
    const { stream } = ffprobe(file);
    expect(stream).toMatchObject({ codec_name: 'h264', pix_fmt: 'yuv420p' });
    return stream.nb_read_frames;
  };

  const pixelsOf = async ({ id = 'none', video = new Uint8Array() }: Partial<Seen> = {}) => {
    const file = join(folder, `seen-${id}.mp4`);
    await writeFile(file, video);
    const { width, height } = ffprobe(file).stream;
    return decodeFrames(file, width, height);
  };

  beforeAll(async () => {
    [chat, redis, folder, { path: ffmpegPath }] = await Promise.all([
      open(),
      TestRedis.start(),
      mkdtemp(join(tmpdir(), 'kinora-contract-')),
      findFfmpeg(),
    ]);
    pack = await smallPack();
    const cache = { cachePath: join(folder, 'cache'), cacheMemoryBytes: 1e8, cacheDiskBytes: 1e8 };
    const options = { packPath, device: 'cpu', threads: 2, cacheRetentionMs: 1e9, ffmpegPath, ...cache };
    engine = Engine.start(options, {}, log);
    const artifacts = new Artifacts(new FolderStorage(join(folder, 'jobs')));
    worker = new JobWorker(redis.patient(), artifacts, engineGenerate(engine, [pack], true), log, {
      models: [pack.manifest.id],
    });
    await worker.start();
    await startTheBot();
  });
  afterAll(async () => {
    await bot.stop();
    await worker.stop(0);
    await engine.stop();
    await redis.stop();
    await chat.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('a photo in, an MP4 out, in the message that told of the progress', async () => {
    await chat.asks('camera slowly zooming in preset=fast seed=7');
    const answer = await nextVideo(0);
    expect(await framesOf(answer)).toBe(8);
    expect(chat.seen()).toHaveLength(1);
    expect(answer.text).toContain('camera slowly zooming in');
    expect(answer.text).toContain('Understood: zoom in, slow.');
    for (const label of [
      'Re-roll',
      'Remix',
      'Vary subtle',
      'Vary strong',
      'Extend',
      'Settings',
      'Smooth ×3',
      'Loop',
      'Delete',
    ]) {
      expect(answer.buttons).toContain(label);
    }
    expect(answer.buttons).not.toContain('Cancel');
  });

  it('a re-roll reuses what was computed for the picture, and says so', async () => {
    const [first] = videos();
    chat.presses(first?.id ?? '', 'Re-roll');
    const again = await nextVideo(1);
    expect(again.text).toMatch(/picture/);
    expect(Buffer.from(again.video ?? []).equals(first?.video ?? new Uint8Array())).toBe(false);
  });

  it('a subtle variation starts from the finished video', async () => {
    const [first] = videos();
    chat.presses(first?.id ?? '', 'Vary subtle');
    expect((await nextVideo(2)).text).toMatch(/earlier video/);
  });

  it('other people may not press the buttons', async () => {
    expect(await chat.strangerIsRefused(videos()[0]?.id ?? '', 'Delete')).toBe(true);
    expect(videos()).toHaveLength(3);
  });

  it('what was finished while the bot was away is answered once when it is back; old buttons still work', async () => {
    const [first] = videos();
    chat.presses(first?.id ?? '', 'Re-roll');
    await eventually(
      'a running job',
      () => chat.seen().some(({ buttons }) => buttons.includes('Cancel')),
      20_000,
    );
    await bot.stop();
    const artifacts = new Artifacts(new FolderStorage(join(folder, 'jobs')));
    await eventually(
      'the fourth video on the disk',
      async () => (await artifacts.list()).filter(({ complete }) => complete).length === 4,
      60_000,
    );
    await startTheBot();
    await nextVideo(3);
    chat.presses(first?.id ?? '', 'Re-roll');
    await nextVideo(4);
    expect(videos()).toHaveLength(5);
  });

  it('a prompt is words and nothing else', async () => {
    await chat.asks('@everyone **pan left** <b>http://example.com</b> preset=fast');
    const answer = await nextVideo(5);
    expect(answer.text).toContain('pan left');
  });

  it('what the model cannot do is refused at once, with what it can', async () => {
    await chat.asks('zoom in frames=30');
    await eventually('the sentence', () => chat.heard().some((text) => /from 1 to 24/.test(text)));
    expect(videos()).toHaveLength(6);
  });

  it('a remix through the button keeps the seed, reuses what was computed for the picture, and says so', async () => {
    const [first] = videos();
    await chat.remixes(first?.id ?? '', 'pan left, snow falling');
    const remix = await nextVideo(6);
    expect(remix.text).toMatch(/"pan left, snow falling" · seed 7 · fast/);
    expect(remix.text).toContain('Understood: pan left; snow.');
    expect(remix.text).toContain(`Reused from before: ${en.result.picture}`);
    expect(await framesOf(remix)).toBe(8);
  });

  it('an extension shows the earlier frames as they were, and as many more, again and again', async () => {
    const [first] = videos();
    chat.presses(first?.id ?? '', 'Extend');
    const longer = await nextVideo(7);
    expect(longer.text).toMatch(/seed 7 · fast/);
    expect(longer.text).toMatch(/earlier video/);
    expect(await framesOf(longer)).toBe(16);
    chat.presses(longer.id, 'Extend');
    const longest = await nextVideo(8);
    expect(await framesOf(longest)).toBe(24);
    const [short, long] = await Promise.all([first, longest].map((seen) => pixelsOf(seen)));
    for (const [i, frame] of (short ?? []).entries()) expect(psnr(frame, long?.[i])).toBe(Infinity);
  });

  it('what is no picture is refused with what to send instead, and nothing is queued', async () => {
    await chat.asks('zoom in', photo.subarray(0, 300));
    await eventually('the sentence', () => chat.heard().some((text) => /JPEG or PNG/.test(text)));
    expect(videos()).toHaveLength(9);
  });
});
