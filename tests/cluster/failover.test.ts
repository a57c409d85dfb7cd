/**
 * A Redis with two replicas, watched by three Sentinels or in a Cluster, loses its master under load. What was accepted is answered once, what was
 * refused is not made, everybody pays for what they got, and requests are taken again within 15 s.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { Reconciler } from '../../src/bot/upkeep/reconcile.ts';
import type { Redis } from '../../src/queue/redis.ts';
import { eventually, type Generation, Harness, log, timedGenerator } from '../helpers/queue-harness.ts';
import { ended, TestRedis } from '../helpers/redis-server.ts';
import { report } from './report.ts';

const backWithinMs = 15_000;
const everyMs = 60;
const users = 8;

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.stop();
  harness = undefined;
});

/** Asks for one video after the other; nobody waits for them. */
class Load {
  readonly accepted: { readonly id: string; readonly askedAt: number; readonly at: number }[] = [];
  readonly decisions = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  readonly #asked: Promise<void>[] = [];

  constructor(on: Harness) {
    const client = on.client();
    let count = 0;
    const ask = async (): Promise<void> => {
      const number = ++count;
      const request = await on.request(`${number}`, `test:user${number % users}`);
      const askedAt = performance.now();
      const { decision } = await client.submit(request);
      this.decisions.set(decision, (this.decisions.get(decision) ?? 0) + 1);
      if (decision === 'accepted') this.accepted.push({ id: request.id, askedAt, at: performance.now() });
    };
    this.#timer = setInterval(() => this.#asked.push(ask()), everyMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#asked);
  }
}

/** How the master is lost. */
const losses = {
  'is killed': async (server: TestRedis) => {
    await ended(server.process);
  },
  'freezes for 20 s': async (server: TestRedis) => {
    server.process.kill('SIGSTOP');
    setTimeout(() => server.process.kill('SIGCONT'), 20_000);
  },
  'is killed a second after its replicas froze': async (server: TestRedis) => {
    for (const replica of server.replicas) replica.kill('SIGSTOP');
    await sleep(1_000);
    await ended(server.process);
    for (const replica of server.replicas) replica.kill('SIGCONT');
  },
};

async function used(redis: Redis, keys: Harness['keys']): Promise<number> {
  const credits = Object.values(await redis.hgetall(keys.used('2026-11-21')));
  return credits.reduce((sum, each) => sum + Number(each), 0);
}

const cases = (['Sentinels', 'Cluster'] as const).flatMap((kind) =>
  Object.entries(losses).map(([what, lose]) => [kind, what, lose] as const),
);

it.each(cases)('%s: the master %s', async (kind, what, lose) => {
  const server = await (kind === 'Cluster' ? TestRedis.startCluster : TestRedis.startSentinels)(2);
  const own = await Harness.over(server);
  harness = own;
  const runs: Generation[] = [];
  for (let i = 0; i < 2; i++) await own.worker(timedGenerator(20, runs));
  const postedAt = new Map<string, number>();
  await own.delivery({}, async ({ jobId }) => void postedAt.set(jobId, performance.now()));
  const client = own.client();
  const reconciler = new Reconciler(server.failFast(), client, own.artifacts, log, {
    graceMs: 10_000,
  });
  let restored = 0;
  let isOver = false;
  const reconciling = (async () => {
    for (; !isOver; await sleep(2_000)) {
      const result = await reconciler.run().catch(() => undefined); // Redis is away
      restored += result?.restored ?? 0;
    }
  })();
  const load = new Load(own);
  await eventually('videos', () => own.posted.length > 20);

  await lose(server);
  const lostAt = performance.now();
  const after = () => load.accepted.filter(({ askedAt }) => askedAt > lostAt);
  await eventually('a request that is accepted', () => after().length > 0, 60_000);
  const acceptedMs = (after()[0]?.at ?? 0) - lostAt;
  const answer = () => Math.min(...after().map(({ id }) => postedAt.get(id) ?? Number.POSITIVE_INFINITY));
  await eventually('an answer', () => Number.isFinite(answer()), 60_000);
  const answeredMs = answer() - lostAt;
  await sleep(Math.max(0, 25_000 - (performance.now() - lostAt)));
  await load.stop();

  const ids = load.accepted.map(({ id }) => id).sort();
  const answered = () => new Set(own.posted.map(({ jobId }) => jobId));
  await eventually('every answer', () => ids.every((id) => answered().has(id)), 120_000);
  const redis = server.patient();
  await eventually('nothing is pending', async () => (await redis.zcard(own.keys.pending)) === 0, 120_000);
  isOver = true;
  await reconciling;

  report({
    what: `${kind}: the master ${what}`,
    asked: [...load.decisions.values()].reduce((sum, each) => sum + each, 0),
    accepted: ids.length,
    answered: answered().size,
    answers: own.posted.length,
    credits: await used(redis, own.keys),
    runs: runs.length,
    restored,
    acceptedMs,
    answeredMs,
  });
  expect(own.posted.map(({ jobId }) => jobId).sort()).toEqual(ids);
  expect(own.posted.filter(({ kind }) => kind !== 'video')).toEqual([]);
  expect(await used(redis, own.keys)).toBe(ids.length);
  expect(await redis.scard(own.keys.active('all'))).toBe(0);
  expect(acceptedMs).toBeLessThan(backWithinMs);
  expect(answeredMs).toBeLessThan(backWithinMs);
});
