import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { forgetUpdates } from '../../../src/bot/telegram/forget-updates.ts';
import {
  type ForgetSettings,
  type ForgetTools,
  finishForgetting,
  forgetUser,
} from '../../../src/bot/upkeep/forget.ts';
import { KinoraError } from '../../../src/errors.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { decodeImage, imageKey } from '../../../src/inference/pictures/decode.ts';
import { openPicture } from '../../../src/inference/pictures/known-picture.ts';
import { ApiKeys } from '../../../src/queue/api-keys.ts';
import { AuditTrail } from '../../../src/queue/audit.ts';
import { Bans } from '../../../src/queue/bans.ts';
import type { JobClient } from '../../../src/queue/client.ts';
import { contract } from '../../../src/queue/contract.ts';
import type { JobRequest } from '../../../src/queue/jobs.ts';
import { Quotas } from '../../../src/queue/quota.ts';
import { Webhooks } from '../../../src/queue/webhooks.ts';
import { EngineWorkerHandle, engineRequest, longGeneration } from '../../chaos/worker-handle.ts';
import { cancelledError } from '../../helpers/cancelled.ts';
import { filesOf } from '../../helpers/job-files.ts';
import {
  eventually,
  type Generation,
  Harness,
  log,
  openTerms,
  timedGenerator,
} from '../../helpers/queue-harness.ts';

const ann = 'test:ann';
const bob = 'test:bob';
const today = '2026-11-21';
/** Of a worker that died long ago. */
const deadBeat = { beatAt: 1, pid: 1, host: 'gone', device: 'cpu' };
const pictureOf = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/pictures/${name}`, import.meta.url));

let harness: Harness;
let client: JobClient;
let redis: Redis;
let cacheFolder: string;
const workers: EngineWorkerHandle[] = [];
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.end('SIGKILL');
  await harness.stop();
});

async function start(...redisArguments: string[]): Promise<void> {
  harness = await Harness.start(...redisArguments);
  client = harness.client();
  redis = harness.server.connect();
  cacheFolder = join(harness.folder, 'cache');
  await mkdir(cacheFolder);
}

function tools(settings: Partial<ForgetSettings> = {}): ForgetTools {
  const { artifacts } = harness;
  const day = (): string => today;
  const quick = { lookEveryMs: 20, cacheSettlesMs: 20, ...settings };
  const { keys } = harness;
  return {
    ...{ redis: harness.server.failFast(), client, artifacts, cacheFolder, day, log, settings: quick },
    forgetUpdates: (userKey, wishedAt) => forgetUpdates(redis, keys, userKey, wishedAt),
  };
}

/** Names of keys, and the members or fields in them, in which a person appears. */
async function tracesOf(userKey: string): Promise<string[]> {
  const traces: string[] = [];
  for (const key of await redis.keys('{t}:*')) {
    if ((await contentOf(key)).includes(userKey)) traces.push(key);
  }
  return traces.sort();
}

/** A key and what is in it, as one text. */
async function contentOf(key: string): Promise<string> {
  const type = await redis.type(key);
  const content =
    type === 'hash'
      ? await redis.hgetall(key)
      : type === 'zset'
        ? await redis.zrange(key, 0, '-1')
        : type === 'set'
          ? await redis.smembers(key)
          : type === 'list'
            ? await redis.lrange(key, 0, -1)
            : type === 'stream'
              ? await redis.xrange(key, '-', '+')
              : await redis.get(key);
  return `${key} ${JSON.stringify(content)}`;
}

async function submit(id: string, userKey = ann, over: Partial<JobRequest> = {}): Promise<void> {
  const request = await harness.request(id, userKey, over);
  expect((await client.submit(request)).decision).toBe('accepted');
}

const folders = async (): Promise<string[]> => (await readdir(join(harness.folder, 'jobs'))).sort();
const cached = async (): Promise<string[]> => (await readdir(cacheFolder)).sort();

describe('delete my data', () => {
  beforeEach(() => start());

  it("removes a person's jobs, files, history, quota and grants, and nobody else's", async () => {
    const trail = new AuditTrail(harness.server.failFast(), client.keys);
    const [quotas, bans] = [new Quotas(trail, openTerms), new Bans(trail)];
    await quotas.grant('test:root', ann, 3);
    await quotas.grant('test:root', bob, 3);
    await quotas.setCredits('test:root', { kind: 'user', key: ann }, 9);
    await bans.ban(
      'test:root',
      { kind: 'user', key: ann },
      { untilMs: Date.now() + 3_600_000, reason: 'spam' },
    );
    await bans.unban('test:root', ann);
    for (const day of ['2026-11-19', '2026-11-20']) {
      await redis.hset(harness.keys.used(day), { [ann]: 4, [bob]: 5 });
    }
    await harness.delivery();
    const worker = await harness.worker(async (entry, files, hooks) => {
      if (entry.id.startsWith('t-bad')) throw new KinoraError('IMAGE_UNREADABLE', 'The picture is cut off.');
      return await timedGenerator(10)(entry, files, hooks);
    });
    for (const id of ['a', 'bad', 'c']) await submit(id);
    await submit('d', bob);
    await eventually('four answers', () => harness.posted.length === 4);
    await worker.stop(0);
    await submit('e', ann, { communityKey: 'test:group' });
    await submit('f');
    await submit('g', bob);
    await bans.ban('test:root', { kind: 'user', key: ann }, { reason: 'spam' });

    const apiKeys = new ApiKeys(redis, harness.keys);
    const webhooks = new Webhooks(redis, harness.keys);
    for (const userKey of [ann, bob]) {
      await apiKeys.create({ name: 'laptop', userKey, scopes: ['use'] });
      await webhooks.create(userKey, 'https://example.com/told');
    }

    const bobsTraces = await tracesOf(bob);
    expect(await forgetUser(ann, tools())).toEqual({
      jobs: 5,
      cancelled: 2,
      folders: 5,
      cacheEntries: 0,
      quotaDays: 2,
      grantedCredits: 3,
      unfinished: [],
    });
    expect(await folders()).toEqual(['t-d', 't-g']);
    expect(await tracesOf(ann)).toEqual(
      [harness.keys.bans, harness.keys.audit, harness.keys.limits, harness.keys.used(today)].sort(),
    );
    expect(await tracesOf(bob)).toEqual(bobsTraces);
    expect(await harness.creditsUsed()).toBe(2); // no new allowance for what was delivered, and two were given back
    expect(await bans.all()).toEqual([{ owner: { kind: 'user', key: ann }, untilMs: 0, reason: 'spam' }]);
    expect((await client.submit(await harness.request('h'))).decision).toBe('banned');
    expect(await client.ledger.read('t-g')).toMatchObject({ state: 'waiting' });
    // The two that waited were answered, once.
    const ended = harness.posted.filter(({ kind }) => kind === 'cancelled').map(({ jobId }) => jobId);
    expect(ended.sort()).toEqual(['t-e', 't-f']);
  });

  it('may be wished again, and by several at once', async () => {
    await harness.delivery();
    for (let i = 0; i < 30; i++) await submit(`a${i}`);
    const both = await Promise.all([forgetUser(ann, tools()), forgetUser(ann, tools())]);
    for (const { unfinished } of both) expect(unfinished).toEqual([]);
    expect(await folders()).toEqual([]);
    expect(await redis.exists(harness.keys.forgetting, harness.keys.history(ann))).toBe(0);
    await eventually('answers', () => harness.posted.length === 30);
    expect(await forgetUser(ann, tools())).toEqual({
      jobs: 0,
      cancelled: 0,
      folders: 0,
      cacheEntries: 0,
      quotaDays: 0,
      grantedCredits: 0,
      unfinished: [],
    });
  });

  it('ends the running job with one answer, and then removes its files', async () => {
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(4_000, runs));
    await harness.delivery();
    await submit('a');
    await eventually('the run', () => runs.length === 1);
    await submit('b');
    const wished = forgetUser(ann, tools());
    await sleep(50);
    expect(await folders()).toContain('t-a'); // its generator may still be writing there
    expect(await wished).toMatchObject({ jobs: 2, cancelled: 2, folders: 2, unfinished: [] });
    expect(await folders()).toEqual([]);
    expect(await client.ledger.read('t-a')).toBeUndefined();
    expect(harness.posted.map(({ jobId, kind }) => `${jobId} ${kind}`).sort()).toEqual([
      't-a cancelled',
      't-b cancelled',
    ]);
    // The worker goes on with others, and credits came back.
    expect(await harness.creditsUsed()).toBe(0);
    await submit('c', bob);
    await eventually('the next run', () => runs.length === 2);
  });

  it('keeps the files of a job for as long as its generator needs to end', async () => {
    const found: boolean[] = [];
    await harness.worker(async (entry, files, { signal }) => {
      while (!signal.aborted) await sleep(10);
      await sleep(600);
      found.push(await harness.artifacts.hasImage(entry.id));
      await writeFile(files.video, 'half a video');
      throw cancelledError();
    });
    await submit('a');
    await eventually('the run', async () => (await client.ledger.read('t-a'))?.state === 'running');
    const forgotten = await forgetUser(ann, tools({ answerWithinMs: 0 }));
    expect(found).toEqual([true]);
    expect(forgotten).toMatchObject({ jobs: 1, cancelled: 1, folders: 1, unfinished: [] });
    expect(await folders()).toEqual([]);
  });

  it('finds jobs that Redis has lost by what lies in their folders', async () => {
    await harness.delivery();
    const worker = await harness.worker(timedGenerator(10));
    for (const id of ['a', 'b']) await submit(id);
    await submit('c', bob);
    await eventually('three answers', () => harness.posted.length === 3);
    await eventually('three marks', async () => {
      const answers = ['t-a', 't-b', 't-c'].map((id) => harness.artifacts.answered(id));
      return (await Promise.all(answers)).every((answer) => answer !== undefined);
    });
    await worker.stop(0);
    await submit('waits');
    await redis.flushall();
    expect(await forgetUser(ann, tools({ answerWithinMs: 0 }))).toMatchObject({ folders: 3, unfinished: [] });
    expect(await folders()).toEqual(['t-c']);
  });

  it('is not kept from anybody by a folder that cannot be read', async () => {
    await start();
    for (const id of ['a', 'b']) await submit(id);
    const strange = filesOf(harness.artifacts, 't-strange').folder;
    await mkdir(join(strange, 'accepted.json'), { recursive: true });
    expect(await forgetUser(ann, tools({ answerWithinMs: 0 }))).toMatchObject({ jobs: 2, unfinished: [] });
    expect(await folders()).toEqual(['t-strange']);
  });

  it('does not wait for a chat that is away, and posts nothing there afterwards', async () => {
    await submit('a');
    const forgotten = await forgetUser(ann, tools({ answerWithinMs: 200 }));
    expect(forgotten).toMatchObject({ jobs: 1, cancelled: 1, folders: 1, unfinished: [] });
    await harness.delivery();
    await submit('b', bob);
    await client.cancel('t-b', bob);
    await eventually('the answer to the other', () => harness.posted.length === 1);
    await sleep(200);
    expect(harness.posted).toEqual([{ jobId: 't-b', kind: 'cancelled' }]);
    expect(await redis.exists(`${harness.keys.bull}:deliver:t-a`)).toBe(0);
  });

  it('removes updates of Telegram that wait for another version, or for a bot that serves Telegram', async () => {
    const [user, other, asGroup] = [{ id: 7 }, { id: 8 }, { id: -70 }];
    const wishedAt = 1_700_000_000_000;
    const [date, laterDate] = [wishedAt / 1_000 - 60, wishedAt / 1_000 + 60];
    const newer = contract + 1;
    const kept = {
      message: { update: { message: { from: user, date, text: 'zoom in' } }, notes: {} },
      press: { update: { callback_query: { from: user, data: 'x' } }, notes: {} },
      newer: { contract: newer, update: { message: { from: user, date } }, shape: 'new' },
      later: { update: { message: { from: user, date: laterDate } }, notes: {} },
      others: { contract: newer, update: { message: { from: other, date, chat: user } }, shape: 'new' },
      group: { update: { message: { from: user, sender_chat: asGroup, date } }, notes: {} },
      unknown: { contract: newer, shape: 'new' },
    };
    const texts = Object.entries(kept).map(([id, record]) => [id, JSON.stringify(record)] as const);
    await redis.hset(harness.keys.updates, Object.fromEntries(texts));
    await forgetUser('telegram:7', tools(), wishedAt);
    const left = ['group', 'later', 'others', 'unknown'];
    expect((await redis.hkeys(harness.keys.updates)).sort()).toEqual(left);
    await forgetUser('telegram:as-70', tools(), wishedAt);
    expect((await redis.hkeys(harness.keys.updates)).sort()).toEqual(left.slice(1));
  });

  it('leaves alone what is asked for afterwards', async () => {
    await harness.delivery();
    await submit('a');
    // By Redis's clock, as the client reckons it: that of this test may be some milliseconds ahead.
    const wishedAt = (await client.ledger.read('t-a'))?.createdAt;
    await sleep(50);
    await submit('b');
    expect(await forgetUser(ann, tools(), wishedAt)).toMatchObject({ jobs: 1, unfinished: [] });
    expect(await folders()).toEqual(['t-b']);
    expect(await client.ledger.read('t-b')).toMatchObject({ state: 'waiting' });
    expect(await redis.zrange(harness.keys.history(ann), 0, '-1')).toEqual(['t-b']);
  });

  it('finds what was made from their pictures in the latent cache', async () => {
    const keyOf = async (name: string): Promise<string> => imageKey(await decodeImage(pictureOf(name)));
    const [grey, plain, known] = [await keyOf('grey.jpg'), await keyOf('plain.png'), 'f'.repeat(64)];
    const others = [
      LatentCache.pictureEntry('other', 64),
      LatentCache.key('video', 'v-t-other'),
      LatentCache.key('prompt', 'zoom in'),
    ];
    const theirs = [
      LatentCache.pictureEntry(grey, 64),
      LatentCache.pictureEntry(grey, 128),
      LatentCache.pictureEntry(known, 64),
      LatentCache.key('video', 'v-t-a'), // as the test's generator calls its videos
    ];
    const cache = new LatentCache({ folder: cacheFolder, memoryBytes: 0, diskBytes: 1e6 });
    for (const name of [...theirs, ...others]) cache.set(name, { tensors: {} });
    await writeFile(join(cacheFolder, 'holiday.jpg'), 'no entry');
    others.push('holiday.jpg');
    // What their files show, by files that are kept or gone, and what another person's file shows.
    await openPicture(pictureOf('grey.jpg'), cache);
    await openPicture(pictureOf('plain.png'), cache);
    await cache.flush();
    const files = (await cached()).filter((name) => name.startsWith('file-'));
    const kept = LatentCache.filePrefix(
      createHash('sha256')
        .update(await readFile(pictureOf('plain.jpg')))
        .digest('hex'),
    );
    await openPicture(pictureOf('plain.jpg'), cache);
    await cache.flush();
    others.push(...(await cached()).filter((name) => name.startsWith(kept)));
    expect([files.length, others.length]).toEqual([2, 5]);
    const pictureKeys: Record<string, string> = { 't-b': known, 't-c': plain }; // a's is of an earlier version
    await harness.delivery();
    await harness.worker(async (entry, ...rest) => {
      const pictureKey = pictureKeys[entry.id];
      return { ...(await timedGenerator(10)(entry, ...rest)), ...(pictureKey ? { pictureKey } : {}) };
    });
    const request = await harness.request('a');
    await copyFile(pictureOf('grey.jpg'), filesOf(harness.artifacts, 't-a').image);
    await client.submit(request);
    await submit('b');
    await submit('c');
    await eventually('all answers', () => harness.posted.length === 3);
    for (const gone of ['t-b', 't-c']) await harness.artifacts.remove(gone); // as housekeeping does
    expect(await forgetUser(ann, tools())).toMatchObject({ jobs: 3, folders: 1, cacheEntries: 6 });
    expect(await cached()).toEqual([...others].sort());
  });

  it('removes entries of an earlier version, which may be theirs', async () => {
    const old = [LatentCache.pictureEntry('any', 64), LatentCache.key('video', 'any')];
    for (const name of old) await writeFile(join(cacheFolder, name), 'kinora-latents-2\nand so on');
    await submit('a');
    expect(await forgetUser(ann, tools({ answerWithinMs: 0 }))).toMatchObject({ jobs: 1, cacheEntries: 2 });
    expect(await cached()).toEqual([]);
  });

  it('removes what a real engine has cached, also of a job that was just stopped', async () => {
    await harness.delivery();
    const worker = EngineWorkerHandle.start(harness);
    workers.push(worker);
    await worker.serving();
    await client.submit(await engineRequest(harness, 'a'));
    await eventually('the video', () => harness.posted.length === 1);
    await eventually('what it was made of', async () => (await cached()).length === 5);
    const kinds = (await cached()).map((name) => name.split('-')[0]);
    expect(kinds).toEqual(['file', 'image', 'prompt', 'prompt', 'video']);
    let steps = 0;
    worker.onProgress = ({ jobId, phase, done }) => {
      if (jobId === 't-b' && phase === 'denoising') steps = done;
    };
    await client.submit(await engineRequest(harness, 'b', ann, longGeneration));
    await eventually('its steps', () => steps >= 2);
    const forgotten = await forgetUser(ann, tools({ cacheSettlesMs: 500 }));
    expect(forgotten).toMatchObject({ jobs: 2, cancelled: 1, folders: 2, cacheEntries: 4, unfinished: [] });
    expect((await cached()).every((name) => name.startsWith('prompt-'))).toBe(true);
    expect(await folders()).toEqual([]);
    await client.submit(await engineRequest(harness, 'c', bob));
    await eventually('the next video', () =>
      harness.posted.some(({ jobId, kind }) => jobId === 't-c' && kind === 'video'),
    );
  });
});

describe('a wish to be forgotten', () => {
  it('outlives kill -9 of Redis and comes true when the worker of the job is back', async () => {
    await start('--appendonly', 'yes', '--appendfsync', 'always');
    await harness.delivery();
    const dead = await harness.workerProcess(30_000);
    const request = await harness.request('a');
    await client.submit(request);
    await eventually('the run', async () => (await harness.runs()).length === 1);
    await redis.hset(harness.keys.grants, ann, 2);
    dead.kill('SIGKILL');
    const forgotten = await forgetUser(ann, tools({ endWithinMs: 300 }));
    expect(forgotten).toMatchObject({ jobs: 0, unfinished: ['t-a'], grantedCredits: 0 });
    expect(await folders()).toEqual(['t-a']);
    await harness.server.crashAndRestart();

    expect(await finishForgetting(tools({ endWithinMs: 100 }))).toBe(1);
    const runs: Generation[] = [];
    await harness.worker(timedGenerator(10, runs));
    await eventually('the wish', async () => (await finishForgetting(tools())) === 0);
    expect(runs).toEqual([]); // what was cancelled is not made
    expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'cancelled' }]);
    expect(await folders()).toEqual([]);
    expect(await tracesOf(ann)).toEqual(['{t}:used:2026-11-21']);
    expect(await harness.creditsUsed()).toBe(0);
  });
});

it('a wish that cannot come true now keeps no other from it', async () => {
  await start();
  await submit('a', ann);
  await submit('b', bob);
  const { keys } = harness;
  await redis.zadd(keys.forgetting, Date.now() + 1_000, ann, Date.now() + 2_000, bob);
  // What was asked for first fails for a reason of its own.
  await redis.del(keys.history(ann));
  await redis.set(keys.history(ann), 'no list');
  expect(await finishForgetting(tools({ answerWithinMs: 0 }))).toBe(1);
  expect(await folders()).toEqual(['t-a']);
  expect(await redis.zrange(keys.forgetting, 0, '-1')).toEqual([ann]);
});

describe('what is deleted', () => {
  /** Everything in Redis and in both data folders, as one text. */
  async function everything(): Promise<string> {
    const keys = await redis.keys('*');
    const dumps = await Promise.all(keys.map(async (key) => [key, String(await redis.dumpBuffer(key))]));
    const lines = await Promise.all(keys.map((key) => contentOf(key)));
    const roots = [harness.folder, dirname(harness.server.socketPath)];
    const names = await Promise.all(
      roots.map((root) => readdir(root, { recursive: true, withFileTypes: true })),
    );
    const files = names.flat().map((entry) => join(entry.parentPath, entry.name));
    const contents = await Promise.all(files.map((file) => readFile(file, 'latin1').catch(() => '')));
    return [...dumps.flat(), ...lines, ...files, ...contents].join('\n');
  }

  it('is nowhere in Redis nor in any file of it', async () => {
    await start('--appendonly', 'yes', '--aof-use-rdb-preamble', 'no', '--rdbcompression', 'no');
    const userId = 5_003_123_456;
    const userKey = `telegram:${userId}`;
    const pictureKey = 'f0'.repeat(32);
    const request = await harness.request(`${userId.toString(36)}-7`, userKey);
    const prompt = 'a secret garden';
    const terms = { cooldownMs: 60_000 };
    const asking = harness.client(terms);
    await harness.delivery();
    await harness.worker(async (entry, ...rest) => ({
      ...(await timedGenerator(10)(entry, ...rest)),
      ...(entry.id === request.id ? { pictureKey } : {}),
    }));
    await redis.hset(harness.keys.workers, 'dead', JSON.stringify({ ...deadBeat, jobId: request.id }));
    await asking.submit({ ...request, generation: { ...request.generation, prompt } });
    await eventually('the video', () => harness.posted.length === 1);
    await submit('other', bob);
    await eventually("another person's video", () => harness.posted.length === 2);
    const needles = [String(userId), userId.toString(36), prompt, pictureKey, `v-${request.id}`];
    const before = await everything();
    expect(needles.filter((needle) => !before.includes(needle))).toEqual([]);

    const later = { ...tools({ rewriteWithinMs: 20_000 }), day: () => '2026-11-22' };
    expect(await forgetUser(userKey, later)).toMatchObject({ jobs: 1, folders: 1, unfinished: [] });
    // Redis closes and removes the old file a moment later.
    await eventually('the old file to be gone', async () => {
      const after = await everything();
      return needles.every((needle) => !after.includes(needle));
    });
    expect(await redis.exists(harness.keys.rewrites)).toBe(0);
    expect(await everything()).toContain(bob);
    expect(await folders()).toEqual(['t-other']);
  });

  it('leaves the file of Redis at the next look when that took too long', async () => {
    await start('--appendonly', 'yes', '--aof-use-rdb-preamble', 'no', '--rdbcompression', 'no');
    await submit('a');
    await forgetUser(ann, tools({ answerWithinMs: 0, rewriteWithinMs: 0 }));
    expect(await redis.scard(harness.keys.rewrites)).toBe(1);
    expect(await everything()).toContain('t-a');
    expect(await finishForgetting(tools({ rewriteWithinMs: 20_000 }))).toBe(0);
    await eventually('the old file to be gone', async () => !(await everything()).includes('t-a'));
  });
});
