/** Parts of picture files, as programs write them. */
import { crc32 } from 'node:zlib';

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
