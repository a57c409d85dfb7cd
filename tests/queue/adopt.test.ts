/**
 * Data of a version whose keys had no hash tag. tests/fixtures/redis-schema-1.json is what such a version (commit c7f73bd)
 * left behind when it was killed: jobs that waited for two models, ran, were about to be delivered, had just been admitted
 * and were over; a ban, allowances, rules, a key of the API, a session, and a webhook to be sent again.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Reconciler } from '../../src/bot/upkeep/reconcile.ts';
import { publishEvent, subscribeEvents } from '../../src/queue/events.ts';
import { assertAdopted, assertSchema, claimSchema } from '../../src/queue/schema.ts';
import { filesOf } from '../helpers/job-files.ts';
import { artifactOf, eventually, Harness, log, timedGenerator } from '../helpers/queue-harness.ts';

const fixture = new URL('../fixtures/redis-schema-1.json', import.meta.url);
const texts = z.array(z.string());
const storedSchema = z.array(
  z.intersection(
    z.object({ key: z.string(), ttl: z.number().optional() }),
    z.discriminatedUnion('type', [
      z.object({ type: z.literal('string'), value: z.string() }),
      z.object({ type: z.literal('hash'), value: z.record(z.string(), z.string()) }),
      z.object({ type: z.literal('set'), value: texts }),
      z.object({ type: z.literal('zset'), value: texts }),
      z.object({ type: z.literal('list'), value: texts }),
      z.object({ type: z.literal('stream'), value: z.array(z.tuple([z.string(), texts])) }),
    ]),
  ),
);
type Stored = z.infer<typeof storedSchema>;

let harness: Harness;
let redis: Redis;
beforeEach(async () => {
  harness = await Harness.start();
  redis = harness.server.connect();
});
afterEach(() => harness.stop());

/** The snapshot under the test's own name: `t:` in the place of `kinora:`. */
async function load(): Promise<Stored> {
  const text = (await readFile(fixture, 'utf8')).replaceAll('kinora:', 't:');
  const stored = storedSchema.parse(JSON.parse(text));
  for (const { key, ttl, type, value } of stored) {
    if (type === 'string') await redis.set(key, value);
    else if (type === 'hash') await redis.hset(key, value);
    else if (type === 'set') await redis.sadd(key, ...value);
    else if (type === 'list') await redis.rpush(key, ...value);
    else if (type === 'stream') for (const [id, fields] of value) await redis.xadd(key, id, ...fields);
    else for (let i = 0; i < value.length; i += 2) await redis.zadd(key, value[i + 1] ?? '', value[i] ?? '');
    if (ttl !== undefined) await redis.pexpire(key, ttl);
  }
  // The heartbeat of the worker that was killed ended long ago, whatever the clock of this machine says.
  await redis.hset('t:workers', 'dead', JSON.stringify({ beatAt: 1 }));
  return stored;
}

async function storedAt(key: string, type: Stored[number]['type']): Promise<unknown> {
  if (type === 'string') return await redis.get(key);
  if (type === 'hash') return await redis.hgetall(key);
  if (type === 'set') return (await redis.smembers(key)).sort();
  if (type === 'list') return await redis.lrange(key, 0, -1);
  if (type === 'zset') return await redis.zrange(key, 0, '-1', 'WITHSCORES');
  return await redis.xrange(key, '-', '+');
}

const tagged = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll('t:bull:', '{t}:bull:')) as T;
const untaggedKeys = async (): Promise<string[]> => (await redis.keys('t:*')).sort();
const claim = (): Promise<void> => claimSchema(harness.server.patient(), harness.keys, log, 300);

/** Under the new names, and nowhere else. */
async function expectMoved(stored: Stored): Promise<void> {
  expect(await untaggedKeys()).toEqual(['t:schema']);
  for (const { key, ttl, type, value } of stored) {
    if (key === 't:schema' || key === 't:workers') continue;
    const name = key.replace(/^t/, '{t}');
    // A set has no order, and that of the fixture is the old names'.
    const expected = type === 'set' ? tagged(value).toSorted() : tagged(value);
    if (ttl === undefined || ttl > 120_000)
      expect([name, await storedAt(name, type)]).toEqual([name, expected]);
    if (ttl !== undefined && ttl > 120_000) expect(await redis.pttl(name)).toBeGreaterThan(1);
  }
}

describe('the data of a version without a hash tag', () => {
  it('are taken over, with every value, and its jobs are made and answered once', async () => {
    const stored = await load();
    await assertSchema(redis, harness.keys); // they may be taken over
    await expect(assertAdopted(redis, harness.keys)).rejects.toThrow('start this version once');
    await claim();
    await expectMoved(stored);
    await assertAdopted(redis, harness.keys);
    // The version that wrote them does not start over them any more.
    expect(await redis.get('t:schema')).toBe('2');
    await claim();

    const client = harness.client();
    for (const id of ['running', 'waits-1', 'waits-other-model', 'reserved']) await harness.request(id);
    const made = await client.ledger.read('t-undelivered');
    if (!made) throw new Error('an entry is missing');
    await harness.request('undelivered');
    const files = filesOf(harness.artifacts, 't-undelivered');
    await writeFile(files.video, 'video of t-undelivered');
    await harness.artifacts.storeRecord('t-undelivered', artifactOf(made, 22));
    // It would be tried again in an hour.
    await redis.zadd(`${harness.keys.bull}:deliver:delayed`, 'XX', 0, 't-undelivered');
    const runs: { jobId: string; userKey: string }[] = [];
    await harness.worker(timedGenerator(10, runs), {
      models: ['builtin', 'svd'],
      reclaimEveryMs: 50,
      stalledIntervalMs: 100,
    });
    await harness.delivery();
    const reconciler = new Reconciler(harness.server.failFast(), client, harness.artifacts, log, {
      everyMs: 100,
      graceMs: 0,
    });
    reconciler.start();
    await eventually('nothing is pending', async () => (await redis.zcard(harness.keys.pending)) === 0);
    await reconciler.stop();
    const all = ['t-reserved', 't-running', 't-undelivered', 't-waits-1', 't-waits-other-model'];
    expect(harness.posted.map(({ jobId }) => jobId).sort()).toEqual(all);
    expect(harness.posted.every(({ kind }) => kind === 'video')).toBe(true);
    expect(runs.map(({ jobId }) => jobId).sort()).toEqual(all.filter((id) => id !== 't-undelivered'));
    // done, undelivered and waits-1; the failed and the cancelled one were given back before.
    expect(await harness.creditsUsed('test:ann')).toBe(3);
    expect(await redis.exists('{t}:bull:webhook:t-done-w1')).toBe(1);
  });

  it('are taken over by the next start when the first one is killed in the middle', async () => {
    const stored = await load();
    const fillers = 5_000;
    const batch = redis.pipeline();
    for (let i = 0; i < fillers; i++) batch.set(`t:withdrawn:${i}`, String(i));
    await batch.exec();
    const tsx = createRequire(import.meta.url).resolve('tsx');
    const script = fileURLToPath(new URL('../helpers/adopt-process.ts', import.meta.url));
    for (const steps of ['0', '4']) {
      const child = spawn(process.execPath, ['--import', tsx, script, harness.server.socketPath, steps], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
    }
    expect(await redis.get('t:schema')).toBe('2');
    const left = (await redis.keys('t:withdrawn:*')).length;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(fillers);
    expect(await redis.exists(harness.keys.schema)).toBe(0);
    await expect(assertAdopted(redis, harness.keys)).rejects.toThrow('start this version once');

    // Two that start at once do not disturb each other.
    await Promise.all([claim(), claim()]);
    await expectMoved(stored);
    expect((await redis.keys('{t}:withdrawn:*')).length).toBe(fillers);
  });

  it('are left alone while a process of that version uses them', async () => {
    const stored = await load();
    const heard: string[] = [];
    const listener = harness.server.patient();
    const unsubscribe = await subscribeEvents(listener, 't:events', ({ jobId }) => heard.push(jobId));
    await expect(claim()).rejects.toThrow('earlier version of Kinora still use this Redis');
    expect((await untaggedKeys()).length).toBe(stored.length);
    expect(await redis.get('t:schema')).toBe('1');
    publishEvent(redis, 't:events', { type: 'cancel', jobId: 't-a' });
    await eventually('it still hears', () => heard.length > 0);

    // It ends while the new one waits; then its worker, which loads a model, is still there.
    const [seconds] = await redis.time();
    const beat = { pid: 1, host: 'elsewhere', jobId: null, device: 'cpu', beatAt: Number(seconds) * 1000 };
    await redis.hset('t:workers', 'loading', JSON.stringify(beat));
    unsubscribe();
    await expect(claim()).rejects.toThrow('earlier version of Kinora still use this Redis');
    await redis.hdel('t:workers', 'loading');
    await claim();
    await expectMoved(stored);
  });

  it('are left alone by a process that finds a worker of that version which has just started', async () => {
    const stored = await load();
    const [seconds] = await redis.time();
    const beat = { pid: 1, host: 'elsewhere', jobId: null, device: 'cpu', beatAt: Number(seconds) * 1000 };
    const connection = harness.server.connect();
    const send = connection.sendCommand.bind(connection);
    let hasStarted = false;
    connection.sendCommand = (command, ...rest) => {
      if (command.name === 'set' && !hasStarted) {
        hasStarted = true;
        // Over the same connection, so before what the new one asks after its wait.
        setTimeout(() => void connection.hset('t:workers', 'started', JSON.stringify(beat)), 10);
      }
      return send(command, ...rest);
    };
    await expect(claimSchema(connection, harness.keys, log, 300)).rejects.toThrow('still use this Redis');
    expect((await untaggedKeys()).length).toBe(stored.length);
    expect(await redis.get('t:schema')).toBe('1');
  });

  it('are taken over whole where a scan skipped keys', async () => {
    const stored = await load();
    const connection = harness.server.connect();
    const scan = connection.scanStream.bind(connection);
    let scans = 0;
    // As after a failover: the new master takes the cursor of the old one for the end.
    connection.scanStream = (options) => scan(scans++ === 0 ? { ...options, match: 't:pending' } : options);
    await claimSchema(connection, harness.keys, log, 300);
    expect(scans).toBe(3);
    await expectMoved(stored);
  });

  it('of nobody are claimed at once, whoever listens in another database, and keep that version away', async () => {
    // Redis does not say of which database a listener is.
    const listener = harness.server.patient();
    const unsubscribe = await subscribeEvents(listener, 't:events', () => {});
    await claim();
    unsubscribe();
    expect(await redis.mget('t:schema', '{t}:schema')).toEqual(['2', '2']);
  });
});
