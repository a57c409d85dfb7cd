/** `kinora backup` and `kinora restore`: real Redis servers, the real command line. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { readArchive, writeArchive } from '../../src/backup/archive.ts';
import { readKeys, type StoredKey, writeKeys } from '../../src/backup/redis-snapshot.ts';
import { Reconciler } from '../../src/bot/upkeep/reconcile.ts';
import { Keys } from '../../src/queue/keys.ts';
import { connectRedis } from '../../src/queue/redis.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { S3Storage } from '../../src/storage/s3-storage.ts';
import { privateSocket, startPrivateRedis } from '../../src/supervisor/private-redis.ts';
import { FakeS3 } from '../fakes/s3.ts';
import { eventually, type Generation, Harness, log, timedGenerator } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { runCli } from '../helpers/run-cli.ts';
import { photo, WebFixture, WebPerson } from '../helpers/web-fixture.ts';

let from: Harness;
let to: Harness;
beforeEach(async () => {
  [from, to] = await Promise.all([Harness.start(), Harness.start()]);
});
afterEach(() => Promise.all([from.stop(), to.stop()]));

const about = { version: '1.0.0', redis: 'Redis', keys: 0, packs: [], createdAt: new Date(0).toISOString() };
const storageOf = (harness: Harness): FolderStorage => new FolderStorage(path.join(harness.folder, 'jobs'));

async function backUp(file: string): Promise<void> {
  const keys = await readKeys(from.server.connect(), from.keys);
  await writeArchive(file, about, keys, storageOf(from), from.folder);
}

async function restore(file: string): Promise<void> {
  const storage = storageOf(to);
  let stored: readonly StoredKey[] = [];
  await readArchive(file, {
    onAbout: async () => {},
    onKeys: async (found) => {
      stored = [...stored, ...found];
    },
    onFile: async (place, content) => {
      await storage.put(place, content);
    },
    onDataFile: async () => {},
  });
  await writeKeys(to.server.connect(), to.keys, stored);
}

it('answers on the new machine what was open, and nothing twice, though all was in motion', async () => {
  const client = from.client();
  await from.worker(timedGenerator(30));
  await from.delivery();
  const accepted: string[] = [];
  let isOpen = true;
  const people = [0, 1].map(async (person) => {
    for (let count = 0; isOpen; count++) {
      const request = await from.request(`${person}-${count}`, `test:u${person}`);
      await client.submit(request);
      accepted.push(request.id);
    }
  });
  await eventually('some answers', () => from.posted.length >= 5);
  const [openBefore, answeredBefore] = [[...accepted], from.posted.map(({ jobId }) => jobId)];
  const file = path.join(from.folder, 'backup.tar');
  await backUp(file);
  isOpen = false;
  await Promise.all(people);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await restore(file);

  const [redis, restored] = [to.server.connect(), to.client()];
  const used: Record<string, string> = await redis.hgetall(to.keys.used('2026-11-21'));
  const pending = await redis.zrange(to.keys.pending, '0', '-1');
  for (const id of pending) expect(await restored.ledger.read(id)).toBeDefined();
  const credits = Object.values(used).reduce((sum, value) => sum + Number(value), 0);
  expect(credits).toBeGreaterThanOrEqual(openBefore.length);

  await to.worker(timedGenerator(1));
  await to.delivery();
  // As in a bot: a job that was admitted at that moment was not in BullMQ yet.
  const reconciler = new Reconciler(to.server.failFast(), restored, to.artifacts, log, {
    everyMs: 500,
    graceMs: 1_000,
  });
  reconciler.start();
  onTestFinished(() => reconciler.stop());
  await eventually('all answers', async () => (await redis.zcard(to.keys.pending)) === 0);
  const answeredAfter = to.posted.map(({ jobId }) => jobId);
  expect(new Set(answeredAfter).size).toBe(answeredAfter.length);
  expect(answeredAfter.filter((id) => answeredBefore.includes(id))).toEqual([]);
  const everywhere = new Set([...answeredAfter, ...from.posted.map(({ jobId }) => jobId)]);
  expect(openBefore.filter((id) => !everywhere.has(id))).toEqual([]);
  expect(to.posted.every(({ kind }) => kind === 'video')).toBe(true);
});

it('keeps the time at which keys expire, and leaves out those whose time has come', async () => {
  const [old, fresh] = [from.server.connect(), to.server.connect()];
  await old.set(`${from.keys.prefix}:long`, 'a', 'PX', 3_600_000);
  await old.set(`${from.keys.prefix}:bytes`, Buffer.from([0, 255, 10]));
  const stored = await readKeys(old, from.keys);
  const gone = { ...(stored[0] ?? { key: '', dump: '' }), key: `${from.keys.prefix}:gone`, expiresAt: 1 };
  await writeKeys(fresh, to.keys, [...stored, gone]);
  expect(await fresh.pttl(`${to.keys.prefix}:long`)).toBeGreaterThan(3_000_000);
  expect(await fresh.getBuffer(`${to.keys.prefix}:bytes`)).toEqual(Buffer.from([0, 255, 10]));
  expect(await fresh.exists(`${to.keys.prefix}:gone`)).toBe(0);
});

it.each([
  ['cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length - 2_000), /cut off|Unexpected end/],
  ['no backup', () => Buffer.from('a text'.repeat(500)), /no whole backup/],
])('refuses a file that is %s', async (_name, damage, sentence) => {
  await from.client().submit(await from.request('a'));
  const file = path.join(from.folder, 'backup.tar');
  await backUp(file);
  await writeFile(file, damage(await readFile(file)));
  await expect(restore(file)).rejects.toMatchObject({
    code: 'INVALID_CONFIG',
    message: expect.stringMatching(sentence),
  });
  expect(await to.server.connect().dbsize()).toBe(0);
});

it('from the command line, for a Kinora that rests: onto an empty folder, else only if told so', async () => {
  const [source, target] = [path.join(from.folder, 'data'), path.join(to.folder, 'data')];
  const file = path.join(from.folder, 'k.tar');
  const run = (dataDir: string, ...args: string[]) => runCli(args, { folder: path.dirname(dataDir) });
  const storage = new FolderStorage(path.join(source, 'jobs'));
  await storage.put({ folder: 't-1', name: 'video.mp4' }, 'a video');
  await writeFile(path.join(source, 'webhook.key'), 'a secret');
  const resting = await startPrivateRedis(source, log);
  const redis = connectRedis({ socketPath: privateSocket(source) }, 'patient', () => {});
  await redis.set(new Keys().mode, 'draining');
  redis.disconnect();
  await resting.stop();
  // Not Kinora's.
  await writeFile(path.join(source, 'jobs/t-1/video (1).mp4'), 'a copy');
  await mkdir(path.join(source, 'jobs/lost+found'));
  const stranger = path.join(target, 'jobs/team-photos/summer.jpg');
  await mkdir(path.dirname(stranger), { recursive: true });
  await writeFile(stranger, 'a photo');
  const done = await run(source, 'backup', file);
  expect(done).toMatchObject({ code: 0, stderr: expect.stringContaining('1 files of jobs') });
  expect(await run(source, 'backup', file)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--force'),
  });

  expect(await run(target, 'restore', file)).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/back\.\nKinora is draining, .* resumes it/),
  });
  const secret = path.join(target, 'webhook.key');
  expect([await readFile(secret, 'utf8'), (await stat(secret)).mode & 0o777]).toEqual(['a secret', 0o600]);
  expect(await readFile(path.join(target, 'jobs/t-1/video.mp4'), 'utf8')).toBe('a video');
  expect(await run(target, 'restore', file)).toMatchObject({ stderr: expect.stringContaining('--replace') });
  expect(await run(target, 'restore', file, '--replace')).toMatchObject({ code: 0 });
  expect(await readFile(stranger, 'utf8')).toBe('a photo');

  const running = await startPrivateRedis(target, log);
  try {
    expect(await run(target, 'backup', path.join(to.folder, 'l.tar'))).toMatchObject({ code: 0 });
  } finally {
    await running.stop();
  }
});

it('from a folder into a new Redis and a bucket, where what was open is answered', async () => {
  const s3 = await FakeS3.start();
  onTestFinished(() => s3.stop());
  const old = await WebFixture.start();
  onTestFinished(() => old.stop());
  const ann = await old.person();
  const worker = await old.worker(timedGenerator(1));
  const made = await ann.create();
  await ann.finished(made.id);
  await worker.stop(0);
  const open = await ann.create({ prompt: 'pan left' });
  await old.stopBot();
  const file = path.join(from.folder, 'k.tar');
  const backup = { REDIS_URL: `unix://${old.redis.socketPath}`, KINORA_DATA_DIR: old.folder };
  expect(await runCli(['backup', file], { folder: from.folder, environment: backup })).toMatchObject({
    code: 0,
  });

  const redis = await TestRedis.start();
  onTestFinished(() => redis.stop());
  const settings = s3.settings(path.join(to.folder, 'work'));
  const storage = new S3Storage(settings);
  const stranger = { folder: 'team-photos', name: 'summer.jpg' };
  await storage.put({ folder: 't-left', name: 'picture' }, 'of another try');
  await storage.put(stranger, 'not of Kinora');
  const environment = {
    REDIS_URL: `unix://${redis.socketPath}`,
    KINORA_STORAGE: `s3://${settings.bucket}/${settings.prefix}`,
    AWS_ENDPOINT_URL: settings.endpoint,
    AWS_ACCESS_KEY_ID: settings.credentials?.accessKeyId,
    AWS_SECRET_ACCESS_KEY: settings.credentials?.secretAccessKey,
    AWS_REGION: settings.region,
  };
  const restore = (...args: string[]) =>
    runCli(['restore', file, ...args], { folder: to.folder, environment });
  expect(await restore()).toMatchObject({ code: 2, stderr: expect.stringContaining('--replace') });
  expect(await restore('--replace')).toMatchObject({ code: 0, stderr: expect.stringMatching(/back\.\n/) });
  expect((await storage.folders()).sort()).toEqual([made.id, open.id, stranger.folder].sort());
  expect(await storage.read({ folder: open.id, name: 'picture' })).toEqual(photo);

  const fresh = await WebFixture.start({ redis, storage: { bot: storage, worker: storage } });
  onTestFinished(() => fresh.stop());
  const runs: Generation[] = [];
  await fresh.worker(timedGenerator(1, runs));
  const there = new WebPerson(fresh, ann.token, ann.userKey);
  expect((await there.finished(open.id)).status).toBe('completed');
  expect(runs.map(({ jobId }) => jobId)).toEqual([open.id]);
  for (const { id } of [made, open]) {
    expect(await (await there.call(`/v1/videos/${id}/content`)).text()).toBe(`video of ${id}`);
    const names = (await storage.look(id))?.files.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['artifact.json', 'picture', 'video.mp4']));
  }
});
