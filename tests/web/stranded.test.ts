/** A model that goes while its videos wait: what its person and the admins are told, and what becomes of the videos. */
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { loadPack } from '../../src/inference/packs/files.ts';
import { Keys } from '../../src/queue/keys.ts';
import { tellOfModels } from '../../src/queue/models.ts';
import type { Generate } from '../../src/worker/worker.ts';
import { cancelledError } from '../helpers/cancelled.ts';
import { tinyPack } from '../helpers/engine-fixture.ts';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { model as tiny, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

const other = 'other-1';
let web: WebFixture;
let ann: WebPerson;
let root: WebPerson;
beforeAll(async () => {
  web = await WebFixture.start();
  ann = await web.person();
  root = await web.person(undefined, ['use', 'admin']);
  const { manifest } = await loadPack(tinyPack);
  const told = new Map([[other, JSON.stringify({ ...manifest, id: other })]]);
  await tellOfModels(web.redis.connect(), new Keys(), told);
});
afterAll(() => web.stop());

const admin = async (path: string) => z.any().parse(await (await root.call(`/v1/admin/${path}`)).json());

const models = async (): Promise<string> => await (await ann.call('/v1/models')).text();

/** Works until it is told to stop. */
const endless: Generate = async (_entry, _files, { signal, onProgress }) => {
  onProgress({ phase: 'denoising', done: 1, total: 10 });
  if (!signal.aborted) await once(signal, 'abort');
  throw cancelledError();
};

async function firstEvent(id: string): Promise<string> {
  const leaving = new AbortController();
  const { body } = await ann.call(`/v1/videos/${id}/events`, { signal: leaving.signal });
  let text = '';
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes('data: ')) break;
  }
  leaving.abort();
  return text;
}

it('waits, and says so to its person and to admins, until a worker comes that has it', async () => {
  await web.worker(timedGenerator(20));
  const going = await web.worker(endless, [tiny, other]);
  const post = async (): Promise<Response> => await ann.post({ model: other });
  await eventually('the offer', async () => (await models()).includes(other));
  const first = (await ann.create({ model: other })).id;
  const second = await ann.create({ model: other });
  expect(second).toMatchObject({ model: other, status: 'queued', waits_for_model: false });
  await eventually('the run', async () => (await ann.video(first)).phase !== null);

  // The worker that had it goes; the one that stays makes other videos.
  await going.stop(0);
  const ids = [first, second.id];
  for (const id of ids) {
    await eventually('the wait', async () => (await ann.video(id)).waits_for_model);
    expect(await ann.video(id)).toMatchObject({ phase: null, seconds_left: null });
  }
  expect(await firstEvent(second.id)).toMatch(/event: position\ndata: .*"waits_for_model":true/);
  expect(await admin('stats')).toMatchObject({ waiting_for_models: { [other]: 2 } });
  expect((await admin('queue')).data).toMatchObject(
    ids.map(() => ({ model: other, waits_for_model: true, state: 'waiting' })),
  );
  await eventually('no offer', async () => !(await models()).includes(other));
  expect((await post()).status).toBe(404);
  expect((await ann.finished((await ann.create()).id)).status).toBe('completed');
  expect(await admin('stats')).toMatchObject({ waiting_for_models: { [other]: 2 } });

  await web.worker(timedGenerator(20), [other]);
  for (const id of ids) {
    expect(await ann.finished(id)).toMatchObject({ status: 'completed', waits_for_model: false });
  }
  expect((await admin('stats')).waiting_for_models).toEqual({});
});
