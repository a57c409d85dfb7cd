/** The simulation of a large fleet serves as the queue does, and loses nothing. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { simulate } from '../../bench/scaling/fleet.ts';
import { FairQueue, type Job, PlainQueue } from '../../bench/scaling/queues.ts';
import { seedRandom } from '../../bench/scaling/random.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
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

/** The same in both queues. */
class Both {
  readonly #simulated = new FairQueue<Job & { id: string }>();
  readonly #running: string[] = [];

  async ask(user: number, credits: number): Promise<void> {
    const id = `t-${++count}`;
    const generation = { prompt: '', preset: 'standard', seed: 1 };
    const request = { id, userKey: `test:u${user}`, generation, replyTo: {} };
    const answer = await ledger.admit(request, { cost: credits, day: 'd', cooldownMs: 0, limits, now: 1 });
    expect(answer.decision).toBe('accepted');
    this.#simulated.add({ user, credits, id, tag: 0, sequence: 0 });
  }

  /** Whether one was waiting. */
  async take(): Promise<boolean> {
    const { entries } = await ledger.waiting(1);
    const expected = entries[0]?.id;
    expect(this.#simulated.take()?.id).toBe(expected);
    if (!expected) return false;
    await ledger.transition(expected, 'start', 1);
    this.#running.push(expected);
    return true;
  }

  async finish(): Promise<void> {
    const id = this.#running.shift();
    if (!id) return;
    await ledger.transition(id, 'generated', 1);
    this.#simulated.finish();
  }
}

it('takes jobs in the order of the real queue', async () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ user: fc.integer({ min: 0, max: 4 }), credits: fc.integer({ min: 1, max: 6 }) }),
    },
    { weight: 2, arbitrary: fc.constant('take' as const) },
    { weight: 2, arbitrary: fc.constant('finish' as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
      await redis.flushall();
      const both = new Both();
      for (const what of steps) {
        if (what === 'take') await both.take();
        else if (what === 'finish') await both.finish();
        else await both.ask(what.user, what.credits);
      }
      while (await both.take()) await both.finish();
    }),
    { numRuns: 25 },
  );
});

const fleet = {
  gpus: 4,
  people: 2_000,
  bulk: 0.01,
  userLimit: 50,
  hoursBetweenFailures: 20,
  machineShare: 0.2,
  machineAwayHours: 2,
};

it('makes every clip that was asked for, and some twice where GPUs fail', () => {
  seedRandom(3);
  const calm = simulate({ ...fleet, hoursBetweenFailures: 1e9 }, new FairQueue());
  seedRandom(3);
  const failing = simulate({ ...fleet, hoursBetweenFailures: 2 }, new FairQueue());
  expect(calm).toMatchObject({ failures: 0, repeated: 0 });
  expect(failing.repeated).toBeGreaterThan(0);
  for (const day of [calm, failing]) expect(day.clips).toBe(day.asked);
  expect(failing.waits.p95).toBeGreaterThan(calm.waits.p95);
});

it('lets people with one or two clips wait less than in the order of arrival', () => {
  seedRandom(5);
  const fair = simulate(fleet, new FairQueue());
  seedRandom(5);
  const plain = simulate(fleet, new PlainQueue());
  expect(fair.fewWaits.p95).toBeLessThan(plain.fewWaits.p95 / 2);
});
