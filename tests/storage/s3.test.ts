/** The storage that is a bucket, before a stand-in of an S3 service, and what happens when that fails. */
import { chmod, chown, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openServedStorage } from '../../src/commands/storage.ts';
import { createLogger } from '../../src/log.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import type { S3Patience, S3Settings } from '../../src/storage/s3-client.ts';
import { S3Storage } from '../../src/storage/s3-storage.ts';
import type { Place } from '../../src/storage/storage.ts';
import { PictureHeaders } from '../../src/web/videos/picture-headers.ts';
import { FakeS3, type Fault } from '../fakes/s3.ts';
import { conformance } from './conformance.ts';

/** Long enough for a busy machine, and for nothing else. */
const patience = { firstPauseMs: 5, silenceMs: 1_000, attempts: 3 } satisfies Partial<S3Patience>;

let s3: FakeS3;
beforeAll(async () => {
  s3 = await FakeS3.start();
});
afterAll(() => s3.stop());
afterEach(() => {
  s3.objects.clear();
  s3.faults.length = 0;
  s3.seen.length = 0;
  s3.clockMs = 0;
  s3.quotaBytes = Number.POSITIVE_INFINITY;
});

const open = async (folder: string, changes: Partial<S3Settings> = {}): Promise<S3Storage> =>
  new S3Storage(s3.settings(join(folder, 'work'), changes), patience);

conformance('a bucket as storage', (folder) => open(folder), 100);
conformance('a bucket without a prefix as storage', (folder) => open(folder, { prefix: '' }), 100);

const isRoot = process.getuid?.() === 0;
/** Root may remove everything. */
async function withoutRoot(work: () => Promise<void>): Promise<void> {
  if (isRoot) process.seteuid?.(1);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

describe('a bucket', () => {
  const place = { folder: 't-1', name: 'video.mp4' };
  let folder: string;
  let storage: S3Storage;
  const fail = (method: string, kind: Fault['kind'], times = 1): void => {
    s3.faults.push({ method, kind, times, path: 'video.mp4' });
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kinora-s3-'));
    storage = await open(folder);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('has names that people can find, and types that browsers play', async () => {
    await storage.put(place, 'video');
    expect([...s3.objects.keys()]).toEqual(['some/where/t-1/video.mp4']);
    expect(s3.objects.get('some/where/t-1/video.mp4')?.type).toBe('video/mp4');
    expect(storage.location('t-1')).toBe('s3://kinora-test/some/where/t-1');
  });

  const mb = Buffer.alloc(1_000_000, 'kinora');
  it.each([
    ['status 500', { status: 500, code: 'InternalError' }],
    ['status 503', { status: 503, code: 'SlowDown' }],
    ['status 429', { status: 429, code: 'TooManyRequests' }],
    ['a connection cut in the middle', 'cut in the middle of the upload'],
    ['no answer', 'silent'],
  ] as const)('puts a file in spite of %s', async (_, kind) => {
    await writeFile(join(folder, 'video.mp4'), mb);
    fail('PUT', kind, 2);
    const copy = await storage.checkOut('t-1', []);
    await writeFile(join(copy.path, 'video.mp4'), mb);
    await copy.keep('video.mp4');
    await copy.close();
    expect(s3.objects.get('some/where/t-1/video.mp4')?.bytes.equals(mb)).toBe(true);
    expect(s3.seen.filter((line) => line.startsWith('PUT'))).toHaveLength(3);
  });

  it('has nothing of a file that could not be put as a whole', async () => {
    await storage.put(place, 'earlier');
    fail('PUT', 'cut in the middle of the upload', 3);
    await expect(storage.put(place, mb)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect((await storage.read(place))?.toString()).toBe('earlier');
  });

  it.each([
    ['status 500', { status: 500, code: 'InternalError' }],
    ['a connection cut in the middle', 'cut in the middle of the download'],
    ['no answer', 'silent'],
    ['silence in the middle', 'silent in the middle of the download'],
  ] as const)('fetches a file in spite of %s', async (_, kind) => {
    await storage.put(place, mb);
    fail('GET', kind, 1);
    const copy = await storage.checkOut('t-1', ['video.mp4']);
    expect((await readFile(join(copy.path, 'video.mp4'))).equals(mb)).toBe(true);
    await copy.close();
    fail('GET', kind, 1);
    expect((await storage.read(place))?.equals(mb)).toBe(true);
  });

  it('leaves no copy of what could not be fetched, and breaks a stream that is cut', async () => {
    await storage.put(place, mb);
    fail('GET', 'cut in the middle of the download', 3);
    await expect(storage.checkOut('t-1', ['video.mp4'])).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(await readdir(join(folder, 'work'))).toEqual([]);
    fail('GET', 'cut in the middle of the download', 1);
    const stream = await storage.stream(place);
    await expect(stream && buffer(stream)).rejects.toThrow();
  });

  it('takes for its own what it put before the answer was lost, and nothing that others put', async () => {
    fail('PUT', 'put, with its answer lost');
    expect(await storage.put(place, 'video', 'absent')).toBe(true);
    expect(await storage.put(place, 'another', 'absent')).toBe(false);
    await storage.remove('t-1');
    fail('PUT', { status: 409, code: 'ConditionalRequestConflict' });
    expect(await storage.put(place, 'video', 'absent')).toBe(true);
    // They come between the look and the two attempts.
    fail('HEAD', { status: 404, code: 'NotFound' });
    fail('PUT', { status: 409, code: 'ConditionalRequestConflict' });
    expect(await storage.put(place, 'another', 'absent')).toBe(false);
    expect((await storage.read(place))?.toString()).toBe('video');
  });

  it('does not take "not found" for an answer to what it puts', async () => {
    fail('PUT', { status: 404, code: 'NotFound' });
    await expect(storage.put(place, 'video')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  });

  it('does not take "not found" for an empty list', async () => {
    await storage.put(place, 'video');
    const { path } = await storage.checkOut('t-1', []);
    const asked = [
      () => storage.folders(),
      () => storage.look('t-1'),
      () => storage.put({ folder: 't-1', name: 'latents' }, 'latents', 'beside others'),
      () => storage.sweep(),
    ];
    for (const ask of asked) {
      s3.faults.push({ method: 'GET', path: '', times: 1, kind: 'not found, says a proxy' });
      await expect(ask()).rejects.toThrow('does not answer as it should (status 404)');
    }
    expect(await readdir(path)).toEqual([]); // it is still there
  });

  it('says so where a file is to be kept whose copy somebody removed', async () => {
    const copy = await storage.checkOut('t-1', []);
    await writeFile(join(copy.path, 'video.mp4'), 'video');
    await rm(copy.path, { recursive: true });
    await expect(copy.keep('video.mp4')).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  });

  it('ends the connection of a stream that nobody reads', async () => {
    const own = await FakeS3.start();
    try {
      const other = new S3Storage(own.settings(join(folder, 'work')), patience);
      await other.put(place, Buffer.alloc(16_000_000, 'kinora'));
      const stream = await other.stream(place);
      await expect.poll(() => own.answering, { timeout: 20_000 }).toBe(1);
      stream?.destroy();
      await expect.poll(() => own.answering, { timeout: 20_000 }).toBe(0);
    } finally {
      await own.stop();
    }
  });

  it('fetches a few pictures at a time for their headers, each once, and remembers where there is none', async () => {
    let [now, most] = [0, 0];
    class Watched extends S3Storage {
      override async read(of: Place): Promise<Buffer | undefined> {
        most = Math.max(most, ++now);
        return await super.read(of).finally(() => now--);
      }
    }
    const watched = new Watched(s3.settings(join(folder, 'work')), patience);
    const ids = Array.from({ length: 12 }, (_, index) => `t-${index}`);
    const kept = ids.slice(1);
    const photo = await readFile(fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url)));
    for (const id of kept) await storage.put({ folder: id, name: 'picture' }, photo);
    const headers = new PictureHeaders(new Artifacts(watched));
    const sizes = async () =>
      await Promise.all(
        ids.map((id) =>
          headers.of(id).then(
            ({ width }) => width > 0,
            () => false,
          ),
        ),
      );
    const expected = [false, ...kept.map(() => true)];
    expect(await Promise.all([sizes(), sizes()])).toEqual([expected, expected]);
    expect(await sizes()).toEqual(expected);
    expect(s3.seen.filter((line) => line.startsWith('GET'))).toHaveLength(ids.length);
    expect(most).toBe(4);
  });

  it('fetches a file that comes slowly at the first attempt, for longer than silence may last', async () => {
    await storage.put(place, mb);
    const read = async (): Promise<Buffer | undefined> => await storage.read(place);
    const checkOut = async (): Promise<Buffer> => {
      const copy = await storage.checkOut('t-1', ['video.mp4']);
      return await readFile(join(copy.path, 'video.mp4')).finally(() => copy.close());
    };
    const stream = async (): Promise<Buffer | undefined> => {
      const found = await storage.stream(place);
      return found && (await buffer(found));
    };
    const ways = [read, checkOut, stream];
    fail('GET', 'slow download', ways.length);
    const beganAt = performance.now();
    for (const found of await Promise.all(ways.map((way) => way()))) expect(found?.equals(mb)).toBe(true);
    expect(performance.now() - beganAt).toBeGreaterThan(1.5 * patience.silenceMs);
    expect(s3.seen.filter((line) => line.startsWith('GET'))).toHaveLength(ways.length);
  });

  it('breaks a stream that stalls, and gives up a file that stalls each time', async () => {
    await storage.put(place, mb);
    const hasty = new S3Storage(s3.settings(join(folder, 'work')), { ...patience, silenceMs: 500 });
    fail('GET', 'silent in the middle of the download', 4);
    const stream = await hasty.stream(place);
    await expect(stream && buffer(stream)).rejects.toThrow('silent');
    await expect(hasty.read(place)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(s3.seen.filter((line) => line.startsWith('GET'))).toHaveLength(4);
  });

  it('waits for a reader as long as they like', async () => {
    const large = Buffer.alloc(8_000_000, 'kinora');
    await storage.put(place, large);
    const slow = new S3Storage(s3.settings(join(folder, 'work')), { ...patience, silenceMs: 200 });
    const stream = await slow.stream(place);
    if (!stream) throw new Error('no stream');
    await new Promise((resolve) => setTimeout(resolve, 600)); // longer than silence may be
    expect((await buffer(stream)).equals(large)).toBe(true);
  });

  it('is used in spite of a wrong clock, by the time of its answers', async () => {
    s3.clockMs = 3 * 3_600_000;
    await storage.put(place, 'video');
    expect((await storage.read(place))?.toString()).toBe('video');
  });

  it('gives links that are good by its own clock', async () => {
    s3.clockMs = 3 * 3_600_000;
    const linked = await open(folder, { publicEndpoint: s3.endpoint });
    await linked.put(place, 'video');
    const link = await linked.links?.download(place, { disposition: 'inline', type: 'video/mp4' });
    expect(await (await fetch(link ?? '')).text()).toBe('video');
  });

  it('may hold the folders of others, whose names look like those of jobs', async () => {
    const shared = await open(folder, { prefix: '' });
    await shared.put({ folder: 't-1', name: 'picture' }, 'picture');
    await shared.put({ folder: 'team-photos', name: 'picture' }, 'not ours');
    await shared.put({ folder: 'team-photos/2031', name: 'picture' }, 'not ours');
    expect((await new Artifacts(shared).list()).map(({ jobId }) => jobId)).toEqual(['t-1']);
  });

  const secret = /a\+secret|AKIA/;
  it.each([
    ['with a clock that cannot be corrected', 403, 'RequestTimeTooSkewed', 'STORAGE_FAILED', /clock/],
    ['that is full', 403, 'QuotaExceeded', 'DISK_FULL', /full/],
    ['of a full machine', 507, 'XMinioStorageFull', 'DISK_FULL', /full/],
    ['that may not be used', 403, 'AccessDenied', 'STORAGE_FAILED', /does not let/],
    ['that was made elsewhere', 301, 'PermanentRedirect', 'STORAGE_FAILED', /region/],
    ['with keys that ran out', 400, 'ExpiredToken', 'STORAGE_FAILED', /keys/],
    ['of a broken service', 500, 'InternalError', 'STORAGE_FAILED', /status 500/],
  ] as const)('%s is one sentence', async (_, status, code, expected, sentence) => {
    fail('PUT', { status, code }, 3);
    const error = await storage.put(place, 'video').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: expected, message: expect.stringMatching(sentence) });
    expect(JSON.stringify(error) + String(error)).not.toMatch(secret);
  });

  it('that is not there, has other keys, or does not answer is one sentence', async () => {
    const said = async (changes: Partial<S3Settings>): Promise<string> => {
      const other = await open(folder, changes);
      const error = await other.read(place).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'STORAGE_FAILED' });
      expect(JSON.stringify(error) + String(error)).not.toMatch(secret);
      return String(error);
    };
    expect(await said({ bucket: 'another' })).toMatch(/bucket another does not exist/);
    const { credentials = { accessKeyId: '', secretAccessKey: '' } } = s3.settings(folder);
    expect(await said({ credentials: { ...credentials, secretAccessKey: 'x' } })).toMatch(/know the keys/);
    expect(await said({ endpoint: 'http://127.0.0.1:9' })).toMatch(/does not answer/);
  });

  it('that is full takes what fits again', async () => {
    s3.quotaBytes = 10;
    await expect(storage.put(place, mb)).rejects.toMatchObject({ code: 'DISK_FULL' });
    await storage.put(place, 'fits');
    expect((await storage.read(place))?.toString()).toBe('fits');
  });

  it('loses the copies on this machine with the folder, and those of processes that died', async () => {
    await storage.put(place, 'video');
    const old = await storage.checkOut('t-1', ['video.mp4']);
    await utimes(old.path, 1, 1);
    await storage.put({ folder: 't-2', name: 'picture' }, 'picture');
    await storage.checkOut('t-2', []);
    await storage.sweep();
    expect(await readdir(join(folder, 'work'))).toEqual([expect.stringMatching(/^t-2\./)]);
    await storage.remove('t-2');
    expect(await readdir(join(folder, 'work'))).toEqual([]);
    expect((await storage.read(place))?.toString()).toBe('video');
  });

  it.each(['before', 'after'])(
    'keeps no latents of a job whose person deletes it just %s they are put',
    async (when) => {
      let looks = 0;
      class Crossed extends S3Storage {
        override async look(folder: string): ReturnType<S3Storage['look']> {
          const found = await super.look(folder);
          if (when === 'after' && looks++ === 0) await artifacts.storeLatents(folder, mb);
          return found;
        }
        override async put(...put: Parameters<S3Storage['put']>): Promise<boolean> {
          const isPut = await super.put(...put);
          if (when === 'before' && put[0].name === 'latents') s3.objects.delete('some/where/t-1/picture');
          return isPut;
        }
      }
      const artifacts = new Artifacts(new Crossed(s3.settings(join(folder, 'work')), patience));
      await storage.put({ folder: 't-1', name: 'picture' }, 'picture');
      if (when === 'before') await artifacts.storeLatents('t-1', mb);
      else await artifacts.remove('t-1');
      expect([...s3.objects.keys()]).toEqual([]);
    },
  );

  it('loses the copies on this machine also when another machine removes the folder', async () => {
    const left = async (): Promise<string[]> => await readdir(join(folder, 'work'));
    for (const name of ['t-1', 't-1.2']) {
      await storage.put({ folder: name, name: 'picture' }, 'picture');
      await storage.checkOut(name, ['picture']); // by a process that is killed
    }
    await (await open(join(folder, 'bot'))).remove('t-1');
    s3.faults.push({ method: 'GET', path: '', times: 6, kind: { status: 503, code: 'SlowDown' } });
    await expect(storage.sweep()).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
    expect(await left()).toHaveLength(2); // while the bucket cannot tell
    await storage.sweep();
    expect(await left()).toEqual([expect.stringMatching(/^t-1\.2\.[^.]+$/)]);
  });

  it('loses copies by their age at the first sweep of a process only: clocks are set', async () => {
    await storage.put(place, 'video');
    await storage.sweep();
    const { path } = await storage.checkOut('t-1', []);
    await utimes(path, 1, 1);
    await storage.sweep();
    expect(await readdir(path)).toEqual([]); // it is still there
    await (await open(folder)).sweep();
    await expect(readdir(path)).rejects.toThrow('ENOENT');
  });

  it('is swept by what serves it, past a copy that cannot be removed, which is said', async () => {
    const copies = await Promise.all(['t-0', 't-1', 't-2'].map((name) => storage.checkOut(name, [])));
    const [stuck = '', ...others] = copies.map(({ path }) => path);
    await writeFile(join(stuck, 'video.mp4'), 'video');
    await utimes(stuck, 1, 1);
    await chmod(stuck, 0o500);
    for (const path of [folder, join(folder, 'work'), stuck, ...others]) if (isRoot) await chown(path, 1, 1);
    const lines: string[] = [];
    const log = createLogger('test', 'warn', { write: (line) => lines.push(line) });
    await withoutRoot(async () => {
      const settings = { storage: s3.settings(join(folder, 'work')), jobsFolder: folder };
      await openServedStorage(settings, log);
      await expect.poll(() => lines, { timeout: 20_000 }).toHaveLength(1);
    });
    await chmod(stuck, 0o700);
    expect(lines[0]).toMatch(/EACCES/);
    expect(await readdir(join(folder, 'work'))).toEqual([basename(stuck)]);
  });
});
