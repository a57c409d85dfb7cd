/** Machines whose clocks are wrong, or are set while Kinora runs. Redis's clock is right. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Answer, DeliveryDelayed, DeliveryWorker } from '../../src/bot/upkeep/delivery.ts';
import { AuditTrail } from '../../src/queue/audit.ts';
import { Bans } from '../../src/queue/bans.ts';
import { Quotas } from '../../src/queue/quota.ts';
import { calendarDay } from '../../src/queue/quota-day.ts';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import { countLiveWorkers } from '../../src/queue/worker-registry.ts';
import {
  eventually,
  type Generation,
  Harness,
  log,
  openTerms,
  timedGenerator,
} from '../helpers/queue-harness.ts';

const hourMs = 3_600_000;
let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await harness.stop();
});

/** Sets the clock of this machine. */
function setClock(aheadMs: number): void {
  vi.restoreAllMocks();
  const { now } = Date;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + aheadMs);
}
const wrongClocks = [-25 * hourMs, -2 * hourMs, 2 * hourMs, 25 * hourMs];
const day = (now: number): string => calendarDay(now, 'UTC');

describe('a clock that is set while a job runs', () => {
  it.each([-2, 2])('by %d hours does not have it made twice', async (hours) => {
    const runs: Generation[] = [];
    const settings = { lockDurationMs: 1_500, stalledIntervalMs: 300, reclaimEveryMs: 500 };
    const client = harness.client();
    await harness.delivery();
    for (let n = 0; n < 2; n++) await harness.worker(timedGenerator(5_000, runs), settings);
    await client.submit(await harness.request('a'));
    await eventually('the run', () => runs.length === 1);
    setClock(hours * hourMs);
    await eventually('the answer', () => harness.posted.length === 1);
    expect(runs).toHaveLength(1);
  });

  it('in Redis, so that the lock ends early, does not have it made twice', async () => {
    const runs: Generation[] = [];
    const settings = { stalledIntervalMs: 300, reclaimEveryMs: 300 };
    const client = harness.client();
    await harness.delivery();
    for (let n = 0; n < 2; n++) await harness.worker(timedGenerator(3_000, runs), settings);
    await client.submit(await harness.request('a'));
    await eventually('the run', () => runs.length === 1);
    await harness.server.connect().del(`${harness.keys.bull}:generate:t-a:lock`);
    await eventually('the answer', () => harness.posted.length === 1);
    expect(runs).toHaveLength(1);
    const redis = harness.server.connect();
    await eventually(
      'BullMQ is done',
      async () => (await redis.keys(`${harness.keys.bull}:*:t-a`)).length === 0,
    );
  });

  it('back does not have a delivery posted twice', async () => {
    const client = harness.client();
    const settings = { lockDurationMs: 1_500, lookForLostEveryMs: 300 };
    const begun: string[] = [];
    const slowly = async ({ jobId }: { jobId: string }): Promise<void> => {
      begun.push(jobId);
      await sleep(11_500);
    };
    for (let n = 0; n < 2; n++) await harness.delivery(settings, slowly);
    await harness.worker(timedGenerator(10));
    await client.submit(await harness.request('a'));
    await eventually('the post', () => begun.length === 1);
    setClock(-2 * hourMs);
    await eventually('the answer', () => harness.posted.length > 0);
    expect(begun).toEqual(['t-a']);
  });

  it.each([-2, 2])('by %d hours leaves a delay as long as it is', async (hours) => {
    const client = harness.client();
    await harness.delivery({ lookForLostEveryMs: 200 }, async (_, attempt) => {
      if (attempt === 1) throw new DeliveryDelayed('not now', 1_500);
    });
    await harness.worker(timedGenerator(10));
    await client.submit(await harness.request('a'));
    const delayed = `${harness.keys.bull}:deliver:delayed`;
    const redis = harness.server.connect();
    await eventually('the delay', async () => (await redis.zcard(delayed)) === 1);
    const startedAt = performance.now();
    setClock(hours * hourMs);
    await eventually('the answer', () => harness.posted.length === 1);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  it('back has a job of another machine tried again in time', async () => {
    const client = harness.client();
    await harness.delivery();
    const redis = harness.server.connect();
    await client.submit(await harness.request('a'));
    setClock(2 * hourMs);
    const first = await harness.worker(async () => {
      throw Object.assign(new Error('the engine died'), { code: 'ENGINE_CRASHED' });
    });
    const delayed = `${harness.keys.bull}:generate:delayed`;
    await eventually('the pause', async () => (await redis.zcard(delayed)) === 1);
    await first.stop(0);
    vi.restoreAllMocks();
    await harness.worker(timedGenerator(10), { reclaimEveryMs: 300 });
    await eventually('the answer', () => harness.posted.length === 1, 30_000);
  });
});

describe.each(wrongClocks)('a bot whose clock is %d ms ahead', (aheadMs) => {
  beforeEach(() => setClock(aheadMs));

  it('takes credits from the day of Redis, and knows how long people waited', async () => {
    const client = harness.client({ day });
    const answers: Answer[] = [];
    const delivery = new DeliveryWorker(
      harness.server.patient(),
      harness.artifacts,
      async (_, answer) => {
        answers.push(answer);
      },
      log,
      {},
      harness.keys,
    );
    await delivery.start();
    await harness.worker(timedGenerator(10));
    const redis = harness.server.connect();
    const dayOfRedis = async (): Promise<string> => day(Number((await redis.time())[0]) * 1000);
    const before = await dayOfRedis();
    expect(await client.look(await harness.request('a'))).toBeUndefined();
    await client.submit(await harness.request('a'));
    await eventually('the answer', () => answers.length === 1);
    const days = [before, await dayOfRedis()]; // the test may run at midnight
    expect(days).toContain((await redis.keys('{t}:used:*'))[0]?.slice('{t}:used:'.length));
    const quotas = new Quotas(new AuditTrail(redis, harness.keys), { ...openTerms, day });
    if (days[0] === days[1]) expect((await quotas.quotaOf('test:ann')).used).toBe(1);
    expect(answers).toMatchObject([{ kind: 'video', waitedMs: expect.any(Number) }]);
    const [answer] = answers;
    if (answer?.kind === 'video') expect(Math.abs(answer.waitedMs)).toBeLessThan(60_000);
    const { endedAt = 0, createdAt = 0 } = (await client.ledger.read('t-a')) ?? {};
    expect(Math.abs(endedAt - createdAt)).toBeLessThan(60_000);
    await delivery.stop();
  });

  it('bans for an hour of Redis, and signs people in within five minutes of it', async () => {
    const redis = harness.server.connect();
    const bans = new Bans(new AuditTrail(redis, harness.keys));
    const now = await harness.client().time();
    const owner = { kind: 'user', key: 'test:ann' } as const;
    await bans.ban('test:root', owner, { untilMs: now + hourMs, reason: 'spam' });
    expect(await bans.isBanned('test:ann')).toBe(true);
    const links = new SignInLinks(redis, harness.keys);
    const token = await links.create({ userKey: 'test:ann', scopes: ['use'] });
    expect(await links.look(token)).toBeDefined();
    const ttl = await redis.pttl((await redis.keys('{t}:*')).find((key) => key.includes('sign')) ?? '');
    expect(ttl).toBeGreaterThan(0);
    expect(ttl).toBeLessThanOrEqual(300_000);
  });
});

it('a worker that died before the clock of Redis was set back is not alive', async () => {
  const redis = harness.server.connect();
  const { keys } = harness;
  const beat = { pid: 1, host: 'elsewhere', jobId: 't-a', device: 'cpu' };
  const now = await harness.client().time();
  await redis.hset(keys.workers, 'dead', JSON.stringify({ ...beat, beatAt: now + 2 * hourMs }));
  expect(await countLiveWorkers(redis, keys)).toBe(0);
  await redis.hset(keys.workers, 'living', JSON.stringify({ ...beat, beatAt: now }));
  expect(await countLiveWorkers(redis, keys)).toBe(1);
});
