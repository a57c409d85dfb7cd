import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AdminTools, adminTools } from '../../src/bot/admin/run-command.ts';
import { KinoraError } from '../../src/errors.ts';
import type { JobClient } from '../../src/queue/client.ts';
import { banOf, community, role, user } from '../helpers/admin-tools.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import {
  eventually,
  type Generation,
  Harness,
  log,
  openTerms,
  timedGenerator,
} from '../helpers/queue-harness.ts';

const root = 'test:root';
const ann = 'test:ann';
const day = '2026-11-21';

let harness: Harness;
let client: JobClient;
const admins: AdminTools[] = [];
afterEach(async () => {
  for (const admin of admins.splice(0)) await admin.mode.close();
  await harness.stop();
});

function adminOf(): AdminTools {
  const terms = { ...openTerms, limits: { ...openTerms.limits, credits: 5 } };
  const admin = adminTools(harness.server.failFast(), client, terms, log);
  admins.push(admin);
  return admin;
}

const refused = (range: RegExp): unknown =>
  expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(range) });

describe('an admin', () => {
  let admin: AdminTools;
  beforeEach(async () => {
    harness = await Harness.start();
    client = harness.client({ limits: { ...openTerms.limits, credits: 5 } });
    admin = adminOf();
  });

  const submit = async (id: string, userKey = ann, over = {}) =>
    await client.submit(await harness.request(id, userKey, over));

  it('bans a person and a community, for a time or for good, and lifts it', async () => {
    const untilMs = Date.now() + 60_000;
    expect(await admin.bans.ban(root, user(ann), { untilMs, reason: '  too\nmany ' })).toBe(true);
    expect(await submit('a')).toEqual({ decision: 'banned', untilMs, reason: 'too many', owner: ann });
    expect(await banOf(admin.bans, ann)).toEqual({ owner: user(ann), untilMs, reason: 'too many' });
    expect(await banOf(admin.bans, ann, untilMs)).toBeUndefined();
    expect(await admin.bans.ban(root, community('test:group'), { reason: 'spam' })).toBe(true);
    expect(await submit('b', 'test:bob', { communityKey: 'test:group' })).toMatchObject({
      decision: 'banned',
      untilMs: 0,
      owner: 'test:group',
    });
    expect((await admin.bans.all()).map(({ owner }) => owner)).toEqual([user(ann), community('test:group')]);
    expect((await admin.bans.all(untilMs)).map(({ owner }) => owner.key)).toEqual(['test:group']);
    expect(await admin.bans.unban(root, ann)).toBe(true);
    expect(await admin.bans.unban(root, ann)).toBe(false);
    expect((await submit('a')).decision).toBe('accepted');
    expect((await admin.trail.entries()).map(({ action, target }) => `${action} ${target}`)).toEqual([
      `unban ${ann}`,
      'ban test:group',
      `ban ${ann}`,
    ]);
  });

  it('sets allowances, and tells the same as admission decides', async () => {
    const roles = ['test:member', 'test:patron'];
    const group = 'test:group';
    const where = { roles, community: group };
    const steps: [() => Promise<unknown>, number, string][] = [
      [async () => {}, 5, 'default'],
      [() => admin.quotas.setCredits(root, community(group), 3), 3, 'community'],
      [() => admin.quotas.setCredits(root, role('test:member'), 0), 0, 'role'],
      [() => admin.quotas.setCredits(root, role('test:patron'), 7), 7, 'role'],
      [() => admin.quotas.setCredits(root, user(ann), 1), 1, 'user'],
      [() => admin.quotas.clearCredits(root, user(ann)), 7, 'role'],
    ];
    let asked = 0;
    for (const [change, limit, source] of steps) {
      await change();
      await harness.server.connect().hset(harness.keys.used(day), ann, limit);
      expect(await admin.quotas.quotaOf(ann, where)).toEqual({
        limit,
        source,
        used: limit,
        granted: 0,
        left: 0,
      });
      const over = { communityKey: group, roleKeys: roles };
      const refusal = { decision: 'quota', limit, used: limit, granted: 0, cost: 1 };
      expect(await submit(`q${asked++}`, ann, over)).toEqual(refusal);
    }
  });

  it('grants credits, never below none, and gives a day back', async () => {
    await harness.server.connect().hset(harness.keys.used(day), ann, 5);
    expect((await submit('a')).decision).toBe('quota');
    expect(await admin.quotas.grant(root, ann, 2, 'sorry')).toBe(2);
    expect((await submit('a')).decision).toBe('accepted');
    expect(await admin.quotas.quotaOf(ann)).toMatchObject({ used: 5, granted: 1, left: 1 });
    expect(await admin.quotas.grant(root, ann, -10)).toBe(0);
    expect(await admin.quotas.resetUsed(root, ann)).toBe(true);
    expect(await admin.quotas.resetUsed(root, ann)).toBe(false);
    expect(await admin.quotas.quotaOf(ann)).toEqual({
      limit: 5,
      source: 'default',
      used: 0,
      granted: 0,
      left: 5,
    });
    const [reset, taken, given] = await admin.trail.entries(3);
    expect(reset).toMatchObject({ action: 'reset-used', by: root, target: ann, before: '5', after: '' });
    expect(taken).toMatchObject({ action: 'grant', before: '1', after: '0' });
    expect(given).toMatchObject({ action: 'grant', before: '', after: '2', reason: 'sorry' });
    expect(Math.abs(Date.now() - (given?.at ?? 0))).toBeLessThan(60_000);
  });

  it('gives a person a larger share of the worker', async () => {
    await admin.weights.set(root, user('test:bob'), 3);
    for (let i = 0; i < 4; i++) {
      await submit(`a${i}`);
      await submit(`b${i}`, 'test:bob');
    }
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(10, runs));
    await eventually('all', () => runs.length === 8);
    expect(runs.slice(0, 4).filter(({ userKey }) => userKey === 'test:bob')).toHaveLength(3);
    expect(await admin.weights.clear(root, user('test:bob'))).toBe(true);
  });

  it.each(['role', 'community'] as const)(
    'gives everybody of a %s a larger share of the worker',
    async (kind) => {
      const target = kind === 'role' ? role('test:patron') : community('test:patrons');
      await admin.weights.set(root, target, 3);
      // The larger weight counts of two roles, and a user's own before any other.
      await admin.weights.set(root, role('test:member'), 0.5);
      await admin.weights.set(root, user('test:eve'), 1);
      const favoured =
        kind === 'role' ? { roleKeys: ['test:member', 'test:patron'] } : { communityKey: 'test:patrons' };
      for (let i = 0; i < 5; i++) {
        await submit(`a${i}`);
        await submit(`b${i}`, 'test:bob', favoured);
        await submit(`e${i}`, 'test:eve', favoured);
      }
      const runs: Generation[] = [];
      await harness.worker(timedGenerator(10, runs));
      await eventually('all', () => runs.length === 15);
      const served = (key: string): number =>
        runs.slice(0, 9).filter(({ userKey }) => userKey === key).length;
      expect([served('test:bob'), served(ann), served('test:eve')]).toEqual([5, 2, 2]);
    },
  );

  it('lists what is set, and is told who did it', async () => {
    await admin.weights.set(root, user(ann), 0.5);
    await admin.weights.set(root, role('test:patron'), 4, 'thanks');
    expect(await admin.weights.all()).toEqual([
      { target: role('test:patron'), weight: 4 },
      { target: user(ann), weight: 0.5 },
    ]);
    expect(await admin.weights.of(user(ann))).toBe(0.5);
    expect(await admin.weights.of(community('test:group'))).toBeUndefined();
    await admin.weights.clear('test:other', role('test:patron'));
    await admin.bans.ban(root, user(ann), { reason: 'spam' });
    await admin.bans.ban('test:other', user(ann), { reason: 'much spam' });
    const bans = await admin.trail.newest('ban', new Set([ann, 'test:bob']));
    expect([...bans.keys()]).toEqual([ann]);
    expect(bans.get(ann)).toMatchObject({ by: 'test:other', reason: 'much spam' });
    expect((await admin.trail.entries(10)).slice(2).map(({ at: _at, id: _id, ...entry }) => entry)).toEqual([
      {
        action: 'clear-weight',
        by: 'test:other',
        target: 'role:test:patron',
        before: '4',
        after: '',
        reason: '',
      },
      { action: 'weight', by: root, target: 'role:test:patron', before: '', after: '4', reason: 'thanks' },
      { action: 'weight', by: root, target: `user:${ann}`, before: '', after: '0.5', reason: '' },
    ]);
  });

  it('finds who set a ban far back in the trail', async () => {
    await admin.bans.ban(root, user(ann), { reason: 'spam' });
    const redis = harness.server.connect().pipeline();
    const entry = [
      'at',
      '1',
      'by',
      root,
      'action',
      'grant',
      'target',
      ann,
      'before',
      '',
      'after',
      '',
      'reason',
      '',
    ];
    for (let i = 0; i < 500; i++) redis.xadd(harness.keys.audit, '*', ...entry);
    await redis.exec();
    expect((await admin.trail.newest('ban', new Set([ann]))).get(ann)).toMatchObject({ by: root });
    expect((await admin.trail.newest('ban', new Set(['test:bob']))).size).toBe(0);
  });

  it('is told the range of everything', async () => {
    const past = { untilMs: Date.now() - 1, reason: '' };
    await expect(admin.bans.ban(root, user(ann), past)).rejects.toEqual(refused(/10 years/));
    await expect(admin.bans.ban(root, user('ann'), { reason: '' })).rejects.toEqual(refused(/discord:123/));
    await expect(admin.bans.ban(root, user(ann), { reason: 'x'.repeat(301) })).rejects.toEqual(
      refused(/at most 300/),
    );
    await expect(admin.quotas.setCredits(root, user(ann), -1)).rejects.toEqual(refused(/0 to 1000000/));
    await expect(admin.quotas.setCredits(root, user(ann), 1.5)).rejects.toEqual(refused(/whole number/));
    await expect(admin.quotas.setCredits(root, user('*'), 1)).rejects.toEqual(refused(/target/));
    await expect(admin.quotas.grant(root, ann, 1e9)).rejects.toEqual(refused(/-1000000 to 1000000/));
    await expect(admin.weights.set(root, user(ann), 0)).rejects.toEqual(refused(/0\.1 and 10/));
    await expect(admin.weights.set(root, user(ann), Number.NaN)).rejects.toBeInstanceOf(KinoraError);
    await expect(admin.trail.entries(0)).rejects.toEqual(refused(/1 to 200/));
    await expect(admin.trail.entries(1, { before: '-' })).rejects.toEqual(refused(/id/));
    expect(await admin.trail.entries()).toEqual([]);
  });

  it('pauses: no requests and no new jobs, while the running one finishes', async () => {
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(400, runs));
    await harness.delivery();
    await submit('a');
    await submit('b');
    await eventually('the first run', () => runs.length === 1);
    expect(await admin.mode.pause(root, 'a new model')).toBe(true);
    expect(await admin.mode.current()).toBe('paused');
    expect(await submit('c')).toEqual({ decision: 'paused' });
    await eventually('the first answer', () => harness.posted.length === 1);
    await sleep(600);
    expect(runs).toHaveLength(1);
    expect(await admin.stats()).toMatchObject({
      mode: 'paused',
      running: 0,
      waiting: new Map([['standard', 1]]),
    });
    expect(await admin.mode.resume(root)).toBe(true);
    await eventually('the second answer', () => harness.posted.length === 2);
    expect((await submit('c')).decision).toBe('accepted');
    expect(
      (await admin.trail.entries(2)).map(({ action, before, after }) => [action, before, after]),
    ).toEqual([
      ['resume', 'paused', ''],
      ['pause', '', 'paused'],
    ]);
  });

  it('drains: no requests, but what waits is made, also when it was paused before', async () => {
    await harness.delivery();
    await submit('a');
    await submit('b');
    await admin.mode.pause(root);
    await harness.worker(timedGenerator(20));
    await sleep(200);
    expect(harness.posted).toEqual([]);
    await admin.mode.drain(root);
    expect(await submit('c')).toEqual({ decision: 'draining' });
    await eventually('both answers', () => harness.posted.length === 2);
    expect(await admin.mode.current()).toBe('draining');
  });

  it("cancels anybody's job, waiting or running, and that is written down", async () => {
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(5_000, runs));
    await harness.delivery();
    await submit('a');
    await eventually('the run', () => runs.length === 1);
    await submit('b');
    expect(await client.cancel('t-b', root, true)).toBe('cancelled');
    expect(await client.cancel('t-a', root, true)).toBe('requested');
    expect(await client.cancel('t-z', root, true)).toBe('unknown');
    expect(await client.cancel('*', root, true)).toBe('unknown');
    await eventually('both answers', () => harness.posted.length === 2);
    expect(harness.posted.every(({ kind }) => kind === 'cancelled')).toBe(true);
    expect(await client.cancel('t-a', root, true)).toBe('finished');
    expect(await harness.creditsUsed()).toBe(0);
    expect((await admin.trail.entries()).map(({ at: _at, id: _id, ...entry }) => entry)).toEqual([
      {
        action: 'cancel',
        by: root,
        target: 't-a',
        before: `running job of ${ann}`,
        after: 'requested',
        reason: '',
      },
      {
        action: 'cancel',
        by: root,
        target: 't-b',
        before: `waiting job of ${ann}`,
        after: 'cancelled',
        reason: '',
      },
    ]);
  });

  it('does not appear in the audit trail for cancelling their own job', async () => {
    await submit('a', root);
    expect(await client.cancel('t-a', root, true)).toBe('cancelled');
    expect(await admin.trail.entries()).toEqual([]);
  });

  it('reads the audit trail page by page, and it is bounded', async () => {
    const redis = harness.server.connect();
    const old = redis.pipeline();
    for (let i = 0; i < 10_000; i++) old.xadd(harness.keys.audit, '*', 'at', '1');
    await old.exec();
    for (let i = 1; i <= 5; i++) await admin.quotas.grant(root, ann, 1, `no. ${i}`);
    expect(await redis.xlen(harness.keys.audit)).toBe(10_000);
    const first = await admin.trail.entries(2);
    const second = await admin.trail.entries(3, { before: first.at(-1)?.id ?? '' });
    expect([...first, ...second].map(({ reason }) => reason)).toEqual([5, 4, 3, 2, 1].map((i) => `no. ${i}`));
  });

  it('sees who waits, runs and works, what was spent and what failed', async () => {
    expect(await admin.stats()).toEqual({
      mode: 'running',
      waiting: new Map(),
      stranded: new Map(),
      running: 0,
      answering: 0,
      workers: { alive: 0, busy: 0, unloaded: 0, quiet: 0 },
      creditsUsed: 0,
      failures: new Map(),
    });
    await harness.worker(async (entry, files, hooks) => {
      if (entry.id.startsWith('t-bad')) throw new KinoraError('IMAGE_UNREADABLE', 'The picture is cut off.');
      return await timedGenerator(5_000)(entry, files, hooks);
    });
    const bad = [await submit('bad1'), await submit('bad2')];
    expect(bad.every(({ decision }) => decision === 'accepted')).toBe(true);
    await eventually('two failures', async () => (await admin.stats()).answering === 2);
    for (const id of ['a', 'b', 'c']) await submit(id, 'test:bob');
    const preview = { generation: { prompt: 'x', preset: 'preview', seed: 1 } };
    await submit('d', ann, preview);
    await eventually('a run', async () => (await admin.stats()).workers.busy === 1);
    expect(await admin.stats()).toEqual({
      mode: 'running',
      waiting: new Map([
        ['preview', 1],
        ['standard', 2],
      ]),
      stranded: new Map(),
      running: 1,
      answering: 2,
      workers: { alive: 1, busy: 1, unloaded: 0, quiet: 0 },
      creditsUsed: 4,
      failures: new Map([['IMAGE_UNREADABLE', 2]]),
    });
  });
});

describe('two admins at once', () => {
  beforeEach(async () => {
    harness = await Harness.start();
    client = harness.client();
  });

  it('lose no grant, and each change follows on the one before', async () => {
    const [one, other] = [adminOf(), adminOf()];
    await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        (i % 2 ? one : other).quotas.grant(`test:admin${i % 2}`, ann, i + 1),
      ),
    );
    expect((await one.quotas.quotaOf(ann)).granted).toBe(5_050);
    const trail = (await one.trail.entries(200)).reverse();
    expect(trail).toHaveLength(100);
    for (const [index, { before }] of trail.entries()) expect(before).toBe(trail[index - 1]?.after ?? '');
    expect(new Set(trail.map(({ by }) => by))).toEqual(new Set(['test:admin0', 'test:admin1']));
  });

  it('that pause and resume leave workers that do what the mode says', async () => {
    const [one, other] = [adminOf(), adminOf()];
    const meta = `${harness.keys.bull}:generate:meta`;
    const redis = harness.server.connect();
    for (let round = 0; round < 60; round++) {
      await Promise.all([one.mode.pause(root), round % 2 ? other.mode.resume(root) : other.mode.drain(root)]);
      const mode = await one.mode.current();
      expect(await redis.hexists(meta, 'paused')).toBe(mode === 'paused' ? 1 : 0);
    }
  });

  it('of whom one hears late that the other has resumed leave no worker paused', async () => {
    const quick = adminOf();
    const proxy = await FaultyProxy.start(harness.server.socketPath);
    try {
      harness.server.address = { url: proxy.url };
      const slow = adminOf();
      await slow.mode.current(); // connected
      proxy.latencyMs = 150;
      const pausing = slow.mode.pause(root);
      await eventually('the mode', async () => (await quick.mode.current()) === 'paused');
      await sleep(400); // it has read the mode, and is about to tell the workers
      await quick.mode.resume(root);
      await pausing;
      expect(await quick.mode.current()).toBe('running');
      const meta = `${harness.keys.bull}:generate:meta`;
      expect(await harness.server.connect().hexists(meta, 'paused')).toBe(0);
    } finally {
      await proxy.stop();
    }
  });

  it('of whom one died before the workers heard of it: the next start tells them', async () => {
    const runs: Generation[] = [];
    await harness.server.connect().set(harness.keys.mode, 'paused');
    const admin = adminOf();
    await admin.mode.enforce();
    await client.ledger.admit(await harness.request('a'), {
      cost: 1,
      day,
      cooldownMs: 0,
      limits: openTerms.limits,
      now: Date.now(),
    });
    await harness.server.connect().del(harness.keys.mode);
    await client.submit(await harness.request('a'));
    await harness.worker(timedGenerator(10, runs));
    await sleep(300);
    expect(runs).toEqual([]);
    await admin.mode.enforce();
    await eventually('the run', () => runs.length === 1);
  });
});

describe('what admins decided', () => {
  it('survives kill -9 of Redis', async () => {
    harness = await Harness.start('--appendonly', 'yes', '--appendfsync', 'always');
    client = harness.client();
    const admin = adminOf();
    await client.submit(await harness.request('a'));
    await admin.bans.ban(root, user('test:bob'), { reason: 'spam' });
    await admin.quotas.setCredits(root, user(ann), 9);
    await admin.weights.set(root, role('test:patron'), 2);
    await admin.quotas.grant(root, ann, 4);
    await admin.mode.pause(root);
    const trail = await admin.trail.entries();
    await harness.server.crashAndRestart();

    client = harness.client();
    const next = adminOf();
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(10, runs));
    expect(await next.mode.current()).toBe('paused');
    expect(await banOf(next.bans, 'test:bob')).toEqual({
      owner: user('test:bob'),
      untilMs: 0,
      reason: 'spam',
    });
    expect(await next.quotas.quotaOf(ann)).toEqual({
      limit: 9,
      source: 'user',
      used: 1,
      granted: 4,
      left: 12,
    });
    expect(await harness.server.connect().hget(harness.keys.weights, 'role:test:patron')).toBe('2');
    expect(await next.trail.entries()).toEqual(trail);
    await sleep(300);
    expect(runs).toEqual([]);
    await next.mode.resume(root);
    await eventually('the run', () => runs.length === 1);
  });
});
