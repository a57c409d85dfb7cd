/**
 * Reads size, number of frames and frame rate from an MP4 that Kinora made. Implements the needed part of ISO/IEC
 * 14496-12, so no ffprobe is required. Decodes nothing.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { KinoraError } from '../errors.ts';

/** Clips of Kinora have a few kB of it. */
const moovLimit = 16 * 1024 * 1024;
/** Bytes of the first read: all of a Kinora clip but the pictures. */
const headBytes = 64 * 1024;

export interface Mp4Info {
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  /** Frames per second as an exact fraction [numerator, denominator]. */
  readonly frameRate: readonly [number, number];
  readonly fps: number;
  readonly durationSeconds: number;
  /** What a decoder has to know before the first frame: equal for files that can be joined as they are. */
  readonly parameterSets: Buffer;
  /** Its tag of that name; empty without one. */
  readonly comment: string;
  /** The index comes before the pictures, so that players start while the file is still arriving. */
  readonly isFastStart: boolean;
}

/**
 * @throws KinoraError ENCODE_FAILED when the file is no complete MP4 with one video track; errors of the file
 * system pass through.
 */
export async function readMp4Info(path: string): Promise<Mp4Info> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const { moov, isFastStart } = await findMoov(handle, size);
    const track = boxes(moov).find((box) => box.type === 'trak' && handlerOf(box.body) === 'vide');
    if (!track) throw invalid('it has no video track');
    const mdhd = need(track.body, 'mdia', 'mdhd');
    const isLong = mdhd.readUInt8(0) === 1;
    const timescale = mdhd.readUInt32BE(isLong ? 20 : 12);
    const duration = isLong ? Number(mdhd.readBigUInt64BE(24)) : mdhd.readUInt32BE(16);
    const numFrames = need(track.body, 'mdia', 'minf', 'stbl', 'stsz').readUInt32BE(8);
    if (numFrames === 0 || timescale === 0 || duration === 0) throw invalid('it has no frames');
    const entry = need(track.body, 'mdia', 'minf', 'stbl', 'stsd').subarray(8);
    return {
      bytes: size,
      width: entry.readUInt16BE(32),
      height: entry.readUInt16BE(34),
      numFrames,
      frameRate: reduce(numFrames * timescale, duration),
      fps: (numFrames * timescale) / duration,
      durationSeconds: duration / timescale,
      // The sample entry has 78 bytes before its boxes, and 8 of its own header.
      parameterSets: parameterSets(find(entry.subarray(86), ['avcC']) ?? Buffer.alloc(0)),
      comment: commentOf(moov),
      isFastStart,
    };
  } catch (error) {
    if (error instanceof RangeError) throw invalid('it is cut off');
    throw error;
  } finally {
    await handle.close();
  }
}

interface Box {
  readonly type: string;
  readonly body: Buffer;
}

/** Walks all boxes of the file: every one must lie wholly inside it. */
async function findMoov(handle: FileHandle, size: number): Promise<{ moov: Buffer; isFastStart: boolean }> {
  const head = await readAt(handle, 0, Math.min(size, headBytes));
  const bytesAt = async (offset: number, length: number): Promise<Buffer> =>
    offset + length <= head.length ? head.subarray(offset, offset + length) : readAt(handle, offset, length);
  const order: string[] = [];
  let moov: Buffer | undefined;
  let offset = 0;
  while (offset < size) {
    const header = await bytesAt(offset, Math.min(16, size - offset));
    if (header.length < 8) throw invalid('it is cut off');
    const [headerSize, boxSize] = boxSizes(header, size - offset);
    if (boxSize < headerSize || offset + boxSize > size) throw invalid('it is cut off');
    const type = header.toString('latin1', 4, 8);
    order.push(type);
    if (type === 'moov') {
      if (boxSize > moovLimit) throw invalid('its index is too large');
      moov = await bytesAt(offset + headerSize, boxSize - headerSize);
    }
    offset += boxSize;
  }
  if (moov === undefined) throw invalid('it has no index');
  if (!order.includes('mdat')) throw invalid('it has no pictures');
  return { moov, isFastStart: order.indexOf('moov') < order.indexOf('mdat') };
}

/** Fewer bytes where the file has become shorter. */
async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await handle.read(bytes, 0, length, offset);
  return bytes.subarray(0, bytesRead);
}

/** [bytes of the header, bytes of the whole box]; size 1 means a 64-bit size follows, 0 that the box ends the file. */
function boxSizes(header: Buffer, rest: number): readonly [number, number] {
  const size = header.readUInt32BE(0);
  if (size === 1) return [16, Number(header.readBigUInt64BE(8))];
  return [8, size === 0 ? rest : size];
}

function boxes(parent: Buffer): Box[] {
  const found: Box[] = [];
  let offset = 0;
  while (offset + 8 <= parent.length) {
    const [headerSize, boxSize] = boxSizes(parent.subarray(offset), parent.length - offset);
    if (boxSize < headerSize || offset + boxSize > parent.length) throw invalid('its index is damaged');
    found.push({
      type: parent.toString('latin1', offset + 4, offset + 8),
      body: parent.subarray(offset + headerSize, offset + boxSize),
    });
    offset += boxSize;
  }
  return found;
}

function find(parent: Buffer, path: readonly string[]): Buffer | undefined {
  let body: Buffer | undefined = parent;
  for (const type of path) {
    if (body === undefined) return undefined;
    body = boxes(body).find((box) => box.type === type)?.body;
  }
  return body;
}

function need(parent: Buffer, ...path: string[]): Buffer {
  const body = find(parent, path);
  if (!body) throw invalid(`it has no "${path.at(-1)}"`);
  return body;
}

/** As ffmpeg writes it: `meta` has 4 bytes before its boxes, `data` 8 before the text. Other programs write it otherwise. */
function commentOf(moov: Buffer): string {
  try {
    const data = find(need(moov, 'udta', 'meta').subarray(4), ['ilst', '\xa9cmt', 'data']);
    return data?.subarray(8).toString() ?? '';
  } catch {
    return '';
  }
}

/** Those of an avcC box, without what later writers put behind them (ISO/IEC 14496-15, 5.3.3.1). */
function parameterSets(avcC: Buffer): Buffer {
  if (avcC.length === 0) return avcC;
  let end = 5;
  for (const mask of [0x1f, 0xff]) {
    for (let left = avcC.readUInt8(end++) & mask; left > 0; left--) end += 2 + avcC.readUInt16BE(end);
  }
  return avcC.subarray(0, end);
}

function handlerOf(track: Buffer): string | undefined {
  return find(track, ['mdia', 'hdlr'])?.toString('latin1', 8, 12);
}

function reduce(numerator: number, denominator: number): readonly [number, number] {
  let [a, b] = [numerator, denominator];
  while (b !== 0) [a, b] = [b, a % b];
  return [numerator / a, denominator / a];
}

function invalid(reason: string): KinoraError {
  return new KinoraError('ENCODE_FAILED', `The file is not a complete MP4: ${reason}.`);
}
