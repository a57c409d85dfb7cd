import { afterEach, beforeEach, expect, it } from 'vitest';
import { queueStats } from '../../src/queue/stats.ts';
import { eventually, type Generation, Harness, timedGenerator } from '../helpers/queue-harness.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.stop());

it('begins no job in its quiet hours, says how long they last, and goes on when they end', async () => {
  const client = harness.client();
  const runs: Generation[] = [];
  let startedAt = 0;
  let endsAt = Number.POSITIVE_INFINITY;
  const generate = timedGenerator(10, runs);
  await harness.worker(
    async (...args) => {
      startedAt = performance.now();
      return await generate(...args);
    },
    { quietMs: () => Math.min(3_000, Math.max(0, endsAt - performance.now())) },
  );
  await harness.delivery();
  await client.submit(await harness.request('a'));
  await eventually('the worker says so', async () => {
    const { workers } = await queueStats(harness.server.failFast(), harness.keys, 'day');
    return workers.quiet === 1;
  });
  const position = await client.timeLeft.position({ id: 't-a', preset: 'standard' });
  expect(position).toMatchObject({ ahead: 0, quietMs: 3_000 });
  expect(runs).toEqual([]);
  endsAt = performance.now() + 500;
  await eventually('the video', () => harness.posted.length === 1);
  expect(startedAt).toBeGreaterThanOrEqual(endsAt);
});

it('can be ended in them', async () => {
  const worker = await harness.worker(timedGenerator(10), { quietMs: () => 60_000 });
  await harness.client().submit(await harness.request('a'));
  await worker.stop(0);
});
