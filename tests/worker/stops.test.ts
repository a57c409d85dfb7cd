import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineWorkerHandle, engineRequest } from '../chaos/worker-handle.ts';
import { isRunning } from '../helpers/engine-fixture.ts';
import { filesOf } from '../helpers/job-files.ts';
import { eventually, type Generation, Harness, timedGenerator } from '../helpers/queue-harness.ts';

const manySteps = { size: '64', numFrames: 16, numInferenceSteps: 40 };

let harness: Harness;
const workers: EngineWorkerHandle[] = [];
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.end('SIGKILL');
  await harness.stop();
});

async function startWorker(graceMs: number): Promise<EngineWorkerHandle> {
  const worker = EngineWorkerHandle.start(harness, { graceMs });
  workers.push(worker);
  return await worker.serving();
}

describe('a worker with an engine', () => {
  it('that is told to end hands a long job back at once, leaves no engine, and the next one makes it', async () => {
    const client = harness.client();
    await harness.delivery();
    const first = await startWorker(200);
    const engine = Number(first.enginePid);
    await client.submit(await engineRequest(harness, 'long', 'test:ann', manySteps));
    await eventually('the first step', () => first.firstWorkAt !== null);
    const toldAt = Date.now();
    expect(await first.end('SIGTERM')).toBe(0);
    expect(Date.now() - toldAt).toBeLessThan(5_000);
    expect(isRunning(engine)).toBe(false);
    expect((await client.ledger.read('t-long'))?.state).toBe('waiting');
    expect((await readdir(filesOf(harness.artifacts, 't-long').folder)).sort()).toEqual([
      'accepted.json',
      'picture',
    ]);

    const second = await startWorker(30_000);
    await eventually('the next step', () => second.firstWorkAt !== null);
    expect(await second.end('SIGTERM')).toBe(0); // and this one has time to finish it
    await eventually('the answer', () => harness.posted.length === 1);
    expect(harness.posted).toEqual([{ jobId: 't-long', kind: 'video' }]);
    expect(await harness.runs()).toEqual(['t-long', 't-long']);
  });
});

describe('a worker that is told to end in the middle of a job', () => {
  it('leaves it to one that waits, which begins at once', async () => {
    const client = harness.client();
    const runs: { readonly worker: number; readonly at: number }[] = [];
    const workers = await Promise.all(
      [0, 1].map((worker) =>
        harness.worker(async (...args) => {
          runs.push({ worker, at: Date.now() });
          return await timedGenerator(runs.length === 1 ? 30_000 : 10)(...args);
        }),
      ),
    );
    await harness.delivery();
    await client.submit(await harness.request('a'));
    await eventually('the first run', () => runs.length === 1);
    await workers[runs[0]?.worker ?? 0]?.stop(0);
    const leftAt = Date.now();
    await eventually('the video', () => harness.posted.length === 1);
    expect(new Set(runs.map(({ worker }) => worker)).size).toBe(2);
    expect((runs[1]?.at ?? Number.POSITIVE_INFINITY) - leftAt).toBeLessThan(1_500);
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'video' }]);
  });
});

describe('a worker that looks for the dead', () => {
  it('leaves a living one its job', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await harness.delivery();
    for (let i = 0; i < 2; i++) await harness.worker(timedGenerator(1_500, runs), { reclaimEveryMs: 100 });
    await client.submit(await harness.request('a'));
    await eventually('the answer', () => harness.posted.length === 1);
    expect(runs).toHaveLength(1);
  });
});

describe('the same hundred requests twice', () => {
  it('make a hundred jobs', async () => {
    const runs: Generation[] = [];
    const [one, other] = [harness.client(), harness.client()];
    await harness.delivery();
    await harness.worker(timedGenerator(5, runs));
    const requests = await Promise.all(
      Array.from({ length: 100 }, (_, i) => harness.request(`j${i}`, `test:p${i % 7}`)),
    );
    const answers = await Promise.all(
      requests.flatMap((request) => [one.submit(request), other.submit(request)]),
    );
    const count = (decision: string): number =>
      answers.filter((answer) => answer.decision === decision).length;
    expect([count('accepted'), count('duplicate')]).toEqual([100, 100]);
    await eventually('a hundred answers', () => harness.posted.length >= 100);
    for (const request of requests) {
      expect(await one.submit(request)).toMatchObject({ decision: 'duplicate', state: 'generated' });
    }
    expect(new Set(harness.posted.map(({ jobId }) => jobId)).size).toBe(100);
    expect(harness.posted).toHaveLength(100);
    expect(runs).toHaveLength(100);
  });
});
