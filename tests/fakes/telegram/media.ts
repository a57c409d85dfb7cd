/** Pictures and clips inside messages: photos are recompressed in several sizes, thumbnails are checked. */
import sharp from 'sharp';
import type { Document, PhotoSize, Video } from 'telegraf/types';
import { type FileStore, fileFields, type StoredFile } from './files.ts';

export interface Picture {
  readonly file: StoredFile;
  readonly width: number;
  readonly height: number;
}

export interface Media {
  readonly kind: 'photo' | 'video' | 'document' | 'animation';
  readonly file: StoredFile;
  /** Of a photo, smallest first; `file` is the largest. */
  readonly sizes: readonly Picture[];
  /** 0 when nobody said: Telegram then shows a square of 0:00. */
  readonly width: number;
  readonly height: number;
  /** Whole seconds. */
  readonly duration: number;
  readonly supportsStreaming: boolean;
  readonly spoiler: boolean;
  readonly thumbnail: Picture | undefined;
}

const boxes = [90, 320, 800, 1280];
const maxThumbnailBytes = 200 * 1024;
const maxThumbnailSide = 320;

/**
 * What Telegram makes of a photo: upright JPEGs without EXIF, the longest side at most 1280 pixels.
 * @throws when it is no picture; real clients refuse it too
 */
export async function photoFrom(files: FileStore, bytes: Uint8Array, spoiler = false): Promise<Media> {
  const upright = await sharp(bytes)
    .autoOrient()
    .flatten({ background: '#ffffff' })
    .toBuffer({ resolveWithObject: true });
  const { width, height } = upright.info;
  const longest = Math.max(width, height);
  const wanted = [...boxes.filter((box) => box < longest), Math.min(longest, 1280)];
  const sizes: Picture[] = [];
  for (const box of new Set(wanted)) {
    const jpeg = sharp(upright.data).resize({ width: box, height: box, fit: 'inside' }).jpeg({ quality: 87 });
    const { data, info } = await jpeg.toBuffer({ resolveWithObject: true });
    const file = files.store('photo', new Uint8Array(data), { mimeType: 'image/jpeg' });
    sizes.push({ file, width: info.width, height: info.height });
  }
  const largest = sizes.at(-1);
  if (!largest) throw new Error('a picture has at least one size');
  return { kind: 'photo', ...largest, sizes, ...silent, spoiler };
}

export const silent = { duration: 0, supportsStreaming: false, thumbnail: undefined };

/** Telegram drops a thumbnail that breaks its rules without a word. */
export async function thumbnailFrom(files: FileStore, bytes: Uint8Array): Promise<Picture | undefined> {
  const { format, width, height } = await sharp(bytes)
    .metadata()
    .catch(() => ({ format: '', width: 0, height: 0 }));
  const fits =
    bytes.byteLength < maxThumbnailBytes && width <= maxThumbnailSide && height <= maxThumbnailSide;
  if (format !== 'jpeg' || !fits) return undefined;
  return { file: files.store('thumbnail', bytes, { mimeType: 'image/jpeg' }), width, height };
}

/** Whether it begins like an MP4; other clips become documents. */
export function isMp4(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(4, 8)).toString('latin1') === 'ftyp';
}

/** The fields of a message that hold the media. */
export function mediaFields({ kind, file, sizes, spoiler, ...media }: Media): object {
  const hidden = spoiler ? { has_media_spoiler: true } : {};
  const thumbnail = media.thumbnail ? { thumbnail: picture(media.thumbnail) } : {};
  const named = {
    ...fileFields(file),
    ...thumbnail,
    ...(file.name !== undefined && { file_name: file.name }),
    mime_type: file.mimeType,
  } satisfies Document;
  if (kind === 'photo') return { photo: sizes.map(picture), ...hidden };
  if (kind === 'document') return { document: named };
  const { width, height, duration } = media;
  const clip = { ...named, width: width || 320, height: height || 320, duration } satisfies Video;
  return kind === 'video' ? { video: clip, ...hidden } : { animation: clip, document: named, ...hidden };
}

function picture({ file, width, height }: Picture) {
  return { ...fileFields(file), width, height } satisfies PhotoSize;
}
