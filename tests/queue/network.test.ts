import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobClient, Submission } from '../../src/queue/client.ts';
import { eventually, type Generation, Harness, timedGenerator } from './harness.ts';
import { FaultyProxy } from './proxy.ts';

let harness: Harness;
let proxy: FaultyProxy;
beforeEach(async () => {
  harness = await Harness.start();
  proxy = await FaultyProxy.start(harness.server.socketPath);
  harness.server.address = { url: proxy.url };
});
afterEach(async () => {
  await harness.stop();
  await proxy.stop();
});

interface Asked {
  readonly jobId: string;
  readonly answer: Submission;
  readonly tookMs: number;
}

async function ask(client: JobClient, id: string): Promise<Asked> {
  const request = await harness.request(id);
  const askedAt = performance.now();
  const answer = await client.submit(request);
  return { jobId: request.id, answer, tookMs: performance.now() - askedAt };
}

/** What people were told comes true, once each, and nothing else is left behind. */
async function expectTruth(asked: readonly Asked[]): Promise<void> {
  const said = (decision: Submission['decision']): string[] =>
    asked.filter(({ answer }) => answer.decision === decision).map(({ jobId }) => jobId);
  const accepted = said('accepted');
  expect(accepted.length + said('unavailable').length).toBe(asked.length);
  const redis = harness.server.connect();
  await eventually(
    'an answer for every accepted job',
    () => harness.posted.length >= accepted.length,
    40_000,
  );
  await eventually('nothing is pending', async () => (await redis.zcard('t:pending')) === 0);
  expect(harness.posted.map(({ jobId }) => jobId).sort()).toEqual(accepted.sort());
  expect(harness.posted.every(({ kind }) => kind === 'video')).toBe(true);
  expect(await redis.scard('t:active:all')).toBe(0);
  expect(await redis.scard('t:active:test:ann')).toBe(0);
  expect(await harness.creditsUsed()).toBe(accepted.length);
}

describe('a network that', () => {
  it('resets every connection again and again loses no job and answers none twice', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await harness.delivery();
    await harness.worker(timedGenerator(60, runs), { reclaimEveryMs: 500 });
    const asked: Asked[] = [];
    for (let i = 0; i < 20; i++) {
      asked.push(await ask(client, `j${i}`));
      await sleep((i * 37) % 150);
      proxy.reset();
    }
    await expectTruth(asked);
    expect(new Set(runs.map(({ jobId }) => jobId)).size).toBe(runs.length);
  });

  it.each([100, 450, 1_000, 2_000])(
    'needs %i ms in each direction gets an answer within 2.5 s, and the truth',
    async (latencyMs) => {
      const client = harness.client();
      await client.place({ id: 't-x', preset: 'standard' });
      proxy.latencyMs = latencyMs;
      const asked = await Promise.all(['a', 'b', 'c'].map((id) => ask(client, id)));
      for (const { tookMs } of asked) expect(tookMs).toBeLessThan(2_500);
      const decisions = new Set(asked.map(({ answer }) => answer.decision));
      expect([...decisions]).toEqual([latencyMs < 200 ? 'accepted' : 'unavailable']);
      proxy.latencyMs = 0;
      await harness.delivery();
      await harness.worker(timedGenerator(20));
      await expectTruth(asked);
    },
  );

  it('goes silent without a word is left for a new connection', async () => {
    const runs: Generation[] = [];
    const client = harness.client();
    await harness.delivery();
    await harness.worker(timedGenerator(1_000, runs));
    const asked = [await ask(client, 'before')];
    await eventually('the run', () => runs.length === 1);
    proxy.hang();
    asked.push(await ask(client, 'during'));
    expect(asked[1]?.answer.decision).toBe('unavailable');
    expect(asked[1]?.tookMs).toBeLessThan(2_500);
    await eventually('Redis is reached again', async () => {
      asked.push(await ask(client, `after${asked.length}`));
      return asked.at(-1)?.answer.decision === 'accepted';
    });
    await expectTruth(asked);
    expect(new Set(runs.map(({ jobId }) => jobId)).size).toBe(runs.length);
  });
});

describe('Redis out of memory', () => {
  it('refuses new work with an answer, and goes on with the old when there is room again', async () => {
    const runs: Generation[] = [];
    const redis = harness.server.connect();
    const client = harness.client();
    await harness.delivery();
    const asked = [await ask(client, 'running'), await ask(client, 'waiting')];
    await harness.worker(timedGenerator(800, runs));
    await eventually('the run', () => runs.length === 1);
    await redis.config('SET', 'maxmemory', '1');
    asked.push(await ask(client, 'refused'));
    expect(asked.map(({ answer }) => answer.decision)).toEqual(['accepted', 'accepted', 'unavailable']);
    await sleep(3_000); // the running job ends meanwhile
    await redis.config('SET', 'maxmemory', '0');
    asked.push(await ask(client, 'afterwards'));
    expect(asked.at(-1)?.answer.decision).toBe('accepted');
    await expectTruth(asked);
    expect(runs.map(({ jobId }) => jobId)).toEqual(['t-running', 't-waiting', 't-afterwards']);
  });
});
