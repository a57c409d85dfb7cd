import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually, type Generation, Harness, timedGenerator } from '../helpers/queue-harness.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start('--appendonly', 'yes', '--appendfsync', 'always');
});
afterEach(() => harness.stop());

const answered =
  (count: number): (() => boolean) =>
  () =>
    harness.posted.length >= count;

describe('a worker', () => {
  it('killed in the middle of a job is followed by one that starts the job again at once', async () => {
    const client = harness.client();
    await harness.delivery();
    const first = await harness.workerProcess(3_000);
    await client.submit(await harness.request('a'));
    await client.submit(await harness.request('b', 'test:bob'));
    await eventually('the run', async () => (await harness.runs()).length === 1);
    first.kill('SIGKILL');
    await once(first, 'exit');
    await harness.workerProcess(300);
    // A busy machine takes seconds to start a process. Without being told, it would wait for 20 s.
    const startedAt = Date.now();
    await eventually('the second run', async () => (await harness.runs()).length === 2);
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    await eventually('both answers', answered(2));
    expect(await harness.runs()).toEqual(['t-a', 't-a', 't-b']);
    expect(await harness.creditsUsed()).toBe(1);
  });

  it.each([-2, 2])(
    'whose clock is %d hours off keeps its job',
    async (hours) => {
      const client = harness.client();
      await harness.delivery();
      await harness.workerProcess(9_000, 0, hours * 3_600_000);
      await client.submit(await harness.request('a'));
      await eventually('the run', async () => (await harness.runs()).length === 1);
      const other: Generation[] = [];
      // It looks for jobs of dead workers, as on another machine.
      await harness.worker(timedGenerator(10, other), { reclaimEveryMs: 500 });
      await eventually('the answer', answered(1));
      expect(await harness.runs()).toEqual(['t-a']);
      expect(other).toEqual([]);
    },
    40_000,
  );

  it('whose clock is ahead hands a job back to workers whose clocks are not', async () => {
    const client = harness.client();
    await harness.delivery();
    const ahead = await harness.workerProcess(20_000, 100, 7_200_000);
    await client.submit(await harness.request('a'));
    await eventually('the run', async () => (await harness.runs()).length === 1);
    ahead.kill('SIGTERM');
    await once(ahead, 'exit');
    await harness.worker(timedGenerator(10));
    await eventually('the answer', answered(1));
  });

  it('that was told to end lets the job finish within the grace period', async () => {
    const client = harness.client();
    await harness.delivery();
    const worker = await harness.workerProcess(600, 5_000);
    await client.submit(await harness.request('a'));
    await client.submit(await harness.request('b'));
    await eventually('the run', async () => (await harness.runs()).length === 1);
    worker.kill('SIGTERM');
    const [code] = await once(worker, 'exit');
    expect(code).toBe(0);
    await eventually('the answer', answered(1));
    expect(await harness.runs()).toEqual(['t-a']);
    expect((await client.ledger.read('t-b'))?.state).toBe('waiting');
  });

  it('hands a long job back, and the next one continues where it stopped', async () => {
    const client = harness.client();
    await harness.delivery();
    const worker = await harness.workerProcess(20_000, 100);
    await client.submit(await harness.request('a'));
    await client.submit(await harness.request('b'));
    await eventually('the run', async () => (await harness.runs()).length === 1);
    worker.kill('SIGTERM');
    await once(worker, 'exit');
    expect((await client.ledger.read('t-a'))?.state).toBe('waiting');
    await harness.workerProcess(100);
    await eventually('both answers', answered(2));
    expect(await harness.runs()).toEqual(['t-a', 't-a', 't-b']);
  });
});

describe('Redis', () => {
  it('dead at submit gives an answer within 2.5 s, and nothing comes of the job later', async () => {
    const client = harness.client();
    const request = await harness.request('a');
    await client.timeLeft.position({ id: 't-x', preset: 'standard' });
    harness.server.process.kill('SIGSTOP');
    const askedAt = Date.now();
    expect(await client.submit(request)).toEqual({ decision: 'unavailable' });
    expect(Date.now() - askedAt).toBeLessThan(2_500);
    harness.server.process.kill('SIGCONT');

    const runs: Generation[] = [];
    await harness.worker(timedGenerator(10, runs));
    await harness.delivery();
    const redis = harness.server.connect();
    await eventually('the withdrawal', async () => (await redis.scard('{t}:active:all')) === 0);
    await sleep(1_500);
    expect(await harness.creditsUsed()).toBe(0);
    expect(harness.posted).toEqual([]);
  });

  it.each(['at the start', 'in the middle', 'at completion'])(
    'frozen for five seconds %s of a job loses nothing',
    async (when) => {
      const client = harness.client();
      await harness.delivery();
      const runs: Generation[] = [];
      const blocked = { 'at the start': 0, 'in the middle': 500, 'at completion': 900 }[when] ?? 0;
      await harness.worker(timedGenerator(1_000, runs));
      await client.submit(await harness.request('a'));
      if (blocked > 0) await eventually('the run', () => runs.length === 1);
      await sleep(blocked);
      harness.server.process.kill('SIGSTOP');
      await sleep(5_000);
      harness.server.process.kill('SIGCONT');
      await eventually('the answer', answered(1));
      await sleep(500);
      expect(runs).toHaveLength(1);
      expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'video' }]);
    },
  );

  it('frozen while a bot starts does not leave it deaf', async () => {
    harness.server.process.kill('SIGSTOP');
    const client = harness.client();
    await sleep(2_500); // longer than BullMQ's first question may take
    harness.server.process.kill('SIGCONT');
    let asked = 0;
    await eventually('a request is accepted', async () => {
      return (await client.submit(await harness.request(`after${asked++}`))).decision === 'accepted';
    });
    expect(asked).toBeLessThan(5);
  });

  it('killed and restarted keeps every accepted job', async () => {
    const client = harness.client();
    const runs: Generation[] = [];
    for (let i = 0; i < 10; i++) {
      expect((await client.submit(await harness.request(`j${i}`))).decision).toBe('accepted');
    }
    await harness.worker(timedGenerator(100, runs));
    await harness.delivery();
    await eventually('three runs', () => runs.length === 3);
    await harness.server.crashAndRestart();
    await eventually('ten answers', answered(10));
    await sleep(500);
    expect(new Set(harness.posted.map((posted) => posted.jobId)).size).toBe(10);
    expect(harness.posted).toHaveLength(10);
    expect(await harness.creditsUsed()).toBe(10);
  });
});
