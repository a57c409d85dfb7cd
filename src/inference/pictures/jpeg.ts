/** JPEG: segments until the end of the picture (ITU-T T.81, annex B). */
import { type Container, cutShort, KeptParts, Malformed } from './container.ts';
import { type Orientation, readOrientation } from './exif.ts';

const startOfImage = 0xd8;
const endOfImage = 0xd9;
const startOfScan = 0xda;
const app0 = 0xe0;
const app1 = 0xe1;
const app2 = 0xe2;
const adobe = 0xee;
/** Frames that decoders know: baseline, extended and progressive, with Huffman or arithmetic codes. */
const frames: readonly number[] = [0xc0, 0xc1, 0xc2, 0xc9, 0xca];
/** Quantisation, Huffman and arithmetic tables, number of lines, restart interval. */
const tables: readonly number[] = [0xdb, 0xc4, 0xcc, 0xdc, 0xdd];

/** Throws Malformed. */
export function readJpeg(source: Buffer): Container {
  const kept = new KeptParts(source);
  kept.keep(0, 2);
  let orientation: Orientation | undefined;
  let size: { readonly width: number; readonly height: number } | undefined;
  let hasPixels = false;
  for (const { marker, start, data, end } of segments(source)) {
    if (marker === endOfImage) {
      kept.keep(start, end);
      break;
    }
    if (marker === app1) orientation ??= readOrientation(source.subarray(data, end));
    if (frames.includes(marker)) size ??= readFrame(source.subarray(data, end));
    if (marker === startOfScan) {
      if (!size) throw new Malformed('its pixels come before its size');
      hasPixels = true;
      kept.keep(start, endOfScan(source, end));
    } else if (isNeeded(marker, source.toString('latin1', data, Math.min(data + 12, end)))) {
      kept.keep(start, end);
    }
  }
  // An end that belongs to a thumbnail comes before the pixels.
  if (!size || !hasPixels || !endsWell(kept.bytes())) throw cutShort();
  return { bytes: kept.bytes(), ...size, orientation: orientation ?? 1, isAnimated: false };
}

function endsWell(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt16BE(bytes.length - 2) === 0xff00 + endOfImage;
}

interface Segment {
  readonly marker: number;
  /** Of the marker, of what follows the length, and behind the segment. */
  readonly start: number;
  readonly data: number;
  readonly end: number;
}

/** Segments behind the start of the image, without the pixels between them, to the end of the file or of the image. */
function* segments(source: Buffer): Generator<Segment, void> {
  let at = 2;
  while (at + 2 <= source.length) {
    const marker = source[at + 1] ?? 0;
    // A marker may be preceded by any number of 0xff bytes.
    if (source[at] !== 0xff || marker === 0xff || !hasMeaning(marker)) {
      at += 1;
      continue;
    }
    if (marker === endOfImage) return yield { marker, start: at, data: at + 2, end: at + 2 };
    if (at + 4 > source.length) return;
    const end = at + 2 + source.readUInt16BE(at + 2);
    if (end < at + 4) throw new Malformed('a part of it has no length');
    if (end > source.length) return;
    yield { marker, start: at, data: at + 4, end };
    at = marker === startOfScan ? endOfScan(source, end) : end;
  }
}

/** Zeros and restarts belong to pixels; a second start of an image means nothing. */
function hasMeaning(marker: number): boolean {
  return marker > 0xbf && !(marker >= 0xd0 && marker <= startOfImage);
}

/** Where the next marker begins, or the end of the file. */
function endOfScan(source: Buffer, start: number): number {
  for (let at = start; at + 1 < source.length; at += 1) {
    if (source[at] === 0xff && source[at + 1] !== 0xff && hasMeaning(source[at + 1] ?? 0)) return at;
  }
  return source.length;
}

function readFrame(frame: Buffer): { readonly width: number; readonly height: number } {
  if (frame.length < 6) throw new Malformed('its size is missing');
  return { width: frame.readUInt16BE(3), height: frame.readUInt16BE(1) };
}

/** @param text the first letters of the segment's data, as Latin-1 */
function isNeeded(marker: number, text: string): boolean {
  if (marker === app0) return text.startsWith('JFIF\0'); // tells how colours are stored, as Adobe's does
  if (marker === adobe) return text.startsWith('Adobe');
  if (marker === app2) return text.startsWith('ICC_PROFILE\0');
  return frames.includes(marker) || tables.includes(marker);
}
