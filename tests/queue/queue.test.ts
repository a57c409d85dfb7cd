import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeliveryDelayed, DeliveryImpossible } from '../../src/bot/upkeep/delivery.ts';
import { KinoraError } from '../../src/errors.ts';
import { recordDuration } from '../../src/queue/durations.ts';
import { eventually, type Generation, Harness, timedGenerator } from '../helpers/queue-harness.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.stop());

const answered =
  (jobId: string): (() => boolean) =>
  () =>
    harness.posted.some((posted) => posted.jobId === jobId);

describe('a job', () => {
  it('goes from request to exactly one video', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await harness.worker(timedGenerator(50, runs));
    await harness.delivery();
    const progress: string[] = [];
    const stopWatching = await client.watch((event) => {
      if (event.type === 'progress') progress.push(`${event.phase} ${event.done}/${event.total}`);
    });
    const answers = [];
    for (let i = 0; i < 100; i++) answers.push(await client.submit(await harness.request('a')));
    expect(answers[0]).toMatchObject({ decision: 'accepted', cost: 1, position: { ahead: 0 } });
    expect(answers.slice(1).every((answer) => answer.decision === 'duplicate')).toBe(true);
    await eventually('the answer', answered('t-a'));
    await sleep(200);
    expect(runs).toHaveLength(1);
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'video' }]);
    expect(progress.at(-1)).toBe('denoising 10/10');
    expect(await client.ledger.read('t-a')).toMatchObject({ state: 'generated', starts: 1 });
    expect(await harness.creditsUsed()).toBe(1);
    stopWatching();
  });

  it('that had to be made smaller costs what the smaller one costs', async () => {
    const client = harness.client({ cost: () => 6 });
    const generate = timedGenerator(20);
    await harness.worker(async (...parts) => ({ ...(await generate(...parts)), reducedTo: 'fast' }), {
      costs: { fast: 2, high: 6 },
    });
    await harness.delivery();
    await client.submit(await harness.request('a'));
    await eventually('the answer', answered('t-a'));
    expect(await client.ledger.read('t-a')).toMatchObject({ cost: 2, artifact: { reducedTo: 'fast' } });
    expect(await harness.creditsUsed()).toBe(2);
  });

  it('tells its place and, once there is history, the time left', async () => {
    const client = harness.client();
    await client.submit(await harness.request('a'));
    const second = await client.submit(await harness.request('b'));
    expect(second).toMatchObject({ position: { ahead: 1 } });
    const worker = await harness.worker(timedGenerator(100));
    await harness.delivery();
    await eventually('both', () => harness.posted.length === 2);
    await worker.stop(0); // idle, it could have the third before its place is read
    const place = await client.submit(await harness.request('c'));
    expect(place).toMatchObject({ decision: 'accepted', position: { leftMs: expect.any(Number) } });
  });

  it('is told the time left by what each device needs', async () => {
    const client = harness.client();
    const redis = harness.server.connect();
    const beat = { beatAt: Date.now(), pid: 1, host: 'elsewhere', jobId: null };
    const joins = async (id: string, device: string): Promise<void> => {
      await redis.hset(harness.keys.workers, id, JSON.stringify({ ...beat, device }));
    };
    const leftMs = async (): Promise<number | undefined> =>
      (await client.timeLeft.position({ id: 't-c', preset: 'standard' }))?.leftMs;
    await recordDuration(redis, harness.keys, 'standard', 'cpu', 60_000);
    await recordDuration(redis, harness.keys, 'standard', 'cuda', 10_000);
    await recordDuration(redis, harness.keys, 'fast', 'cpu', 30_000);
    await joins('slow', 'cpu');
    await client.submit(await harness.request('a'));
    await client.submit(
      await harness.request('b', 'test:ann', { generation: { prompt: '', preset: 'fast', seed: 1 } }),
    );
    await client.submit(await harness.request('c'));
    expect(await leftMs()).toBeCloseTo(60_000 + 30_000 + 60_000, 0);
    // Together they finish 7 standard jobs in a minute; nothing is known of fast ones on the GPU.
    await joins('quick', 'cuda');
    expect(await leftMs()).toBeCloseTo(60_000 / 7 + 30_000 / 2 + (2 * 60_000) / 7, 0);
    // What is not known at all counts like the job itself.
    await redis.del(harness.keys.durations('fast', 'cpu'));
    expect(await leftMs()).toBeCloseTo((4 * 60_000) / 7, 0);
  });

  it('serves a newcomer after at most one more job of somebody with fifty', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    for (let i = 0; i < 50; i++) await client.submit(await harness.request(`h${i}`));
    await harness.worker(timedGenerator(60, runs));
    await harness.delivery();
    await eventually('the third run', () => runs.length === 3);
    await client.submit(await harness.request('n', 'test:bob'));
    await eventually('the newcomer', () => runs.some((run) => run.userKey === 'test:bob'));
    expect(runs.findIndex((run) => run.userKey === 'test:bob')).toBeLessThanOrEqual(4);
  });

  it('that fails is answered with its code and refunded', async () => {
    const client = harness.client();
    await harness.worker(async () => {
      throw new KinoraError('IMAGE_UNREADABLE', 'The picture is cut off.');
    });
    await harness.delivery();
    await client.submit(await harness.request('a'));
    await eventually('the answer', answered('t-a'));
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'failure' }]);
    expect((await client.ledger.read('t-a'))?.failure?.code).toBe('IMAGE_UNREADABLE');
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('that always kills the engine is given up after three deaths, and the queue goes on', async () => {
    const runs: Generation[] = [];
    const good = timedGenerator(10, runs);
    let deaths = 0;
    const client = harness.client();
    await harness.worker(async (entry, files, hooks) => {
      if (entry.id !== 't-bad') return await good(entry, files, hooks);
      deaths++;
      throw new KinoraError('ENGINE_CRASHED', 'The engine died.');
    });
    await harness.delivery();
    await client.submit(await harness.request('bad'));
    await client.submit(await harness.request('good', 'test:bob'));
    await eventually('both answers', () => harness.posted.length === 2);
    expect(deaths).toBe(3);
    expect(harness.posted.find((posted) => posted.jobId === 't-bad')?.kind).toBe('failure');
    expect(harness.posted.find((posted) => posted.jobId === 't-good')?.kind).toBe('video');
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('whose video already exists is not generated again', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await client.submit(await harness.request('a'));
    const worker = await harness.worker(timedGenerator(10, runs));
    await eventually('the record', async () => (await harness.artifacts.readRecord('t-a')) !== undefined);
    await worker.stop(1_000);
    // As if the worker had died between storing the video and saying so.
    const redis = harness.server.connect();
    await redis.hset('{t}:job:t-a', 'state', 'waiting');
    const entry = await client.ledger.read('t-a');
    if (!entry) throw new Error('lost');
    await client.enqueueAgain(entry);
    await harness.worker(timedGenerator(10, runs));
    await harness.delivery();
    await eventually('the answer', answered('t-a'));
    expect(runs).toHaveLength(1);
  });
});

describe('cancelling', () => {
  it('a waiting job ends at once with one answer', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await harness.delivery();
    await harness.worker(timedGenerator(400, runs));
    await client.submit(await harness.request('first'));
    await client.submit(await harness.request('second'));
    expect(await client.cancel('t-second', 'test:bob')).toBe('forbidden');
    expect(await client.cancel('t-second', 'test:ann')).toBe('cancelled');
    await eventually('both answers', () => harness.posted.length === 2);
    expect(harness.posted).toContainEqual({ jobId: 't-second', kind: 'cancelled' });
    expect(runs.map((run) => run.jobId)).toEqual(['t-first']);
    expect(await harness.creditsUsed()).toBe(1);
  });

  it('a running job stops at its next step', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await harness.delivery();
    await harness.worker(timedGenerator(5_000, runs));
    await client.submit(await harness.request('a'));
    await eventually('the run', () => runs.length === 1);
    expect(await client.cancel('t-a', 'test:ann')).toBe('requested');
    await eventually('the answer', answered('t-a'), 3_000);
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'cancelled' }]);
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('a finished job that still waits to be uploaded is not posted', async () => {
    const client = harness.client();
    await harness.worker(timedGenerator(10));
    await client.submit(await harness.request('a'));
    await eventually('the video', async () => (await client.ledger.read('t-a'))?.state === 'generated');
    expect(await client.cancel('t-a', 'test:ann')).toBe('cancelled');
    await harness.delivery();
    await eventually('the answer', answered('t-a'));
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'cancelled' }]);
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('an upload under way stops it when it is not too late', async () => {
    const client = harness.client();
    await harness.worker(timedGenerator(10));
    let uploading = false;
    await harness.delivery({}, async ({ kind }, _attempt, signal) => {
      if (kind !== 'video') return;
      uploading = true;
      await sleep(10_000, undefined, { signal });
    });
    await client.submit(await harness.request('a'));
    await eventually('the upload', () => uploading);
    expect(await client.cancel('t-a', 'test:ann')).toBe('requested');
    await eventually('the answer', answered('t-a'), 3_000);
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'cancelled' }]);
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('in any state and any race leaves one answer and no leaked credit', async () => {
    const client = harness.client();
    await harness.worker(timedGenerator(30));
    await harness.delivery();
    const ids = Array.from({ length: 40 }, (_, i) => `r${i}`);
    await Promise.all(
      ids.map(async (id, i) => {
        await client.submit(await harness.request(id));
        await sleep(i * 30);
        await client.cancel(`t-${id}`, 'test:ann');
      }),
    );
    await eventually('forty answers', () => harness.posted.length >= 40);
    await sleep(300);
    expect(harness.posted.map((posted) => posted.jobId).sort()).toEqual(ids.map((id) => `t-${id}`).sort());
    expect(await harness.creditsUsed()).toBe(
      harness.posted.filter((posted) => posted.kind === 'video').length,
    );
    const redis = harness.server.connect();
    expect(await redis.scard('{t}:active:all')).toBe(0);
    expect(await redis.zcard('{t}:pending')).toBe(0);
  });
});

describe('delivery', () => {
  it('is repeated without generating again, after the pause that the platform asked for', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await harness.worker(timedGenerator(10, runs));
    const attempts: number[] = [];
    await harness.delivery({}, async (_posted, attempt) => {
      attempts.push(Date.now());
      if (attempt === 1) throw new Error('502');
      if (attempt === 2) throw new DeliveryDelayed('429', 400);
    });
    await client.submit(await harness.request('a'));
    await eventually('the answer', answered('t-a'));
    expect(runs).toHaveLength(1);
    expect(attempts).toHaveLength(3);
    expect((attempts[2] ?? 0) - (attempts[1] ?? 0)).toBeGreaterThanOrEqual(400);
    expect(await harness.creditsUsed()).toBe(1);
  });

  it('that is impossible gives the credits back', async () => {
    const client = harness.client();
    await harness.worker(timedGenerator(10));
    await harness.delivery({}, async () => {
      throw new DeliveryImpossible('the chat is gone');
    });
    await client.submit(await harness.request('a'));
    const redis = harness.server.connect();
    await eventually('the end', async () => (await redis.hexists('{t}:job:t-a', 'deliveredAt')) === 1);
    expect(harness.posted).toEqual([]);
    expect(await harness.creditsUsed()).toBe(0);
  });
});
