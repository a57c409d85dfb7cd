/** What the studio page needs to know of the model and the queue, and that the options it learns of are real ones. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadPack } from '../../src/inference/packs/files.ts';
import type { PackManifest } from '../../src/inference/packs/manifest.ts';
import { AuditTrail } from '../../src/queue/audit.ts';
import { Keys } from '../../src/queue/keys.ts';
import { ModeSwitch } from '../../src/queue/mode.ts';
import { motionKinds } from '../../src/request/motions.ts';
import { promptTip } from '../../src/request/prompt-tip.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { ignoredBy, type Studio, studioSchema } from '../../src/web/studio.ts';
import { tinyPack } from '../helpers/engine-fixture.ts';
import { log, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let manifest: PackManifest;
let web: WebFixture;
let ann: WebPerson;
beforeAll(async () => {
  ({ manifest } = await loadPack(tinyPack));
  web = await WebFixture.start();
  ann = await web.person();
});
afterAll(() => web.stop());

const studioOf = async (who: WebPerson): Promise<Studio> =>
  studioSchema.parse(await (await who.call('/v1/studio')).json());
const errorOf = async (response: Response) => errorSchema.parse(await response.json()).error;

it('tells the model, and of its options the ranges that the API takes', async () => {
  const { model, ranges, size, defaults, presets, upload } = await studioOf(ann);
  expect(model).toEqual({ id: manifest.id, title: manifest.title });
  expect(ranges.num_frames).toEqual(manifest.limits.numFrames);
  expect(ranges.num_inference_steps.max).toBeLessThanOrEqual(manifest.limits.numInferenceSteps.max);
  expect(size).toEqual({ multiple: manifest.sizeMultiple, ...pick(manifest.limits) });
  expect(defaults).toMatchObject({ preset: 'standard', fps: manifest.defaults.fps, scheduler: 'ddim' });
  expect(presets.map(({ name }) => name)).toEqual(['fast', 'standard', 'high', 'creative']);
  expect(upload.bytes).toBe(64 * 2 ** 20);
  for (const [name, { min, max }] of Object.entries(ranges)) {
    if (name === 'seed') continue;
    const beyond = await ann.post({ prompt: 'zoom in', [name]: String(max + 1) });
    expect([beyond.status, (await errorOf(beyond)).param], name).toEqual([400, name]);
    const below = await ann.post({ prompt: 'zoom in', [name]: String(min - 1) });
    expect(below.status, name).toBe(400);
  }
});

const pick = ({ side, pixels }: PackManifest['limits']) => ({ side, pixels });

it('offers motions that need no advice, of a model that names none', async () => {
  const { motions, tells_understood } = await studioOf(ann);
  expect(tells_understood).toBe(false);
  expect(motions.map(({ name }) => name)).toEqual(motionKinds.slice(0, 11));
  for (const { name, prompt } of motions) expect(promptTip(prompt), name).toBeUndefined();
});

it('takes the scheduler and the speed options that it tells of', async () => {
  const { schedulers, ignored } = await studioOf(ann);
  for (const { name: scheduler } of schedulers)
    expect(await ann.create({ scheduler })).toMatchObject({ scheduler });
  expect(await ann.create({ guidance_end: '0.5' })).toMatchObject({ guidance_end: 0.5, feature_reuse: 1 });
  // The tiny pack has no second core.
  expect(ignored).toContain('feature_reuse');
  const refused = await ann.post({ prompt: 'zoom in', feature_reuse: '2' });
  expect(refused.status).toBe(400);
  const beyond = await ann.post({ prompt: 'zoom in', feature_reuse: '4' });
  expect(await errorOf(beyond)).toMatchObject({ param: 'feature_reuse', code: 'INVALID_OPTION' });
});

it('tells what the model ignores', () => {
  const named = ['num_inference_steps', 'negative_prompt', 'scheduler'];
  expect(ignoredBy(manifest)).not.toEqual(expect.arrayContaining(named.slice(0, 1)));
  const deaf = { ...manifest, ignoredOptions: ['numInferenceSteps', 'negativePrompt', 'scheduler'] as const };
  expect(ignoredBy({ ...deaf, ignoredOptions: [...deaf.ignoredOptions] })).toEqual(
    expect.arrayContaining(named),
  );
});

it('tells what a request costs and takes now, the wait of that person included', async () => {
  const seconds = ({ presets }: Studio): number | null =>
    presets.find(({ name }) => name === 'fast')?.seconds_now ?? null;
  const eve = await web.person();
  const before = await studioOf(eve);
  expect(seconds(before)).toBeNull();
  expect(before.presets.every(({ credits }) => credits > 0)).toBe(true);
  const worker = await web.worker(timedGenerator(1_500));
  await eve.finished((await eve.create({ preset: 'fast' })).id);
  const idle = await studioOf(eve);
  expect(seconds(idle)).toBeGreaterThanOrEqual(2);
  await worker.stop(0);
  for (let i = 0; i < 3; i++) await eve.create({ preset: 'fast' });
  const waiting = await studioOf(eve);
  expect(waiting.queue_position - idle.queue_position).toBeGreaterThanOrEqual(3);
  expect(seconds(waiting)).toBeGreaterThan(seconds(idle) ?? 0);
});

it('tells that the queue is paused', async () => {
  const redis = web.redis.connect();
  const mode = new ModeSwitch(new AuditTrail(redis, new Keys()), log);
  await mode.pause('web:test');
  expect((await studioOf(ann)).mode).toBe('paused');
  await mode.resume('web:test');
  expect((await studioOf(ann)).mode).toBe('running');
  await mode.close();
});
