/** PNG: chunks (Portable Network Graphics, third edition). */
import { crc32, deflateSync } from 'node:zlib';
import {
  codedPrimaries,
  codedTransfers,
  gamma,
  iccProfile,
  type Primaries,
  srgbPrimaries,
  srgbTransfer,
  type Transfer,
} from './colour-profile.ts';
import { type Container, cutShort, Malformed, maxParts } from './container.ts';
import { type Orientation, readOrientation } from './exif.ts';

/** What is left out may be text, EXIF, thumbnails, frames of an animation, or colours in words that decoders ignore. */
const needed: readonly string[] = ['PLTE', 'tRNS', 'iCCP', 'sRGB', 'IDAT', 'IEND'];
const signatureLength = 8;

/** Throws Malformed. */
export function readPng(source: Buffer): Container {
  const chunks = readChunks(source);
  const [header] = chunks;
  if (header?.type !== 'IHDR' || header.data.length !== 13) throw new Malformed('its size is missing');
  const pixelsAt = chunks.findIndex(({ type }) => type === 'IDAT');
  if (pixelsAt < 0) throw cutShort();
  const before = chunks.slice(0, pixelsAt);
  const isAnimated = before.some(({ type }) => type === 'acTL');
  const isHidden = isAnimated && !before.some(({ type }) => type === 'fcTL');
  const frame = isHidden ? firstFrame(chunks.slice(pixelsAt), header) : undefined;
  const stated = statedColours(before, isGrey(header));
  const kept = [source.subarray(0, signatureLength), frame?.header ?? header.bytes];
  if (stated && stated !== 'srgb')
    kept.push(chunk('iCCP', Buffer.concat([Buffer.from('stated\0\0', 'latin1'), deflateSync(stated)])));
  for (const { type, bytes } of chunks) {
    if (!needed.includes(type)) continue;
    if (frame && type === 'IDAT') kept.push(...frame.pixels.splice(0));
    else if (!(stated && (type === 'iCCP' || type === 'sRGB'))) kept.push(bytes);
  }
  return {
    bytes: Buffer.concat(kept),
    width: header.data.readUInt32BE(0),
    height: header.data.readUInt32BE(4),
    orientation: statedOrientation(chunks) ?? 1,
    isAnimated,
    has16Bits: header.data[8] === 16,
    frame: frame?.place,
  };
}

interface Chunk {
  readonly type: string;
  /** All of it, with its length, type and checksum. */
  readonly bytes: Buffer;
  readonly data: Buffer;
}

/** Chunks until `IEND` or the end of the file. */
function readChunks(source: Buffer): Chunk[] {
  const chunks: Chunk[] = [];
  for (let start = signatureLength, type = ''; type !== 'IEND' && start + 8 <= source.length; ) {
    type = source.toString('latin1', start + 4, start + 8);
    const end = start + 12 + source.readUInt32BE(start);
    if (end > source.length) {
      if (type === 'IDAT') throw cutShort();
      break;
    }
    chunks.push({ type, bytes: source.subarray(start, end), data: source.subarray(start + 8, end - 4) });
    if (chunks.length > maxParts) throw new Malformed('it has too many parts');
    start = end;
  }
  return chunks;
}

function chunk(type: string, data: Buffer): Buffer {
  const bytes = Buffer.alloc(data.length + 12);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  data.copy(bytes, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, data.length + 8)), data.length + 8);
  return bytes;
}

/** Some programs write it behind the pixels. */
function statedOrientation(chunks: readonly Chunk[]): Orientation | undefined {
  const exif = chunks.find(({ type }) => type === 'eXIf');
  return exif && readOrientation(exif.data);
}

/**
 * The first frame of an animation whose default image is none of its frames: decoders give the default image. Undefined
 * when there is no frame that lies in the picture.
 */
function firstFrame(chunks: readonly Chunk[], header: Chunk) {
  const control = chunks.findIndex(({ type }) => type === 'fcTL');
  const fields = chunks[control]?.data;
  if (!fields || fields.length < 26) return undefined;
  const [width, height, left, top] = [4, 8, 12, 16].map((at) => fields.readUInt32BE(at)) as [
    number,
    number,
    number,
    number, // four offsets give four numbers
  ];
  const fits = left + width <= header.data.readUInt32BE(0) && top + height <= header.data.readUInt32BE(4);
  const pixels: Buffer[] = [];
  for (const { type, data } of chunks.slice(control + 1)) {
    if (type === 'fcTL') break;
    const sequenceLength = 4;
    if (type === 'fdAT') pixels.push(chunk('IDAT', data.subarray(sequenceLength)));
  }
  if (!fits || width === 0 || height === 0 || pixels.length === 0) return undefined;
  const sized = Buffer.from(header.data);
  sized.writeUInt32BE(width, 0);
  sized.writeUInt32BE(height, 4);
  return { header: chunk('IHDR', sized), pixels, place: { left, top } };
}

function isGrey({ data }: Chunk): boolean {
  return data[9] === 0 || data[9] === 4;
}

/**
 * The colours that `cICP`, or `gAMA` and `cHRM`, state, as a profile, or that `cICP` says they are those of sRGB.
 * Undefined where something stronger states them, or nothing states others than sRGB's.
 */
function statedColours(before: readonly Chunk[], isGreyPicture: boolean): Buffer | 'srgb' | undefined {
  const find = (type: string, length: number): Buffer | undefined => {
    const data = before.find((candidate) => candidate.type === type)?.data;
    return data && data.length >= length ? data : undefined;
  };
  const coded = find('cICP', 4);
  const [primariesCode = 0, transferCode = 0, matrix, isFull] = coded ?? [];
  const primaries = codedPrimaries[primariesCode];
  const transfer = codedTransfers[transferCode];
  if (coded && primaries && transfer && matrix === 0) {
    if (primaries === srgbPrimaries && transfer === srgbTransfer && isFull) return 'srgb';
    return iccProfile(isFull ? transfer : fromVideoRange(transfer), isGreyPicture ? undefined : primaries);
  }
  if (find('iCCP', 0) || find('sRGB', 0)) return undefined;
  return chromaticities(
    find('gAMA', 4)?.readUInt32BE(0),
    isGreyPicture ? undefined : find('cHRM', 32),
    isGreyPicture,
  );
}

/** `gAMA` and `cHRM` are whole numbers of these. */
const unit = 100_000;
/** libpng's: what is closer to sRGB than this is sRGB. */
const gammaThreshold = 0.05;
const pointThreshold = 0.01;

function chromaticities(
  stated: number | undefined,
  points: Buffer | undefined,
  isGreyPicture: boolean,
): Buffer | undefined {
  const exponent = stated && unit / stated;
  const hasGamma = exponent !== undefined && exponent >= 0.1 && exponent <= 10;
  const isOther = hasGamma && Math.abs(exponent / 2.2 - 1) > gammaThreshold;
  const primaries = points && readPrimaries(points);
  if (!isOther && !primaries) return undefined;
  const transfer = hasGamma ? gamma(exponent) : srgbTransfer;
  return iccProfile(transfer, isGreyPicture ? undefined : (primaries ?? srgbPrimaries));
}

/** Undefined when they are sRGB's, or span no triangle. */
function readPrimaries(data: Buffer): Primaries | undefined {
  const [wx, wy, rx, ry, gx, gy, bx, by] = Array.from(
    { length: 8 },
    (_, n) => data.readUInt32BE(n * 4) / unit,
  ) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number, // as many as asked for
  ];
  const primaries: Primaries = [
    [rx, ry],
    [gx, gy],
    [bx, by],
    [wx, wy],
  ];
  const isSane = primaries.every(([x, y]) => x >= 0 && y > 0.001 && x + y <= 1.001);
  const area = Math.abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry));
  if (!isSane || area < 0.01) return undefined;
  const isOther = primaries.some(([x, y], n) => {
    const [sx, sy] = srgbPrimaries[n] ?? [x, y];
    return Math.abs(x - sx) > pointThreshold || Math.abs(y - sy) > pointThreshold;
  });
  return isOther ? primaries : undefined;
}

function fromVideoRange(transfer: Transfer): Transfer {
  return (value) => transfer(Math.min(Math.max((value * 255 - 16) / 219, 0), 1));
}
