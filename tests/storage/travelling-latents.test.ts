/** Videos that were made on one machine, varied and extended on another one, which shares a bucket with it and no folder. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { S3Storage } from '../../src/storage/s3-storage.ts';
import type { Video } from '../../src/web/videos/schemas.ts';
import type { JobWorker } from '../../src/worker/worker.ts';
import { FakeS3 } from '../fakes/s3.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let s3: FakeS3;
let folder: string;
let web: WebFixture;
let ann: WebPerson;
let worker: JobWorker;
let made: Video;
beforeAll(async () => {
  s3 = await FakeS3.start();
  folder = await mkdtemp(join(tmpdir(), 'kinora-latents-'));
  const machine = (name: string) =>
    new S3Storage(s3.settings(join(folder, name)), { firstPauseMs: 5, attempts: 3 });
  web = await WebFixture.start({ storage: { bot: machine('bot'), worker: machine('worker') } });
  ann = await web.person();
  const one = await web.realWorker(undefined, [], 'one');
  made = await ann.create({ size: '64x64', num_frames: '4', num_inference_steps: '2', seed: '3' });
  await ann.finished(made.id);
  await eventually('its latents are stored', () => s3.objects.has(at(made.id, 'latents')));
  await one.stop(0);
  worker = await web.realWorker(undefined, [], 'two');
});
afterAll(async () => {
  await web.stop();
  await s3.stop();
  await rm(folder, { recursive: true, force: true });
});

const at = (id: string, name: string): string => `some/where/${id}/${name}`;
const extend = async (id: string): Promise<Video> =>
  await videoOf(await ann.postJson('/v1/videos/extensions', { video: { id } }));

it('a variation, an extension, and another one in its place, with what the first machine kept', async () => {
  const variation = { strength: 'subtle' };
  const varied = await videoOf(await ann.postJson(`/v1/videos/${made.id}/variation`, variation));
  expect(await ann.finished(varied.id)).toMatchObject({ status: 'completed', error: null });
  const longer = await extend(made.id);
  expect(await ann.finished(longer.id)).toMatchObject({ status: 'completed', num_frames: 4 + 3 });
  const remixed = await videoOf(await ann.postJson(`/v1/videos/${longer.id}/remix`, { prompt: 'pan left' }));
  expect(await ann.finished(remixed.id)).toMatchObject({ status: 'completed', num_frames: 4 + 3 });
  for (const name of ['latents', 'earlier.latents'])
    expect([...s3.objects.keys()]).toContain(at(remixed.id, name));
});

it('also where it was asked for before the latents were stored, or the bucket is away for a while', async () => {
  await worker.stop(0);
  const early = await extend(made.id);
  s3.objects.delete(at(early.id, 'earlier.latents'));
  s3.faults.push({ method: 'GET', path: 'latents', times: 4, kind: { status: 503, code: 'SlowDown' } });
  worker = await web.realWorker(undefined, [], 'three');
  expect(await ann.finished(early.id)).toMatchObject({ status: 'completed' });
});

it('is refused with a sentence where nothing is kept, and leaves nothing with its person', async () => {
  await worker.stop(0);
  const lost = await extend(made.id);
  s3.objects.delete(at(lost.id, 'earlier.latents'));
  s3.objects.delete(at(made.id, 'latents'));
  worker = await web.realWorker(undefined, [], 'four');
  expect(await ann.finished(lost.id)).toMatchObject({ status: 'failed', error: { code: 'VIDEO_NOT_FOUND' } });
  expect((await ann.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
  expect([...s3.objects.keys()]).toEqual([]);
});
