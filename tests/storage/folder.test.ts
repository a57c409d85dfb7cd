/** The storage that is a folder; tests/bot/upkeep/housekeeping.test.ts fills its disk. */
import { mkdir, mkdtemp, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { conformance } from './conformance.ts';

conformance('a folder as storage', async (folder) => new FolderStorage(join(folder, 'jobs')), 100);

async function emptyFolder(): Promise<{ folder: string; storage: FolderStorage }> {
  const folder = await mkdtemp(join(tmpdir(), 'kinora-folder-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return { folder, storage: new FolderStorage(folder) };
}

it('lets only its user read, and shares the bytes of copies', async () => {
  const { folder, storage } = await emptyFolder();
  await storage.put({ folder: 't-1', name: 'video.mp4' }, 'video');
  await storage.copy({ folder: 't-1', name: 'video.mp4' }, { folder: 't-2', name: 'earlier.mp4' });
  const video = await stat(join(folder, 't-1', 'video.mp4'));
  const earlier = await stat(join(folder, 't-2', 'earlier.mp4'));
  expect(video.mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, 't-1'))).mode & 0o777).toBe(0o700);
  expect(earlier.ino).toBe(video.ino);
});

it('finds the other folders beside one that cannot be read', async () => {
  const { folder, storage } = await emptyFolder();
  await storage.put({ folder: 't-1', name: 'picture' }, 'picture');
  // Also for root, whom no permission keeps out.
  await symlink('t-nowhere', join(folder, 't-nowhere'));
  expect((await storage.lookAll(() => true)).map((found) => found.folder)).toEqual(['t-1']);
});

it('has programs write where the files lie, and removes what they left unfinished', async () => {
  const { folder, storage } = await emptyFolder();
  await storage.put({ folder: 't-1', name: 'picture' }, 'picture');
  const { path, keep } = await storage.checkOut('t-1');
  expect(path).toBe(join(folder, 't-1'));
  const unfinished = ['.video.mp4.kinora-5', 'video.mp4.7.part', 'thumbnail.jpg.tmp', 'cut.tmp'];
  const isTemporary = (name: string): boolean => unfinished.includes(name);
  for (const name of ['video.mp4', 'film.mkv.part', ...unfinished.slice(0, 3)])
    await writeFile(join(path, name), name);
  await mkdir(join(path, 'cut.tmp')); // none of ours
  await keep('video.mp4');
  const old = new Date(Date.now() - 60_000);
  await utimes(join(path, 'video.mp4.7.part'), old, old);
  expect(await storage.removeLeftovers('t-1', isTemporary, Date.now() - 30_000)).toBe(1);
  expect(await storage.removeLeftovers('t-1', isTemporary, Number.POSITIVE_INFINITY)).toBe(2);
  const { files = [] } = (await storage.look('t-1')) ?? {};
  expect(files.map(({ name }) => name).sort()).toEqual(['cut.tmp', 'film.mkv.part', 'picture', 'video.mp4']);
  expect(await readFile(join(path, 'video.mp4'), 'utf8')).toBe('video.mp4');
});
