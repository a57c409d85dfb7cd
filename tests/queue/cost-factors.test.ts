/** What models cost relative to each other, by how long their clips took. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { costFactorRange, measureCostFactors, readCostFactors } from '../../src/queue/cost-factors.ts';
import { recordDuration } from '../../src/queue/durations.ts';
import { Keys } from '../../src/queue/keys.ts';
import { kindName } from '../../src/queue/models.ts';
import { queueTerms } from '../../src/queue/terms.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const keys = new Keys('t');
let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
beforeAll(async () => {
  server = await TestRedis.start();
  redis = server.connect();
});
afterAll(() => server.stop());
beforeEach(() => redis.flushall());

async function took(model: string, seconds: number, preset = 'standard', device = 'cpu', times = 3) {
  for (let n = 0; n < times; n++) {
    await recordDuration(redis, keys, kindName({ preset, model }), device, seconds * 1000);
  }
}
async function factorOf(model: string, models: readonly string[] = ['usual', model]) {
  await measureCostFactors(redis, keys, models);
  return (await readCostFactors(redis, keys)).get(model);
}

it('is none before both were measured, on one device and with one preset', async () => {
  await took('usual', 10);
  expect(await factorOf('new')).toBeUndefined();
  await took('new', 40, 'standard', 'cuda');
  await took('new', 40, 'fast');
  await took('new', 40, 'standard', 'cpu', 2);
  expect(await factorOf('new')).toBeUndefined();
  await took('new', 40, 'standard', 'cpu', 1);
  expect(await factorOf('new')).toBe(4);
});

it('goes by the preset that most people take', async () => {
  for (const [preset, usual, other] of [
    ['fast', 10, 20],
    ['standard', 10, 60],
  ] as const) {
    await took('usual', usual, preset);
    await took('new', other, preset);
  }
  expect(await factorOf('new')).toBe(6);
});

it.each([
  [10_000, costFactorRange.max],
  [0.1, costFactorRange.min],
])('keeps within its range for clips of %s seconds', async (seconds, expected) => {
  await took('usual', 10);
  await took('new', seconds);
  expect(await factorOf('new')).toBe(expected);
});

it('stays while little changes, and is measured anew against another default', async () => {
  await took('usual', 10);
  await took('new', 30);
  expect(await factorOf('new')).toBe(3);
  await took('new', 36, 'standard', 'cpu', 50);
  expect(await factorOf('new')).toBe(3);
  await took('new', 40, 'standard', 'cpu', 50);
  expect(await factorOf('new')).toBe(4);
  expect(await factorOf('usual', ['new', 'usual'])).toBe(0.25);
  expect((await readCostFactors(redis, keys)).get('new')).toBeUndefined();
});

it('makes whole credits of the presets, at least one, and more for more of a clip', () => {
  const limits = { queue: 1, user: 1, community: 1, credits: 1 };
  const settings = { limits, costs: { fast: 1, standard: 2 }, cooldownMs: 0, timeZone: 'UTC' };
  const costOf = (factor: number, preset: string, numFrames?: number): number =>
    queueTerms(
      settings,
      () => undefined,
      () => factor,
    ).cost({ generation: { prompt: '', preset, seed: 1, ...(numFrames ? { numFrames } : {}) } });
  expect([costOf(1, 'standard'), costOf(2.5, 'standard'), costOf(0.25, 'fast')]).toEqual([2, 5, 1]);
  expect(costOf(2.5, 'standard', 32)).toBe(10); // twice the frames
});
