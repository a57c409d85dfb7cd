/** The file of an entry of the latent cache, as it lies on the disk. */
import { createHash } from 'node:crypto';
import { lstat, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { FloatTensor } from './sessions/tensor.ts';

export type Tensors = Readonly<Record<string, FloatTensor>>;

/** Named tensors that belong together, and facts about them. */
export interface CacheEntry {
  readonly tensors: Tensors;
  /** Any JSON. Parse it before use: another version may have written it. `pictureKey` names the picture behind it. */
  readonly meta?: Readonly<Record<string, unknown>>;
}

/** Changes with the meaning or the layout of entries: files of another version are misses. */
const magic = 'kinora-latents-3\n';
const digestBytes = 32;
const headerLengthBytes = 4;

/** Far more than the entry of a picture's file takes. */
const maxFileEntryBytes = 65_536;

/** Whether another version of Kinora wrote the file. */
export async function isOfOtherVersion(file: string): Promise<boolean> {
  const found = await lstat(file).catch(() => undefined);
  if (!found?.isFile()) return false;
  const handle = await open(file).catch(() => undefined);
  try {
    const start = await handle?.read({ buffer: Buffer.alloc(magic.length) });
    return start !== undefined && start.buffer.toString('latin1') !== magic;
  } finally {
    await handle?.close();
  }
}

/** What an entry says about itself, without its tensors; undefined where it does not, or its beginning is damaged. */
export async function readMeta(file: string): Promise<CacheEntry['meta']> {
  const found = await lstat(file).catch(() => undefined);
  if (!found?.isFile()) return undefined; // reading a pipe would block
  const handle = await open(file).catch(() => undefined);
  try {
    const { buffer: start } = (await handle?.read({ buffer: Buffer.alloc(maxFileEntryBytes) })) ?? {};
    const headerAt = magic.length + digestBytes + headerLengthBytes;
    const length = start?.readUInt32LE(headerAt - headerLengthBytes) ?? 0;
    return (JSON.parse(start?.toString('utf8', headerAt, headerAt + length) ?? '') as EntryHeader).meta;
  } catch {
    return undefined; // damaged: no job can use it
  } finally {
    await handle?.close();
  }
}

/**
 * Reads an entry of the disk tier without counting as its use.
 * @returns undefined when it is not intact
 * @throws the file system's error when it is not there
 */
export async function readEntry(
  folder: string,
  key: string,
  maxBytes: number,
): Promise<CacheEntry | undefined> {
  const file = path.join(folder, key);
  const found = await lstat(file);
  // Foreign: not a regular file (reading a pipe would block), or larger than all entries together.
  return found.isFile() && found.size <= maxBytes ? decode(key, await readFile(file)) : undefined;
}

interface EntryHeader {
  /** The file's own name: a file that was copied to another one is foreign. */
  readonly key: string;
  readonly tensors: readonly (readonly [name: string, dims: readonly number[]])[];
  readonly meta?: CacheEntry['meta'];
}

/** magic · SHA-256 of the rest · header length (uint32) · header (JSON) · float32 data in order, little-endian. */
export function encode(key: string, { tensors, meta }: CacheEntry): Uint8Array[] {
  const shapes = Object.entries(tensors).map(([name, { dims }]) => [name, dims] as const);
  const header = Buffer.from(
    JSON.stringify({ key, tensors: shapes, ...(meta ? { meta } : {}) } satisfies EntryHeader),
  );
  const length = Buffer.alloc(headerLengthBytes);
  length.writeUInt32LE(header.byteLength);
  const body = [length, header, ...Object.values(tensors).map(({ data }) => bytesOf(data))];
  const hash = createHash('sha256');
  for (const part of body) hash.update(part);
  return [Buffer.from(magic), hash.digest(), ...body];
}

function bytesOf(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The entry, or undefined when the bytes are not an intact entry of that key. */
function decode(key: string, bytes: Buffer): CacheEntry | undefined {
  const bodyStart = magic.length + digestBytes;
  if (bytes.byteLength < bodyStart + headerLengthBytes) return undefined;
  if (bytes.toString('latin1', 0, magic.length) !== magic) return undefined;
  const body = bytes.subarray(bodyStart);
  const digest = createHash('sha256').update(body).digest();
  if (!digest.equals(bytes.subarray(magic.length, bodyStart))) return undefined;

  // The digest matched, so what follows is what encode() wrote.
  const headerEnd = headerLengthBytes + body.readUInt32LE(0);
  const header = JSON.parse(body.toString('utf8', headerLengthBytes, headerEnd)) as EntryHeader;
  if (header.key !== key) return undefined;
  const tensors: Record<string, FloatTensor> = {};
  let offset = headerEnd;
  for (const [name, dims] of header.tensors) {
    // Copied: a float32 view needs an aligned start.
    const data = new Float32Array(dims.reduce((product, size) => product * size, 1));
    bytesOf(data).set(body.subarray(offset, offset + data.byteLength));
    offset += data.byteLength;
    tensors[name] = { data, dims };
  }
  return { tensors, ...(header.meta ? { meta: header.meta } : {}) };
}
