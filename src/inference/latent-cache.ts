/**
 * What was computed for a picture, a prompt or a clip, kept for the next request that needs it. Two tiers: memory, and
 * one file per entry on disk, so that a restart keeps it. Both are bounded in bytes and drop the least recently used.
 *
 * Nothing here may fail a job: a file that is torn, foreign or from another version is a miss and is removed; a disk
 * that is full or away only means that nothing is kept. Several processes may share the folder without locks, because
 * entries are written under a temporary name, renamed, and never changed.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LRUCache } from 'lru-cache';
import type { FloatTensor } from './tensor.ts';

/** What a job took from the latent cache. */
export interface CacheUse {
  /** Entries that were found, by kind: "image", "prompt", "video". */
  readonly hits: readonly string[];
  readonly misses: readonly string[];
}

export type CacheKind = 'image' | 'prompt' | 'video';

/** Named tensors that belong together. */
export type CacheEntry = Readonly<Record<string, FloatTensor>>;

export interface LatentCacheOptions {
  /** Folder of the disk tier; created when needed. */
  readonly folder: string;
  readonly memoryBytes: number;
  /** 0 keeps nothing on disk. */
  readonly diskBytes: number;
}

export interface CacheCounters {
  readonly hits: number;
  readonly misses: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

/** Changes whenever the meaning or the layout of entries changes: older files then count as foreign. */
const magic = 'kinora-latents-1\n';
const digestBytes = 32;
const headerLengthBytes = 4;

export class LatentCache {
  readonly #folder: string;
  readonly #diskLimit: number;
  readonly #memory: LRUCache<string, CacheEntry>;
  /** Sizes of the files that this process knows of, least recently used first. */
  #files: Map<string, number> | null = null;
  #indexedAtMs = 0;
  #diskBytes = 0;
  #hits = 0;
  #misses = 0;
  /** Writes happen one after the other, behind the job that caused them. */
  #writes: Promise<void> = Promise.resolve();

  constructor({ folder, memoryBytes, diskBytes }: LatentCacheOptions) {
    this.#folder = folder;
    this.#diskLimit = diskBytes;
    this.#memory = new LRUCache({
      maxSize: Math.max(1, memoryBytes),
      sizeCalculation: (entry) => Math.max(1, entryBytes(entry)),
    });
  }

  /** File name of an entry: one hash over everything that its content depends on. */
  static key(kind: CacheKind, ...parts: readonly (string | number)[]): string {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(`${part}\0`);
    return `${kind}-${hash.digest('hex')}`;
  }

  get counters(): CacheCounters {
    return {
      hits: this.#hits,
      misses: this.#misses,
      memoryBytes: this.#memory.calculatedSize,
      diskBytes: this.#diskBytes,
    };
  }

  /** The entry, or undefined when neither tier has it intact. The tensors are shared: do not write into them. */
  async get(key: string): Promise<CacheEntry | undefined> {
    const entry = this.#memory.get(key) ?? (await this.#read(key));
    if (entry) this.#hits++;
    else this.#misses++;
    return entry;
  }

  /** Keeps an entry in memory at once, and on disk a moment later. The tensors must not be changed afterwards. */
  set(key: string, entry: CacheEntry): void {
    this.#memory.set(key, entry);
    if (this.#diskLimit > 0) this.#writes = this.#writes.then(() => this.#write(key, entry));
  }

  /** Forgets an entry in both tiers. */
  async delete(key: string): Promise<void> {
    this.#memory.delete(key);
    await this.#writes;
    await this.#forgetFile(key);
  }

  /** Settles when everything that was set has reached the disk, or could not. */
  async flush(): Promise<void> {
    await this.#writes;
  }

  async #read(key: string): Promise<CacheEntry | undefined> {
    if (this.#diskLimit === 0) return undefined;
    const file = path.join(this.#folder, key);
    let bytes: Buffer;
    try {
      bytes = await readFile(file);
    } catch {
      return undefined;
    }
    const entry = decode(bytes);
    if (!entry) {
      await this.#forgetFile(key);
      return undefined;
    }
    this.#memory.set(key, entry);
    const files = await this.#index();
    this.#touch(files, key, bytes.byteLength);
    // The order of use must survive a restart; where the time cannot be set, the order of writing has to do.
    const now = new Date();
    await utimes(file, now, now).catch(() => {});
    return entry;
  }

  async #write(key: string, entry: CacheEntry): Promise<void> {
    const chunks = encode(entry);
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    if (bytes > this.#diskLimit) return;
    const temporary = path.join(this.#folder, `.${key}.${randomUUID()}.part`);
    try {
      // What other processes wrote meanwhile counts too.
      if (Date.now() - this.#indexedAtMs > indexEveryMs) this.#files = null;
      const files = await this.#index();
      await this.#makeRoom(files, bytes);
      await writeFile(temporary, Buffer.concat(chunks), { mode: 0o600 });
      await rename(temporary, path.join(this.#folder, key));
      this.#touch(files, key, bytes);
    } catch {
      // Full, read-only or gone: the next job computes it again.
      await rm(temporary, { force: true }).catch(() => {});
    }
  }

  async #makeRoom(files: Map<string, number>, bytes: number): Promise<void> {
    for (const key of files.keys()) {
      if (this.#diskBytes + bytes <= this.#diskLimit) return;
      await this.#forgetFile(key);
    }
  }

  #touch(files: Map<string, number>, key: string, bytes: number): void {
    this.#diskBytes += bytes - (files.get(key) ?? 0);
    files.delete(key);
    files.set(key, bytes);
  }

  async #forgetFile(key: string): Promise<void> {
    await rm(path.join(this.#folder, key), { force: true }).catch(() => {});
    const files = await this.#index();
    this.#diskBytes -= files.get(key) ?? 0;
    files.delete(key);
  }

  /** What is on disk already, oldest use first; leftovers of a crash are removed on the way. */
  async #index(): Promise<Map<string, number>> {
    if (this.#files) return this.#files;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 }).catch(() => {});
    const found: { key: string; bytes: number; usedMs: number }[] = [];
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const file = path.join(this.#folder, name);
      const entry = await stat(file).catch(() => undefined);
      if (!entry?.isFile()) continue;
      if (!name.endsWith('.part')) found.push({ key: name, bytes: entry.size, usedMs: entry.mtimeMs });
      else if (Date.now() - entry.mtimeMs > leftoverAfterMs) await rm(file, { force: true }).catch(() => {});
    }
    found.sort((a, b) => a.usedMs - b.usedMs);
    this.#indexedAtMs = Date.now();
    this.#files ??= new Map(found.map(({ key, bytes }) => [key, bytes]));
    this.#diskBytes = [...this.#files.values()].reduce((sum, bytes) => sum + bytes, 0);
    return this.#files;
  }
}

const indexEveryMs = 60_000;
/** Another process may be writing a younger one. */
const leftoverAfterMs = 3_600_000;

function entryBytes(entry: CacheEntry): number {
  return Object.values(entry).reduce((sum, { data }) => sum + data.byteLength, 0);
}

/** magic · SHA-256 of the rest · header length (uint32) · header (JSON: names and dims) · float32 data in order. */
function encode(entry: CacheEntry): Uint8Array[] {
  const names = Object.keys(entry);
  const header = Buffer.from(JSON.stringify(names.map((name) => [name, entry[name]?.dims])));
  const length = Buffer.alloc(headerLengthBytes);
  length.writeUInt32LE(header.byteLength);
  const body = [length, header, ...Object.values(entry).map(({ data }) => bytesOf(data))];
  const hash = createHash('sha256');
  for (const part of body) hash.update(part);
  return [Buffer.from(magic), hash.digest(), ...body];
}

function bytesOf(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function decode(bytes: Buffer): CacheEntry | undefined {
  const bodyStart = magic.length + digestBytes;
  if (
    bytes.byteLength < bodyStart + headerLengthBytes ||
    bytes.toString('latin1', 0, magic.length) !== magic
  ) {
    return undefined;
  }
  const body = bytes.subarray(bodyStart);
  const digest = createHash('sha256').update(body).digest();
  if (!digest.equals(bytes.subarray(magic.length, bodyStart))) return undefined;
  // The digest matched, so what follows is what encode() wrote.
  const headerEnd = headerLengthBytes + body.readUInt32LE(0);
  const header = JSON.parse(body.toString('utf8', headerLengthBytes, headerEnd)) as [string, number[]][];
  const entry: Record<string, FloatTensor> = {};
  let offset = headerEnd;
  for (const [name, dims] of header) {
    const length = dims.reduce((product, size) => product * size, 1);
    // Copied: float32 views need an aligned start.
    const data = new Float32Array(length);
    bytesOf(data).set(body.subarray(offset, offset + length * 4));
    offset += length * 4;
    entry[name] = { data, dims };
  }
  return entry;
}
