/** Parts of picture files, as programs write them. */
import { crc32, deflateSync } from 'node:zlib';

/** @param marker without its leading 0xff */
export function jpegSegment(marker: number, data: Uint8Array): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, data]);
}

export function pngChunk(type: string, data: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const chunk = Buffer.alloc(named.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  named.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(named), named.length + 4);
  return chunk;
}

/** Chunks behind the header of a PNG. */
export function withPngChunks(png: Uint8Array, ...chunks: readonly Uint8Array[]): Buffer {
  const behindHeader = 33;
  return Buffer.concat([png.subarray(0, behindHeader), ...chunks, png.subarray(behindHeader)]);
}

export function riffChunk(type: string, data: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.write(type, 'latin1');
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
}

/** A simple WebP in the extended form, with EXIF and further chunks. */
export function webpWithExif(
  webp: Uint8Array,
  [width, height]: readonly [number, number],
  exif: Uint8Array,
  ...chunks: readonly Uint8Array[]
): Buffer {
  const extended = Buffer.alloc(10);
  extended.writeUInt8(chunks.length > 0 ? 0x0c : 0x08, 0);
  extended.writeUIntLE(width - 1, 4, 3);
  extended.writeUIntLE(height - 1, 7, 3);
  const body = [
    Buffer.from('WEBP'),
    riffChunk('VP8X', extended),
    webp.subarray(12),
    riffChunk('EXIF', exif),
    ...chunks,
  ];
  return riffChunk('RIFF', Buffer.concat(body));
}

const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

export interface PngOptions {
  readonly width: number;
  readonly height: number;
  readonly bitDepth: 8 | 16;
  /** 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha. */
  readonly colourType: 0 | 2 | 3 | 4 | 6;
  /** Samples, row by row. */
  readonly samples: readonly number[];
  /** Between header and pixels. */
  readonly chunks?: readonly Uint8Array[];
}

export function pngRows({ width, height, bitDepth, colourType, samples }: PngOptions): Buffer {
  const perRow = width * (channelsOf[colourType] ?? 0);
  const size = bitDepth / 8;
  const rows = Buffer.alloc(height * (1 + perRow * size));
  for (const [n, value] of samples.entries()) {
    const at = Math.floor(n / perRow) * (1 + perRow * size) + 1 + (n % perRow) * size;
    rows.writeUIntBE(value, at, size);
  }
  return deflateSync(rows);
}

export function pngHeader({ width, height, bitDepth, colourType }: PngOptions): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bitDepth, colourType], 8);
  return pngChunk('IHDR', header);
}

export function png(options: PngOptions): Buffer {
  return Buffer.concat([
    signature,
    pngHeader(options),
    ...(options.chunks ?? []),
    pngChunk('IDAT', pngRows(options)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

export function iccChunk(profile: Uint8Array): Buffer {
  return pngChunk('iCCP', Buffer.concat([Buffer.from('a profile\0\0', 'latin1'), deflateSync(profile)]));
}

/** A chunk of 32-bit numbers. */
export function numbersChunk(type: string, ...values: readonly number[]): Buffer {
  const data = Buffer.alloc(values.length * 4);
  for (const [n, value] of values.entries()) data.writeUInt32BE(value, n * 4);
  return pngChunk(type, data);
}

export interface TiffOptions extends Pick<PngOptions, 'width' | 'height' | 'bitDepth' | 'samples'> {
  readonly channels: 1 | 3 | 4;
  readonly profile: Uint8Array;
}

/** One uncompressed strip: grey, RGB or inks. */
export function tiff({ width, height, bitDepth, samples, channels, profile }: TiffOptions): Buffer {
  const pixels = Buffer.alloc(samples.length * (bitDepth / 8));
  for (const [n, value] of samples.entries()) pixels.writeUIntLE(value, n * (bitDepth / 8), bitDepth / 8);
  const colours = { 1: 1, 3: 2, 4: 5 }[channels];
  const bits = Buffer.alloc(8);
  for (let n = 0; n < 4; n += 1) bits.writeUInt16LE(bitDepth, n * 2);
  const bitsAt = 8;
  const pixelsAt = bitsAt + bits.length;
  const profileAt = pixelsAt + pixels.length;
  const entries: readonly (readonly [tag: number, type: number, count: number, value: number])[] = [
    [256, 4, 1, width],
    [257, 4, 1, height],
    [258, 3, channels, channels === 1 ? bitDepth : bitsAt],
    [259, 3, 1, 1],
    [262, 3, 1, colours],
    [273, 4, 1, pixelsAt],
    [277, 3, 1, channels],
    [278, 4, 1, height],
    [279, 4, 1, pixels.length],
    [34_675, 7, profile.length, profileAt],
  ];
  const directory = Buffer.alloc(2 + entries.length * 12 + 4);
  directory.writeUInt16LE(entries.length, 0);
  for (const [n, [tag, type, count, value]] of entries.entries()) {
    directory.writeUInt16LE(tag, 2 + n * 12);
    directory.writeUInt16LE(type, 4 + n * 12);
    directory.writeUInt32LE(count, 6 + n * 12);
    directory.writeUInt32LE(value, 10 + n * 12);
  }
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1');
  const evenProfile = Buffer.concat([profile, Buffer.alloc(profile.length % 2)]);
  head.writeUInt32LE(profileAt + evenProfile.length, 4);
  return Buffer.concat([head, bits, pixels, evenProfile, directory]);
}
