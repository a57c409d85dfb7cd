/** From which model's jobs a worker takes the next one: fair first, then what is loaded, and nobody waits for ever. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { contract } from '../../src/queue/contract.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Ledger, mostPassedOver } from '../../src/queue/ledger.ts';
import { TestRedis } from '../helpers/redis-server.ts';

let server: TestRedis;
let redis: ReturnType<TestRedis['connect']>;
let ledger: Ledger;
let count = 0;

beforeAll(async () => {
  server = await TestRedis.start();
  redis = server.connect();
  ledger = new Ledger(redis, new Keys('t'));
});
afterAll(() => server.stop());

const limits = { queue: 1_000, user: 1_000, community: 1_000, credits: 1_000_000 };
type Model = string | undefined;
const all: readonly Model[] = ['a', 'b', undefined];

async function admit(userKey: string, model: Model, cost = 2): Promise<string> {
  const id = `t-${++count}`;
  const generation = { prompt: '', preset: 'standard', seed: 1 };
  const request = { id, userKey, generation, model, replyTo: {} };
  const { decision } = await ledger.admit(request, { cost, day: 'd', cooldownMs: 0, limits, now: 1 });
  expect(decision).toBe('accepted');
  return id;
}

/** The waiting jobs in the fair order. */
const waiting = async () => (await ledger.waiting(1_000)).entries;

/** A worker takes the next job, as BullMQ hands it out: the first of the chosen model. */
async function take(models: readonly Model[], loaded: readonly Model[]) {
  const before = await waiting();
  const chosen = await ledger.turnOf(models, new Set(loaded));
  const job = before.find(({ model }) => model === chosen);
  if (!job) return undefined;
  await ledger.transition(job.id, 'start', 1);
  const able = before.filter(({ model }) => models.includes(model));
  return { job, passed: able.slice(0, able.indexOf(job)) };
}

const arrival = fc.record({
  kind: fc.constant('arrives' as const),
  user: fc.integer({ min: 0, max: 5 }),
  model: fc.constantFrom(...all),
  cost: fc.integer({ min: 1, max: 6 }),
});
const taking = fc.record({
  kind: fc.constant('takes' as const),
  models: fc.subarray([...all], { minLength: 1 }),
  loaded: fc.subarray([...all]),
});

it('passes nobody over more than three times, keeps the order of each person, and serves all', async () => {
  const steps = fc.array(fc.oneof({ arbitrary: arrival, weight: 3 }, { arbitrary: taking, weight: 2 }), {
    maxLength: 60,
  });
  await fc.assert(
    fc.asyncProperty(steps, async (happens) => {
      await redis.flushall();
      const passedOver = new Map<string, number>();
      const takes = async (models: readonly Model[], loaded: readonly Model[]): Promise<boolean> => {
        const taken = await take(models, loaded);
        if (!taken) return false;
        for (const { id, request } of taken.passed) {
          passedOver.set(id, (passedOver.get(id) ?? 0) + 1);
          expect(request.userKey).not.toBe(taken.job.request.userKey);
        }
        return true;
      };
      for (const step of happens) {
        if (step.kind === 'takes') await takes(step.models, step.loaded);
        else await admit(`test:u${step.user}`, step.model, step.cost);
      }
      // A worker that has one model loaded for ever serves the others, too.
      while (await takes(all, ['a']));
      expect(await waiting()).toEqual([]);
      expect(Math.max(0, ...passedOver.values())).toBeLessThanOrEqual(mostPassedOver);
    }),
    { numRuns: 40 },
  );
});

it('keeps the fair order where nothing, or everything, is loaded', async () => {
  for (const loaded of [[], all]) {
    await redis.flushall();
    for (let n = 0; n < 12; n++) await admit(`test:u${n % 4}`, all[n % 3]);
    for (const { id } of await waiting()) expect((await take(all, loaded))?.job.id).toBe(id);
  }
});

it('stays with the loaded model for some jobs, then changes', async () => {
  await redis.flushall();
  const order: Model[] = [];
  for (let n = 0; n < 20; n++) await admit(`test:u${n}`, n % 2 === 0 ? 'a' : 'b');
  let loaded: Model = 'a';
  for (let n = 0; n < 20; n++) {
    loaded = (await take(['a', 'b'], [loaded]))?.job.model;
    order.push(loaded);
  }
  const changes = order.filter((model, n) => n > 0 && model !== order[n - 1]).length;
  expect(order.filter((model) => model === 'a')).toHaveLength(10);
  expect(changes).toBeLessThanOrEqual(6); // 19 by the fair order alone
});

it('does not let somebody with much to do pass a newcomer', async () => {
  await redis.flushall();
  for (let n = 0; n < 10; n++) await admit('test:heavy', 'a');
  await take(['a', 'b'], ['a']);
  const newcomer = await admit('test:new', 'b');
  expect((await take(['a', 'b'], ['a']))?.job.id).toBe(newcomer);
});

it('gives no turn to jobs of a later version, and lets them pass nobody', async () => {
  await redis.flushall();
  const keys = new Keys('t');
  const later = [await admit('test:ann', 'a'), await admit('test:bob', 'a')];
  for (const id of later) await redis.hset(keys.job(id), 'contract', contract + 1);
  await admit('test:cat', 'b');
  const last = await admit('test:dan', 'a');
  expect(await ledger.turnOf(['a', 'b'], new Set())).toBe('b');
  for (let n = 0; n <= mostPassedOver; n++) {
    expect(await ledger.turnOf(['a', 'b'], new Set(['b']))).toBe('b');
  }
  expect(await redis.hget(keys.job(later[0] ?? ''), 'passed')).toBeNull();
  expect(await ledger.turnOf(['a'], new Set())).toBe('a');
  await ledger.transition(last, 'start', 1);
  expect(await ledger.turnOf(['a'], new Set())).toBeUndefined();
});

it('does not wait for jobs that other workers have the models for', async () => {
  await redis.flushall();
  await admit('test:ann', 'b');
  const own = await admit('test:bob', 'a');
  expect((await take(['a'], ['a']))?.job.id).toBe(own);
  expect((await waiting()).map(({ model }) => model)).toEqual(['b']);
});
