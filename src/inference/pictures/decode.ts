/**
 * Decodes a picture that may be hostile to plain sRGB pixels, upright and opaque. The only user of sharp's decoders.
 * Knows no model and no working size.
 */
import { createHash } from 'node:crypto';
import sharp from 'sharp';
import type { RgbImage } from '../image-to-video.ts';
import type { Orientation } from './exif.ts';
import { defaultImageLimits, type ImageHeader, type ImageLimits, openImage, unreadable } from './header.ts';

export interface DecodeLimits extends ImageLimits {
  readonly timeoutSeconds: number;
  /** What shows through transparent pixels, as a CSS colour. */
  readonly background: string;
}

const defaultLimits: DecodeLimits = { ...defaultImageLimits, timeoutSeconds: 20, background: '#ffffff' };

/** Changes whenever the code below may give other pixels for the same file. */
const decoderVersion = 2;

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
  limits: Partial<DecodeLimits> = {},
): Promise<DecodedImage> {
  const { background, timeoutSeconds, ...ofHeader } = { ...defaultLimits, ...limits };
  const { format, container, header } = await openImage(source, ofHeader);
  const { flop, angle } = turns[container.orientation];
  try {
    const { data, info } = await sharp(container.bytes, {
      limitInputPixels: ofHeader.maxPixels,
      failOn: 'warning',
    })
      .flop(flop)
      .rotate(angle)
      .flatten({ background })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .timeout({ seconds: timeoutSeconds })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return { width, height, data: toThreeChannels(data, channels), notes: header.notes };
  } catch (error) {
    throw unreadable(format, error);
  }
}

/** What turns a picture upright: mirrored left to right first, then turned clockwise. */
const turns: Readonly<Record<Orientation, { readonly flop: boolean; readonly angle: number }>> = {
  1: { flop: false, angle: 0 },
  2: { flop: true, angle: 0 },
  3: { flop: false, angle: 180 },
  4: { flop: true, angle: 180 },
  5: { flop: true, angle: 270 },
  6: { flop: false, angle: 90 },
  7: { flop: true, angle: 90 },
  8: { flop: false, angle: 270 },
};

/**
 * Names everything but the file that decodeImage's answer depends on: equal names and equal bytes give equal pixels,
 * and what was decoded once would not be refused now.
 */
export function decoderName(limits: Partial<DecodeLimits> = {}): string {
  const { versions } = sharp; // libvips and every codec in it
  const { platform, arch } = process;
  return JSON.stringify([decoderVersion, versions, platform, arch, { ...defaultLimits, ...limits }]);
}

/** Names the pixels: SHA-256, in hex, of size and decoded, oriented pixels. Equal for files that look the same. */
export function imageKey({ width, height, data }: RgbImage): string {
  return createHash('sha256').update(`${width}x${height}\n`).update(data).digest('hex');
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
