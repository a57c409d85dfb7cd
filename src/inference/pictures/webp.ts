/** WebP: chunks of a RIFF file (RFC 9649). */
import { type Container, cutShort, KeptParts, Malformed, maxParts } from './container.ts';
import { readOrientation } from './exif.ts';

const needed: readonly string[] = ['VP8X', 'VP8 ', 'VP8L', 'ALPH', 'ANIM', 'ANMF', 'ICCP'];
const exifFlag = 0x08;
const xmpFlag = 0x04;

/** Throws Malformed. */
export function readWebp(source: Buffer): Container {
  const end = 8 + (source.length < 12 ? 0 : source.readUInt32LE(4));
  if (end < 20) throw new Malformed('it is empty');
  if (end > source.length) throw cutShort();
  const kept = new KeptParts(source);
  const header = kept.keep(0, 12);
  let size: Pick<Container, 'width' | 'height'> | undefined;
  let exif: Buffer | undefined;
  let mayHaveExif = false;
  let pictures = 0;
  let parts = 0;
  for (let at = 12; at + 8 <= end; ) {
    parts += 1;
    if (parts > maxParts) throw new Malformed('it has too many parts');
    const type = source.toString('latin1', at, at + 4);
    const data = at + 8;
    const length = source.readUInt32LE(at + 4);
    if (data + length > end) throw cutShort();
    const chunk = source.subarray(data, data + length);
    size ??= readSize(type, chunk);
    if (type === 'ANMF' || type === 'VP8 ' || type === 'VP8L') pictures += 1;
    if (type === 'EXIF') exif ??= chunk;
    const next = Math.min(data + length + (length % 2), end);
    if (needed.includes(type)) {
      const copy = kept.keep(at, next);
      if (type === 'VP8X') {
        mayHaveExif = ((copy[8] ?? 0) & exifFlag) !== 0;
        copy[8] = (copy[8] ?? 0) & ~(exifFlag | xmpFlag);
      }
    }
    at = next;
  }
  if (!size || pictures === 0) throw new Malformed('it has no pixels');
  header.writeUInt32LE(kept.bytes().length - 8, 4);
  const orientation = (mayHaveExif && exif && readOrientation(exif)) || 1;
  return { bytes: kept.bytes(), ...size, orientation, isAnimated: pictures > 1 };
}

function readSize(type: string, chunk: Buffer): Pick<Container, 'width' | 'height'> | undefined {
  if (type === 'VP8X' && chunk.length >= 10) {
    return { width: chunk.readUIntLE(4, 3) + 1, height: chunk.readUIntLE(7, 3) + 1 };
  }
  if (type === 'VP8 ' && chunk.length >= 10) {
    return { width: chunk.readUInt16LE(6) & 0x3fff, height: chunk.readUInt16LE(8) & 0x3fff };
  }
  if (type === 'VP8L' && chunk.length >= 5) {
    const bits = chunk.readUInt32LE(1);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  return undefined;
}
