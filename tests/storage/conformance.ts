/** What every storage must do: one suite for the folder and for S3, also against servers of others. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Storage } from '../../src/storage/storage.ts';

const always = (): boolean => true;
const text = async (storage: Storage, folder: string, name: string) =>
  (await storage.read({ folder, name }))?.toString();

/**
 * @param open makes a storage that is empty; `folder` is one of this machine for whatever it needs
 * @param pageSize the most that a server lists in one answer
 */
export function conformance(
  title: string,
  open: (folder: string) => Promise<Storage>,
  pageSize = 1_000,
): void {
  describe(title, () => {
    let folder: string;
    let storage: Storage;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'kinora-storage-'));
      storage = await open(folder);
    });
    afterEach(() => rm(folder, { recursive: true, force: true }));

    it('has nothing at first', async () => {
      const place = { folder: 't-1', name: 'picture' };
      expect(await storage.read(place)).toBeUndefined();
      expect(await storage.head(place)).toBeUndefined();
      expect(await storage.stream(place)).toBeUndefined();
      expect(await storage.look('t-1')).toBeUndefined();
      expect(await storage.folders()).toEqual([]);
      expect(await storage.lookAll(always)).toEqual([]);
      expect(await storage.copy(place, { folder: 't-2', name: 'picture' })).toBe(false);
      await storage.remove('t-1');
      await storage.remove('t-1', ['picture']);
      expect(await storage.removeLeftovers('t-1', () => true, Number.POSITIVE_INFINITY)).toBe(0);
      expect((await storage.freeSpace()).bytes).toBeGreaterThan(0);
    });

    it('keeps bytes as they are, and replaces them as a whole', async () => {
      const place = { folder: 't-1', name: 'video.mp4' };
      const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7) % 256));
      expect(await storage.put(place, bytes)).toBe(true);
      expect(await storage.read(place)).toEqual(bytes);
      expect(await storage.head(place)).toMatchObject({ name: 'video.mp4', bytes: 100_000 });
      const { modifiedMs = 0 } = (await storage.head(place)) ?? {};
      expect(Math.abs(modifiedMs - Date.now())).toBeLessThan(600_000);
      await storage.put(place, 'short');
      expect(await text(storage, 't-1', 'video.mp4')).toBe('short');
      await storage.put(place, '');
      expect(await text(storage, 't-1', 'video.mp4')).toBe('');
    });

    it('streams a file whole or in part', async () => {
      const place = { folder: 't-1', name: 'video.mp4' };
      await storage.put(place, '0123456789');
      const part = async (start: number, end: number): Promise<string> => {
        const stream = await storage.stream(place, { start, end });
        return stream ? (await buffer(stream)).toString() : 'none';
      };
      expect(await part(0, 0)).toBe('0');
      expect(await part(3, 5)).toBe('345');
      expect(await part(7, 9)).toBe('789');
      const whole = await storage.stream(place);
      expect(whole && (await buffer(whole)).toString()).toBe('0123456789');
    });

    it('puts only where there is none, or only beside others', async () => {
      const mark = { folder: 't-1', name: 'called' };
      expect(await storage.put(mark, 'x', 'beside others')).toBe(false);
      expect(await storage.look('t-1')).toBeUndefined();
      await storage.put({ folder: 't-1', name: 'picture' }, 'picture');
      expect(await storage.put(mark, 'x', 'beside others')).toBe(true);
      expect(await storage.put(mark, 'y', 'beside others')).toBe(true);
      expect(await storage.put(mark, 'z', 'absent')).toBe(false);
      expect(await text(storage, 't-1', 'called')).toBe('y');
      expect(await storage.put({ folder: 't-1', name: 'other' }, '', 'absent')).toBe(true);
    });

    it('gives a file to another folder, which keeps it when the first one goes', async () => {
      await storage.put({ folder: 't-1', name: 'video.mp4' }, 'video');
      const to = { folder: 't-2', name: 'earlier.mp4' };
      expect(await storage.copy({ folder: 't-1', name: 'video.mp4' }, to)).toBe(true);
      expect(await storage.copy({ folder: 't-1', name: 'video.mp4' }, to)).toBe(true);
      await storage.put({ folder: 't-1', name: 'video.mp4' }, 'another');
      expect(await text(storage, 't-2', 'earlier.mp4')).toBe('video');
      await storage.remove('t-1');
      expect(await text(storage, 't-2', 'earlier.mp4')).toBe('video');
    });

    it('tells what lies where', async () => {
      await storage.put({ folder: 't-1', name: 'picture' }, 'picture');
      await storage.put({ folder: 't-1', name: 'accepted.json' }, '{}');
      await storage.put({ folder: 't-10', name: 'picture' }, 'other');
      await storage.put({ folder: 'upload-a_B-c', name: 'picture' }, '');
      expect((await storage.folders()).sort()).toEqual(['t-1', 't-10', 'upload-a_B-c']);
      const look = await storage.look('t-1');
      expect(look?.folder).toBe('t-1');
      const files = look?.files.map(({ name, bytes }) => `${name} ${bytes}`);
      expect(files?.sort()).toEqual(['accepted.json 2', 'picture 7']);
      const all = await storage.lookAll((name) => name.startsWith('t-'));
      const found = all.map(({ folder: of, files: in_ }) => `${of} ${in_.length}`);
      expect(found.sort()).toEqual(['t-1 2', 't-10 1']);
      expect(storage.location('t-1')).toMatch(/t-1$/);
    });

    it('finds more folders than one answer of a server lists', async () => {
      const many = Array.from({ length: Math.ceil(pageSize * 1.05) }, (_, index) => `t-${index}`);
      for (let at = 0; at < many.length; at += 50) {
        await Promise.all(
          many.slice(at, at + 50).map((name) => storage.put({ folder: name, name: 'picture' }, name)),
        );
      }
      expect(new Set(await storage.folders())).toEqual(new Set(many));
      expect(await storage.lookAll(always)).toHaveLength(many.length);
    });

    it('removes files, and a folder with all that is in it', async () => {
      for (const name of ['picture', 'video.mp4', 'thumbnail.jpg'])
        await storage.put({ folder: 't-1', name }, name);
      await storage.put({ folder: 't-11', name: 'picture' }, 'stays');
      await storage.remove('t-1', ['video.mp4', 'thumbnail.jpg', 'never-there']);
      expect((await storage.look('t-1'))?.files.map(({ name }) => name)).toEqual(['picture']);
      await storage.remove('t-1');
      expect(await storage.look('t-1')).toBeUndefined();
      expect(await storage.folders()).toEqual(['t-11']);
    });

    it('lets programs work on files of this machine, and keeps what they made', async () => {
      await storage.put({ folder: 't-1', name: 'picture' }, 'picture');
      const copy = await storage.checkOut('t-1', ['picture', 'mask']);
      expect(await readFile(join(copy.path, 'picture'), 'utf8')).toBe('picture');
      await expect(readFile(join(copy.path, 'mask'))).rejects.toThrow('ENOENT');
      await writeFile(join(copy.path, 'video.mp4'), 'video');
      await copy.keep('video.mp4');
      expect(await text(storage, 't-1', 'video.mp4')).toBe('video');
      await copy.close();
      await copy.close();
      expect(await text(storage, 't-1', 'video.mp4')).toBe('video');
      if (storage.pathOf) expect(copy.path).toBe(storage.pathOf('t-1'));
      else expect(await readdir(join(folder, 'work'))).toEqual([]);
    });
  });
}
