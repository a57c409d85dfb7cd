/** A bot and a worker that share a Redis and a bucket, and no folder. */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Housekeeper } from '../../src/bot/upkeep/housekeeping.ts';
import { KinoraError } from '../../src/errors.ts';
import { namesOf } from '../../src/inference/forget-entries.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { generateQueueOf } from '../../src/queue/models.ts';
import { OpenUploads } from '../../src/queue/open-uploads.ts';
import { beginning, UncachedList } from '../../src/queue/uncached.ts';
import { workerEntries } from '../../src/queue/worker-registry.ts';
import type { S3Settings } from '../../src/storage/s3-client.ts';
import { S3Storage } from '../../src/storage/s3-storage.ts';
import { readMp4Info } from '../../src/video/mp4.ts';
import type { Generate } from '../../src/worker/worker.ts';
import { FakeS3 } from '../fakes/s3.ts';
import { photo, Stage } from '../helpers/discord-stage.ts';
import { eventually, log, timedGenerator } from '../helpers/queue-harness.ts';
import { mountSmallDisk } from '../helpers/small-disk.ts';
import { photo as cat, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let s3: FakeS3;
let folder: string;
let storage: { readonly bot: S3Storage; readonly worker: S3Storage };
let machine: (name: string, changes?: Partial<S3Settings>) => S3Storage;
beforeEach(async () => {
  s3 = await FakeS3.start();
  folder = await mkdtemp(join(tmpdir(), 'kinora-machines-'));
  machine = (name, changes) =>
    new S3Storage(s3.settings(join(folder, name, 'work'), changes), { firstPauseMs: 5, attempts: 3 });
  storage = { bot: machine('bot'), worker: machine('worker') };
});
afterEach(async () => {
  await s3.stop();
  await rm(folder, { recursive: true, force: true });
});

const keysOf = (jobId: string): string[] =>
  [...s3.objects.keys()].flatMap((key) => key.split(`some/where/${jobId}/`).slice(1)).sort();

/** What lies on the disks of both machines. */
async function left(): Promise<string[]> {
  const works = ['bot', 'worker'].map((name) => readdir(join(folder, name, 'work')).catch(() => []));
  return (await Promise.all(works)).flat();
}

it('a full disk of one machine is said at once, and leaves nothing there', async () => {
  const unmount = await mountSmallDisk(join(folder, 'worker', 'work'), 256);
  try {
    await storage.bot.put({ folder: 't-1', name: 'video.mp4' }, Buffer.alloc(1_000_000));
    const error = await storage.worker.checkOut('t-1', ['video.mp4']).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'DISK_FULL', message: 'The disk of this Kinora is full.' });
    expect(s3.seen.filter((line) => line.startsWith('GET'))).toHaveLength(1);
    expect(await left()).toEqual([]);
  } finally {
    unmount();
  }
});

describe('in a chat', () => {
  it('a photo becomes an MP4, and the MP4 a loop, with nothing left on either machine', async () => {
    const stage = await Stage.start({ storage });
    try {
      const asked = stage.ada.runs(
        '/animate',
        { image: photo, prompt: 'waves rolling' },
        { channel: stage.channel },
      );
      const message = await stage.video(asked);
      const file = join(folder, 'seen.mp4');
      await writeFile(file, message.attachments[0]?.bytes ?? '');
      expect((await readMp4Info(file)).numFrames).toBeGreaterThan(1);
      const [jobId = ''] = await stage.jobs.jobIds();
      await eventually('the answer is marked', () => keysOf(jobId).includes('answered.json'));
      const looped = stage.ada.presses(message, 'Loop');
      expect((await stage.video(looped)).attachments[0]?.name).toBe('kinora-loop.mp4');
      expect(keysOf(jobId)).toEqual([
        'accepted.json',
        'answered.json',
        'artifact.json',
        'loop.mp4',
        'picture',
        'video.mp4',
      ]);
      expect(await left()).toEqual([]);
      expect(await readdir(stage.folder)).not.toContain('jobs');
    } finally {
      await stage.stop();
    }
  });
});

describe('over the API', () => {
  let web: WebFixture;
  let ann: WebPerson;
  beforeEach(async () => {
    web = await WebFixture.start({ storage });
    ann = await web.person();
  });
  afterEach(() => web.stop());

  const content = async (id: string, init: Parameters<WebPerson['call']>[1] = {}) =>
    await ann.call(`/v1/videos/${id}/content`, init);

  it('a video is passed on whole, in ranges, and not at all where it is known', async () => {
    await web.worker(timedGenerator(10));
    const { id } = await ann.create();
    await ann.finished(id);
    const whole = await content(id);
    const text = `video of ${id}`;
    expect(whole.headers.get('content-type')).toBe('video/mp4');
    expect(whole.headers.get('content-disposition')).toMatch(/^inline; filename="zoom-in-/);
    expect(await whole.text()).toBe(text);
    const range = async (value: string) => {
      const part = await content(id, { headers: { range: value } });
      return [part.status, part.headers.get('content-range'), await part.text()];
    };
    const bytes = text.length;
    expect(await range('bytes=0-4')).toEqual([206, `bytes 0-4/${bytes}`, 'video']);
    expect(await range('bytes=-3')).toEqual([
      206,
      `bytes ${bytes - 3}-${bytes - 1}/${bytes}`,
      text.slice(-3),
    ]);
    expect(await range('bytes=6-')).toEqual([206, `bytes 6-${bytes - 1}/${bytes}`, text.slice(6)]);
    expect((await range('bytes=1-2,4-5'))[0]).toBe(200);
    expect((await range('bytes=9999-'))[0]).toBe(416);
    const tag = whole.headers.get('etag') ?? '';
    expect((await content(id, { headers: { 'if-none-match': tag } })).status).toBe(304);
    const head = await content(id, { method: 'HEAD' });
    expect([head.headers.get('content-length'), await head.text()]).toEqual([String(bytes), '']);
    expect((await (await web.person()).call(`/v1/videos/${id}/content`)).status).toBe(404);
    expect((await ann.video(id)).variants).toEqual(['video']);
  });

  it('a job waits while its video cannot be stored, and a video that cannot be read is not lost', async () => {
    s3.faults.push({ method: 'PUT', path: 'video.mp4', times: 6, kind: { status: 503, code: 'SlowDown' } });
    s3.faults.push({
      method: 'GET',
      path: 'artifact.json',
      times: 9,
      kind: 'cut in the middle of the download',
    });
    const runs: Parameters<typeof timedGenerator>[1] = [];
    await web.worker(timedGenerator(10, runs), undefined, { fullDiskWaitMs: 100 });
    const { id } = await ann.create();
    expect((await ann.finished(id)).status).toBe('completed');
    expect(runs.filter(({ jobId }) => jobId === id)).toHaveLength(3);
    await eventually('the content', async () => (await content(id)).status === 200);
    await eventually('the answer is marked', () => keysOf(id).includes('answered.json'));
    expect(await left()).toEqual([]);
  });

  it('a job is made again when its copy is removed before its video is stored', async () => {
    const runs: Parameters<typeof timedGenerator>[1] = [];
    const robbed: Generate = async (entry, files, hooks) => {
      const artifact = await timedGenerator(10, runs)(entry, files, hooks);
      if (runs.length === 1) await rm(files.folder, { recursive: true });
      return artifact;
    };
    await web.worker(robbed, undefined, { fullDiskWaitMs: 100 });
    const { id } = await ann.create();
    expect((await ann.finished(id)).status).toBe('completed');
    expect(runs).toHaveLength(2);
    expect(await (await content(id)).text()).toBe(`video of ${id}`);
  });

  it.each([
    ['finishes it', undefined],
    ['cannot store it', new KinoraError('STORAGE_FAILED', 'The storage does not answer.')],
  ])('a worker that was counted as dead, and %s later, leaves alone what another made', async (_, error) => {
    const redis = web.redis.connect();
    const keys = new Keys();
    let hasEnded = false;
    await web.worker(async (entry, files, hooks) => {
      const artifact = await timedGenerator(10)(entry, files, hooks);
      // As the other one does it meanwhile.
      const lock = `${keys.bull}:${generateQueueOf(entry.model)}:${entry.id}:lock`;
      await redis.set(lock, 'of another worker', 'KEEPTTL');
      await new Ledger(redis, keys).transition(entry.id, 'start', undefined, { worker: 'another' });
      await storage.bot.put({ folder: entry.id, name: 'video.mp4' }, 'another video');
      hasEnded = true;
      if (error) throw error;
      return artifact;
    });
    const { id } = await ann.create();
    await eventually('the end of the late worker', async () => {
      const workers = [...(await workerEntries(redis, keys)).values()];
      return hasEnded && workers.every(({ entry }) => entry.jobId === null);
    });
    expect(s3.objects.get(`some/where/${id}/video.mp4`)?.bytes.toString()).toBe('another video');
    expect(keysOf(id)).toEqual(['accepted.json', 'picture', 'video.mp4']);
    expect((await new Ledger(redis, keys).read(id))?.state).toBe('running');
  });

  it.each(['finishes it', 'still makes it'])(
    'a worker that was counted as dead, and %s when its person has deleted it, leaves nothing of it',
    async (when) => {
      const redis = web.redis.connect();
      const keys = new Keys();
      const idle = async (): Promise<boolean> =>
        [...(await workerEntries(redis, keys)).values()].every(({ entry }) => entry.jobId === null);
      let hasEnded = false;
      const settings = { cancelPollMs: when === 'finishes it' ? 600_000 : 20 };
      const late: Generate = async (entry, files, hooks) => {
        const artifact = await timedGenerator(10)(entry, files, hooks);
        // As a bot does it meanwhile.
        await storage.bot.remove(entry.id);
        await redis.del(keys.job(entry.id));
        if (when !== 'finishes it') await eventually('it is stopped', () => hooks.signal.aborted);
        hasEnded = true;
        hooks.signal.throwIfAborted();
        return { ...artifact, pictureKey: 'a'.repeat(64) };
      };
      await web.worker(late, undefined, settings);
      const { id } = await ann.create();
      await eventually('the end of the late worker', async () => hasEnded && (await idle()));
      expect(keysOf(id)).toEqual([]);
      const fileHashes = new Set([createHash('sha256').update(cat).digest('hex')]);
      const made = { pictureKeys: new Set(['a'.repeat(64)]), videoIds: new Set([`v-${id}`]) };
      const nothing = { pictureKeys: new Set<string>(), videoIds: new Set<string>() };
      const { names } = await new UncachedList(redis, keys).after(beginning);
      expect(names).toEqual(namesOf({ fileHashes, ...(when === 'finishes it' ? made : nothing) }));
    },
  );

  it('a worker stores what it made when Redis has lost the job, whose person did not delete it', async () => {
    const redis = web.redis.connect();
    let isLost = false;
    const unaware: Generate = async (entry, files, hooks) => {
      const artifact = await timedGenerator(10)(entry, files, hooks);
      if (!isLost) await redis.del(new Keys().job(entry.id));
      isLost = true;
      return artifact;
    };
    await web.worker(unaware);
    const { id } = await ann.create();
    await eventually('its record', () => keysOf(id).includes('artifact.json'));
  });

  it('a worker that lost its job to one that then died makes it after all', async () => {
    const ledger = new Ledger(web.redis.connect(), new Keys());
    let runs = 0;
    await web.worker(async (entry, files, hooks) => {
      const artifact = await timedGenerator(10)(entry, files, hooks);
      runs++;
      // BullMQ has not handed the job to that one.
      if (runs === 1) await ledger.transition(entry.id, 'start', undefined, { worker: 'another' });
      return artifact;
    });
    const { id } = await ann.create();
    await eventually('the video', async () => (await ledger.read(id))?.artifact !== undefined);
    expect(runs).toBe(2);
  });

  it('a request is refused with a sentence while the bucket is away, and taken afterwards', async () => {
    s3.faults.push({ method: 'PUT', times: 3, kind: { status: 500, code: 'InternalError' } });
    const refused = await ann.post({ prompt: 'zoom in' });
    expect([refused.status, await refused.json()]).toEqual([
      503,
      { error: expect.objectContaining({ code: 'STORAGE_FAILED', message: expect.stringMatching(/again/) }) },
    ]);
    expect((await ann.create()).status).toBe('queued');
    const upload = await ann.postJson('/v1/uploads', { bytes: 100, type: 'image/png' });
    expect([upload.status, await upload.json()]).toMatchObject([
      404,
      { error: { code: 'uploads_not_offered' } },
    ]);
  });

  it('nothing stays of what its person deletes, and of what is too old', async () => {
    const bob = await web.person();
    await web.worker(timedGenerator(10));
    const [first, second] = [await ann.create(), await bob.create()];
    for (const [who, { id }] of [[ann, first] as const, [bob, second] as const]) await who.finished(id);
    await eventually('both answers are marked', () =>
      [first, second].every(({ id }) => keysOf(id).includes('answered.json')),
    );
    expect((await ann.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
    expect(keysOf(first.id)).toEqual([]);
    expect(keysOf(second.id)).toContain('video.mp4');

    const keeper = new Housekeeper(web.redis.failFast(), new Keys(), web.artifacts, log, {
      retentionMs: 3_600_000,
    });
    expect(await keeper.run(Date.now() + 60_000)).toMatchObject({ folders: 0 });
    expect(await keeper.run(Date.now() + 3_700_000)).toMatchObject({ folders: 1 });
    expect(keysOf(second.id)).toEqual([]);
    expect(await left()).toEqual([]);
  });
});

describe('by links', () => {
  let web: WebFixture;
  let ann: WebPerson;
  beforeEach(async () => {
    const bot = machine('bot', { publicEndpoint: s3.endpoint });
    web = await WebFixture.start({ storage: { ...storage, bot } });
    ann = await web.person();
  });
  afterEach(() => web.stop());

  it('a client fetches its video from the bucket, after the same checks', async () => {
    await web.worker(timedGenerator(10));
    const { id } = await ann.create();
    await ann.finished(id);
    const answer = await ann.call(`/v1/videos/${id}/content`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([302, 'private, no-store']);
    const link = answer.headers.get('location') ?? '';
    expect(link.startsWith(s3.endpoint)).toBe(true);
    const video = await fetch(link, { headers: { range: 'bytes=0-4' } });
    expect([video.status, await video.text()]).toEqual([206, 'video']);
    expect(video.headers.get('content-type')).toBe('video/mp4');
    expect(video.headers.get('content-disposition')).toMatch(/^inline; filename="zoom-in-/);
    const head = await ann.call(`/v1/videos/${id}/content`, { method: 'HEAD', redirect: 'manual' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, `${`video of ${id}`.length}`]);
    // As clients do it by themselves.
    expect(await (await ann.call(`/v1/videos/${id}/content`)).text()).toBe(`video of ${id}`);
    const bob = await web.person();
    expect((await bob.call(`/v1/videos/${id}/content`, { redirect: 'manual' })).status).toBe(404);
    s3.clockMs = 11 * 60_000;
    expect((await fetch(link)).status).toBe(403);
  });

  const uploadSchema = z.object({
    id: z.string(),
    url: z.string(),
    headers: z.record(z.string(), z.string()),
  });
  const begin = async (bytes: number): Promise<z.output<typeof uploadSchema>> =>
    uploadSchema.parse(await (await ann.postJson('/v1/uploads', { bytes, type: 'image/jpeg' })).json());
  const put = async ({ url, headers }: z.output<typeof uploadSchema>, body: Uint8Array): Promise<number> =>
    (await fetch(url, { method: 'PUT', headers, body: new Uint8Array(body) })).status;
  const ask = async (who: WebPerson, id: string) =>
    await who.postJson('/v1/videos', { prompt: 'zoom in', input_reference: id });

  it('a picture is put into the bucket, and only its person has a video made of it', async () => {
    const upload = await begin(cat.length);
    expect((await ask(ann, upload.id)).status).toBe(400); // nothing is there yet
    expect(await put(upload, Buffer.concat([cat, cat]))).toBe(403);
    expect(await put({ ...upload, headers: { 'content-type': 'text/html' } }, cat)).toBe(403);
    expect(await put(upload, cat)).toBe(200);
    expect((await ask(await web.person(), upload.id)).status).toBe(400);
    const made = await ask(ann, upload.id);
    expect(made.status).toBe(200);
    const { id } = videoIdSchema.parse(await made.json());
    expect(s3.objects.get(`some/where/${id}/picture`)?.bytes.equals(cat)).toBe(true);
    expect(await web.artifacts.jobIds()).toEqual([id]);
    expect([...s3.objects.keys()].filter((key) => key.includes(upload.id))).toEqual([]); // it was used

    expect((await ann.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
    expect([...s3.objects.keys()]).toEqual([]);
  });

  it('what is no picture is refused when it is used, and what is left lying goes after an hour', async () => {
    const text = Buffer.from('this is no picture');
    const upload = await begin(text.length);
    expect(await put(upload, text)).toBe(200);
    const refused = await ask(ann, upload.id);
    expect([refused.status, await refused.json()]).toMatchObject([
      415,
      { error: { code: 'IMAGE_UNSUPPORTED' } },
    ]);
    expect((await ann.postJson('/v1/uploads', { bytes: 65 * 2 ** 20, type: 'image/jpeg' })).status).toBe(400);
    const keeper = new Housekeeper(web.redis.failFast(), new Keys(), web.artifacts, log);
    expect(await keeper.run(Date.now() + 50 * 60_000)).toMatchObject({ folders: 0 });
    expect(await keeper.run(Date.now() + 70 * 60_000)).toMatchObject({ folders: 1 });
    expect([...s3.objects.keys()]).toEqual([]);
  });

  it('pictures of one person are limited, and push out nobody’s videos', async () => {
    await storage.bot.put({ folder: 't-1', name: 'artifact.json' }, '{}');
    const last = await begin(cat.length);
    const another = () => ann.postJson('/v1/uploads', { bytes: cat.length, type: 'image/jpeg' });
    const asked = await Promise.all(Array.from({ length: 19 }, another));
    expect(asked.map(({ status }) => status)).toEqual(Array.from({ length: 19 }, () => 200));
    expect((await Promise.all([another(), another()])).map(({ status }) => status)).toEqual([409, 409]);
    // Another bot, or this one after it was started anew.
    const elsewhere = new OpenUploads(web.redis.failFast(), new Keys());
    expect(await elsewhere.add(ann.userKey, 'upload-1')).toBe(false);
    expect(await elsewhere.add('web:bob', 'upload-1')).toBe(true);
    expect(await put(last, cat)).toBe(200);
    const keeper = new Housekeeper(web.redis.failFast(), new Keys(), web.artifacts, log, { budgetBytes: 10 });
    expect(await keeper.run()).toMatchObject({ folders: 0 });
    expect((await ask(ann, last.id)).status).toBe(200);
    await begin(cat.length); // what was used counts no more
    expect((await another()).status).toBe(409);
    expect((await ann.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
    expect(await web.redis.connect().exists(new Keys().uploads(ann.userKey))).toBe(0);
  });
});

const videoIdSchema = z.object({ id: z.string() });
