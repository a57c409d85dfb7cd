/**
 * The one thing that Kinora wants from EXIF: how the picture is turned. EXIF never reaches a decoder, whose library
 * follows every pointer in it, also in circles.
 */

/** EXIF's values: 1 is upright, 2 to 8 are its turned and mirrored forms; from 5 on width and height change places. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

const orientations: readonly Orientation[] = [1, 2, 3, 4, 5, 6, 7, 8];
const orientationTag = 0x0112;
const typeShort = 3;
const typeLong = 4;
/** Cameras write some dozens. */
const maxEntries = 1000;
const prefix = 'Exif\0\0';

/**
 * The orientation that the first directory of an EXIF block states, or undefined when it states none. Looks at no other
 * directory and follows no pointer but the first, so it ends after at most `maxEntries` steps.
 * @param block TIFF structure, with or without the prefix "Exif\0\0"
 */
export function readOrientation(block: Buffer): Orientation | undefined {
  const tiff = block.toString('latin1', 0, prefix.length) === prefix ? block.subarray(prefix.length) : block;
  if (tiff.length < 8) return undefined;
  const mark = tiff.toString('latin1', 0, 4);
  if (mark !== 'II*\0' && mark !== 'MM\0*') return undefined;
  const isLittle = mark === 'II*\0';
  const u16 = (at: number): number => (isLittle ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at));
  const u32 = (at: number): number => (isLittle ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at));
  const directory = u32(4);
  if (directory + 2 > tiff.length) return undefined;
  const entries = Math.min(u16(directory), maxEntries);
  for (let at = directory + 2, n = 0; n < entries && at + 12 <= tiff.length; at += 12, n += 1) {
    if (u16(at) !== orientationTag) continue;
    const type = u16(at + 2);
    const value = type === typeShort ? u16(at + 8) : type === typeLong ? u32(at + 8) : 0;
    return orientationOf(value);
  }
  return undefined;
}

/** Undefined for a value that is none. */
export function orientationOf(value: number | undefined): Orientation | undefined {
  return orientations.find((orientation) => orientation === value);
}
