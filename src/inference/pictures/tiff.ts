/** TIFF: the first picture of a file (TIFF 6.0). */
import { type Container, cutShort, Malformed } from './container.ts';
import { orientationOf } from './exif.ts';

const maxEntries = 1000;
const entryLength = 12;
const tags = {
  width: 256,
  height: 257,
  bits: 258,
  compression: 259,
  colours: 262,
  orientation: 274,
  sampleFormat: 339,
  exif: 34_665,
  gps: 34_853,
} as const;
/** White or black is zero, RGB, palette, inks. */
const knownColours: readonly number[] = [0, 1, 2, 3, 5];
/** The decoder turns it into RGB within JPEG alone. */
const yCbCr = 6;
const jpeg = 7;

/** Throws Malformed. */
export function readTiff(source: Buffer): Container {
  const bytes = Buffer.from(source);
  const isLittle = bytes[0] === 0x49;
  const u16 = (at: number): number => (isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  const u32 = (at: number): number => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const directory = bytes.length < 8 ? bytes.length : u32(4);
  if (directory < 8 || directory + 2 > bytes.length) throw cutShort();
  const count = u16(directory);
  const end = directory + 2 + count * entryLength;
  if (count > maxEntries) throw new Malformed('it has too many parts');
  if (end + 4 > bytes.length) throw cutShort();
  const found = new Map<number, number>();
  for (let at = directory + 2; at < end; at += entryLength) {
    const [tag, type, length] = [u16(at), u16(at + 2), u32(at + 4)];
    // Values of every sample are alike; where they do not fit, the first one lies elsewhere.
    const size = type === 3 ? 2 : 4;
    const valueAt = length * size > 4 ? u32(at + 8) : at + 8;
    if (valueAt + size > bytes.length) continue;
    if (!found.has(tag)) found.set(tag, size === 2 ? u16(valueAt) : u32(valueAt));
    // Turned by us, and nothing else is followed: no EXIF, and no further picture.
    if (tag === tags.orientation) bytes.fill(0, at + 8, at + 12);
    if (tag === tags.orientation) bytes[isLittle ? at + 8 : at + (size === 2 ? 9 : 11)] = 1;
    if (tag === tags.exif || tag === tags.gps) bytes.fill(0, at + 8, at + 12);
  }
  bytes.fill(0, end, end + 4);
  const width = found.get(tags.width) ?? 0;
  const height = found.get(tags.height) ?? 0;
  const bits = found.get(tags.bits) ?? 1;
  if (width === 0 || height === 0) throw new Malformed('its size is missing');
  const colours = found.get(tags.colours) ?? 1;
  const isKnown =
    knownColours.includes(colours) || (colours === yCbCr && found.get(tags.compression) === jpeg);
  if (!isKnown || bits > 16 || (found.get(tags.sampleFormat) ?? 1) !== 1) {
    throw new Malformed('its colours are of a kind that is not known here');
  }
  const orientation = orientationOf(found.get(tags.orientation)) ?? 1;
  return { bytes, width, height, orientation, isAnimated: false, has16Bits: bits === 16 };
}
