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

const turnOf = async (models: readonly Model[], loaded: readonly Model[], worker = 'w') =>
  await ledger.turnOf(worker, models, new Set(loaded));

/** A worker takes the next job, as BullMQ hands it out: the first of the chosen model. */
async function take(models: readonly Model[], loaded: readonly Model[]) {
  const before = await waiting();
  const chosen = await turnOf(models, loaded);
  const job = before.find(({ model }) => model === chosen);
  if (!job) return undefined;
  await ledger.transition(job.id, 'start', 1, { worker: 'w' });
  const able = before.filter(({ model }) => models.includes(model));
  return { job, passed: able.slice(0, able.indexOf(job)) };
}

/** Workers of which each asks for its turn in one step, and takes its job in another, with those of others in between. */
class Workers {
  readonly passedOver = new Map<string, number>();
  readonly #turns = new Map<string, { readonly model: Model; readonly waited: ReadonlySet<string> }>();

  async ask(worker: string, models: readonly Model[], loaded: readonly Model[]): Promise<boolean> {
    if (this.#turns.has(worker)) return false;
    const entries = await waiting();
    const model = await turnOf(models, loaded, worker);
    const about = [...this.#turns.values()];
    const isOf = (one: { readonly model?: Model }): boolean => one.model === model;
    if (!models.includes(model) || entries.filter(isOf).length <= about.filter(isOf).length) return false;
    // Of each model as many first jobs as have turns are being taken: they are not passed over.
    const waited = all.flatMap((one) => {
      const taken = about.filter((turn) => turn.model === one).length;
      const ofModel = entries.filter((entry) => entry.model === one);
      return models.includes(one) ? ofModel.slice(taken).map(({ id }) => id) : [];
    });
    this.#turns.set(worker, { model, waited: new Set(waited) });
    return true;
  }

  async take(worker: string): Promise<boolean> {
    const turn = this.#turns.get(worker);
    if (!turn) return false;
    this.#turns.delete(worker);
    const entries = await waiting();
    const job = entries.find(({ model }) => model === turn.model);
    if (!job) return false;
    await ledger.transition(job.id, 'start', 1, { worker });
    for (const { id, request } of entries.slice(0, entries.indexOf(job))) {
      if (!turn.waited.has(id)) continue;
      this.passedOver.set(id, (this.passedOver.get(id) ?? 0) + 1);
      expect(request.userKey).not.toBe(job.request.userKey);
    }
    return true;
  }

  get mostPassed(): number {
    return Math.max(0, ...this.passedOver.values());
  }
}

const arrival = fc.record({
  kind: fc.constant('arrives' as const),
  user: fc.integer({ min: 0, max: 5 }),
  model: fc.constantFrom(...all),
  cost: fc.integer({ min: 1, max: 6 }),
});
const crew = fc.constantFrom('w1', 'w2', 'w3', 'w4', 'w5');
const asking = fc.record({
  kind: fc.constant('asks' as const),
  worker: crew,
  models: fc.subarray([...all], { minLength: 1 }),
  loaded: fc.subarray([...all]),
});
const taking = fc.record({ kind: fc.constant('takes' as const), worker: crew });

it('passes nobody over more than three times, keeps the order of each person, and serves all', async () => {
  const step = fc.oneof(
    { arbitrary: arrival, weight: 3 },
    { arbitrary: asking, weight: 3 },
    { arbitrary: taking, weight: 2 },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (happens) => {
      await redis.flushall();
      const workers = new Workers();
      for (const happening of happens) {
        const { kind } = happening;
        if (kind === 'arrives') await admit(`test:u${happening.user}`, happening.model, happening.cost);
        else if (kind === 'takes') await workers.take(happening.worker);
        else await workers.ask(happening.worker, happening.models, happening.loaded);
      }
      for (const worker of ['w1', 'w2', 'w3', 'w4', 'w5']) await workers.take(worker);
      // A worker that has one model loaded for ever serves the others, too.
      while (await workers.ask('w1', all, ['a'])) await workers.take('w1');
      expect(await waiting()).toEqual([]);
      expect(workers.mostPassed).toBeLessThanOrEqual(mostPassedOver);
    }),
    { numRuns: 40 },
  );
});

it('passes nobody over more often when eight workers ask before the first of them takes a job', async () => {
  await redis.flushall();
  const crewOfEight = Array.from({ length: 8 }, (_, n) => `w${n}`);
  const passedOver = new Map<string, number>();
  for (let n = 0; n < 24; n++) await admit(`test:u${n}`, n % 2 === 0 ? 'a' : 'b', 6);
  for (let round = 0; round < 4; round++) {
    const before = (await waiting()).map(({ id }) => id);
    const turns: Model[] = [];
    for (const worker of crewOfEight) turns.push(await turnOf(['a', 'b'], ['a'], worker));
    for (const [n, turn] of turns.entries()) {
      const job = (await waiting()).find(({ model }) => model === turn);
      await ledger.transition(job?.id ?? '', 'start', 1, { worker: crewOfEight[n] ?? '' });
    }
    const left = (await waiting()).map(({ id }) => id);
    const taken = before.filter((id) => !left.includes(id));
    expect(taken).toHaveLength(crewOfEight.length);
    for (const id of left) {
      const later = taken.filter((other) => before.indexOf(other) > before.indexOf(id));
      passedOver.set(id, (passedOver.get(id) ?? 0) + later.length);
    }
    for (let n = 0; n < 6; n++) await admit(`test:new${round}-${n}`, 'a', 6);
  }
  const most = Math.max(...passedOver.values());
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(mostPassedOver);
});

it('passes no job uncounted behind more of them than are looked at', async () => {
  await redis.flushall();
  for (let n = 0; n < 60; n++) await admit(`test:u${n}`, 'b');
  await admit('test:last', 'a');
  expect(await turnOf(['b'], [], 'other')).toBe('b');
  expect(await turnOf(['a', 'b'], ['a'])).toBe('b');
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
  expect(await turnOf(['a', 'b'], [])).toBe('b');
  for (let n = 0; n <= mostPassedOver; n++) {
    expect(await turnOf(['a', 'b'], ['b'])).toBe('b');
  }
  expect(await redis.hget(keys.job(later[0] ?? ''), 'passed')).toBeNull();
  expect(await turnOf(['a'], [])).toBe('a');
  await ledger.transition(last, 'start', 1);
  expect(await turnOf(['a'], [])).toBeUndefined();
});

it('does not wait for jobs that other workers have the models for', async () => {
  await redis.flushall();
  await admit('test:ann', 'b');
  const own = await admit('test:bob', 'a');
  expect((await take(['a'], ['a']))?.job.id).toBe(own);
  expect((await waiting()).map(({ model }) => model)).toEqual(['b']);
});
