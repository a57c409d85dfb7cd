import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CacheEntry } from '../../src/inference/cache-file.ts';
import { forgetEntries, namesOf } from '../../src/inference/forget-entries.ts';
import { LatentCache } from '../../src/inference/latent-cache.ts';

let root: string;
let folder: string;
let folders = 0;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'kinora-latents-'));
});
beforeEach(() => {
  folder = path.join(root, String(folders++));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const open = (over: { memoryBytes?: number; diskBytes?: number } = {}): LatentCache =>
  new LatentCache({ folder, memoryBytes: 1e6, diskBytes: 1e6, ...over });

/** 4,000 bytes of numbers. */
const entryOf = (start: number): CacheEntry => ({
  tensors: {
    moments: { data: Float32Array.from({ length: 990 }, (_, i) => start + i / 8), dims: [1, 2, 5, 99] },
    imageEmbeds: { data: Float32Array.of(start, -0, 1e-40, 3.4e38, 5, 6, 7, 8, 9, 10), dims: [1, 10] },
  },
});
const keyOf = (name: string | number): string => LatentCache.key('image', 'pack', name);
const fileOf = (name: string | number): string => path.join(folder, keyOf(name));

/** Sizes and order are decided by mtime; a clock tick apart is enough. */
const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 12));

async function diskBytes(): Promise<number> {
  const names = await readdir(folder);
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

describe('keeps and finds', () => {
  it('nothing in memory of what a person deleted, nor of what was made of the same pictures', async () => {
    const cache = open({ diskBytes: 0 });
    const [picture, other] = ['a'.repeat(64), 'b'.repeat(64)];
    const entries: [string, CacheEntry['meta']?][] = [
      [LatentCache.pictureEntry(picture, 64)],
      [LatentCache.fileEntry('f1', 'decoder'), { pictureKey: picture }],
      [LatentCache.fileEntry('f2', 'decoder'), { pictureKey: picture }],
      [LatentCache.key('video', 'v-1'), { pictureKey: picture }],
      [LatentCache.pictureEntry(other, 64)],
      [LatentCache.fileEntry('f3', 'decoder'), { pictureKey: other }],
      [LatentCache.key('video', 'v-2'), { pictureKey: other }],
      [LatentCache.key('prompt', 'zoom in')],
    ];
    for (const [key, meta] of entries) cache.set(key, { tensors: {}, ...(meta ? { meta } : {}) });
    const kept = async (): Promise<number[]> => {
      const found = await Promise.all(entries.map(([key]) => cache.get(key)));
      return found.flatMap((entry, index) => (entry ? [index] : []));
    };
    // All that is known of a job without a video is its picture's file.
    cache.forget(namesOf({ pictureKeys: new Set(), fileHashes: new Set(['f1']), videoIds: new Set() }));
    expect(await kept()).toEqual([4, 5, 6, 7]);
    cache.forget(namesOf({ pictureKeys: new Set(), fileHashes: new Set(), videoIds: new Set(['v-2']) }));
    expect(await kept()).toEqual([4, 5, 7]);
    cache.clear();
    expect(await kept()).toEqual([]);
  });

  describe.each(['named', 'all'])('nothing that was forgotten (%s) while it was', (which) => {
    const picture = 'a'.repeat(64);
    const theirs = LatentCache.pictureEntry(picture, 64);
    const theirFile = LatentCache.fileEntry('f1', 'decoder');
    const others = which === 'all' ? [] : [LatentCache.pictureEntry('b'.repeat(64), 64)];
    // The job has no video yet: all that is known of it is its picture's file.
    const named = namesOf({ pictureKeys: new Set(), fileHashes: new Set(['f1']), videoIds: new Set() });
    const forget = (cache: LatentCache): void => (which === 'all' ? cache.clear() : cache.forget(named));

    it.each([0, 3])('written, %d turns later', async (turns) => {
      const cache = open();
      cache.set(theirFile, { tensors: {}, meta: { pictureKey: picture } });
      for (const key of [theirs, ...others]) cache.set(key, entryOf(1));
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      await forgetEntries(folder, named); // as the worker does before the engine hears of it
      forget(cache);
      cache.set(keyOf('next'), entryOf(2));
      await cache.flush();
      expect((await readdir(folder)).sort()).toEqual([...others, keyOf('next')].sort());
    });

    it('read', async () => {
      const before = open();
      before.set(theirFile, { tensors: {}, meta: { pictureKey: picture } });
      await before.flush();
      const cache = open();
      const reading = cache.get(theirFile);
      forget(cache);
      await reading;
      await rm(path.join(folder, theirFile), { force: true });
      expect(await cache.get(theirFile)).toBeUndefined();
    });
  });

  it('an entry in memory, bit for bit', async () => {
    const cache = open({ diskBytes: 0 });
    cache.set(keyOf('a'), entryOf(1));
    expect(await cache.get(keyOf('a'))).toEqual(entryOf(1));
    expect(await cache.get(keyOf('b'))).toBeUndefined();
    expect(cache.counters).toEqual({
      memoryHits: 1,
      diskHits: 0,
      misses: 1,
      memoryBytes: 4000,
      diskBytes: 0,
      writeFailures: 0,
    });
    expect(existsSync(folder)).toBe(false);
  });

  it('an entry on disk after a restart, bit for bit, and then in memory', async () => {
    const before = open();
    before.set(keyOf('a'), entryOf(1));
    await before.flush();

    const after = open();
    expect(await after.get(keyOf('a'))).toEqual(entryOf(1));
    expect(await after.get(keyOf('a'))).toEqual(entryOf(1));
    expect(after.counters).toMatchObject({ memoryHits: 1, diskHits: 1, misses: 0, memoryBytes: 4000 });
  });

  it('keys apart that differ only in where one part ends', () => {
    const keys = [
      LatentCache.key('image', 'a', 'bc'),
      LatentCache.key('image', 'ab', 'c'),
      LatentCache.key('image', 'abc'),
      LatentCache.key('prompt', 'a', 'bc'),
      LatentCache.key('image', 'a', 'bc', ''),
      LatentCache.key('image', 'a\0bc'),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys[0]).toMatch(/^image-[0-9a-f]{64}$/);
  });

  it('what belongs to one picture findable, and apart from all others', () => {
    const entries = [
      LatentCache.pictureEntry('a', 'pack', 64),
      LatentCache.pictureEntry('a', 'pack', 128),
      LatentCache.pictureEntry('b', 'pack', 64),
    ];
    expect(new Set(entries).size).toBe(entries.length);
    const ofA = entries.filter((name) => name.startsWith(LatentCache.picturePrefix('a')));
    expect(ofA).toEqual(entries.slice(0, 2));
    expect(entries.every((name) => /^image-[0-9a-f]{64}$/.test(name))).toBe(true);
  });
});

describe('drops the least recently used', () => {
  it('from memory, within its bytes', async () => {
    const cache = open({ memoryBytes: 12_000, diskBytes: 0 });
    for (const name of ['a', 'b', 'c']) cache.set(keyOf(name), entryOf(1));
    await cache.get(keyOf('a'));
    cache.set(keyOf('d'), entryOf(1));
    expect(await cache.get(keyOf('b'))).toBeUndefined();
    for (const name of ['a', 'c', 'd']) expect(await cache.get(keyOf(name))).toBeDefined();
    expect(cache.counters.memoryBytes).toBe(12_000);
  });

  it('from disk, what nobody has used for too long, however much room there is', async () => {
    const cache = open();
    for (const name of ['a', 'b']) cache.set(keyOf(name), entryOf(1));
    await cache.flush();
    const longAgo = new Date(Date.now() - 31 * 86_400_000);
    await utimes(fileOf('a'), longAgo, longAgo);
    cache.set(keyOf('c'), entryOf(1));
    await cache.flush();
    expect((await readdir(folder)).sort()).toEqual([keyOf('b'), keyOf('c')].sort());
  });

  it('from disk, within its bytes, counting what was used from memory as used', async () => {
    const cache = open({ diskBytes: 13_500 }); // room for three entries and their headers
    for (const name of ['a', 'b', 'c']) {
      cache.set(keyOf(name), entryOf(1));
      await cache.flush();
      await tick();
    }
    await cache.get(keyOf('a')); // from memory
    await tick();
    cache.set(keyOf('d'), entryOf(1));
    await cache.flush();
    expect((await readdir(folder)).sort()).toEqual(['a', 'c', 'd'].map(keyOf).sort());
    expect(cache.counters.diskBytes).toBe(await diskBytes());
    expect(await diskBytes()).toBeLessThanOrEqual(13_500);
  });

  it('in the order of use of an earlier process', async () => {
    const before = open({ diskBytes: 13_500 });
    for (const name of ['a', 'b', 'c']) {
      before.set(keyOf(name), entryOf(1));
      await before.flush();
      await tick();
    }
    await before.get(keyOf('a'));
    await before.flush();
    await tick();

    const after = open({ diskBytes: 13_500 });
    after.set(keyOf('d'), entryOf(1));
    await after.flush();
    expect(existsSync(fileOf('b'))).toBe(false);
    expect(existsSync(fileOf('a'))).toBe(true);
  });

  it('and never keeps what is larger than all its room', async () => {
    const cache = open({ memoryBytes: 3000, diskBytes: 3000 });
    cache.set(keyOf('a'), entryOf(1));
    await cache.flush();
    expect(await cache.get(keyOf('a'))).toBeUndefined();
    expect(cache.counters).toMatchObject({ memoryBytes: 0, diskBytes: 0 });
  });

  it('shrinks to a smaller bound at the first write', async () => {
    const large = open();
    for (let i = 0; i < 20; i++) large.set(keyOf(i), entryOf(i));
    await large.flush();
    const small = open({ diskBytes: 13_500 });
    small.set(keyOf('new'), entryOf(1));
    await small.flush();
    expect(await diskBytes()).toBeLessThanOrEqual(13_500);
    expect(existsSync(fileOf('new'))).toBe(true);
  });
});

describe('a damaged or foreign file is a miss and is removed', () => {
  const damages: readonly (readonly [string, (file: string) => Promise<void>])[] = [
    ['empty', (file) => truncate(file, 0)],
    ['torn in the header', (file) => truncate(file, 60)],
    ['torn in the numbers', async (file) => truncate(file, (await stat(file)).size - 1)],
    ['longer than written', async (file) => writeFile(file, 'more', { flag: 'a' })],
    ['one bit changed', (file) => flip(file, -100)],
    ['one bit of the digest changed', (file) => flip(file, 20)],
    ['of another version', (file) => flip(file, 14)],
    ['something else', (file) => writeFile(file, 'a'.repeat(5000))],
    ['the entry of another key', (file) => copyFile(fileOf('other'), file)],
    ['larger than the whole cache', (file) => truncate(file, 2e6)],
  ];
  async function flip(file: string, offset: number): Promise<void> {
    const bytes = await readFile(file);
    const at = offset < 0 ? bytes.length + offset : offset;
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    await writeFile(file, bytes);
  }

  it.each(damages)('%s', async (_name, damage) => {
    const before = open();
    before.set(keyOf('a'), entryOf(1));
    before.set(keyOf('other'), entryOf(2));
    await before.flush();
    await damage(fileOf('a'));

    const after = open();
    expect(await after.get(keyOf('a'))).toBeUndefined();
    expect(existsSync(fileOf('a'))).toBe(false);
    expect(await after.get(keyOf('other'))).toEqual(entryOf(2));
    after.set(keyOf('a'), entryOf(3));
    await after.flush();
    expect(await open().get(keyOf('a'))).toEqual(entryOf(3));
  });

  it('a folder in the place of an entry is a miss', async () => {
    await mkdir(fileOf('a'), { recursive: true });
    const cache = open();
    expect(await cache.get(keyOf('a'))).toBeUndefined();
    cache.set(keyOf('a'), entryOf(1));
    await cache.flush();
    expect(cache.counters.writeFailures).toBe(1);
    expect(await readdir(folder)).toEqual([keyOf('a')]);
  });

  it('leaves the files of others alone, whatever its bound', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'holiday.jpg'), 'x'.repeat(20_000));
    await writeFile(path.join(folder, 'image-notes'), 'mine');
    const cache = open({ diskBytes: 5000 });
    for (let i = 0; i < 4; i++) cache.set(keyOf(i), entryOf(i));
    await cache.flush();
    expect((await readdir(folder)).sort()).toEqual([keyOf(3), 'holiday.jpg', 'image-notes'].sort());
  });

  it('removes what a process left that died while writing, but not what one is writing now', async () => {
    await mkdir(folder, { recursive: true });
    const [old, young] = ['aaaaaaaa', 'bbbbbbbb'].map((start) =>
      path.join(folder, `.${keyOf('x')}.${start}-0000-4000-8000-000000000000.part`),
    ) as [string, string];
    await writeFile(old, 'torn');
    await writeFile(young, 'torn');
    const longAgo = new Date(Date.now() - 7_200_000);
    await utimes(old, longAgo, longAgo);
    const cache = open();
    cache.set(keyOf('a'), entryOf(1));
    await cache.flush();
    expect(existsSync(old)).toBe(false);
    expect(existsSync(young)).toBe(true);
  });
});

describe('a disk that fails only means that nothing is kept there', () => {
  it('when the folder is a file', async () => {
    await writeFile(folder, 'a file');
    const cache = open();
    cache.set(keyOf('a'), entryOf(1));
    await cache.flush();
    expect(await cache.get(keyOf('a'))).toEqual(entryOf(1)); // memory has it
    expect(await open().get(keyOf('a'))).toBeUndefined();
    expect(cache.counters).toMatchObject({ writeFailures: 1, diskBytes: 0 });
    expect(await readFile(folder, 'utf8')).toBe('a file');
  });

  it('when the folder is removed meanwhile, and it is used again when it is back', async () => {
    const cache = open();
    cache.set(keyOf('a'), entryOf(1));
    await cache.flush();
    await rm(folder, { recursive: true });
    expect(await cache.get(keyOf('a'))).toEqual(entryOf(1));
    cache.set(keyOf('b'), entryOf(2));
    await cache.flush();
    expect(await open().get(keyOf('b'))).toEqual(entryOf(2));
  });

  it('when it has no room for a whole file', async () => {
    // A limit on the size of files cuts a write in the middle, as a full disk does.
    const child = runProcess(['600000', '300', 'writeFailures'], 'ulimit -f 8; ');
    const { code, counters } = await child.ended;
    expect(code).toBe(0);
    expect(counters).toMatchObject({ wrong: 0, diskHits: 0, diskBytes: 0 });
    expect(counters?.['writeFailures']).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('several processes on one folder', () => {
  it('never see wrong numbers and keep within the bound', async () => {
    const bound = 200_000; // a dozen entries of forty: every process drops what the others wrote
    const children = [1, 2, 3].map(() => runProcess([String(bound), '1200', 'diskHits', 'misses']));
    for (const { ended } of children) {
      const { code, counters } = await ended;
      expect(code).toBe(0);
      expect(counters).toMatchObject({ wrong: 0 });
      expect(counters?.['diskHits']).toBeGreaterThan(0);
      expect(counters?.['misses']).toBeGreaterThan(0);
    }
    const names = await readdir(folder);
    expect(names.filter((name) => name.endsWith('.part'))).toEqual([]);
    // Each may have made room at the same moment as another.
    expect(await diskBytes()).toBeLessThanOrEqual(bound + 2 * 17_000);
  });

  it('survive that one is killed while writing', async () => {
    for (let round = 0; round < 3; round++) {
      const child = runProcess(['2000000', '60000']);
      await child.started;
      await new Promise((resolve) => setTimeout(resolve, 60 + 40 * round));
      child.process.kill('SIGKILL');
      await child.ended;
    }
    const { code, counters } = await runProcess(['2000000', '300', 'diskHits']).ended;
    expect(code).toBe(0);
    expect(counters).toMatchObject({ wrong: 0, writeFailures: 0 });
    expect(counters?.['diskHits']).toBeGreaterThan(0);
  });
});

const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

interface Running {
  readonly process: ChildProcess;
  readonly started: Promise<void>;
  readonly ended: Promise<{ readonly code: number | null; readonly counters?: Record<string, number> }>;
}

/** tests/helpers/cache-process.ts on the test's folder. */
function runProcess(args: readonly string[], before = ''): Running {
  const script = 'tests/helpers/cache-process.ts';
  const child = spawn(
    'bash',
    ['-c', `${before}exec "$0" "$@"`, process.execPath, '--import', 'tsx', script, folder, ...args],
    { cwd: projectRoot, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  const started = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.startsWith('started\n')) resolve();
    });
  });
  const ended = new Promise<Awaited<Running['ended']>>((resolve) => {
    child.on('close', (code) => {
      const line = output.split('\n')[1];
      resolve(line ? { code, counters: JSON.parse(line) as Record<string, number> } : { code });
    });
  });
  return { process: child, started, ended };
}
