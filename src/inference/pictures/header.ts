/**
 * What a picture's header says, read without any decoder: takes milliseconds whatever the size, and whoever sent the file
 * cannot make it take longer. Knows no model and no working size.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { isKinoraError, KinoraError } from '../../errors.ts';
import { type Container, Malformed } from './container.ts';
import { type DecodableFormat, sniffFormat } from './format.ts';
import { readGif } from './gif.ts';
import { readJpeg } from './jpeg.ts';
import { readPng } from './png.ts';
import { readTiff } from './tiff.ts';
import { readWebp } from './webp.ts';

export interface ImageLimits {
  readonly maxBytes: number;
  /** Width × height. */
  readonly maxPixels: number;
  /** Pictures with more pixels are decoded at a half, a quarter or an eighth of their size. */
  readonly fullPixels: number;
  /** Of width and of height, each, in pixels. */
  readonly minSide: number;
}

export const defaultImageLimits: ImageLimits = {
  maxBytes: 64 * 2 ** 20,
  maxPixels: 200_000_000,
  fullPixels: 40_000_000,
  minSide: 8,
};

export interface ImageHeader {
  readonly width: number;
  readonly height: number;
  /** What people may want to know, in sentences: "The picture is animated; only its first frame is used." */
  readonly notes: readonly string[];
}

/**
 * Size and notes as decodeImage would give them. Refuses as decodeImage does, but sees no damage behind the header
 * unless the file is cut short.
 * @param source path of a file, or its bytes
 * Throws IMAGE_NOT_FOUND, IMAGE_UNSUPPORTED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE or IMAGE_TOO_SMALL.
 */
export async function readImageHeader(
  source: string | Uint8Array,
  limits: Partial<ImageLimits> = {},
): Promise<ImageHeader> {
  return (await openImage(source, { ...defaultImageLimits, ...limits })).header;
}

export interface OpenedImage {
  readonly format: DecodableFormat;
  readonly container: Container;
  readonly header: ImageHeader;
}

/** Of the stored picture, when it is decoded. */
export function decodedSize(
  { width, height }: Pick<Container, 'width' | 'height'>,
  { fullPixels }: Pick<ImageLimits, 'fullPixels'>,
): { readonly width: number; readonly height: number } {
  const factors = [1, 2, 4, 8];
  const factor = factors.find((by) => (width / by) * (height / by) <= fullPixels) ?? 8;
  return { width: Math.ceil(width / factor), height: Math.ceil(height / factor) };
}

const readers: Readonly<Record<DecodableFormat, (bytes: Buffer) => Container>> = {
  JPEG: readJpeg,
  PNG: readPng,
  WebP: readWebp,
  GIF: readGif,
  TIFF: readTiff,
};

/** A picture that may go on to a decoder, and what its header says. Throws as readImageHeader does. */
export async function openImage(source: string | Uint8Array, limits: ImageLimits): Promise<OpenedImage> {
  const bytes = typeof source === 'string' ? await readPicture(source, limits) : source;
  checkBytes(bytes.length, limits);
  const { format, name } = sniffFormat(bytes) ?? {};
  if (!format) throw new KinoraError('IMAGE_UNSUPPORTED', { kind: 'pictureFormat', name });
  let container: Container;
  try {
    container = readers[format](Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (error instanceof Malformed) throw unreadable(format, error);
    throw error;
  }
  checkSize(container, limits);
  const { orientation, isAnimated } = container;
  const { width, height } = decodedSize(container, limits);
  const size = orientation < 5 ? { width, height } : { width: height, height: width };
  const notes = isAnimated ? ['The picture is animated; only its first frame is used.'] : [];
  return { format, container, header: { ...size, notes } };
}

export function unreadable(format: string, cause: unknown): KinoraError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).split('\n')[0]?.slice(0, 160) ?? '';
  return new KinoraError('IMAGE_UNREADABLE', `The ${format} picture cannot be decoded (${reason}).`, {
    cause,
  });
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

function checkSize({ width, height, frame }: Container, limits: ImageLimits): void {
  const { minSide } = limits;
  // A part of a picture is not scaled down.
  const maxPixels = frame ? Math.min(limits.maxPixels, limits.fullPixels) : limits.maxPixels;
  const detail = { kind: 'pictureSize', width, height, minSide, maxPixels } as const;
  if (width * height > maxPixels) throw new KinoraError('IMAGE_TOO_LARGE', detail);
  if (Math.min(width, height) < minSide) throw new KinoraError('IMAGE_TOO_SMALL', detail);
}

/** Rounded to one decimal. */
function megabytes(bytes: number): number {
  return Number((bytes / 2 ** 20).toFixed(1));
}
