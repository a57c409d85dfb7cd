/** PNG: chunks (Portable Network Graphics, third edition). */
import { type Container, cutShort, KeptParts, Malformed } from './container.ts';
import { type Orientation, readOrientation } from './exif.ts';

/** Size, colours and pixels. What is left out may be text, EXIF, thumbnails, or frames of an animation. */
const needed: readonly string[] = ['IHDR', 'PLTE', 'tRNS', 'iCCP', 'sRGB', 'gAMA', 'cHRM', 'IDAT', 'IEND'];
const signatureLength = 8;

/** Throws Malformed. */
export function readPng(source: Buffer): Container {
  const kept = new KeptParts(source);
  kept.keep(0, signatureLength);
  let size: Pick<Container, 'width' | 'height'> | undefined;
  let orientation: Orientation | undefined;
  let isAnimated = false;
  let hasPixels = false;
  for (const { type, start, data, end } of chunks(source)) {
    if (end > source.length) {
      if (type === 'IDAT') throw cutShort();
      break;
    }
    if (type === 'IHDR') size ??= { width: source.readUInt32BE(data), height: source.readUInt32BE(data + 4) };
    if (type === 'IDAT') hasPixels = true;
    if (!hasPixels) {
      if (type === 'eXIf') orientation ??= readOrientation(source.subarray(data, end - 4));
      if (type === 'acTL') isAnimated = true;
    }
    if (needed.includes(type)) kept.keep(start, end);
  }
  if (!size) throw new Malformed('its size is missing');
  if (!hasPixels) throw cutShort();
  return { bytes: kept.bytes(), ...size, orientation: orientation ?? 1, isAnimated };
}

interface Chunk {
  readonly type: string;
  /** Of the chunk, of its data, and behind its checksum. */
  readonly start: number;
  readonly data: number;
  readonly end: number;
}

/** Chunks until `IEND` or the end of the file, which the last one may exceed. */
function* chunks(source: Buffer): Generator<Chunk, void> {
  for (let start = signatureLength, type = ''; type !== 'IEND' && start + 8 <= source.length; ) {
    type = source.toString('latin1', start + 4, start + 8);
    const length = source.readUInt32BE(start);
    if (start === signatureLength && (type !== 'IHDR' || length !== 13)) return;
    const end = start + 12 + length;
    yield { type, start, data: start + 8, end };
    start = end;
  }
}
