/** Stable Video Diffusion in the chats, from a picture without words to its deletion, with a real engine. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseButtonId } from '../../src/bot/buttons.ts';
import { en } from '../../src/bot/sentences/en.ts';
import { silentLogger } from '../../src/engine/process.ts';
import { Engine } from '../../src/engine/supervisor.ts';
import { loadPack, type Pack } from '../../src/inference/packs/files.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { jobRequestSchema } from '../../src/queue/jobs.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Ledger, type LedgerEntry } from '../../src/queue/ledger.ts';
import { tellOfModels } from '../../src/queue/models.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import type { Generate } from '../../src/worker/worker.ts';
import { photo, Stage } from '../helpers/discord-stage.ts';
import { engineOptions } from '../helpers/engine-fixture.ts';
import { svdPackPath } from '../helpers/golden.ts';
import { filesOf } from '../helpers/job-files.ts';
import type { TestRedis } from '../helpers/redis-server.ts';
import { photo as telegramPhoto, telegramWorld } from '../helpers/telegram-world.ts';

let folder: string;
let pack: Pack;
let engine: Engine;
let generate: Generate;
const warnings: unknown[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-svd-chats-'));
  pack = await loadPack(svdPackPath);
  const warn = (told: unknown) => warnings.push(told);
  engine = Engine.start(engineOptions(folder, { packPath: svdPackPath }), {}, { ...silentLogger, warn });
  generate = engineGenerate(engine, [pack], true);
});
afterAll(async () => {
  await engine.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The job of a result. */
async function jobOf(redis: TestRedis, id: string | undefined): Promise<LedgerEntry> {
  const entry = await new Ledger(redis.connect()).read(parseButtonId(id ?? '')?.jobId ?? '');
  return entry ?? expect.fail('no such job');
}

const numbers = ({ artifact, request: { generation } }: LedgerEntry) => ({
  ...{ prompt: generation.prompt, motion: generation.motion, seed: generation.seed },
  ...{ model: artifact?.model, numFrames: artifact?.numFrames },
});

it('in Telegram makes, remixes, varies, extends and smooths a picture without words', async (test) => {
  const world = await telegramWorld(test, { models: [pack.manifest], generate });
  const { fake, redis } = world;
  const chat = fake.privateChat();
  const next = async (act: () => unknown) => {
    const before = world.videos(chat).length;
    await act();
    await fake.until(() => world.videos(chat).length > before);
    const message = world.videos(chat).at(-1) ?? expect.fail('no video');
    const [button] = message.buttons;
    return { message, job: button ? await jobOf(redis, button.callback_data) : undefined };
  };
  const alone = await next(async () => await chat.sendsPhoto(await telegramPhoto()));
  const usual = { prompt: '', model: 'tiny-svd', numFrames: 5 };
  expect(alone.job && numbers(alone.job)).toMatchObject({ ...usual, motion: undefined });
  expect(alone.message.text).not.toContain('"');

  const { message, job } = await next(
    async () => await chat.sendsPhoto(await telegramPhoto(), 'motion=high seed=7 fps=5'),
  );
  expect(job && numbers(job)).toEqual({ ...usual, motion: 'high', seed: 7 });
  expect(job?.artifact?.fps).toBe(5);
  // Whoever describes something is told once, and nothing of it is kept.
  const told = await next(
    async () => await chat.sendsPhoto(await telegramPhoto(), 'waves seed=7 motion=high'),
  );
  expect(told.message.history.some(({ body }) => body.text.includes(en.status.looksOnly))).toBe(true);
  expect(told.job?.artifact?.videoId).toBe(job?.artifact?.videoId);

  const remix = await next(async () => {
    chat.presses(message, 'Remix');
    const question = await fake.until(() =>
      fake.answers(chat).find(({ text }) => text.includes(en.remix.noPrompt)),
    );
    chat.repliesTo(question, 'motion=low');
  });
  expect(remix.job && numbers(remix.job)).toEqual({ ...usual, motion: 'low', seed: 7 });
  const varied = await next(() => chat.presses(message, 'Vary strong'));
  expect(varied.job?.artifact?.cache.hits).toContain('video');
  const extended = await next(() => chat.presses(message, 'Extend'));
  expect(extended.job && numbers(extended.job)).toEqual({
    ...usual,
    motion: 'high',
    seed: 7,
    numFrames: 5 + 4,
  });
  const ids = [job, remix.job, varied.job, extended.job].map((one) => one?.artifact?.videoId);
  expect(new Set(ids).size).toBe(4);

  const smooth = await next(() => chat.presses(extended.message, 'Smooth ×3'));
  expect(smooth.message.text).toBe(en.result.smoothed);
  chat.presses(message, 'Delete');
  await fake.until(() => message.deleted);
  expect(await new Ledger(redis.connect()).read(job?.id ?? '')).toBeUndefined();
});

it('in Discord makes, remixes, varies, extends and smooths a picture without words', async () => {
  const stage = await Stage.start({ generate: 'nobody' });
  try {
    const { ada, channel, redis, server } = stage;
    const told = new Map([[pack.manifest.id, JSON.stringify(pack.manifest)]]);
    await tellOfModels(redis.connect(), new Keys(), told);
    await stage.startWorker(generate, [pack.manifest.id]);
    const job = async (shown: Awaited<ReturnType<Stage['video']>>) =>
      await jobOf(redis, shown.pressables[0]?.customId);
    const asked = { image: photo, motion: 'high', seed: 7, fps: 5 };
    await server.until(() => !JSON.stringify(server.commands()).includes('"name":"prompt"'));
    const first = await stage.video(ada.runs('/animate', asked, { channel }));
    const usual = { prompt: '', model: 'tiny-svd', numFrames: 5 };
    expect(numbers(await job(first))).toEqual({ ...usual, motion: 'high', seed: 7 });
    expect((await job(first)).artifact?.fps).toBe(5);
    const pressed = ada.presses(first, 'Remix');
    const form = await server.until(() => pressed.modal());
    const remix = await stage.video(ada.submits(form, { motion: ['low'] }));
    expect(numbers(await job(remix))).toEqual({ ...usual, motion: 'low', seed: 7 });
    const varied = await stage.video(ada.presses(first, 'Vary subtle'));
    expect((await job(varied)).artifact?.cache.hits).toContain('video');
    const extended = await stage.video(ada.presses(first, 'Extend'));
    expect((await job(extended)).artifact?.numFrames).toBe(5 + 4);
    await stage.video(ada.presses(extended, 'Smooth ×3'));
    const id = (await job(first)).id;
    await stage.said(ada.presses(first, 'Delete'), /Deleted/);
    expect(await new Ledger(redis.connect()).read(id)).toBeUndefined();
  } finally {
    await stage.stop();
  }
});

it('a worker tells its log where memory was short, also when files tell nothing', async () => {
  const short = new Proxy(engine, {
    get: (target, name) =>
      name === 'run'
        ? (...[job, hooks]: Parameters<Engine['run']>) => target.run(job, { ...hooks, leastMemory: true })
        : Reflect.get(target, name, target),
  });
  const id = 'c-short';
  const files = filesOf(new Artifacts(new FolderStorage(join(folder, 'jobs'))), id);
  await mkdir(files.folder, { recursive: true });
  await writeFile(files.image, photo.bytes);
  const generation = { prompt: '', preset: 'fast', seed: 1, size: '64', numFrames: 8 };
  const request = jobRequestSchema.parse({ id, userKey: 'test:ann', generation, replyTo: {} });
  const numbersOfQueue = { cost: 1, priority: 1, createdAt: 0, starts: 1 };
  await engineGenerate(short, [pack], false)(
    { id, request, state: 'running', preset: 'fast', ...numbersOfQueue },
    files,
    { signal: new AbortController().signal, onProgress: () => {} },
  );
  expect(warnings).toEqual([{ jobId: id, smallerRuns: [{ fromFrame: 0, frames: 5 }] }]);
});
