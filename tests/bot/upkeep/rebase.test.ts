import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Reconciler } from '../../../src/bot/upkeep/reconcile.ts';
import { type JobClient, maxPriority } from '../../../src/queue/client.ts';
import { eventually, type Generation, Harness, log, timedGenerator } from '../../helpers/queue-harness.ts';

let harness: Harness;
let client: JobClient;
beforeEach(async () => {
  harness = await Harness.start();
  client = harness.client();
});
afterEach(() => harness.stop());

/** As if the queue had not been empty for months. */
async function startClockAt(vtime: number): Promise<void> {
  const redis = harness.server.connect();
  // A job that runs all the time keeps the clock from starting anew.
  await client.submit(await harness.request('old', 'test:old'));
  await client.ledger.transition('t-old', 'start', 1, { worker: 'elsewhere' });
  await redis.zrem('{t}:bull:generate:prioritized', 't-old');
  await redis.hset('{t}:job:t-old', 'tag', vtime);
  await redis.hset('{t}:bull:generate:t-old', 'priority', Math.min(vtime + 1, maxPriority));
  await redis.set('{t}:vtime', vtime);
  await redis.hset('{t}:vfinish', 'test:old', vtime + 12);
}

const reconciler = (): Reconciler =>
  new Reconciler(harness.server.failFast(), client, harness.artifacts, log);

async function queued(): Promise<{ id: string; priority: number }[]> {
  const redis = harness.server.connect();
  const flat = await redis.zrange('{t}:bull:generate:prioritized', 0, '-1', 'WITHSCORES');
  return flat.flatMap((id, index) =>
    index % 2 === 0 ? [{ id, priority: Math.floor(Number(flat[index + 1]) / 2 ** 32) }] : [],
  );
}

/** Ids in the order of the ledger. */
async function waiting(): Promise<string[]> {
  return await harness.server.connect().zrange('{t}:waiting:standard', 0, '-1');
}

describe('virtual time', () => {
  it('near the largest priority moves back, with everything in the same order', async () => {
    await startClockAt(maxPriority - 100);
    const people = ['test:ann', 'test:bob', 'test:eve'];
    for (let round = 0; round < 4; round++) {
      for (const [index, person] of people.entries()) {
        await client.submit(await harness.request(`${index}${round}`, person));
      }
    }
    const before = await waiting();
    expect((await queued()).map(({ id }) => id)).toEqual(before);

    const report = await reconciler().run();
    expect(report).toMatchObject({ rebased: maxPriority - 100, priorities: 13 });
    expect(await waiting()).toEqual(before);
    const after = await queued();
    expect(after.map(({ id }) => id)).toEqual(before);
    expect(after.map(({ priority }) => priority)).toEqual([1, 1, 1, 13, 13, 13, 25, 25, 25, 37, 37, 37]);
    for (const { id, priority } of after) expect((await client.ledger.read(id))?.priority).toBe(priority);

    // A newcomer comes behind one job of each, as always.
    await client.submit(await harness.request('new', 'test:new'));
    expect((await queued()).findIndex(({ id }) => id === 't-new')).toBe(3);
    // Those who had queued pay for it as they would have without the move.
    await client.submit(await harness.request('more', 'test:ann'));
    expect((await queued()).find(({ id }) => id === 't-more')?.priority).toBe(49);
    expect(await reconciler().run()).toMatchObject({ rebased: 0, priorities: 0 });
  });

  it('beyond the largest priority is mended too: who was cut off gets a priority of their own again', async () => {
    await startClockAt(maxPriority - 10);
    for (let i = 0; i < 5; i++) await client.submit(await harness.request(`h${i}`, 'test:ann'));
    await client.submit(await harness.request('n', 'test:bob'));
    expect((await queued()).filter(({ priority }) => priority === maxPriority)).toHaveLength(4);
    await reconciler().run();
    expect(await queued()).toEqual([
      { id: 't-h0', priority: 1 },
      { id: 't-n', priority: 1 },
      { id: 't-h1', priority: 13 },
      { id: 't-h2', priority: 25 },
      { id: 't-h3', priority: 37 },
      { id: 't-h4', priority: 49 },
    ]);
  });

  it('moves while workers serve, and two bots move it once', async () => {
    await startClockAt(maxPriority - 50);
    const runs: Generation[] = [];
    for (let i = 0; i < 20; i++) await client.submit(await harness.request(`h${i}`, 'test:ann'));
    await harness.worker(timedGenerator(30, runs));
    await harness.delivery();
    await eventually('three runs', () => runs.length >= 3);
    const bots = [reconciler(), reconciler()];
    const reports = await Promise.all(bots.map((bot) => bot.run()));
    expect(reports.filter(({ rebased }) => rebased > 0)).toHaveLength(1);
    await client.submit(await harness.request('n', 'test:bob'));
    await eventually('all', () => harness.posted.length === 21);
    const newcomer = runs.findIndex(({ jobId }) => jobId === 't-n');
    expect(newcomer).toBeLessThan(12);
    const own = runs.map(({ jobId }) => jobId).filter((id) => id !== 't-n');
    expect(own).toEqual(Array.from({ length: 20 }, (_, i) => `t-h${i}`));
    expect(Number(await harness.server.connect().get('{t}:vtime'))).toBeLessThan(1_000);
  });

  it('leaves a job that is handed back later first in line', async () => {
    await startClockAt(maxPriority - 50);
    await client.submit(await harness.request('a'));
    await client.ledger.transition('t-a', 'start', 2, { worker: 'x' });
    await client.submit(await harness.request('b'));
    await reconciler().run();
    await client.ledger.transition('t-a', 'handback', 3);
    expect(await waiting()).toEqual(['t-a', 't-b']);
    expect(await client.ledger.read('t-a')).toMatchObject({ priority: 1 });
  });

  it('far from the edge stays as it is', async () => {
    await startClockAt(1_000);
    await client.submit(await harness.request('a'));
    expect(await reconciler().run()).toMatchObject({ rebased: 0, priorities: 0 });
    expect(await queued()).toEqual([{ id: 't-a', priority: 1_001 }]);
  });
});
