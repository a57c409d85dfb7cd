/** What a person deleted leaves the caches of all machines, whenever they are there. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { namesOf } from '../../src/inference/forget-entries.ts';
import { LatentCache } from '../../src/inference/latent-cache.ts';
import { Keys } from '../../src/queue/keys.ts';
import { UncachedList } from '../../src/queue/uncached.ts';
import { ForgottenEntries } from '../../src/worker/forgotten-entries.ts';
import { eventually, log } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const keys = new Keys('t');
const none = new Set<string>();
const theirs = LatentCache.pictureEntry('a'.repeat(64), 'model', 64);
const theirVideo = LatentCache.key('video', 'v-1');
const named = [
  ...namesOf({ pictureKeys: new Set(['a'.repeat(64)]), fileHashes: none, videoIds: new Set(['v-1']) }),
];
const others = [LatentCache.pictureEntry('b'.repeat(64), 'model', 64), LatentCache.key('prompt', 'zoom in')];

let server: TestRedis;
let redis: Redis;
let list: UncachedList;
let root: string;
const running: ForgottenEntries[] = [];
beforeAll(async () => {
  server = await TestRedis.start();
  redis = server.connect();
  list = new UncachedList(redis, keys);
});
beforeEach(async () => {
  await redis.flushall();
  root = await mkdtemp(join(tmpdir(), 'kinora-forgotten-'));
});
afterEach(async () => {
  for (const each of running.splice(0)) each.stop();
  await rm(root, { recursive: true, force: true });
});
afterAll(() => server.stop());

const told: (ReadonlySet<string> | 'all')[] = [];

/** A worker's part on a machine, from its start to the next call for the same machine, which finds the same folder. */
async function start(machine: string, everyMs = 100_000, logger = log): Promise<void> {
  const forgotten = new ForgottenEntries(list, join(root, machine), (entries) => told.push(entries), logger);
  running.push(forgotten);
  await forgotten.start(everyMs);
}

async function fill(machine: string, ...names: string[]): Promise<void> {
  const cache = new LatentCache({ folder: join(root, machine), memoryBytes: 0, diskBytes: 1e6 });
  for (const name of names) cache.set(name, { tensors: {} });
  await cache.flush();
}

const entriesOf = async (machine: string): Promise<string[]> =>
  (await readdir(join(root, machine)).catch(() => [])).filter((name) => !name.endsWith('.json')).sort();

it('a machine that runs hears of it, and one that was off at its start, each once', async () => {
  const all = [theirs, theirVideo, ...others];
  await fill('off', ...all);
  await fill('on', ...all);
  await start('on', 10);
  await list.add(named);
  await eventually('the one that runs', async () => (await entriesOf('on')).length === others.length);
  expect(await entriesOf('off')).toHaveLength(all.length);
  told.length = 0;
  await start('off');
  for (const machine of ['on', 'off']) expect(await entriesOf(machine)).toEqual([...others].sort());
  expect(told).toEqual([new Set(named)]); // for its memory

  // They come back with the same picture.
  for (const machine of ['on', 'off']) await fill(machine, theirs);
  for (const machine of ['on', 'off', 'on']) await start(machine);
  for (const machine of ['on', 'off']) expect(await entriesOf(machine)).toContain(theirs);
});

it('says nothing of the person, and ends after a month', async () => {
  await list.add(named);
  const stored = JSON.stringify(await redis.xrange(keys.uncached, '-', '+'));
  expect(stored).not.toContain('v-1');
  expect(stored).not.toContain('a'.repeat(64));
  const days = (await redis.pttl(keys.uncached)) / 86_400_000;
  expect(days).toBeGreaterThan(29.9);
  expect(days).toBeLessThanOrEqual(30);
});

it('is read to its end, however long it is, and has an end', async () => {
  await fill('off', theirs, theirVideo, ...others);
  await list.add(Array.from({ length: 25_000 }, (_, i) => LatentCache.key('video', `v-${i + 2}`)));
  await list.add(named);
  await start('off');
  expect(await entriesOf('off')).toEqual([...others].sort());
  const batch = redis.pipeline();
  for (let i = 0; i < 5_000; i++) batch.xadd(keys.uncached, '*', 'n', i, 'names', '[]');
  await batch.exec();
  await list.add(named);
  expect(await redis.xlen(keys.uncached)).toBe(5_000);
});

it.each([
  ['the list no longer reaches back to', async () => void (await redis.xtrim(keys.uncached, 'MAXLEN', 1))],
  ['the whole list is too old for', async () => void (await redis.del(keys.uncached))],
  ['Redis has forgotten', async () => void (await redis.flushall())],
])('a machine that cannot know what it missed, since %s it, empties its cache once', async (_why, lose) => {
  await fill('off', theirs);
  await list.add(['video-1']);
  await start('off');
  expect(await entriesOf('off')).toEqual([theirs]);
  await list.add(['video-2']);
  await list.add(['video-3']);
  await lose();
  await writeFile(join(root, 'off', 'holiday.jpg'), 'no entry');
  await start('off');
  expect(await entriesOf('off')).toEqual(['holiday.jpg']);
  await fill('off', theirs);
  await list.add(['video-4']);
  await start('off');
  expect(await entriesOf('off')).toContain(theirs);
});

it('uses nothing while Redis says that it cannot tell now', async () => {
  await fill('off', theirs);
  await list.add(named);
  const admin = server.connect();
  await admin.config('SET', 'replica-serve-stale-data', 'no');
  await admin.replicaof('127.0.0.1', 1); // nobody is there
  try {
    let isReady = false;
    const starting = start('off').then(() => {
      isReady = true;
    });
    await expect(redis.get(keys.uncachedCount)).rejects.toThrow('MASTERDOWN');
    await sleep(300);
    expect(isReady).toBe(false);
    await admin.replicaof('NO', 'ONE');
    await starting;
    expect(await entriesOf('off')).toEqual([]);
  } finally {
    await admin.replicaof('NO', 'ONE');
  }
});

it('a machine that finds as many entries as before, in a Redis that has lost those, empties its cache, too', async () => {
  await fill('off', theirs);
  await list.add(['video-1']);
  await start('off');
  await redis.flushall();
  await list.add(named);
  await start('off');
  expect(await entriesOf('off')).toEqual([]);
});

it('so does one that cannot read an entry', async () => {
  await fill('off', theirs);
  await list.add(['video-1']);
  await redis.xadd(
    keys.uncached,
    '*',
    'n',
    await redis.incr(keys.uncachedCount),
    'names',
    '{"of": "a later version"}',
  );
  await list.add(['video-2']);
  await start('off');
  expect(await entriesOf('off')).toEqual([]);
});

it('tries again when the disk does not let it, and does and says meanwhile what it can', async () => {
  const entry = join(root, 'off', theirs);
  const theirFile = LatentCache.fileEntry('f', 'model');
  await mkdir(entry, { recursive: true });
  await fill('off', theirVideo);
  const cache = new LatentCache({ folder: join(root, 'off'), memoryBytes: 0, diskBytes: 1e6 });
  cache.set(theirFile, { tensors: {}, meta: { pictureKey: 'a'.repeat(64) } });
  await cache.flush();
  const names = namesOf({ pictureKeys: none, fileHashes: new Set(['f']), videoIds: new Set(['v-1']) });
  await list.add([...names]);
  told.length = 0;
  const warnings: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void warnings.push(line) });
  await start('off', 10, logger); // a folder cannot be removed like a file
  expect(told).toEqual([names]); // its memory keeps nothing for longer than the disk
  // By the file's entry the picture's is found the next time, too.
  expect(await entriesOf('off')).toEqual([theirFile, theirs].sort());
  await eventually('more attempts', () => told.length > 3);
  await rm(entry, { recursive: true });
  await eventually('that was all', async () => (await readdir(join(root, 'off'))).includes('forgotten.json'));
  expect(await entriesOf('off')).toEqual([]);
  expect(warnings).toHaveLength(1);
});
