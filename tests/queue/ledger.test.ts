import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobRequest } from '../../src/queue/jobs.ts';
import { Keys } from '../../src/queue/keys.ts';
import { type Admission, Ledger } from '../../src/queue/ledger.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const limits = { queue: 1_000, user: 100, community: 500, credits: 1_000 };
const terms = { cost: 2, day: '2026-11-21', cooldownMs: 0, limits, now: 1_000 };

let server: TestRedis;
let ledger: Ledger;
let redis: ReturnType<TestRedis['connect']>;

beforeAll(async () => {
  server = await TestRedis.start();
  redis = server.connect();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await redis.flushall();
  ledger = new Ledger(redis, new Keys('test'));
});

const request = (id: string, userKey = 'test:ann', over: Partial<JobRequest> = {}): JobRequest => ({
  id: `t-${id}`,
  userKey,
  generation: { prompt: 'zoom in', preset: 'standard', seed: 1 },
  replyTo: {},
  ...over,
});

async function admitted(id: string, userKey?: string, over: Partial<typeof terms> = {}): Promise<number> {
  const answer = await ledger.admit(request(id, userKey), { ...terms, ...over });
  if (answer.decision !== 'accepted') throw new Error(`refused: ${answer.decision}`);
  return answer.priority;
}
const used = async (day = terms.day): Promise<number> =>
  Number((await redis.hget(`{test}:used:${day}`, 'test:ann')) ?? 0);

describe('admission', () => {
  it('makes one job of a request that arrives a hundred times', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => ledger.admit(request('a'), terms)));
    expect(answers.filter((answer) => answer.decision === 'accepted')).toHaveLength(1);
    expect(answers.filter((answer) => answer.decision === 'duplicate')).toHaveLength(99);
    expect(await used()).toBe(2);
    expect(await redis.zcard('{test}:pending')).toBe(1);
  });

  it('keeps two hundred parallel requests within the caps and names the cap', async () => {
    const small = { ...limits, user: 3 };
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => ledger.admit(request(`p${i}`), { ...terms, limits: small })),
    );
    expect(answers.filter((answer) => answer.decision === 'accepted')).toHaveLength(3);
    expect(answers.find((answer) => answer.decision === 'user-full')).toEqual({
      decision: 'user-full',
      limit: 3,
    });
    expect(await used()).toBe(6);
  });

  it('caps a community and the whole queue', async () => {
    const inGroup = (id: string, userKey: string): Promise<Admission> =>
      ledger.admit(request(id, userKey, { communityKey: 'test:group' }), {
        ...terms,
        limits: { ...limits, community: 1, queue: 2 },
      });
    expect((await inGroup('a', 'test:ann')).decision).toBe('accepted');
    expect(await inGroup('b', 'test:bob')).toEqual({ decision: 'community-full', limit: 1 });
    const alone = { ...terms, limits: { ...limits, queue: 2 } };
    expect((await ledger.admit(request('c', 'test:bob'), alone)).decision).toBe('accepted');
    expect(await ledger.admit(request('d', 'test:eve'), alone)).toEqual({ decision: 'queue-full', limit: 2 });
  });

  it('refuses above the daily allowance, and starts anew the next day', async () => {
    const tight = { ...terms, limits: { ...limits, credits: 3 } };
    expect((await ledger.admit(request('a'), tight)).decision).toBe('accepted');
    expect(await ledger.admit(request('b'), tight)).toEqual({
      decision: 'quota',
      limit: 3,
      used: 2,
      granted: 0,
      cost: 2,
    });
    expect((await ledger.admit(request('b'), { ...tight, day: '2026-11-22' })).decision).toBe('accepted');
  });

  it('uses granted credits after the daily ones and gives each back to its own purse', async () => {
    await redis.hset('{test}:grants', 'test:ann', 5);
    const tight = { ...terms, limits: { ...limits, credits: 3 }, cost: 4 };
    expect(await ledger.admit(request('a'), tight)).toMatchObject({
      decision: 'accepted',
      left: 0,
      granted: 4,
    });
    await ledger.transition('t-a', 'failed', 2_000);
    expect(await used()).toBe(0);
    expect(await redis.hget('{test}:grants', 'test:ann')).toBe('5');
  });

  it('lets an override for the person beat roles, roles beat the community, and that the default', async () => {
    const ask = (id: string, over: Partial<JobRequest>): Promise<Admission> =>
      ledger.admit(request(id, 'test:ann', over), { ...terms, cost: 7, limits: { ...limits, credits: 1 } });
    const everywhere = { communityKey: 'test:group', roleKeys: ['test:member', 'test:patron'] };
    expect((await ask('a', everywhere)).decision).toBe('quota');
    await redis.hset('{test}:limits', 'community:test:group', 7);
    expect((await ask('b', everywhere)).decision).toBe('accepted');
    await redis.hset('{test}:limits', 'role:test:member', 1, 'role:test:patron', 14);
    expect((await ask('c', everywhere)).decision).toBe('accepted');
    await redis.hset('{test}:limits', 'user:test:ann', 0);
    expect(await ask('d', everywhere)).toMatchObject({ decision: 'quota', limit: 0 });
  });

  it('refuses the banned with the reason until the ban ends', async () => {
    await redis.hset('{test}:bans', 'test:ann', JSON.stringify({ untilMs: 5_000, reason: 'spam' }));
    expect(await ledger.admit(request('a'), terms)).toEqual({
      decision: 'banned',
      untilMs: 5_000,
      reason: 'spam',
      owner: 'test:ann',
    });
    expect((await ledger.admit(request('a'), { ...terms, now: 5_001 })).decision).toBe('accepted');
  });

  it('refuses everybody while paused or draining, and says which', async () => {
    await redis.set('{test}:mode', 'paused');
    expect(await ledger.admit(request('a'), terms)).toEqual({ decision: 'paused' });
    await redis.set('{test}:mode', 'draining');
    expect(await ledger.admit(request('a'), terms)).toEqual({ decision: 'draining' });
  });

  it('makes a person wait out the cool-down', async () => {
    await admitted('a', 'test:ann', { cooldownMs: 60_000 });
    const answer = await ledger.admit(request('b'), { ...terms, cooldownMs: 60_000 });
    expect(answer.decision).toBe('cooldown');
    expect((await ledger.admit(request('b', 'test:bob'), { ...terms, cooldownMs: 60_000 })).decision).toBe(
      'accepted',
    );
  });
});

describe('fairness', () => {
  it('puts a newcomer right behind the running job of somebody with fifty', async () => {
    const own: number[] = [];
    for (let i = 0; i < 50; i++) own.push(await admitted(`h${i}`));
    await ledger.transition('t-h0', 'start', 1);
    await ledger.transition('t-h0', 'generated', 2);
    await ledger.transition('t-h1', 'start', 3);
    const newcomer = await admitted('n', 'test:bob', { cost: 8 });
    expect(own.slice(2).filter((priority) => priority <= newcomer)).toHaveLength(0);
    const entry = await ledger.read('t-n');
    if (!entry) throw new Error('lost');
    expect([...((await ledger.ahead(entry)) ?? [])]).toEqual([['standard', 0]]);
  });

  it('shares the worker by weight', async () => {
    await redis.hset('{test}:weights', 'user:test:bob', 3);
    const order: [number, string][] = [];
    for (let i = 0; i < 12; i++) order.push([await admitted(`a${i}`), 'ann']);
    for (let i = 0; i < 12; i++) order.push([await admitted(`b${i}`, 'test:bob'), 'bob']);
    const served = order.sort((a, b) => a[0] - b[0]).map(([, who]) => who);
    expect(served.slice(0, 12).filter((who) => who === 'bob')).toHaveLength(9);
  });

  it('does not charge virtual time for a job cancelled before it ran', async () => {
    await admitted('a');
    const second = await admitted('b');
    await ledger.cancel('t-b', 'test:ann', false, 1);
    expect(await admitted('c')).toBe(second);
  });

  it('forgets the past when the queue was empty', async () => {
    await admitted('a');
    await admitted('b');
    for (const id of ['t-a', 't-b']) {
      await ledger.transition(id, 'start', 1);
      await ledger.transition(id, 'generated', 2);
    }
    expect(await admitted('c')).toBe(1);
  });
});

describe('the end of a job', () => {
  it('refunds once, whatever is called how often', async () => {
    await admitted('a');
    await admitted('b');
    expect(await used()).toBe(4);
    await Promise.all([
      ledger.transition('t-a', 'failed', 2),
      ledger.transition('t-a', 'failed', 2),
      ledger.cancel('t-a', 'test:ann', false, 2),
      ledger.transition('t-a', 'cancelled', 2),
    ]);
    await Promise.all([
      ledger.settle('t-a', 'delivered', 3, 100),
      ledger.settle('t-a', 'undeliverable', 3, 100),
    ]);
    expect(await used()).toBe(2);
  });

  it('commits at delivery, once, and refuses to end what is still running', async () => {
    await admitted('a');
    await ledger.transition('t-a', 'start', 2);
    expect(await ledger.settle('t-a', 'delivered', 3, 100)).toBe(false);
    expect(await redis.zcard('{test}:pending')).toBe(1);
    await ledger.transition('t-a', 'generated', 3);
    const ended = await Promise.all([1, 2, 3].map(() => ledger.settle('t-a', 'delivered', 4, 100)));
    expect(ended.filter(Boolean)).toHaveLength(1);
    expect(await used()).toBe(2);
    expect(await redis.zcard('{test}:pending')).toBe(0);
  });

  it('gives the credits back when a finished video cannot be delivered', async () => {
    await admitted('a');
    await ledger.transition('t-a', 'start', 2);
    await ledger.transition('t-a', 'generated', 3);
    await ledger.settle('t-a', 'undeliverable', 4, 100);
    expect(await used()).toBe(0);
  });

  it('charges what was delivered when that is cheaper, never more, and gives the rest back once', async () => {
    const tight = { limits: { ...limits, credits: 4 }, cost: 6 };
    await redis.hset('{test}:grants', 'test:ann', '5');
    await admitted('a', 'test:ann', tight); // four of the day, two granted
    await ledger.transition('t-a', 'start', 2_000, { worker: 'w' });
    expect((await ledger.transition('t-a', 'generated', 3_000, { cost: '1' })).changed).toBe(true);
    expect((await ledger.transition('t-a', 'generated', 3_000, { cost: '1' })).changed).toBe(false);
    expect(await ledger.read('t-a')).toMatchObject({ cost: 1, state: 'generated' });
    expect([await used(), await redis.hget('{test}:grants', 'test:ann')]).toEqual([1, '5']);

    // What is left of it goes back as well when the video cannot be delivered.
    await ledger.settle('t-a', 'undeliverable', 4_000, 60);
    expect([await used(), await redis.hget('{test}:grants', 'test:ann')]).toEqual([0, '5']);

    await admitted('b', 'test:ann', { cost: 2 });
    await ledger.transition('t-b', 'start', 2_000, { worker: 'w' });
    await ledger.transition('t-b', 'generated', 3_000, { cost: '9' });
    expect(await ledger.read('t-b')).toMatchObject({ cost: 2 });
    expect(await used()).toBe(2);
  });

  it('never leaves a final state', async () => {
    await admitted('a');
    await ledger.transition('t-a', 'cancelled', 2);
    expect(await ledger.transition('t-a', 'start', 3)).toEqual({
      changed: false,
      state: 'cancelled',
      starts: 0,
    });
    expect((await ledger.transition('t-zzz', 'start', 3)).state).toBe('');
  });

  it('frees the caps as soon as a job no longer waits or runs', async () => {
    const one = { limits: { ...limits, user: 1 } };
    await admitted('a', 'test:ann', one);
    expect((await ledger.admit(request('b'), { ...terms, ...one })).decision).toBe('user-full');
    await ledger.transition('t-a', 'start', 2);
    await ledger.transition('t-a', 'generated', 3);
    await admitted('b', 'test:ann', one);
  });
});

describe('cancelling', () => {
  it('is for the author and for admins', async () => {
    await admitted('a');
    expect(await ledger.cancel('t-a', 'test:bob', false, 2)).toBe('forbidden');
    expect(await ledger.cancel('t-a', 'test:root', true, 2)).toBe('cancelled');
    expect(await ledger.cancel('t-a', 'test:ann', false, 3)).toBe('finished');
    expect(await ledger.cancel('t-zzz', 'test:ann', false, 3)).toBe('unknown');
  });

  it('only writes the wish down while the job runs', async () => {
    await admitted('a');
    await ledger.transition('t-a', 'start', 2);
    expect(await ledger.cancel('t-a', 'test:ann', false, 3)).toBe('requested');
    expect(await ledger.read('t-a')).toMatchObject({ state: 'running', cancelRequestedBy: 'test:ann' });
    await ledger.transition('t-a', 'cancelled', 4);
    expect(await used()).toBe(0);
  });
});

describe('reading many', () => {
  it('leaves out what is gone, and fails where Redis does not give one', async () => {
    await admitted('a');
    await redis.zadd('{test}:pending', 1, 't-gone');
    expect((await ledger.pending()).map(({ id }) => id)).toEqual(['t-a']);
    await redis.call('ACL', 'SETUSER', 'default', '-hgetall');
    try {
      await expect(ledger.pending()).rejects.toThrow(/NOPERM/);
    } finally {
      await redis.call('ACL', 'SETUSER', 'default', '+hgetall');
    }
  });
});
