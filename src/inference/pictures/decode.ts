/**
 * Decodes a picture that may be hostile to plain sRGB pixels, upright and opaque. The only user of sharp's decoders.
 * Knows no model and no working size.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import sharp, { type Metadata } from 'sharp';
import { isKinoraError, KinoraError } from '../../errors.ts';
import type { RgbImage } from '../image-to-video.ts';
import { isAnimatedPng, isCutShort, sniffFormat } from './format.ts';

export interface ImageLimits {
  readonly maxBytes: number;
  /** Width × height. */
  readonly maxPixels: number;
  /** Of width and of height, each, in pixels. */
  readonly minSide: number;
  readonly timeoutSeconds: number;
  /** What shows through transparent pixels, as a CSS colour. */
  readonly background: string;
}

const defaultImageLimits: ImageLimits = {
  maxBytes: 64 * 2 ** 20,
  maxPixels: 40_000_000,
  minSide: 8,
  timeoutSeconds: 20,
  background: '#ffffff',
};

/** Changes whenever the code below may give other pixels for the same file. */
const decoderVersion = 1;

export interface ImageHeader {
  readonly width: number;
  readonly height: number;
  /** What people may want to know, in sentences: "The picture is animated; only its first frame is used." */
  readonly notes: readonly string[];
}

export type DecodedImage = ImageHeader & RgbImage;

// Every decoder that is not needed is attack surface; the buffer variants alone are reachable, and only three of them.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['VipsForeignLoadJpegBuffer', 'VipsForeignLoadPngBuffer', 'VipsForeignLoadWebpBuffer'],
});
sharp.cache(false); // Each picture is decoded once.
sharp.concurrency(1); // The cores belong to the ONNX sessions.

/**
 * Decodes JPEG, PNG or WebP, told apart by content: oriented as its EXIF says, converted to 8-bit sRGB (CMYK, grey,
 * palette, 16 bits, embedded colour profiles), transparency laid on the background, the first frame of an animation.
 * @param source path of a file, or its bytes
 * Throws IMAGE_NOT_FOUND, IMAGE_UNSUPPORTED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE or IMAGE_TOO_SMALL.
 */
export async function decodeImage(
  source: string | Uint8Array,
  limits: Partial<ImageLimits> = {},
): Promise<DecodedImage> {
  const { maxPixels, background, timeoutSeconds, ...rest } = { ...defaultImageLimits, ...limits };
  const { bytes, format, notes } = await readHeader(source, { ...rest, maxPixels });
  try {
    const { data, info } = await sharp(bytes, { limitInputPixels: maxPixels, failOn: 'warning' })
      .autoOrient()
      .flatten({ background })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .timeout({ seconds: timeoutSeconds })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return { width, height, data: toThreeChannels(data, channels), notes };
  } catch (error) {
    throw unreadable(format, error);
  }
}

/**
 * Size and notes as decodeImage would give them, from the header alone: takes milliseconds whatever the size. Refuses as
 * decodeImage does, but sees no damage behind the header unless the file is cut short.
 */
export async function readImageHeader(
  source: string | Uint8Array,
  limits: Partial<ImageLimits> = {},
): Promise<ImageHeader> {
  const { size, notes } = await readHeader(source, { ...defaultImageLimits, ...limits });
  return { ...size, notes };
}

/**
 * Names everything but the file that decodeImage's answer depends on: equal names and equal bytes give equal pixels,
 * and what was decoded once would not be refused now.
 */
export function decoderName(limits: Partial<ImageLimits> = {}): string {
  const { versions } = sharp; // libvips and every codec in it
  const { platform, arch } = process;
  return JSON.stringify([decoderVersion, versions, platform, arch, { ...defaultImageLimits, ...limits }]);
}

type HeaderLimits = Pick<ImageLimits, 'maxBytes' | 'maxPixels' | 'minSide'>;

interface CheckedFile {
  readonly bytes: Uint8Array;
  readonly format: string;
  /** Of the upright picture. */
  readonly size: Metadata['autoOrient'];
  readonly notes: readonly string[];
}

/** Bytes of a picture that may go on to a decoder, and what its headers say. Throws as decodeImage does. */
async function readHeader(source: string | Uint8Array, limits: HeaderLimits): Promise<CheckedFile> {
  const bytes = typeof source === 'string' ? await readPicture(source, limits) : source;
  checkBytes(bytes.length, limits);
  const format = sniffFormat(bytes);
  if (!format?.isDecodable) {
    throw new KinoraError('IMAGE_UNSUPPORTED', { kind: 'pictureFormat', name: format?.name });
  }
  let header: Metadata;
  try {
    // Headers alone, so that the size can be refused with a sentence before a pixel is decoded.
    header = await sharp(bytes, { limitInputPixels: false, failOn: 'warning' }).metadata();
  } catch (error) {
    throw unreadable(format.name, error);
  }
  checkSize(header, limits);
  if (isCutShort(bytes, format.name)) throw unreadable(format.name, 'the file ends before its pixels do');
  const isAnimated = (header.pages ?? 1) > 1 || (format.name === 'PNG' && isAnimatedPng(bytes));
  const notes = isAnimated ? ['The picture is animated; only its first frame is used.'] : [];
  return { bytes, format: format.name, size: header.autoOrient, notes };
}

function unreadable(format: string, cause: unknown): KinoraError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0]?.slice(0, 160) ?? '';
  return new KinoraError('IMAGE_UNREADABLE', `The ${format} picture cannot be decoded (${reason}).`, {
    cause,
  });
}

/** Names the pixels: SHA-256, in hex, of size and decoded, oriented pixels. Equal for files that look the same. */
export function imageKey({ width, height, data }: RgbImage): string {
  return createHash('sha256').update(`${width}x${height}\n`).update(data).digest('hex');
}

/**
 * The bytes of a file that may be a picture.
 * Throws IMAGE_NOT_FOUND, IMAGE_TOO_LARGE, or IMAGE_UNREADABLE when it is empty.
 */
export async function readPicture(
  path: string,
  limits: Pick<ImageLimits, 'maxBytes'> = defaultImageLimits,
): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    // Checked before it is opened: opening a pipe would wait for its writer.
    const stats = await stat(path);
    if (!stats.isFile()) {
      const what = stats.isDirectory() ? 'a folder' : 'not a regular file';
      throw new KinoraError('IMAGE_NOT_FOUND', `"${path}" is ${what}; expected a picture.`);
    }
    checkBytes(stats.size, limits);
    file = await open(path);
    return await file.readFile();
  } catch (error) {
    if (isKinoraError(error)) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: `There is no picture at "${path}".`,
      ENOTDIR: `There is no picture at "${path}": a part of the path is not a folder.`,
      EACCES: `The picture "${path}" may not be read: permission denied.`,
      EPERM: `The picture "${path}" may not be read: permission denied.`,
    };
    const message =
      reasons[String(code)] ?? `The picture "${path.slice(0, 200)}" cannot be opened (${code}).`;
    throw new KinoraError('IMAGE_NOT_FOUND', message, { cause: error });
  } finally {
    await file?.close();
  }
}

function checkBytes(bytes: number, { maxBytes }: Pick<ImageLimits, 'maxBytes'>): void {
  if (bytes === 0) throw new KinoraError('IMAGE_UNREADABLE', 'The picture is an empty file.');
  if (bytes > maxBytes) {
    throw new KinoraError('IMAGE_TOO_LARGE', {
      kind: 'pictureFile',
      megabytes: megabytes(bytes),
      maxMegabytes: megabytes(maxBytes),
    });
  }
}

function checkSize({ width, height }: Metadata, { minSide, maxPixels }: HeaderLimits): void {
  const detail = { kind: 'pictureSize', width, height, minSide, maxPixels } as const;
  if (width * height > maxPixels) throw new KinoraError('IMAGE_TOO_LARGE', detail);
  if (Math.min(width, height) < minSide) throw new KinoraError('IMAGE_TOO_SMALL', detail);
}

/** Rounded to one decimal. */
function megabytes(bytes: number): number {
  return Number((bytes / 2 ** 20).toFixed(1));
}

/** Grey pictures come out of libvips with one channel. */
function toThreeChannels(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return data;
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i += 1) {
    const value = data[i * channels] ?? 0;
    rgb.fill(value, i * 3, i * 3 + 3);
  }
  return rgb;
}
