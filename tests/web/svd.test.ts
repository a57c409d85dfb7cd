/** Stable Video Diffusion over the API, with a real worker that has it beside the tiny model of text. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Keys } from '../../src/queue/keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { modelListSchema } from '../../src/web/models.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { type Studio, studioSchema } from '../../src/web/studio.ts';
import { askedVideoSchema } from '../../src/web/videos/schemas.ts';
import { svdPackPath } from '../helpers/golden.ts';
import { model as tinyId, videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

const svdId = 'tiny-svd';
const small = { model: svdId, size: '64x64', num_frames: '8', num_inference_steps: '1', seed: '4' };
let web: WebFixture;
let ann: WebPerson;
beforeAll(async () => {
  web = await WebFixture.start();
  ann = await web.person();
  await web.realWorker(undefined, [svdPackPath]);
});
afterAll(() => web.stop());

const studioOf = async (model: string): Promise<Studio> =>
  studioSchema.parse(await (await ann.call(`/v1/studio?model=${model}`)).json());

it('tells of the numbers of motion only where the model takes them', async () => {
  const svd = await studioOf(svdId);
  expect(svd).toMatchObject({
    motion_buckets: { low: 60, medium: 127, high: 180 },
    ranges: { motion_bucket_id: { min: 1, max: 255 }, noise_aug_strength: { min: 0, max: 0.5 } },
    defaults: { noise_aug_strength: 0.02 },
  });
  expect(svd.ignored).toEqual(expect.arrayContaining(['prompt', 'negative_prompt']));
  expect(svd.ignored).not.toContain('motion_bucket_id');
  expect(svd.ignored).not.toContain('noise_aug_strength');
  const other = await studioOf(tinyId);
  expect(other).toMatchObject({ motion_buckets: null, defaults: { noise_aug_strength: null } });
  expect(other.ignored).toEqual(expect.arrayContaining(['motion_bucket_id', 'noise_aug_strength']));
});

it('tells what the licence wants shown', async () => {
  const { data } = modelListSchema.parse(await (await ann.call('/v1/models')).json());
  const { models } = await studioOf(svdId);
  for (const shown of [data, models]) {
    expect(shown.map(({ id, attribution }) => [id, attribution])).toEqual([
      [tinyId, null],
      [svdId, 'Powered by Stability AI'],
    ]);
  }
});

it('makes a video without a prompt with the numbers that were asked for, and others of it', async () => {
  const asked = { ...small, motion: 'high', noise_aug_strength: '0.1', fps: '5' };
  const made = await ann.finished((await videoOf(await ann.post(asked))).id);
  const numbers = { model: svdId, motion: 'high', motion_bucket_id: 180, noise_aug_strength: 0.1, fps: 5 };
  expect(made).toMatchObject({ status: 'completed', prompt: '', seconds: '1.6', ...numbers });
  const remix = async (id: string, body: Record<string, unknown>) =>
    await videoOf(await ann.postJson(`/v1/videos/${id}/remix`, { prompt: '', ...body }));
  const own = await remix(made.id, { motion_bucket_id: 33 });
  expect(own).toMatchObject({ motion_bucket_id: 33, noise_aug_strength: 0.1 });
  expect((await remix(own.id, { noise_aug_strength: 0 })).motion_bucket_id).toBe(33);
  // A level that is chosen takes the place of the number.
  expect(await remix(own.id, { motion: 'low' })).toMatchObject({ motion: 'low', motion_bucket_id: 60 });
  const extension = { video: { id: made.id }, motion_bucket_id: 200 };
  const longer = await videoOf(await ann.postJson('/v1/videos/extensions', extension));
  // Before it is made, too: the first of its frames stands for the last of the earlier video.
  expect(longer).toMatchObject({ motion_bucket_id: 200, noise_aug_strength: 0.1, num_frames: 15 });
  expect(await ann.finished(longer.id)).toMatchObject({ status: 'completed', num_frames: 15 });
});

it('leaves them out for a model that takes none: same clip, same cost', async () => {
  const asked = { size: '64x64', num_frames: '2', num_inference_steps: '1', seed: '9' };
  const plain = await ann.finished((await ann.create(asked)).id);
  const told = await ann.finished((await ann.create({ ...asked, motion_bucket_id: '33' })).id);
  expect(told).toMatchObject({ motion_bucket_id: null, noise_aug_strength: null, credits: plain.credits });
  const ledger = new Ledger(web.redis.connect(), new Keys());
  const [first, second] = [await ledger.read(plain.id), await ledger.read(told.id)];
  expect(second?.request.generation).not.toHaveProperty('motionBucket');
  expect(second?.artifact?.videoId).toBe(first?.artifact?.videoId);
});

it('names what a request chose in vain, each time that it is sent', async () => {
  const ignored = async (answer: Response) => askedVideoSchema.parse(await answer.json()).ignored;
  const told = { ...small, prompt: 'zoom in', negative_prompt: '', noise_aug_strength: '0.1' };
  const key = { headers: { 'idempotency-key': 'twice' } };
  const once = await ann.post(told, key);
  expect(await ignored(once)).toEqual(['prompt']);
  expect(await ignored(await ann.post(told, key))).toEqual(['prompt']);
  const made = await ann.finished((await videoOf(await ann.post(small))).id);
  const remixed = { prompt: 'zoom in', negative_prompt: 'rain', motion: 'high' };
  const remix = await ann.postJson(`/v1/videos/${made.id}/remix`, remixed);
  expect(await ignored(remix)).toEqual(['prompt', 'negative_prompt']);
  const extension = { video: { id: made.id }, prompt: 'then zoom in' };
  expect(await ignored(await ann.postJson('/v1/videos/extensions', extension))).toEqual(['prompt']);
  expect(await ignored(await ann.post({ size: '64x64', motion_bucket_id: '9' }))).toEqual([
    'motion_bucket_id',
  ]);
});

it.each([
  ['motion_bucket_id', '0', '1 to 255'],
  ['motion_bucket_id', '256', '1 to 255'],
  ['motion_bucket_id', 'much', '1 to 255'],
  ['noise_aug_strength', '0.6', '0 to 0.5'],
])('refuses %s %s with what is allowed', async (name, value, range) => {
  const refused = await ann.post({ ...small, [name]: value });
  const { error } = errorSchema.parse(await refused.json());
  expect([refused.status, error.param]).toEqual([400, name]);
  expect(error.message).toContain(range);
});
