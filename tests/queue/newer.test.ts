/** What a later version of Kinora wrote, met by this one: it is left alone, and a process of that version goes on with it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { forgetUser } from '../../src/bot/upkeep/forget.ts';
import { Reconciler } from '../../src/bot/upkeep/reconcile.ts';
import { namesOf } from '../../src/inference/forget-entries.ts';
import type { JobClient } from '../../src/queue/client.ts';
import { contract, NewerRecord } from '../../src/queue/contract.ts';
import { Profiles } from '../../src/queue/profiles.ts';
import { Sessions } from '../../src/queue/sessions.ts';
import { beginning, UncachedList } from '../../src/queue/uncached.ts';
import { Webhooks } from '../../src/queue/webhooks.ts';
import { workerEntries } from '../../src/queue/worker-registry.ts';
import { copyWithContract } from '../helpers/other-version.ts';
import { eventually, type Generation, Harness, log, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture } from '../helpers/web-fixture.ts';

const later = contract + 1;

describe('in the queue', () => {
  let harness: Harness;
  let client: JobClient;
  beforeEach(async () => {
    harness = await Harness.start();
    client = harness.client();
  });
  afterEach(() => harness.stop());

  const submitNewer = async (id: string, userKey = 'test:ann'): Promise<void> => {
    await client.submit(await harness.request(id, userKey, { contract: later }));
  };
  const fieldsOf = async (id: string): Promise<Record<string, string>> =>
    await harness.server.connect().hgetall(harness.keys.job(id));
  const queued = async (name: string, id: string) => {
    const queue = new Queue(name, { connection: harness.server.connect(), prefix: harness.keys.bull });
    const job = await queue.getJob(id);
    const state = await job?.getState();
    await queue.close();
    return { job, state };
  };

  it('a worker passes over it and makes the others; one of that version makes it', async () => {
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(10, runs));
    await harness.delivery();
    await submitNewer('new');
    await client.submit(await harness.request('old', 'test:bob'));
    await eventually('the other answer', () => harness.posted.length === 1);
    await eventually('it is put aside', async () => (await queued('generate', 't-new')).state === 'delayed');
    const { job } = await queued('generate', 't-new');
    expect([job?.attemptsMade, job?.data]).toEqual([0, { contract: later, jobId: 't-new' }]);
    expect(await fieldsOf('t-new')).toMatchObject({ state: 'waiting', starts: '0', contract: `${later}` });
    expect(runs.map(({ jobId }) => jobId)).toEqual(['t-old']);
    expect(await harness.creditsUsed('test:ann')).toBe(1);
    await expect(client.ledger.read('t-new')).rejects.toThrow(NewerRecord);

    const folder = await mkdtemp(join(tmpdir(), 'kinora-later-'));
    try {
      await copyWithContract(folder, later, false);
      await harness.workerProcess(10, 0, 0, folder);
      await eventually('it is made', async () => (await fieldsOf('t-new'))['state'] === 'generated');
      const reads = [...(await workerEntries(harness.server.connect(), harness.keys)).values()];
      expect(reads.map(({ entry }) => entry.reads).sort()).toEqual([contract, later]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    expect(await harness.runs()).toEqual(['t-new']);
    expect(await fieldsOf('t-new')).toMatchObject({ starts: '1' });
    // Its answer is for a bot of that version, too.
    await eventually('the answer waits', async () => (await queued('deliver', 't-new')).state === 'delayed');
    expect(harness.posted).toEqual([{ jobId: 't-old', kind: 'video' }]);
    expect(await fieldsOf('t-new')).not.toHaveProperty('deliveredAt');
  });

  it('the reconciler neither mends, ends nor brings back what is newer', async () => {
    await submitNewer('a');
    await submitNewer('b', 'test:bob');
    const redis = harness.server.connect();
    const reconciler = new Reconciler(harness.server.failFast(), client, harness.artifacts, log, {
      graceMs: 0,
    });
    // Of the first, BullMQ knows nothing; the second is only in its folder.
    for (const id of ['t-a', 't-b']) await client.drop(id);
    await redis.del(harness.keys.job('t-b'));
    await redis.zrem(harness.keys.pending, 't-b');
    await redis.hset(harness.keys.workers, 'later', JSON.stringify({ contract: later, at: 'noon' }));
    await redis.hset(harness.keys.bans, 'test:cat', JSON.stringify({ contract: later, until: 'noon' }));
    await reconciler.run(Date.now() + 48 * 3_600_000);
    expect(await fieldsOf('t-a')).toMatchObject({ state: 'waiting' });
    expect(await fieldsOf('t-b')).toEqual({});
    expect(await redis.hkeys(harness.keys.workers)).toEqual(['later']);
    expect(await redis.hkeys(harness.keys.bans)).toEqual(['test:cat']);
    expect((await queued('generate', 't-a')).job).toBeUndefined();
  });

  it('who wants their data deleted is forgotten all the same', async () => {
    await submitNewer('a');
    await submitNewer('lost');
    // Only its folder knows of it.
    await client.drop('t-lost');
    await client.ledger.remove('t-lost', 'test:ann');
    const record = `{"contract":${later},"videoId":"in-folder"}`;
    await writeFile(join(harness.folder, 'jobs', 't-a', 'artifact.json'), record);
    const trace = `{"contract":${later},"videoId":"in-redis","pictureKey":"seen"}`;
    await harness.server.connect().hset(harness.keys.job('t-a'), 'artifact', trace);
    const tools = {
      ...{ redis: harness.server.failFast(), client, artifacts: harness.artifacts, log },
      ...{ cacheFolder: join(harness.folder, 'cache'), day: () => '2026-11-21' },
      forgetUpdates: async () => {},
      settings: { answerWithinMs: 0, cacheSettlesMs: 0 },
    };
    const redis = harness.server.connect();
    const theirs = JSON.stringify({ contract: later, userKey: 'test:ann', createdAt: 1, shape: 'new' });
    const others = JSON.stringify({ contract: later, userKey: 'test:bob', createdAt: 1, shape: 'new' });
    for (const key of [harness.keys.apiKeys, harness.keys.webhooks]) {
      await redis.hset(key, 'theirs', theirs, 'others', others);
    }
    expect(await forgetUser('test:ann', tools)).toMatchObject({ jobs: 2, unfinished: [] });
    const told = await new UncachedList(redis, harness.keys).after(beginning);
    const videoIds = new Set(['in-folder', 'in-redis']);
    const named = namesOf({ pictureKeys: new Set(['seen']), fileHashes: new Set(), videoIds });
    expect([...told.names]).toEqual(expect.arrayContaining([...named]));
    for (const key of [harness.keys.apiKeys, harness.keys.webhooks]) {
      expect(await redis.hkeys(key)).toEqual(['others']);
    }
    expect(await harness.artifacts.jobIds()).toEqual([]);
  });

  it('what a version with more fields wrote keeps them when it is written anew', async () => {
    const redis = harness.server.connect();
    const webhooks = new Webhooks(redis, harness.keys);
    const { id } = await webhooks.create('test:ann', 'https://example.org');
    const stored = JSON.parse((await redis.hget(harness.keys.webhooks, id)) ?? '');
    await redis.hset(harness.keys.webhooks, id, JSON.stringify({ ...stored, only: ['failed'] }));
    await webhooks.disable(id);
    expect(JSON.parse((await redis.hget(harness.keys.webhooks, id)) ?? '')).toEqual({
      ...{ ...stored, isDisabled: true, only: ['failed'] },
    });

    const profiles = new Profiles(redis, harness.keys);
    await redis.hset(harness.keys.profiles, 'test:ann', '{"name":"Ann","locale":"fr","hat":"green"}');
    await profiles.store('test:ann', { name: 'Anna' });
    const profile = JSON.parse((await redis.hget(harness.keys.profiles, 'test:ann')) ?? '');
    expect(profile).toEqual({ contract: 1, name: 'Anna', hat: 'green' });
    await redis.hset(harness.keys.profiles, 'test:ann', `{"contract":${later},"called":"Ann"}`);
    await expect(profiles.store('test:ann', { name: 'Anna' })).rejects.toThrow(NewerRecord);
  });

  it('a session is neither valid nor ended', async () => {
    const redis = harness.server.connect();
    const sessions = new Sessions(redis, harness.keys);
    const { token } = await sessions.create({ userKey: 'test:ann', scopes: ['use'], browser: '' });
    const [key = ''] = await redis.keys(`${harness.keys.session('')}*`);
    const stored = await redis.get(key);
    await redis.set(key, JSON.stringify({ contract: later, who: 'test:ann' }));
    await expect(sessions.find(token)).rejects.toThrow(NewerRecord);
    expect(await sessions.of('test:ann')).toEqual([]);
    await redis.set(key, stored ?? '');
    expect(await sessions.find(token)).toMatchObject({ userKey: 'test:ann' });
  });
});

it('over the API the answer is "not now", and a repeated request makes no second job', async () => {
  const web = await WebFixture.start();
  try {
    const ann = await web.person();
    const headers = { 'idempotency-key': 'once' };
    const redis = web.redis.connect();
    const { id } = await ann.create();
    await redis.hset(`{kinora}:job:${id}`, 'contract', later);
    const answer = await ann.call(`/v1/videos/${id}`);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '30']);
    expect(await answer.json()).toMatchObject({ error: { code: 'unavailable' } });

    expect((await ann.post({ prompt: 'zoom in' }, { headers })).status).toBe(200);
    const [key = ''] = await redis.keys('{kinora}:idempotency:*');
    await redis.set(key, JSON.stringify({ contract: later, job: 'video-1' }));
    expect((await ann.post({ prompt: 'zoom in' }, { headers })).status).toBe(503);
    expect(await redis.zcard(`{kinora}:history:${ann.userKey}`)).toBe(2);

    const keys = Object.entries(await redis.hgetall('{kinora}:apikeys'));
    for (const [field] of keys) await redis.hset('{kinora}:apikeys', field, `{"contract":${later}}`);
    expect((await ann.call('/v1/videos')).status).toBe(503);
  } finally {
    await web.stop();
  }
});
