import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { DeliveryDelayed, DeliveryWorker } from '../../src/bot/upkeep/delivery.ts';
import { createLogger } from '../../src/log.ts';
import type { JobClient, Submission } from '../../src/queue/client.ts';
import { connectRedis } from '../../src/queue/redis.ts';
import { EngineWorkerHandle, engineRequest } from '../chaos/worker-handle.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually, type Generation, Harness, timedGenerator } from '../helpers/queue-harness.ts';

// Most of the time of these tests is waiting, so they wait together.

interface Network {
  readonly harness: Harness;
  /** Between the product and its Redis. */
  readonly proxy: FaultyProxy;
}

async function network(test: (network: Network) => Promise<void>): Promise<void> {
  const harness = await Harness.start();
  const proxy = await FaultyProxy.start(harness.server.socketPath);
  harness.server.address = { url: proxy.url };
  try {
    await test({ harness, proxy });
  } finally {
    await harness.stop();
    await proxy.stop();
  }
}

interface Asked {
  readonly jobId: string;
  readonly answer: Submission;
  readonly tookMs: number;
}

async function ask(harness: Harness, client: JobClient, id: string): Promise<Asked> {
  const request = await harness.request(id);
  const askedAt = performance.now();
  const answer = await client.submit(request);
  return { jobId: request.id, answer, tookMs: performance.now() - askedAt };
}

/** What people were told comes true, once each, and nothing else is left behind. */
async function expectTruth(harness: Harness, asked: readonly Asked[]): Promise<void> {
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
  await eventually('nothing is pending', async () => (await redis.zcard('{t}:pending')) === 0);
  expect(harness.posted.map(({ jobId }) => jobId).sort()).toEqual(accepted.sort());
  expect(harness.posted.every(({ kind }) => kind === 'video')).toBe(true);
  expect(await redis.scard('{t}:active:all')).toBe(0);
  expect(await redis.scard('{t}:active:test:ann')).toBe(0);
  expect(await harness.creditsUsed()).toBe(accepted.length);
}

it.concurrent('a delivery that has to wait leaves its connection alone', async () => {
  const harness = await Harness.start();
  try {
    const errors: string[] = [];
    const redis = connectRedis(harness.server.address, 'patient', ({ message }) => errors.push(message));
    const log = createLogger('test', 'warn', { write: (line: string) => errors.push(line) });
    let attempts = 0;
    const deliver = async (): Promise<never> => {
      attempts++;
      throw new DeliveryDelayed('flood', 45_000);
    };
    const delivery = new DeliveryWorker(redis, harness.artifacts, deliver, log, {}, harness.keys);
    await delivery.start();
    await harness.worker(timedGenerator(5));
    await harness.client().submit(await harness.request('a'));
    await eventually('the first attempt', () => attempts === 1);
    await sleep(12_000); // BullMQ reads for ten seconds at a time
    expect(errors.filter((line) => !line.includes('delivery failed'))).toEqual([]);
    await delivery.stop();
    redis.disconnect();
  } finally {
    await harness.stop();
  }
});

describe.concurrent('a network that', () => {
  it('resets every connection again and again loses no job and answers none twice', () =>
    network(async ({ harness, proxy }) => {
      const runs: Generation[] = [];
      const client = harness.client();
      await harness.delivery();
      await harness.worker(timedGenerator(60, runs), { reclaimEveryMs: 500 });
      let resets = 0;
      const resetting = setInterval(() => {
        proxy.reset();
        resets++;
      }, 137);
      const asked: Asked[] = [];
      for (let i = 0; i < 30; i++) {
        asked.push(await ask(harness, client, `j${i}`));
        await sleep(i);
      }
      clearInterval(resetting);
      expect(resets).toBeGreaterThan(5);
      await expectTruth(harness, asked);
      expect(new Set(runs.map(({ jobId }) => jobId)).size).toBe(runs.length);
    }));

  it.each([50, 450, 1_000, 2_000])(
    'needs %i ms in each direction gets an answer within 2.5 s, and the truth',
    (latencyMs) =>
      network(async ({ harness, proxy }) => {
        const client = harness.client();
        await client.timeLeft.position({ id: 't-x', preset: 'standard' });
        proxy.latencyMs = latencyMs;
        const asked = await Promise.all(['a', 'b', 'c'].map((id) => ask(harness, client, id)));
        for (const { tookMs } of asked) expect(tookMs).toBeLessThan(2_500);
        const decisions = new Set(asked.map(({ answer }) => answer.decision));
        expect([...decisions]).toEqual([latencyMs < 200 ? 'accepted' : 'unavailable']);
        proxy.latencyMs = 0;
        await harness.delivery();
        await harness.worker(timedGenerator(5));
        await expectTruth(harness, asked);
      }),
  );

  it('swallows the word that a job was queued, and the withdrawal too, brings nobody what they were told would not come', () =>
    network(async ({ harness, proxy }) => {
      const client = harness.client();
      await client.timeLeft.position({ id: 't-x', preset: 'standard' });
      // Worker and delivery reach Redis well, and are done long before the client gives up.
      const { address } = harness.server;
      harness.server.address = { socketPath: harness.server.socketPath };
      const runs: Generation[] = [];
      await harness.delivery();
      await harness.worker(timedGenerator(5, runs));
      harness.server.address = address;
      const redis = harness.server.connect();
      proxy.latencyMs = 400;
      const asked = ask(harness, client, 'a');
      await eventually('it is queued', () => runs.length === 1, 2_400);
      proxy.silentForNewcomers = true;
      proxy.hang();
      expect((await asked).answer.decision).toBe('unavailable');
      await eventually('nothing is pending', async () => (await redis.zcard('{t}:pending')) === 0, 3_000);
      expect(await redis.exists(`{t}:withdrawn:${await redis.hget('{t}:job:t-a', 'ask')}`)).toBe(0);
      expect(harness.posted).toEqual([]);
      expect(await harness.creditsUsed()).toBe(0);
      proxy.latencyMs = 0;
      proxy.silentForNewcomers = false;
      proxy.hang();
      await expectTruth(harness, [await asked]);
      await eventually(
        'no withdrawal is left',
        async () => (await harness.artifacts.withdrawals.left()).length === 0,
      );
    }));

  it('swallows the word that a job was queued, and is back when the bot has ended, brings nothing either', () =>
    network(async ({ harness, proxy }) => {
      const client = harness.client();
      await client.timeLeft.position({ id: 't-x', preset: 'standard' });
      harness.server.address = { socketPath: harness.server.socketPath };
      const runs: Generation[] = [];
      await harness.worker(timedGenerator(5, runs));
      proxy.latencyMs = 400;
      const asked = ask(harness, client, 'a');
      await eventually('it is made', () => runs.length === 1, 2_400);
      proxy.silentForNewcomers = true;
      proxy.hang();
      expect((await asked).answer.decision).toBe('unavailable');
      // The next leader: nobody is left who knows by heart what the first one said.
      const { withdrawals } = harness.artifacts;
      await eventually('it is kept', async () => (await withdrawals.left()).length === 1);
      await harness.client().withdrawLeft();
      expect(await withdrawals.left()).toEqual([]);
      await harness.delivery({ wasDenied: async () => false });
      const redis = harness.server.connect();
      await eventually('no answer waits', async () => (await redis.zcard('{t}:pending')) === 0);
      await eventually('BullMQ has none', async () => !(await redis.exists('{t}:bull:deliver:t-a')));
      expect(harness.posted).toEqual([]);
      expect(await harness.creditsUsed()).toBe(0);
    }));

  it('goes silent without a word is left for a new connection', () =>
    network(async ({ harness, proxy }) => {
      const runs: Generation[] = [];
      const client = harness.client();
      await harness.delivery();
      await harness.worker(timedGenerator(1_000, runs));
      const heard = new Set<string>();
      const stopWatching = await client.watch(({ jobId }) => heard.add(jobId));
      const asked = [await ask(harness, client, 'before')];
      await eventually('the run', () => runs.length === 1);
      proxy.hang();
      asked.push(await ask(harness, client, 'during'));
      expect(asked[1]?.answer.decision).toBe('unavailable');
      expect(asked[1]?.tookMs).toBeLessThan(2_500);
      await eventually('Redis is reached again', async () => {
        asked.push(await ask(harness, client, `after${asked.length}`));
        return asked.at(-1)?.answer.decision === 'accepted';
      });
      await expectTruth(harness, asked);
      expect(new Set(runs.map(({ jobId }) => jobId)).size).toBe(runs.length);
      expect(heard).toContain(asked.at(-1)?.jobId);
      stopWatching();
    }));

  it('leads to a Redis that is away for longer than the lock of a delivery posts nothing twice', () =>
    network(async ({ harness }) => {
      let attempts = 0;
      const client = harness.client();
      await harness.delivery({ lockDurationMs: 1_000 }, async () => {
        attempts++;
        await sleep(12_000); // two of BullMQ's checks for abandoned jobs
      });
      await harness.worker(timedGenerator(20));
      const asked = [await ask(harness, client, 'a')];
      await eventually('the post begins', () => attempts === 1);
      harness.server.process.kill('SIGSTOP');
      await sleep(2_500);
      harness.server.process.kill('SIGCONT');
      await expectTruth(harness, asked);
      await sleep(500);
      expect([attempts, harness.posted.length]).toEqual([1, 1]);
    }));

  it('swallows the very answer that hands out a job keeps nobody waiting for the lock', () =>
    network(async ({ harness, proxy }) => {
      const runs: Generation[] = [];
      await harness.delivery();
      await harness.worker(timedGenerator(20, runs), { reclaimEveryMs: 500 });
      harness.server.address = { socketPath: harness.server.socketPath };
      const client = harness.client(); // by another way
      const redis = harness.server.connect();
      proxy.latencyMs = 400;
      const asked = [await ask(harness, client, 'a')];
      await eventually('it is handed out', async () => (await redis.llen('{t}:bull:generate:active')) === 1);
      proxy.reset();
      proxy.latencyMs = 0;
      await eventually('the answer', () => harness.posted.length === 1, 25_000); // the lock lasts 30 s
      await expectTruth(harness, asked);
      expect(runs).toHaveLength(1);
    }));

  it('hides for a moment that a worker was handed a job, and the worker dies then, keeps nobody waiting either', () =>
    network(async ({ harness, proxy }) => {
      await harness.delivery();
      const first = await EngineWorkerHandle.start(harness).serving();
      harness.server.address = { socketPath: harness.server.socketPath };
      const client = harness.client();
      const redis = harness.server.connect();
      proxy.latencyMs = 400;
      expect((await client.submit(await engineRequest(harness, 'a'))).decision).toBe('accepted');
      await eventually('it is handed out', async () => (await redis.llen('{t}:bull:generate:active')) === 1);
      await first.end('SIGKILL');
      proxy.latencyMs = 0;
      expect((await client.ledger.read('t-a'))?.state).toBe('waiting');
      const second = EngineWorkerHandle.start(harness);
      try {
        await second.serving();
        await eventually('the answer', () => harness.posted.length === 1, 25_000); // the lock lasts 30 s
      } finally {
        await second.end('SIGTERM');
      }
      expect(await harness.runs()).toEqual(['t-a']);
    }));

  it('leads to a Redis without memory gets an answer, and the old work is done when there is room again', () =>
    network(async ({ harness }) => {
      const runs: Generation[] = [];
      const redis = harness.server.connect();
      const client = harness.client();
      await harness.delivery();
      const asked = [await ask(harness, client, 'running'), await ask(harness, client, 'waiting')];
      await harness.worker(timedGenerator(800, runs));
      await eventually('the run', () => runs.length === 1);
      await redis.config('SET', 'maxmemory', '1');
      asked.push(await ask(harness, client, 'refused'));
      expect(asked.map(({ answer }) => answer.decision)).toEqual(['accepted', 'accepted', 'unavailable']);
      await sleep(1_500); // the running job ends meanwhile
      await redis.config('SET', 'maxmemory', '0');
      asked.push(await ask(harness, client, 'afterwards'));
      expect(asked.at(-1)?.answer.decision).toBe('accepted');
      await expectTruth(harness, asked);
      expect(runs.map(({ jobId }) => jobId)).toEqual(['t-running', 't-waiting', 't-afterwards']);
    }));
});
