/** Files in a folder of this machine, or one that all machines mount: a folder of files for each folder of the storage. */
import { createReadStream } from 'node:fs';
import { copyFile, link, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { replaceFile } from '../atomic-file.ts';
import { type FreeSpace, freeSpace } from '../disk-space.ts';
import { asFull } from './full-disk.ts';
import type { ByteRange, Place, PutWhen, Storage, StoredFile, StoredFolder, WorkingCopy } from './storage.ts';

/** Folders that are looked into at a time. */
const lookedAtOnce = 32;

export class FolderStorage implements Storage {
  readonly #root: string;

  /** @param root may be absent; it is made with the first file */
  constructor(root: string) {
    this.#root = root;
  }

  location(folder: string): string {
    return this.pathOf(folder);
  }

  readonly pathOf = (folder: string): string => join(this.#root, folder);

  #path({ folder, name }: Place): string {
    return join(this.#root, folder, name);
  }

  async freeSpace(): Promise<FreeSpace> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    return await freeSpace(this.#root);
  }

  async put(place: Place, content: string | Uint8Array, when: PutWhen = 'always'): Promise<boolean> {
    const path = this.#path(place);
    const passed = when === 'absent' ? 'EEXIST' : when === 'beside others' ? 'ENOENT' : undefined;
    try {
      if (when === 'always') await this.#make(place.folder);
      if (when === 'absent') await writeFile(path, content, { flag: 'wx', mode: 0o600 });
      else await this.#replace(path, (file) => writeFile(file, content, { mode: 0o600, flush: true }));
      return true;
    } catch (error) {
      if (passed !== undefined && codeOf(error) === passed) return false;
      throw asFull(error);
    }
  }

  async #make(folder: string): Promise<void> {
    await mkdir(this.pathOf(folder), { recursive: true, mode: 0o700 });
  }

  async #replace(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
    await replaceFile(path, write, `${path}.${process.pid}.part`);
  }

  /** Both share the bytes where the file system can do that, since no file is ever changed. */
  async copy(from: Place, to: Place): Promise<boolean> {
    const [source, target] = [this.#path(from), this.#path(to)];
    try {
      if (!(await unlessAbsent(stat(source)))) return false;
      await this.#make(to.folder);
      await this.#replace(target, async (file) => {
        await rm(file, { force: true });
        await link(source, file).catch(async () => await copyFile(source, file));
      });
      return true;
    } catch (error) {
      throw asFull(error);
    }
  }

  async read(place: Place): Promise<Buffer | undefined> {
    return await unlessAbsent(readFile(this.#path(place)));
  }

  async stream(place: Place, range?: ByteRange): Promise<Readable | undefined> {
    const file = await unlessAbsent(open(this.#path(place)));
    return file && createReadStream('', { fd: file, ...range });
  }

  async head({ folder, name }: Place): Promise<StoredFile | undefined> {
    const entry = await unlessAbsent(stat(join(this.#root, folder, name)));
    return entry && { name, bytes: entry.size, modifiedMs: entry.mtimeMs };
  }

  async folders(): Promise<string[]> {
    return (await unlessAbsent(readdir(this.#root))) ?? [];
  }

  async look(folder: string): Promise<StoredFolder | undefined> {
    const names = await unlessAbsent(readdir(this.pathOf(folder)));
    const files = await Promise.all((names ?? []).map((name) => this.head({ folder, name })));
    const entry = await unlessAbsent(stat(this.pathOf(folder)));
    if (!names || !entry) return undefined;
    return { folder, modifiedMs: entry.mtimeMs, files: files.filter((file) => file !== undefined) };
  }

  async lookAll(isWanted: (folder: string) => boolean): Promise<StoredFolder[]> {
    const folders = (await this.folders()).filter(isWanted);
    const found: StoredFolder[] = [];
    for (let at = 0; at < folders.length; at += lookedAtOnce) {
      const batch = await Promise.all(
        folders.slice(at, at + lookedAtOnce).map((folder) => unlessClosed(this.look(folder))),
      );
      found.push(...batch.filter((folder) => folder !== undefined));
    }
    return found;
  }

  async remove(folder: string, names?: readonly string[]): Promise<void> {
    if (!names) return await rm(this.pathOf(folder), { recursive: true, force: true });
    await Promise.all(names.map((name) => rm(this.#path({ folder, name }), { force: true })));
  }

  async removeLeftovers(
    folder: string,
    isTemporary: (name: string) => boolean,
    beforeMs: number,
  ): Promise<number> {
    let removed = 0;
    for (const name of (await unlessAbsent(readdir(this.pathOf(folder)))) ?? []) {
      if (!isTemporary(name)) continue;
      const file = this.#path({ folder, name });
      const entry = await unlessAbsent(stat(file));
      if (!entry?.isFile() || entry.mtimeMs >= beforeMs) continue;
      await rm(file, { force: true });
      removed++;
    }
    return removed;
  }

  /** Work is done where the files lie, so that the writer's rename is what stores a file. */
  async checkOut(folder: string): Promise<WorkingCopy> {
    return { path: this.pathOf(folder), keep: async () => {}, close: async () => {} };
  }
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;

/** One folder that this user may not read, or that leads nowhere, keeps nobody from the others. */
async function unlessClosed<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (['EACCES', 'EPERM', 'ELOOP'].includes(String(codeOf(error)))) return undefined;
    throw error;
  }
}

async function unlessAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
