/**
 * Results computed for a picture, a prompt or a clip, kept for later requests. Two tiers: memory, and one file per
 * entry on disk, which survives a restart. Both are bounded in bytes and drop the least recently used entries.
 *
 * The cache never fails a job. A file that is incomplete, foreign or from another version is a miss and is removed. If
 * the disk is full or missing, nothing is kept. Several processes may share the folder without locks: entries are
 * written under a temporary name, renamed and never changed, and the time of last use is the file's own mtime.
 */
import { createHash, randomUUID } from 'node:crypto';
import { lstatSync, readdirSync } from 'node:fs';
import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LRUCache } from 'lru-cache';
import { replaceFile } from '../atomic-file.ts';
import { type CacheEntry, encode, readEntry } from './cache-file.ts';

/** What a job took from the latent cache. */
export interface CacheUse {
  /** Entries that were found, by kind: "image", "prompt", "video". */
  readonly hits: readonly string[];
  readonly misses: readonly string[];
}

/** An entry of kind `file` tells which picture a file shows (known-picture.ts). */
export type CacheKind = 'image' | 'prompt' | 'video' | 'file';

export interface LatentCacheOptions {
  /** Folder of the disk tier; created when needed. Foreign files in it are left alone. */
  readonly folder: string;
  /** 0 keeps nothing in memory. */
  readonly memoryBytes: number;
  /** 0 keeps nothing on disk. */
  readonly diskBytes: number;
  /** The next write removes files that were not used for this long, however much room there is. Default: 30 days. */
  readonly retentionMs?: number | undefined;
}

export interface CacheCounters {
  readonly memoryHits: number;
  readonly diskHits: number;
  readonly misses: number;
  readonly memoryBytes: number;
  /** As of the last write; other processes may have written since. */
  readonly diskBytes: number;
  /** Entries that could not be written. */
  readonly writeFailures: number;
}

/** Hexadecimal digits of an entry's name that stand for the picture or file: 96 bits, and 160 for the rest. */
const prefixDigits = 24;

/** The file name of an entry. */
export const entryName = /^(?:image|prompt|video|file)-[0-9a-f]{64}$/;
const temporaryName = /^\.(?:image|prompt|video|file)-[0-9a-f]{64}\.[0-9a-f-]{36}\.part$/;
const defaultRetentionMs = 30 * 86_400_000;
/** A younger temporary file may be one that another process is writing. */
const leftoverAfterMs = 3_600_000;
export class LatentCache {
  readonly #folder: string;
  readonly #diskLimit: number;
  readonly #retentionMs: number;
  readonly #memory: LRUCache<string, CacheEntry> | null;
  #memoryHits = 0;
  #diskHits = 0;
  #misses = 0;
  #diskBytes = 0;
  #writeFailures = 0;
  /** How often something was forgotten. */
  #forgets = 0;
  /** Disk operations run one after another. No job waits for them. */
  #diskWork: Promise<void> = Promise.resolve();

  constructor({ folder, memoryBytes, diskBytes, retentionMs = defaultRetentionMs }: LatentCacheOptions) {
    this.#folder = folder;
    this.#diskLimit = diskBytes;
    this.#retentionMs = retentionMs;
    this.#memory =
      memoryBytes > 0
        ? new LRUCache({
            maxSize: memoryBytes,
            sizeCalculation: (entry) => Math.max(1, entryBytes(entry)),
          })
        : null;
  }

  /** File name of an entry: one hash over everything that its content depends on. */
  static key(kind: CacheKind, ...parts: readonly (string | number)[]): string {
    return `${kind}-${hashOf(parts)}`;
  }

  /** The same for what was computed from a picture: it begins with what all entries of that picture begin with. */
  static pictureEntry(pictureKey: string, ...parts: readonly (string | number)[]): string {
    return LatentCache.picturePrefix(pictureKey) + hashOf([pictureKey, ...parts]).slice(prefixDigits);
  }

  /** What the names of all entries of a picture begin with, whatever model and size they were computed for. */
  static picturePrefix(pictureKey: string): string {
    return `image-${hashOf([pictureKey]).slice(0, prefixDigits)}`;
  }

  /** File name of the entry about a picture's file, which is identified by a hash of all its bytes. */
  static fileEntry(fileHash: string, ...parts: readonly (string | number)[]): string {
    return LatentCache.filePrefix(fileHash) + hashOf([fileHash, ...parts]).slice(prefixDigits);
  }

  static filePrefix(fileHash: string): string {
    return `file-${hashOf([fileHash]).slice(0, prefixDigits)}`;
  }

  get counters(): CacheCounters {
    return {
      memoryHits: this.#memoryHits,
      diskHits: this.#diskHits,
      misses: this.#misses,
      memoryBytes: this.#memory?.calculatedSize ?? 0,
      diskBytes: this.#diskBytes,
      writeFailures: this.#writeFailures,
    };
  }

  /** The entry, or undefined when neither tier has it intact. The tensors are shared: do not write into them. */
  async get(key: string): Promise<CacheEntry | undefined> {
    const remembered = this.#memory?.get(key);
    const entry = remembered ?? (await this.#read(key));
    if (remembered) this.#memoryHits++;
    else if (entry) this.#diskHits++;
    else this.#misses++;
    // An entry used from memory counts as used on disk too, or it would be the first to leave the disk.
    if (entry && this.#diskLimit > 0) this.#enqueue(() => this.#markUsed(key));
    return entry;
  }

  /** Keeps an entry in memory at once, and on disk a moment later. The tensors must not be changed afterwards. */
  set(key: string, entry: CacheEntry): void {
    this.#memory?.set(key, entry);
    if (this.#diskLimit > 0) this.#enqueue(() => this.#write(key, entry));
  }

  /** Drops from memory what forgetEntries has removed from the disk, and what was on its way to either. */
  forget(named: ReadonlySet<string>): void {
    const pictureKeys = [...(this.#memory?.entries() ?? [])].map(
      ([key, { meta }]) => [key, meta?.['pictureKey']] as const,
    );
    const gone = entriesOf(named, new Map(pictureKeys));
    for (const key of gone) this.#memory?.delete(key);
    this.#forgetOnDisk(new Set([...named, ...gone]));
  }

  /** The same with everything. */
  clear(): void {
    this.#memory?.clear();
    this.#forgetOnDisk('all');
  }

  /** What waited to be written, or was, when forgetEntries looked. */
  #forgetOnDisk(named: ReadonlySet<string> | 'all'): void {
    this.#forgets++;
    if (this.#diskLimit === 0) return;
    this.#enqueue(async () => {
      try {
        const names = (await readdir(this.#folder)).filter((name) => entryName.test(name));
        const known = new Map(names.map((name) => [name, undefined]));
        for (const name of named === 'all' ? names : entriesOf(named, known)) {
          await rm(path.join(this.#folder, name), { force: true });
        }
      } catch {} // the folder is away, as forgetEntries says
    });
  }

  /** Settles when all entries are on disk, or failed to get there. */
  async flush(): Promise<void> {
    await this.#diskWork;
  }

  #enqueue(work: () => Promise<void>): void {
    this.#diskWork = this.#diskWork.then(work);
  }

  async #read(key: string): Promise<CacheEntry | undefined> {
    if (this.#diskLimit === 0) return undefined;
    const file = path.join(this.#folder, key);
    const forgets = this.#forgets;
    let entry: CacheEntry | undefined;
    try {
      entry = await readEntry(this.#folder, key, this.#diskLimit);
    } catch {
      return undefined; // not there, or the disk is away
    }
    if (entry && forgets === this.#forgets) this.#memory?.set(key, entry);
    else if (!entry) await rm(file, { force: true }).catch(() => {});
    return entry;
  }

  async #markUsed(key: string): Promise<void> {
    const now = new Date();
    // Fails when another process removed the file, or the disk is read-only: then the time of writing counts.
    await utimes(path.join(this.#folder, key), now, now).catch(() => {});
  }

  async #write(key: string, entry: CacheEntry): Promise<void> {
    const chunks = encode(key, entry);
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    if (bytes > this.#diskLimit) return;
    const temporary = path.join(this.#folder, `.${key}.${randomUUID()}.part`);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await this.#makeRoom(bytes);
      // In pieces: joining them would copy megabytes.
      const write = () => writeFile(temporary, chunks, { flag: 'wx', mode: 0o600 });
      await replaceFile(path.join(this.#folder, key), write, temporary);
      this.#diskBytes += bytes;
    } catch {
      this.#writeFailures++; // full, read-only or gone: the next job computes it again
    }
  }

  /** Removes files, ours or another process's: those past their time, then the least recently used until `bytes` more fit. */
  async #makeRoom(bytes: number): Promise<void> {
    const files = listFiles(this.#folder);
    let total = files.reduce((sum, file) => sum + file.bytes, 0);
    const oldest = Date.now() - this.#retentionMs;
    for (const file of files) {
      const fits = file.usedMs >= oldest && total + bytes <= this.#diskLimit;
      if (file.isTemporary ? !file.isLeftover : fits) continue;
      await rm(path.join(this.#folder, file.name), { force: true });
      total -= file.bytes;
    }
    this.#diskBytes = total;
  }
}

/**
 * Which entries belong to what is named: besides those that have such a name, all that were made of the same pictures.
 * @param named names of entries, or what names begin with: LatentCache.picturePrefix, filePrefix and key
 * @param pictureKeys of entries by their names; undefined where an entry does not say which picture is behind it
 */
export function entriesOf(
  named: ReadonlySet<string>,
  pictureKeys: ReadonlyMap<string, unknown>,
): readonly string[] {
  const wanted = new Set(named);
  const isWanted = (name: string): boolean =>
    wanted.has(name) || wanted.has(name.slice(0, name.indexOf('-') + 1 + prefixDigits));
  const pictureOf = (key: unknown): string => LatentCache.picturePrefix(String(key));
  // Another file that shows the same picture is found by the picture.
  for (const [name, key] of pictureKeys) {
    if (name.startsWith('file-') && key !== undefined && isWanted(name)) wanted.add(pictureOf(key));
  }
  return [...pictureKeys]
    .filter(([name, key]) => isWanted(name) || (key !== undefined && wanted.has(pictureOf(key))))
    .map(([name]) => name);
}

function hashOf(parts: readonly (string | number)[]): string {
  const hash = createHash('sha256');
  // Lengths keep ("a", "bc") and ("ab", "c") apart, whatever the parts hold.
  for (const part of parts.map(String)) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return hash.digest('hex');
}

interface CacheFile {
  readonly name: string;
  readonly bytes: number;
  readonly usedMs: number;
  readonly isTemporary: boolean;
  /** Of a process that died while writing. */
  readonly isLeftover: boolean;
}

/**
 * Entries and temporary files, least recently used first. Synchronous: a few milliseconds for a thousand files, while a
 * thousand awaited calls would compete with a running step of the model for Node's thread pool.
 */
function listFiles(folder: string): CacheFile[] {
  const files: CacheFile[] = [];
  for (const name of readdirSync(folder)) {
    const isTemporary = temporaryName.test(name);
    if (!isTemporary && !entryName.test(name)) continue;
    const found = lstatSync(path.join(folder, name), { throwIfNoEntry: false });
    if (!found?.isFile()) continue;
    const { size: bytes, mtimeMs: usedMs } = found;
    files.push({ name, bytes, usedMs, isTemporary, isLeftover: Date.now() - usedMs > leftoverAfterMs });
  }
  return files.sort((a, b) => a.usedMs - b.usedMs);
}

function entryBytes({ tensors, meta }: CacheEntry): number {
  const metaBytes = meta ? JSON.stringify(meta).length : 0;
  return Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, metaBytes);
}
