import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Housekeeper, type HousekeepingSettings } from '../../../src/bot/upkeep/housekeeping.ts';
import { createLogger } from '../../../src/log.ts';
import { Artifacts } from '../../../src/queue/artifacts.ts';
import type { JobClient } from '../../../src/queue/client.ts';
import type { Outcome } from '../../../src/queue/jobs.ts';
import { FolderStorage } from '../../../src/storage/folder-storage.ts';
import type { Generate } from '../../../src/worker/worker.ts';
import { filesOf } from '../../helpers/job-files.ts';
import {
  artifactOf,
  eventually,
  type Generation,
  Harness,
  log,
  timedGenerator,
} from '../../helpers/queue-harness.ts';
import { mountSmallDisk } from '../../helpers/small-disk.ts';

const hour = 3_600_000;
const day = 24 * hour;

let harness: Harness;
let client: JobClient;
beforeEach(async () => {
  harness = await Harness.start();
  client = harness.client();
});
afterEach(() => harness.stop());

const housekeeper = (
  settings: Partial<HousekeepingSettings> = {},
  artifacts = harness.artifacts,
): Housekeeper => new Housekeeper(harness.server.failFast(), harness.keys, artifacts, log, settings);

const folderOf = (jobId: string): string => filesOf(harness.artifacts, jobId).folder;
const folders = async (): Promise<string[]> => (await readdir(join(harness.folder, 'jobs'))).sort();

/** Has a job delivered through the ledger, as a worker and a platform would. */
async function delivered(
  id: string,
  at: number,
  bytes = 100,
  outcome: Outcome = 'delivered',
): Promise<string> {
  const request = await harness.request(id);
  const jobId = request.id;
  await client.submit(request, at);
  const entry = await client.ledger.read(jobId);
  if (!entry) throw new Error('lost');
  await client.ledger.transition(jobId, 'start', at, { worker: 'w' });
  await writeFile(filesOf(harness.artifacts, jobId).video, Buffer.alloc(bytes));
  await harness.artifacts.storeRecord(jobId, artifactOf(entry, bytes));
  await client.ledger.transition(jobId, 'generated', at);
  await client.ledger.settle(jobId, outcome, at, 30 * 86_400);
  return jobId;
}

async function failed(id: string, at: number): Promise<string> {
  const request = await harness.request(id);
  await client.submit(request, at);
  await client.ledger.transition(request.id, 'failed', at);
  await client.ledger.settle(request.id, 'undeliverable', at, 30 * 86_400);
  return request.id;
}

async function orphan(jobId: string, age: number, complete = false): Promise<void> {
  await harness.artifacts.storeImage(jobId, Buffer.from('picture'), 0);
  if (complete) await writeFile(join(folderOf(jobId), 'artifact.json'), '{}');
  const then = new Date(Date.now() - age);
  await utimes(folderOf(jobId), then, then);
}

describe('retention', () => {
  it('keeps a delivered video for as long as the ledger remembers it', async () => {
    const now = Date.now();
    const jobId = await delivered('a', now);
    expect(await housekeeper().run(now + 30 * day - 1)).toMatchObject({ folders: 0 });
    expect(existsSync(folderOf(jobId))).toBe(true);
    const ttl = await harness.server.connect().ttl(`{t}:job:${jobId}`);
    expect(ttl).toBeGreaterThan(30 * 86_400 - 60);
    expect(ttl).toBeLessThanOrEqual(30 * 86_400);
    expect(await housekeeper().run(now + 30 * day)).toMatchObject({ folders: 1 });
    expect(await folders()).toEqual([]);
  });

  it('keeps a video that no chat took as long: its person finds it on the page', async () => {
    const now = Date.now();
    await delivered('a', now, 100, 'undeliverable');
    expect(await housekeeper().run(now + 30 * day - 1)).toMatchObject({ folders: 0 });
    expect(await housekeeper().run(now + 30 * day)).toMatchObject({ folders: 1 });
  });

  it('spares what was accepted and is unknown to the ledger, for the reconciler', async () => {
    const now = Date.now();
    for (const id of ['a', 'b']) await client.submit(await harness.request(id), now);
    await harness.artifacts.storeAnswered('t-b', 'undeliverable');
    await harness.server.connect().flushall();
    expect(await housekeeper().run(now + 26 * hour)).toMatchObject({ folders: 1 });
    expect(await folders()).toEqual(['t-a']);
  });

  it('ends with the ledger entry when that went first', async () => {
    const jobId = await delivered('a', Date.now());
    await harness.server.connect().del(`{t}:job:${jobId}`);
    expect(await housekeeper().run()).toMatchObject({ folders: 0 }); // another Redis is no reason to lose videos
    expect(await housekeeper().run(Date.now() + 31 * day)).toMatchObject({ folders: 1 });
  });

  it('keeps the picture of a failed job for a day', async () => {
    const now = Date.now();
    await failed('a', now);
    expect(await housekeeper().run(now + 23 * hour)).toMatchObject({ folders: 0 });
    expect(await housekeeper().run(now + 25 * hour)).toMatchObject({ folders: 1 });
  });

  it('never touches what has not been answered', async () => {
    await client.submit(await harness.request('waits'));
    await client.submit(await harness.request('done'));
    await client.ledger.transition('t-done', 'start', 1, { worker: 'w' });
    await client.ledger.transition('t-done', 'generated', 1);
    const thrifty = housekeeper({ budgetBytes: 0 });
    expect(await thrifty.run(Date.now() + 1_000 * day)).toMatchObject({ folders: 0 });
    expect(await folders()).toEqual(['t-done', 't-waits']);
  });

  it('removes folders that no job knows, but not those of requests under way', async () => {
    await orphan('t-old', 25 * hour);
    await orphan('t-young', hour);
    await orphan('t-video', 29 * day, true);
    await mkdir(join(harness.folder, 'jobs', 'somebody else’s'), { recursive: true });
    await writeFile(join(harness.folder, 'jobs', 'notes.txt'), 'not ours');
    expect(await housekeeper().run()).toMatchObject({ folders: 1, bytes: 7 });
    expect(await folders()).toEqual(['notes.txt', 'somebody else’s', 't-video', 't-young']);
    expect(await housekeeper().run(Date.now() + 2 * day)).toMatchObject({ folders: 2 });
  });

  it('leaves a folder with a name like a job’s alone when it holds what Kinora never writes', async () => {
    for (const [folder, name] of [
      ['team-photos', 'beach.jpg'],
      ['team-films', 'film.mp4.part'],
      ['team-notes', '2031'],
    ] as const) {
      await orphan(folder, 0);
      await writeFile(join(folderOf(folder), name), 'not ours');
    }
    await orphan('t-mine', 0);
    await writeFile(join(folderOf('t-mine'), '.video.mp4.kinora-0123456789ab.list'), 'half');
    expect(await housekeeper({ budgetBytes: 0 }).run(Date.now() + 100 * day)).toMatchObject({ folders: 1 });
    expect(await folders()).toEqual(['team-films', 'team-notes', 'team-photos']);
    expect(await readdir(folderOf('team-films'))).toEqual(['film.mp4.part', 'picture']);
  });

  it('removes its own from a job’s folder in which somebody left something, and no more', async () => {
    const now = Date.now();
    const jobId = await delivered('a', now);
    await harness.artifacts.storeAccepted(await harness.request('a'), now);
    await harness.artifacts.storeAnswered(jobId, 'delivered');
    await writeFile(join(folderOf(jobId), '.DS_Store'), 'a'.repeat(1_000));
    expect(await housekeeper({ budgetBytes: 2_000 }).run(now)).toMatchObject({ folders: 0 });
    const removed = await housekeeper({ budgetBytes: 0 }).run(now);
    expect(removed.folders).toBe(1);
    expect(removed.bytes).toBeLessThan(1_000);
    expect(await readdir(folderOf(jobId))).toEqual(['.DS_Store']);
    expect(await harness.artifacts.jobIds()).toEqual([jobId]);
    expect(await housekeeper().run(now + 100 * day)).toMatchObject({ folders: 0 });
  });

  it('comes back to such a folder when its video could not be removed', async () => {
    const now = Date.now();
    const jobId = await delivered('a', now);
    await harness.artifacts.storeAccepted(await harness.request('a'), now);
    await harness.artifacts.storeAnswered(jobId, 'delivered');
    await writeFile(join(folderOf(jobId), '.DS_Store'), 'not ours');
    const { video } = filesOf(harness.artifacts, jobId);
    await rm(video);
    await mkdir(video); // cannot be removed like a file
    expect(await housekeeper({ budgetBytes: 0 }).run(now)).toMatchObject({ folders: 0 });
    expect(await harness.artifacts.accepted(jobId)).toBeUndefined();
    await rm(video, { recursive: true });
    await writeFile(video, 'video');
    expect(await housekeeper({ budgetBytes: 0 }).run(now)).toMatchObject({ folders: 1 });
    expect(await readdir(folderOf(jobId))).toEqual(['.DS_Store']);
  });

  it('removes at once what its person has deleted, where that failed', async () => {
    const [jobId] = [await delivered('a', Date.now()), await delivered('b', Date.now())];
    // The storage was away just then: its files are still there.
    expect(await client.discard(jobId, 'test:ann')).toBe('finished');
    expect(await housekeeper().run()).toMatchObject({ folders: 1 });
    expect(await folders()).toEqual(['t-b']);
    expect(await client.ledger.read(jobId)).toBeUndefined();
    expect(await harness.server.connect().zrange('{t}:history:test:ann', 0, '-1')).toEqual(['t-b']);
  });

  it('leaves a folder that is used again between the look and the removal', async () => {
    await orphan('t-again', 25 * hour);
    class Watched extends Artifacts {
      override async list(): ReturnType<Artifacts['list']> {
        const found = await super.list();
        await harness.request('again'); // the same request is made again
        return found;
      }
    }
    const artifacts = new Watched(new FolderStorage(join(harness.folder, 'jobs')));
    expect(await housekeeper({}, artifacts).run()).toMatchObject({ folders: 0 });
    expect(await harness.artifacts.hasImage('t-again')).toBe(true);
  });

  it('forgets the histories of people', async () => {
    await delivered('old', Date.now() - 50 * day);
    await delivered('new', Date.now() - 10 * day);
    await housekeeper().run();
    expect(await harness.server.connect().zrange('{t}:history:test:ann', 0, '-1')).toEqual(['t-new']);
  });

  it('removes nothing while Redis is away', async () => {
    await orphan('t-old', 25 * hour);
    harness.server.process.kill('SIGSTOP');
    await expect(housekeeper().run()).rejects.toThrow();
    expect(await folders()).toEqual(['t-old']);
  });
});

describe('the disk budget', () => {
  it('is kept by removing the failed first, then the oldest delivered', async () => {
    const now = Date.now();
    await delivered('c', now - 3 * hour, 1_000);
    await delivered('a', now - 5 * hour, 1_000);
    await delivered('b', now - 4 * hour, 1_000);
    await failed('f', now - 2 * hour);
    const then = new Date(now - 2 * hour);
    await utimes(folderOf('t-f'), then, then);
    const size = (await harness.artifacts.measure('t-a'))?.bytes ?? 0;
    const three = housekeeper({ budgetBytes: 3 * size });
    const bytes = (await harness.artifacts.measure('t-f'))?.bytes;
    expect(await three.run()).toEqual({ folders: 1, bytes, leftovers: 0 });
    expect(await folders()).toEqual(['t-a', 't-b', 't-c']);
    expect(await housekeeper({ budgetBytes: 2 * size }).run()).toMatchObject({ folders: 1, bytes: size });
    expect(await folders()).toEqual(['t-b', 't-c']);
    expect(await housekeeper({ budgetBytes: 2 * size - 1 }).run()).toMatchObject({ folders: 1 });
    expect(await folders()).toEqual(['t-c']);
    // The ledger still knows the job, so its request is not taken for a new one.
    expect(await client.submit(await harness.request('a'))).toEqual({
      decision: 'duplicate',
      state: 'generated',
    });
  });

  it('is kept by two bots at once without taking too much', async () => {
    const now = Date.now();
    for (let i = 0; i < 8; i++) await delivered(`${i}`, now - (20 - i) * hour, 1_000);
    const size = (await harness.artifacts.measure('t-0'))?.bytes ?? 0;
    const bots = [1, 2].map(() => housekeeper({ budgetBytes: 3 * size }));
    await Promise.all(bots.map((bot) => bot.run()));
    expect(await folders()).toEqual(['t-5', 't-6', 't-7']);
  });
});

describe('temporary files', () => {
  it('of dead processes go after an hour; those of running jobs stay', async () => {
    const leave = async (id: string): Promise<void> => {
      for (const name of ['picture.77.part', '.video.mp4.kinora-0123456789ab', 'loop.mp4.tmp']) {
        const file = join(folderOf(id), name);
        await writeFile(file, 'half');
        await utimes(file, new Date(Date.now() - 2 * hour), new Date(Date.now() - 2 * hour));
      }
    };
    for (const id of ['waits', 'runs']) await client.submit(await harness.request(id));
    await client.ledger.transition('t-runs', 'start', 1, { worker: 'w' });
    await leave('t-waits');
    await leave('t-runs');
    await writeFile(join(folderOf('t-waits'), 'video.mp4.1.part'), 'fresh');
    expect(await housekeeper().run()).toEqual({ folders: 0, bytes: 0, leftovers: 3 });
    const kept = ['accepted.json', 'picture', 'video.mp4.1.part'];
    expect((await readdir(folderOf('t-waits'))).sort()).toEqual(kept);
    expect(await readdir(folderOf('t-runs'))).toHaveLength(5);
  });
});

describe('what somebody else left in a job’s folder', () => {
  it('stays, whatever its name, and keeps nobody’s history', async () => {
    await delivered('old', Date.now() - 50 * day);
    await client.submit(await harness.request('waits'));
    const foreign = ['film.mkv.part', 'notes.tmp', 'video.mp4.tmp', 'cut.tmp'].map((name) =>
      join(folderOf('t-waits'), name),
    );
    for (const file of foreign.slice(0, 2)) await writeFile(file, 'not ours');
    for (const folder of foreign.slice(2)) await mkdir(folder);
    const then = new Date(Date.now() - 2 * hour);
    for (const file of foreign) await utimes(file, then, then);
    expect(await housekeeper().run()).toMatchObject({ leftovers: 0 });
    for (const file of foreign) expect(existsSync(file)).toBe(true);
    expect(await harness.server.connect().zrange('{t}:history:test:ann', 0, '-1')).toEqual(['t-waits']);
  });
});

describe('a folder that cannot be removed', () => {
  it('keeps no other, is said once, and is tried again', async () => {
    const then = Date.now() - 50 * day;
    const [stuck, next] = [await delivered('stuck', then), await delivered('next', then)];
    // What somebody else put there stays, and a folder is not removed as the file that it is named after.
    await writeFile(join(folderOf(stuck), 'notes.txt'), 'not ours');
    await mkdir(join(folderOf(stuck), 'smooth.mp4'));
    const logged: string[] = [];
    const logger = createLogger('test', 'warn', { write: (line: string) => logged.push(line) });
    const redis = harness.server.failFast();
    const keeper = new Housekeeper(redis, harness.keys, harness.artifacts, logger);
    await keeper.run();
    await keeper.run();
    expect(existsSync(folderOf(next))).toBe(false);
    expect(await harness.server.connect().exists('{t}:history:test:ann')).toBe(0);
    expect(logged.map((line) => JSON.parse(line).jobId)).toEqual([stuck]);
    await rm(join(folderOf(stuck), 'smooth.mp4'), { recursive: true });
    await keeper.run();
    expect(await readdir(folderOf(stuck))).toEqual(['notes.txt']);
  });
});

describe('a full disk', () => {
  let unmount: (() => void) | null = null;
  afterEach(() => {
    unmount?.();
    unmount = null;
  });

  const smallDisk = async (kilobytes: number): Promise<void> => {
    unmount = await mountSmallDisk(join(harness.folder, 'jobs'), kilobytes);
  };
  const filler = (): string => join(harness.folder, 'jobs', 'filler');

  it('refuses new requests with a decision of its own, and recovers by itself', async () => {
    await smallDisk(1_024);
    const artifacts = new Artifacts(new FolderStorage(join(harness.folder, 'jobs')), 512 * 1024);
    const careful = harness.client({ diskFull: () => artifacts.almostFull() });
    const early = await harness.request('early');
    expect((await careful.submit(early)).decision).toBe('accepted');
    await writeFile(filler(), Buffer.alloc(700 * 1024));
    await sleep(1_050); // free space is asked for once a second
    expect(await careful.submit(await harness.request('late'))).toEqual({ decision: 'disk-full' });
    expect(await careful.ledger.read('t-late')).toBeUndefined();
    expect(await harness.creditsUsed()).toBe(1);
    // What was accepted before is not refused after the fact.
    expect(await careful.submit(early)).toEqual({ decision: 'duplicate', state: 'waiting' });
    await expect(artifacts.storeImage('t-more', Buffer.from('picture'))).rejects.toMatchObject({
      code: 'DISK_FULL',
    });
    expect(existsSync(folderOf('t-more'))).toBe(false);

    await rm(filler());
    await eventually('the recovery', async () => {
      return (await careful.submit(await harness.request('late'))).decision === 'accepted';
    });
  });

  it('without inodes is as full, and says so', async () => {
    unmount = await mountSmallDisk(join(harness.folder, 'jobs'), 1_024, 20);
    const artifacts = new Artifacts(new FolderStorage(join(harness.folder, 'jobs')));
    expect(await artifacts.almostFull()).toBe(false);
    for (let i = 0; i < 10; i++) await writeFile(`${filler()}${i}`, '');
    await sleep(1_050);
    expect(await artifacts.almostFull()).toBe(true);
    await expect(artifacts.storeImage('t-a', Buffer.from('picture'))).rejects.toMatchObject({
      code: 'DISK_FULL',
      message: expect.stringContaining('inodes are used up'),
    });
  });

  it('is looked at once a second, not for every request', async () => {
    await smallDisk(1_024);
    const artifacts = new Artifacts(new FolderStorage(join(harness.folder, 'jobs')), 512 * 1024);
    expect(await artifacts.almostFull()).toBe(false);
    await writeFile(filler(), Buffer.alloc(700 * 1024));
    expect(await artifacts.almostFull()).toBe(false);
    await sleep(1_050);
    expect(await artifacts.almostFull()).toBe(true);
  });

  it('gives the room of failed jobs back at once', async () => {
    await smallDisk(1_024);
    const artifacts = new Artifacts(new FolderStorage(join(harness.folder, 'jobs')), 512 * 1024);
    await failed('f', Date.now());
    const jobId = await delivered('d', Date.now());
    await writeFile(filler(), Buffer.alloc(700 * 1024));
    expect(await housekeeper({}, artifacts).run()).toMatchObject({ folders: 1 });
    expect(await folders()).toEqual(['filler', jobId]);
  });

  it.each(['while the video is written', 'when only its record is missing'])(
    '%s lets the job wait until there is room; the next one works',
    async (when) => {
      await smallDisk(256);
      const good = timedGenerator(10);
      let isFull = true;
      let attempts = 0;
      const generate: Generate = async (entry, files, hooks) => {
        if (entry.id !== 't-big' || !isFull) return await good(entry, files, hooks);
        attempts++;
        if (when === 'while the video is written') await writeFile(files.video, Buffer.alloc(512 * 1024));
        // Up to the last block.
        const thumbnail = Buffer.alloc(4_096);
        let bytes = 0;
        for (const flag = 'a'; ; bytes += thumbnail.length) {
          const full = await writeFile(files.video, thumbnail, { flag }).then(
            () => false,
            () => true,
          );
          if (full) break;
        }
        return artifactOf(entry, bytes);
      };
      await client.submit(await harness.request('big'));
      await client.submit(await harness.request('small', 'test:bob'));
      await harness.worker(generate, { fullDiskWaitMs: 100 });
      await harness.delivery();
      await eventually('the answer of the other', () => harness.posted.length === 1);
      expect(harness.posted).toEqual([{ jobId: 't-small', kind: 'video' }]);
      const full = attempts;
      await eventually('more attempts', () => attempts > full + 2);
      expect(await harness.creditsUsed()).toBe(1);
      isFull = false;
      await eventually('the video', () => harness.posted.length === 2);
      expect(harness.posted[1]).toEqual({ jobId: 't-big', kind: 'video' });
      expect(await harness.creditsUsed()).toBe(1);
      expect(await harness.creditsUsed('test:bob')).toBe(1);
    },
  );

  it('is not written to: accepted jobs wait, and are made when there is room', async () => {
    await smallDisk(1_024);
    for (const id of ['a', 'b']) await client.submit(await harness.request(id));
    await writeFile(filler(), Buffer.alloc(700 * 1024));
    const runs: Generation[] = [];
    const careful = new Artifacts(new FolderStorage(join(harness.folder, 'jobs')), 512 * 1024);
    await harness.worker(timedGenerator(10, runs), { fullDiskWaitMs: 100 }, careful);
    await harness.delivery();
    await eventually('a start', async () => ((await client.ledger.read('t-b'))?.starts ?? 0) > 1);
    expect(runs).toEqual([]);
    await rm(filler());
    await eventually('both videos', () => harness.posted.length === 2);
    expect(harness.posted.map(({ kind }) => kind)).toEqual(['video', 'video']);
  });

  it('at the very moment of a picture’s arrival leaves no half picture', async () => {
    const artifacts = new Artifacts(new FolderStorage(join(harness.folder, 'jobs')));
    await mkdir(folderOf('t-a'), { recursive: true });
    // Every write to /dev/full says that no space is left.
    await symlink('/dev/full', join(folderOf('t-a'), `picture.${process.pid}.part`));
    await expect(artifacts.storeImage('t-a', Buffer.from('picture'))).rejects.toMatchObject({
      code: 'DISK_FULL',
    });
    expect(await readdir(folderOf('t-a'))).toEqual([]);
    expect((await stat('/dev/full')).isCharacterDevice()).toBe(true);
  });
});
