/** Several models over the API: a worker that has two, and what becomes of requests for one that nobody has. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadPack, type Pack } from '../../src/inference/packs/files.ts';
import { modelListSchema } from '../../src/web/models.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { studioSchema } from '../../src/web/studio.ts';
import { makeReusePack, reusePackId } from '../helpers/other-packs.ts';
import { model as tinyId, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

const small = { size: '64x64', num_frames: '2', num_inference_steps: '1' };
let folder: string;
let other: Pack;
let web: WebFixture;
let ann: WebPerson;
beforeAll(async () => {
  folder = await makeReusePack();
  other = await loadPack(folder);
  web = await WebFixture.start();
  ann = await web.person();
  await web.realWorker(undefined, [folder]);
});
afterAll(async () => {
  await web.stop();
  await rm(folder, { recursive: true, force: true });
});

const models = async () => modelListSchema.parse(await (await ann.call('/v1/models')).json()).data;
const studioOf = async (query = '') =>
  studioSchema.parse(await (await ann.call(`/v1/studio${query}`)).json());

it('lists those that the workers have, the default first', async () => {
  const [first, second] = await models();
  expect(first).toMatchObject({ id: tinyId, is_default: true, credits: { standard: 1 } });
  expect(second).toMatchObject({ id: reusePackId, is_default: false, licence: other.manifest.licence });
  const studio = await studioOf(`?model=${reusePackId}`);
  expect(studio).toMatchObject({ model: { id: reusePackId }, models: [{ id: tinyId }, { id: reusePackId }] });
  expect((await studioOf()).model?.id).toBe(tinyId);
});

it('makes each video with its model, and others of it with the same', async () => {
  const video = async (fields: Record<string, string>) =>
    await ann.finished((await ann.create({ ...small, ...fields })).id);
  expect((await video({})).model).toBe(tinyId);
  const made = await video({ model: reusePackId });
  expect(made.model).toBe(reusePackId);
  const again = await ann.call(`/v1/videos/${made.id}/reroll`, { method: 'POST' });
  expect(await again.json()).toMatchObject({ model: reusePackId });
});

it('refuses one that nobody has, and names those that there are', async () => {
  const refused = await ann.post({ ...small, model: 'unknown' });
  const { error } = errorSchema.parse(await refused.json());
  expect([refused.status, error.code, error.param]).toEqual([404, 'model_not_found', 'model']);
  expect(error.message).toContain(tinyId);
  expect(error.message).toContain(reusePackId);
  expect((await ann.call('/v1/studio?model=unknown')).status).toBe(404);
});
