import { rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Job, Queue } from 'bullmq';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Reconciler, type ReconcileSettings } from '../../../src/bot/upkeep/reconcile.ts';
import { JobClient } from '../../../src/queue/client.ts';
import { filesOf } from '../../helpers/job-files.ts';
import {
  artifactOf,
  eventually,
  type Generation,
  Harness,
  log,
  openTerms,
  timedGenerator,
} from '../../helpers/queue-harness.ts';
import { isCluster } from '../../helpers/redis-server.ts';

let harness: Harness;
let client: JobClient;
beforeEach(async () => {
  harness = await Harness.start();
  client = harness.client();
});
afterEach(() => harness.stop());

const reconciler = (settings: Partial<ReconcileSettings> = {}): Reconciler =>
  new Reconciler(harness.server.failFast(), client, harness.artifacts, log, { graceMs: 0, ...settings });

const nothing = {
  restored: 0,
  rescued: 0,
  answers: 0,
  lost: 0,
  expired: 0,
  forgotten: 0,
  leaks: 0,
  priorities: 0,
  rebased: 0,
};

/** Forgets everything that BullMQ knows, as when Redis lost its last second between two writes. */
async function loseFlows(): Promise<void> {
  const redis = harness.server.connect();
  for (const name of await redis.keys('{t}:bull:*')) {
    if (!name.endsWith(':meta')) await redis.del(name);
  }
}

async function settled(count: number): Promise<void> {
  await eventually(`${count} answers`, () => harness.posted.length >= count);
  await sleep(150); // a second answer would come at once
  expect(harness.posted).toHaveLength(count);
  const redis = harness.server.connect();
  await eventually('an empty ledger', async () => (await redis.zcard('{t}:pending')) === 0);
  expect(await redis.scard('{t}:active:all')).toBe(0);
}

describe('a vanished job', () => {
  it('is put back at its old place, answered once and paid once', async () => {
    for (const id of ['a', 'b', 'c']) await client.submit(await harness.request(id));
    await loseFlows();
    expect(await reconciler().run()).toEqual({ ...nothing, rescued: 3 });
    expect(await reconciler().run()).toEqual(nothing);
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(20, runs));
    await harness.delivery();
    await settled(3);
    expect(runs.map(({ jobId }) => jobId)).toEqual(['t-a', 't-b', 't-c']);
    expect(await harness.creditsUsed()).toBe(3);
  });

  it('that was only admitted when its process died is queued', async () => {
    const request = await harness.request('a');
    await client.ledger.admit(request, { ...openTerms, cost: 1, day: '2026-11-21', now: Date.now() });
    expect(await reconciler({ graceMs: 30_000 }).run()).toEqual(nothing); // its process may still live
    expect(await reconciler().run(Date.now() + 1)).toEqual({ ...nothing, rescued: 1 });
    await harness.worker(timedGenerator(20));
    await harness.delivery();
    await settled(1);
  });

  it('of which only one half is left is made whole', async () => {
    for (const id of ['a', 'b']) await client.submit(await harness.request(id));
    const redis = harness.server.connect();
    await redis.del('{t}:bull:deliver:t-a', '{t}:bull:deliver:t-a:dependencies');
    await redis.zrem('{t}:bull:deliver:waiting-children', 't-a');
    await redis.del('{t}:bull:generate:t-b');
    await redis.zrem('{t}:bull:generate:prioritized', 't-b');
    expect(await reconciler().run()).toEqual({ ...nothing, rescued: 2 });
    await harness.worker(timedGenerator(20));
    await harness.delivery();
    await settled(2);
    expect(harness.posted.map(({ kind }) => kind)).toEqual(['video', 'video']);
  });

  it('in the hands of a dead worker runs again, in those of a living one is left alone', async () => {
    for (const id of ['a', 'b']) await client.submit(await harness.request(id));
    const runs: Generation[] = [];
    const worker = await harness.worker(timedGenerator(700, runs));
    await eventually('the run', () => runs.length === 1);
    await client.ledger.transition('t-b', 'start', Date.now(), { worker: 'gone' });
    await loseFlows();
    expect(await reconciler().run()).toEqual({ ...nothing, rescued: 1 });
    expect((await client.ledger.read('t-b'))?.state).toBe('waiting');
    const stopped = worker.stop(5_000);
    await eventually('the end of the run', async () => {
      return (await client.ledger.read('t-a'))?.state === 'generated';
    });
    await stopped;
    // BullMQ had lost the job that just ended, so nobody was told to deliver it.
    expect(await reconciler().run()).toMatchObject({ answers: 1, rescued: 0 });
    await harness.delivery();
    await harness.worker(timedGenerator(20, runs));
    await settled(2);
    expect(runs.map(({ jobId }) => jobId)).toEqual(['t-a', 't-b']);
    expect(await harness.creditsUsed()).toBe(2);
  });

  it('whose picture is gone, or that vanishes for ever, ends with one answer and its credits back', async () => {
    for (const id of ['a', 'b']) await client.submit(await harness.request(id));
    await rm(filesOf(harness.artifacts, 't-a').folder, { recursive: true });
    await harness.server.connect().hset('{t}:job:t-b', 'rescues', 3);
    await loseFlows();
    expect(await reconciler({ maxRescues: 3 }).run()).toEqual({ ...nothing, lost: 2 });
    await harness.delivery();
    await settled(2);
    expect(harness.posted.map(({ kind }) => kind)).toEqual(['failure', 'failure']);
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('that cannot be read gives its credits back and keeps nobody else from being saved', async () => {
    for (const id of ['a', 'b']) await client.submit(await harness.request(id));
    await harness.server.connect().hset('{t}:job:t-a', 'request', '{"from":"the future"}');
    await loseFlows();
    expect(await reconciler().run()).toEqual({ ...nothing, rescued: 1, lost: 1 });
    await harness.worker(timedGenerator(20));
    await harness.delivery();
    await settled(1);
    expect(await harness.creditsUsed()).toBe(1);
  });

  it.skipIf(isCluster)('that Redis does not give now is left for a later pass', async () => {
    await client.submit(await harness.request('a'));
    await loseFlows();
    await harness.server
      .connect()
      .call('ACL', 'SETUSER', 'blind', 'on', '>p', '~*', '&*', '+@all', '-hgetall');
    const redis = harness.server.failFast();
    await redis.call('AUTH', 'blind', 'p');
    const blind = new JobClient(redis, openTerms, log, harness.keys);
    const pass = new Reconciler(harness.server.failFast(), blind, harness.artifacts, log, { graceMs: 0 });
    expect(await pass.run()).toEqual(nothing);
    await blind.close();
    expect(await reconciler().run()).toEqual({ ...nothing, rescued: 1 });
  });

  it('is saved once by two bots at once', async () => {
    for (let i = 0; i < 30; i++) await client.submit(await harness.request(`${i}`));
    await loseFlows();
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(5, runs));
    await harness.delivery();
    const bots = [reconciler({ everyMs: 20 }), reconciler({ everyMs: 20 })];
    for (const bot of bots) bot.start();
    await settled(30);
    await Promise.all(bots.map((bot) => bot.stop()));
    expect(runs).toHaveLength(30);
    expect(await harness.creditsUsed()).toBe(30);
  });
});

describe('a Redis that forgets everything', () => {
  it('costs nobody an answer, posts nothing twice, and charges what it brings back', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await client.submit(await harness.request(id));
    const worker = await harness.worker(timedGenerator(10));
    await eventually('four videos', async () => {
      const entries = await Promise.all(['a', 'b', 'c', 'd'].map((id) => client.ledger.read(`t-${id}`)));
      return entries.every((entry) => entry?.state === 'generated');
    });
    await worker.stop(0);
    await harness.artifacts.storeAnswered('t-a', 'delivered'); // posted before Redis died
    await rm(filesOf(harness.artifacts, 't-c').video);
    await rm(filesOf(harness.artifacts, 't-d').video);
    await rm(filesOf(harness.artifacts, 't-d').image);
    await harness.server.connect().flushall();

    expect(await reconciler().run()).toEqual({ ...nothing, restored: 3 });
    expect(await reconciler().run()).toEqual(nothing);
    expect(await harness.creditsUsed()).toBe(3);
    const runs: Generation[] = [];
    await harness.worker(async (entry, files, hooks) => {
      if (!(await harness.artifacts.hasImage(entry.id))) throw new Error('no picture');
      return await timedGenerator(10, runs)(entry, files, hooks);
    });
    await harness.delivery();
    await settled(3);
    expect(harness.posted.map(({ jobId, kind }) => `${jobId} ${kind}`).sort()).toEqual([
      't-b video',
      't-c video',
      't-d failure',
    ]);
    expect(runs.map(({ jobId }) => jobId)).toEqual(['t-c']);
    expect(await harness.creditsUsed()).toBe(2);
    expect(await reconciler().run()).toEqual(nothing);
  });

  it('brings back what was accepted, whatever would be refused by now', async () => {
    const full = harness.client({ limits: { ...openTerms.limits, queue: 1, credits: 1 } });
    await full.submit(await harness.request('a'));
    await full.submit(await harness.request('b', 'test:bob'));
    const redis = harness.server.connect();
    await redis.flushall();
    await redis.set('{t}:mode', 'draining');
    await redis.hset(harness.keys.used('2026-11-21'), 'test:ann', 1);
    const bot = new Reconciler(harness.server.failFast(), full, harness.artifacts, log, { graceMs: 0 });
    expect(await bot.run()).toEqual({ ...nothing, restored: 1 }); // the other one never was accepted
    expect((await full.ledger.read('t-a'))?.cost).toBe(1);
    expect(await harness.creditsUsed()).toBe(1);
  });

  it('is no reason to remember an answered job for longer than its folder is kept', async () => {
    const redis = harness.server.connect();
    await client.submit(await harness.request('a'));
    await harness.artifacts.storeAnswered('t-a', 'delivered');
    await redis.flushall();
    const bot = reconciler();
    expect(await bot.run()).toEqual(nothing);
    await harness.artifacts.remove('t-a');
    expect(await bot.run()).toEqual(nothing);
    // What it knew of the first one holds for no other of that id.
    await client.submit(await harness.request('a'));
    await redis.flushall();
    expect(await bot.run()).toEqual({ ...nothing, restored: 1 });
  });

  it('gives up with a sentence what has waited too long meanwhile', async () => {
    await client.submit(await harness.request('a'));
    await harness.server.connect().flushall();
    const later = Date.now() + 25 * 3_600_000;
    expect(await reconciler().run(later)).toEqual({ ...nothing, restored: 1, expired: 1 });
    await harness.delivery();
    await settled(1);
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'failure' }]);
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('does not bring back what its person has deleted, nor an answered job of long ago', async () => {
    for (const id of ['a', 'b']) await client.submit(await harness.request(id));
    await harness.artifacts.remove('t-a');
    await harness.server.connect().flushall();
    const retentionSeconds = 3_600;
    const later = Date.now() + 2 * retentionSeconds * 1_000;
    expect(await reconciler({ retentionSeconds }).run(later)).toEqual(nothing);
  });
});

describe('a Redis that forgets its last second', () => {
  it.each(['video', 'failure'] as const)('neither makes nor posts a %s twice', async (kind) => {
    const redis = harness.server.connect();
    const request = await harness.request('a');
    await client.submit(request);
    const runs: Generation[] = [];
    await harness.worker(async (entry, files, hooks) => {
      const artifact = await timedGenerator(10, runs)(entry, files, hooks);
      if (kind === 'failure') throw new Error('broken');
      return artifact;
    });
    await harness.delivery();
    await settled(1);
    // Everything since the admission is gone: Redis comes back as it was then.
    await redis.flushall();
    await client.ledger.admit(request, { ...openTerms, cost: 1, day: '2026-11-21', now: Date.now() });
    await reconciler().run(Date.now() + 1);
    await settled(1);
    expect(runs).toHaveLength(1);
    expect(await harness.creditsUsed()).toBe(kind === 'video' ? 1 : 0);
  });
});

describe('BullMQ that keeps losing halves of flows', () => {
  it('costs nobody an answer and nobody a credit', async () => {
    const redis = harness.server.connect();
    const lose = async (jobId: string, queues: readonly string[]): Promise<void> => {
      const batch = redis.multi();
      for (const queue of queues) {
        const name = `{t}:bull:${queue}`;
        for (const part of ['', ':lock', ':dependencies', ':processed', ':failed', ':unsuccessful']) {
          batch.del(`${name}:${jobId}${part}`);
        }
        for (const list of ['wait', 'active']) batch.lrem(`${name}:${list}`, 0, jobId);
        for (const set of ['prioritized', 'delayed', 'waiting-children']) batch.zrem(`${name}:${set}`, jobId);
      }
      await batch.exec();
    };
    const runs: Generation[] = [];
    for (let i = 0; i < 2; i++) await harness.worker(timedGenerator(15, runs));
    await harness.delivery({}, async ({ jobId }, attempt) => {
      if (attempt === 1 && jobId.endsWith('3')) throw new Error('502');
    });
    const bots = [1, 2].map(() => reconciler({ everyMs: 40, repairEveryMs: 100, maxRescues: 1_000 }));
    for (const bot of bots) bot.start();
    const halves = [['generate'], ['deliver'], ['generate', 'deliver']];
    const people = 4;
    for (let i = 0; i < 120; i++) {
      await client.submit(await harness.request(`${i}`, `test:p${i % people}`));
      if (i % 10 === 9) await client.cancel(`t-${i}`, `test:p${i % people}`);
      const pending = await redis.zrange('{t}:pending', 0, '-1');
      const victim = pending[(i * 7) % Math.max(1, pending.length)];
      if (victim && i % 4 > 0) await lose(victim, halves[i % halves.length] ?? []);
    }
    await settled(120);
    await Promise.all(bots.map((bot) => bot.stop()));
    expect(new Set(harness.posted.map(({ jobId }) => jobId)).size).toBe(120);
    const videos = harness.posted.filter(({ kind }) => kind === 'video').length;
    expect(videos + harness.posted.filter(({ kind }) => kind === 'cancelled').length).toBe(120);
    let credits = 0;
    for (let person = 0; person < people; person++) credits += await harness.creditsUsed(`test:p${person}`);
    expect(credits).toBe(videos);
  });
});

describe('a lost answer', () => {
  it.each(['failed', 'cancelled', 'generated', 'delivering'] as const)(
    'of a job that is %s is posted, without generating anything',
    async (state) => {
      await client.submit(await harness.request('a'));
      const entry = await client.ledger.read('t-a');
      if (!entry) throw new Error('lost');
      await client.ledger.transition('t-a', 'start', Date.now(), { worker: 'gone' });
      const { files } = { files: filesOf(harness.artifacts, 't-a') };
      if (state === 'generated' || state === 'delivering') {
        await writeFile(files.video, 'video');
        await harness.artifacts.storeRecord('t-a', artifactOf(entry, 5));
        await client.ledger.transition('t-a', 'generated', Date.now());
        if (state === 'delivering') await client.ledger.transition('t-a', 'deliver', Date.now());
      } else {
        await client.ledger.transition('t-a', state, Date.now());
      }
      await loseFlows();
      expect(await reconciler().run()).toEqual({ ...nothing, answers: 1 });
      await harness.delivery();
      await settled(1);
      const kind = { failed: 'failure', cancelled: 'cancelled', generated: 'video', delivering: 'video' }[
        state
      ];
      expect(harness.posted).toEqual([{ jobId: 't-a', kind }]);
      expect(await harness.creditsUsed()).toBe(kind === 'video' ? 1 : 0);
    },
  );

  it('that waits for a generation which no longer exists goes out', async () => {
    await client.submit(await harness.request('a'));
    await client.ledger.transition('t-a', 'failed', Date.now());
    const redis = harness.server.connect();
    await redis.del('{t}:bull:generate:t-a');
    await redis.zrem('{t}:bull:generate:prioritized', 't-a');
    expect(await reconciler().run()).toEqual({ ...nothing, answers: 1 });
    await harness.delivery();
    await settled(1);
  });

  it('of a job that was cancelled by a process that died on the way does not wait for its turn', async () => {
    for (const id of ['a', 'b']) await client.submit(await harness.request(id));
    await client.ledger.cancel('t-b', 'test:ann', false, Date.now());
    await reconciler().run();
    await harness.delivery();
    await eventually('the answer', () => harness.posted.length === 1);
    expect(harness.posted).toEqual([{ jobId: 't-b', kind: 'cancelled' }]);
  });

  it('that is being posted, or waits for its next attempt, is left alone', async () => {
    await client.submit(await harness.request('a'));
    await client.submit(await harness.request('b'));
    await harness.worker(timedGenerator(10));
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let failures = 0;
    await harness.delivery({ firstRetryMs: 300 }, async ({ jobId }) => {
      if (jobId === 't-a') await held;
      else if (failures++ === 0) throw new Error('502');
    });
    await eventually('both under way', async () => {
      return failures === 1 && (await client.ledger.read('t-a'))?.state === 'delivering';
    });
    await sleep(50);
    expect(await reconciler().run()).toEqual(nothing);
    release();
    await settled(2);
  });
});

describe('what is in flight', () => {
  it('is never touched, however often it is looked at', async () => {
    const runs: Generation[] = [];
    const bot = reconciler({ everyMs: 1 });
    const reports: number[] = [];
    const run = bot.run.bind(bot);
    bot.run = async (now) => {
      const report = await run(now);
      reports.push(report.rescued + report.answers + report.lost + report.expired + report.forgotten);
      return report;
    };
    for (let i = 0; i < 40; i++) await client.submit(await harness.request(`${i}`, `test:p${i % 3}`));
    bot.start();
    await harness.worker(timedGenerator(10, runs));
    await harness.delivery({}, async ({ jobId }, attempt) => {
      if (attempt === 1 && jobId.endsWith('3')) throw new Error('502');
    });
    for (const i of [19, 29, 39]) await client.cancel(`t-${i}`, `test:p${i % 3}`);
    await settled(40);
    await bot.stop();
    expect(reports.length).toBeGreaterThan(20);
    expect(reports.filter((mends) => mends > 0)).toEqual([]);
    expect(new Set(runs.map(({ jobId }) => jobId)).size).toBe(runs.length);
  });
});

describe('a job that waits too long', () => {
  it('ends with a sentence and its credits back; one that runs goes on', async () => {
    await client.submit(await harness.request('a'));
    await client.submit(await harness.request('b'));
    await client.ledger.transition('t-a', 'start', Date.now(), { worker: 'w' });
    const later = Date.now() + 25 * 3_600_000;
    expect(await reconciler().run(later)).toEqual({ ...nothing, expired: 1 });
    expect(await reconciler().run(later)).toEqual(nothing);
    await harness.delivery();
    await eventually('the answer', () => harness.posted.length === 1);
    expect(harness.posted).toEqual([{ jobId: 't-b', kind: 'failure' }]);
    const entry = await client.ledger.read('t-b');
    expect(entry?.failure).toEqual({
      code: 'EXPIRED',
      message: 'The job waited for more than 24 hours and was given up.',
    });
    expect(entry?.startedAt).toBeUndefined();
    expect(await harness.creditsUsed()).toBe(1);
    expect((await client.ledger.read('t-a'))?.state).toBe('running');
  });

  it('ends even when BullMQ has lost it', async () => {
    await client.submit(await harness.request('a'));
    await loseFlows();
    expect(await reconciler().run(Date.now() + 25 * 3_600_000)).toEqual({ ...nothing, expired: 1 });
    await harness.delivery();
    await settled(1);
    expect(await harness.creditsUsed()).toBe(0);
  });

  it('is not one that a machine slept through', async () => {
    const hour = 3_600_000;
    const start = Date.now();
    await client.submit(await harness.request('a'), start);
    const bot = reconciler();
    expect(await bot.run(start)).toEqual(nothing);
    await reconciler().run(start + hour);
    expect(await bot.run(start + 26 * hour)).toEqual(nothing);
    await client.submit(await harness.request('b'), start + 26 * hour);
    // It counts for those alone that slept, and the time awake goes on.
    for (let minutes = 5; minutes <= 23 * 60; minutes += 5)
      await bot.run(start + 26 * hour + minutes * 60_000);
    expect((await client.ledger.read('t-a'))?.state).toBe('waiting');
    for (let minutes = 5; minutes <= 120; minutes += 5) await bot.run(start + 49 * hour + minutes * 60_000);
    expect((await client.ledger.read('t-a'))?.failure?.code).toBe('EXPIRED');
    expect((await client.ledger.read('t-b'))?.failure?.code).toBe('EXPIRED');
  });

  it('does not push back the next job of its person', async () => {
    await client.submit(await harness.request('a'));
    await client.submit(await harness.request('b'));
    await client.ledger.transition('t-a', 'start', Date.now(), { worker: 'w' });
    const second = (await client.ledger.read('t-b'))?.priority;
    await reconciler().run(Date.now() + 25 * 3_600_000);
    await client.submit(await harness.request('c'));
    expect((await client.ledger.read('t-c'))?.priority).toBe(second);
  });
});

describe('leaked places', () => {
  it('are given back; places of living jobs are kept', async () => {
    await client.submit(await harness.request('a', 'test:ann', { communityKey: 'test:group' }));
    await client.submit(await harness.request('b', 'test:ann', { communityKey: 'test:group' }));
    await client.ledger.transition('t-a', 'start', Date.now(), { worker: 'w' });
    const redis = harness.server.connect();
    await client.submit(await harness.request('c'));
    await client.cancel('t-c', 'test:ann');
    for (const owner of ['all', 'test:ann', 'test:group', 'test:nobody']) {
      await redis.sadd(`{t}:active:${owner}`, 't-c', 't-unknown');
    }
    await redis.zadd('{t}:waiting:standard', 5, 't-a', 6, 't-c', 7, 't-unknown');
    await redis.zadd('{t}:pending', 5, 't-unknown');
    expect(await reconciler().run()).toEqual({ ...nothing, leaks: 11, forgotten: 1 });
    for (const owner of ['all', 'test:ann', 'test:group']) {
      expect((await redis.smembers(`{t}:active:${owner}`)).sort()).toEqual(['t-a', 't-b']);
    }
    expect(await redis.exists('{t}:active:test:nobody')).toBe(0);
    expect(await redis.zrange('{t}:waiting:standard', 0, '-1')).toEqual(['t-b']);
  });

  it('of the worker registry are forgotten after a day', async () => {
    const redis = harness.server.connect();
    const beat = { pid: 1, host: 'h', jobId: null, device: 'cpu' };
    await redis.hset('{t}:workers', 'old', JSON.stringify({ ...beat, beatAt: Date.now() - 90_000_000 }));
    await redis.hset('{t}:workers', 'new', JSON.stringify({ ...beat, beatAt: Date.now() - 60_000 }));
    await reconciler().run();
    expect(await redis.hkeys('{t}:workers')).toEqual(['new']);
  });
});

describe('what another version left in Redis', () => {
  it('is passed over, and removed', async () => {
    const redis = harness.server.connect();
    const beat = { pid: 1, host: 'h', jobId: null, device: 'cpu', beatAt: Date.now() };
    for (const text of ['no JSON', '{"beat":1}', '7']) await redis.hset('{t}:workers', text, text);
    await redis.hset('{t}:workers', 'ours', JSON.stringify(beat));
    await redis.hset('{t}:bans', 'test:ann', 'no JSON', 'test:bob', '{"until":"never"}', 'test:cat', '[]');
    await redis.hset('{t}:bans', 'test:dan', JSON.stringify({ untilMs: 0, reason: 'spam' }));
    await redis.hset('{t}:limits', 'user:test:ann', 'many');
    await redis.hset('{t}:weights', 'user:test:bob', 'heavy');
    await redis.set('{t}:mode', 'dancing');
    await redis.set('{t}:reconciled', 'lately');
    for (const person of ['ann', 'bob', 'cat']) {
      const request = await harness.request(person, `test:${person}`);
      expect(await client.submit(request)).toMatchObject({ decision: 'accepted' });
    }
    const banned = await client.submit(await harness.request('dan', 'test:dan'));
    expect(banned).toMatchObject({ decision: 'banned', reason: 'spam' });
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(10, runs));
    await eventually('the runs', () => runs.length === 3);
    await reconciler().run();
    expect(await redis.hkeys('{t}:bans')).toEqual(['test:dan']);
    const left = await redis.hkeys('{t}:workers');
    expect(left).toContain('ours');
    expect(left).toHaveLength(2);
  });
});

it('a job of another version ends soon, and its credits go back', async () => {
  await client.submit(await harness.request('a'));
  await client.submit(await harness.request('b'));
  await harness.server.connect().hset('{t}:job:t-a', 'request', 'no JSON');
  await harness.worker(timedGenerator(10));
  await harness.delivery();
  await settled(1);
  expect(harness.posted).toEqual([{ jobId: 't-b', kind: 'video' }]);
  expect(await harness.creditsUsed()).toBe(1);
});

describe('a priority that a crash left behind', () => {
  it('follows the ledger', async () => {
    await client.submit(await harness.request('a'));
    const queue = new Queue('generate', { connection: harness.server.connect(), prefix: '{t}:bull' });
    const job = await Job.fromId(queue, 't-a');
    await job?.changePriority({ priority: 99 });
    expect(await reconciler({ graceMs: 60_000 }).run()).toEqual({ ...nothing, priorities: 1 });
    expect((await Job.fromId(queue, 't-a'))?.priority).toBe(1);
    await queue.close();
  });
});
