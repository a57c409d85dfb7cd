/** JPEG: segments until the end of the picture (ITU-T T.81, annex B). */
import { type Container, cutShort, KeptParts, Malformed, maxParts } from './container.ts';
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
const progressive: readonly number[] = [0xc2, 0xca];
const baseline: readonly number[] = [0xc0, 0xc1];
/** Quantisation, Huffman and arithmetic tables, number of lines, restart interval. */
const tables: readonly number[] = [0xdb, 0xc4, 0xcc, 0xdc, 0xdd];

/**
 * What is odd around whole pixels is mended, so that the decoder, which refuses whatever it warns of, warns of damaged
 * pixels only: bytes between segments, a missing end, and values that say nothing about the pixels.
 * Throws Malformed.
 */
export function readJpeg(source: Buffer): Container {
  const end = Buffer.from([0xff, endOfImage]);
  const kept = new KeptParts(source, end.length);
  kept.keep(0, 2);
  let orientation: Orientation | undefined;
  let frame: Frame | undefined;
  let transform: Buffer | undefined;
  const coverage = new Coverage();
  let hasEnd = false;
  for (const { marker, start, data, end } of segments(source)) {
    if (marker === endOfImage) hasEnd = true;
    else if (marker === startOfScan) {
      if (!frame) throw new Malformed('its pixels come before its size');
      const header = kept.keep(start, endOfScan(source, end)).subarray(data - start, end - start);
      if (frame.isSequential) mendScan(header);
      coverage.add(header);
    } else {
      const segment = source.subarray(data, end);
      if (marker === app1) orientation ??= readOrientation(segment);
      if (frames.includes(marker)) frame ??= readFrame(marker, segment);
      if (!isNeeded(marker, segment)) continue;
      const copy = kept.keep(start, end).subarray(data - start);
      if (marker === app0) mendVersion(copy);
      if (marker === adobe) transform = copy.subarray(adobeTransformAt);
    }
  }
  // Whether the last scan is whole, too, is seen by decoding it.
  if (!frame || !coverage.hasPixels || !(hasEnd || coverage.isComplete(frame))) throw cutShort();
  if (transform) mendTransform(transform, frame);
  kept.trim(0xff);
  const pixels = kept.bytes();
  kept.add(end);
  const { width, height } = frame;
  const mayEndEarly = !hasEnd || (frame.isBaseline && width * height <= mostDecodedTwice);
  return {
    bytes: kept.bytes(),
    width,
    height,
    orientation: orientation ?? 1,
    isAnimated: false,
    otherEnd: mayEndEarly ? Buffer.concat([pixels, otherBits, end]) : undefined,
    lacksEnd: !hasEnd,
  };
}

/** What the decoder of progressive scans, which reads to the end, says of bytes behind the last pixels. */
const strayBytes = /(\d+) extraneous bytes before marker 0xd9/;
/** More of them, unless they are all alike, may be pixels that a damage before them made unreadable. */
const mostStrayBytes = 16;

/**
 * The file without what lies between its last pixels and its end, as the decoder told how much that is; undefined when it
 * told something else, or that may be damage.
 */
export function withoutStrayBytes(bytes: Uint8Array, message: string): Uint8Array | undefined {
  const count = Number(strayBytes.exec(message)?.[1]);
  const end = bytes.length - 2;
  if (!(count > 0 && count < end)) return undefined;
  const stray = bytes.subarray(end - count, end);
  if (count > mostStrayBytes && stray.some((byte) => byte !== stray[0])) return undefined;
  return Buffer.concat([bytes.subarray(0, end - count), bytes.subarray(end)]);
}

/** Where pixels are missing, decoders take zeros. So few of these that nobody minds them where all pixels are there. */
const otherBits = Buffer.alloc(4, 0xaa);

/**
 * An end may have been put behind pixels that are cut short. What decoders do not see of that is one row of blocks, eight
 * pixels high: much of a small picture, and nothing that shows in a large one, which costs more to look at.
 */
const mostDecodedTwice = 1_000_000;

/** Which coefficients of each component the scans have given, to the last bit. */
class Coverage {
  /** By component: how many low bits of each coefficient are still missing. */
  readonly #missing = new Map<number, Uint8Array>();

  add(scan: Buffer): void {
    const components = scan[0] ?? 0;
    const [first = 0, last = 0, bits = 0] = scan.subarray(1 + components * 2);
    for (let n = 0; n < components; n += 1) {
      const id = scan[1 + n * 2] ?? 0;
      const missing = this.#missing.get(id) ?? new Uint8Array(64).fill(16);
      this.#missing.set(id, missing.fill(bits & 0x0f, first, last + 1));
    }
  }

  get hasPixels(): boolean {
    return this.#missing.size > 0;
  }

  isComplete({ components }: Frame): boolean {
    const missing = [...this.#missing.values()];
    return missing.length >= components && missing.every((bits) => bits.every((count) => count === 0));
  }
}

/** Progressive scans alone have a choice of coefficients and bits; cameras write zeros for all of them. */
function mendScan(header: Buffer): void {
  if (header.length >= 3) header.set([0, 63, 0], header.length - 3);
}

/** Decoders know versions 1 and 2 of JFIF; nothing that they use differs in others. */
function mendVersion(jfif: Buffer): void {
  const majorAt = 5;
  if (jfif.length > majorAt && jfif[majorAt] !== 2) jfif[majorAt] = 1;
}

const adobeTransformAt = 11;

/** 0 is no transform. What else there is depends on the number of colours, and is what decoders take when in doubt. */
function mendTransform(transform: Buffer, { components }: Frame): void {
  if (transform.length > 0 && transform[0] !== 0) transform[0] = components === 4 ? 2 : 1;
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
  let parts = 0;
  for (let at = 2; at + 2 <= source.length; ) {
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
    parts += 1;
    if (parts > maxParts) throw new Malformed('it has too many parts');
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

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  readonly isSequential: boolean;
  /** Sequential with Huffman codes: its decoder stops where the pixels do, and takes nothing of what follows. */
  readonly isBaseline: boolean;
}

function readFrame(marker: number, frame: Buffer): Frame {
  if (frame.length < 6) throw new Malformed('its size is missing');
  return {
    width: frame.readUInt16BE(3),
    height: frame.readUInt16BE(1),
    components: frame.readUInt8(5),
    isSequential: !progressive.includes(marker),
    isBaseline: baseline.includes(marker),
  };
}

function isNeeded(marker: number, segment: Buffer): boolean {
  const text = segment.toString('latin1', 0, 12);
  if (marker === app0) return text.startsWith('JFIF\0'); // tells how colours are stored, as Adobe's does
  if (marker === adobe) return text.startsWith('Adobe');
  if (marker === app2) return text.startsWith('ICC_PROFILE\0');
  return frames.includes(marker) || tables.includes(marker);
}
