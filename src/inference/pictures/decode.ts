/**
 * Decodes a picture that may be hostile to plain sRGB pixels, upright and opaque. The only user of sharp's decoders.
 * Knows no model and no working size.
 */
import { createHash } from 'node:crypto';
import sharp, { type Sharp, type SharpOptions } from 'sharp';
import type { RgbImage } from '../image-to-video.ts';
import { type Container, cutShort } from './container.ts';
import type { Orientation } from './exif.ts';
import {
  decodedSize,
  defaultImageLimits,
  type ImageHeader,
  type ImageLimits,
  openImage,
  unreadable,
} from './header.ts';
import { withoutStrayBytes } from './jpeg.ts';
import { type MatrixProfile, readMatrixProfile, toSrgbBytes } from './matrix-profile.ts';

export interface DecodeLimits extends ImageLimits {
  readonly timeoutSeconds: number;
  /** What shows through transparent pixels, as "#ffffff". */
  readonly background: string;
}

const defaultLimits: DecodeLimits = { ...defaultImageLimits, timeoutSeconds: 20, background: '#ffffff' };

/** Changes whenever the code below may give other pixels for the same file. */
const decoderVersion = 6;

export type DecodedImage = ImageHeader & RgbImage;

// Every decoder that is not needed is attack surface; the buffer variants alone are reachable, and only five of them.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Tiff'].map((name) => `VipsForeignLoad${name}Buffer`),
});
sharp.cache(false); // Each picture is decoded once.
sharp.concurrency(1); // The cores belong to the ONNX sessions.

/**
 * Decodes JPEG, PNG, WebP, GIF or TIFF, told apart by content: oriented as its EXIF says, converted to 8-bit sRGB (CMYK, grey,
 * palette, 16 bits, embedded colour profiles), transparency laid on the background, the first frame of an animation.
 * @param source path of a file, or its bytes
 * Throws IMAGE_NOT_FOUND, IMAGE_UNSUPPORTED, IMAGE_UNREADABLE, IMAGE_TOO_LARGE or IMAGE_TOO_SMALL.
 */
export async function decodeImage(
  source: string | Uint8Array,
  limits: Partial<DecodeLimits> = {},
): Promise<DecodedImage> {
  const all = { ...defaultLimits, ...limits };
  const { format, container, header } = await openImage(source, all);
  const colour = readColour(all.background);
  try {
    const pixels = await wholePixels(container, all);
    if (container.otherEnd) {
      const { data } = await wholePixels({ ...container, bytes: container.otherEnd }, all);
      if (Buffer.compare(data, pixels.data) !== 0) throw cutShort();
    }
    const stored = flatten(pixels, colour);
    const whole = container.frame ? place(stored, container, container.frame, colour) : stored;
    return { ...(await turn(whole, container.orientation)), notes: header.notes };
  } catch (error) {
    throw unreadable(format, error);
  }
}

/** One to four channels of 8 bits: grey or sRGB, with or without alpha. */
type StoredPixels = RgbImage & { readonly channels: number };

/** A decoder refuses whatever it warns of, and one of its warnings is of no damage. */
async function wholePixels(container: Container, limits: DecodeLimits): Promise<StoredPixels> {
  try {
    return await storedPixels(container, limits);
  } catch (error) {
    const bytes = withoutStrayBytes(container.bytes, String(error));
    if (!bytes) throw error;
    return await storedPixels({ ...container, bytes }, limits);
  }
}

/** As they lie in the file, in sRGB; of a very large picture fewer of them. */
async function storedPixels(container: Container, limits: DecodeLimits): Promise<StoredPixels> {
  const options = { limitInputPixels: limits.maxPixels, failOn: 'warning' } as const;
  const wide = container.has16Bits ? await wideColours(container.bytes, options) : undefined;
  const pipeline = openWith(wide, container.bytes, options);
  const size = decodedSize(container, limits);
  if (size.width < container.width) pipeline.resize(size.width, size.height, { fit: 'fill' });
  const { data, info } = await pipeline
    .timeout({ seconds: limits.timeoutSeconds })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (!wide) return { width, height, channels, data };
  const samples = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  const bytes = wide.profile ? toSrgbBytes(samples, channels, wide.profile) : toBytes(samples);
  return { width, height, channels, data: bytes };
}

/** Colours of 16 bits, and the profile that they are in. */
interface WideColours {
  readonly space: 'rgb16' | 'grey16';
  /** Absent when the library converts them: it is exact for profiles with tables only. */
  readonly profile: MatrixProfile | undefined;
}

function openWith(wide: WideColours | undefined, bytes: Uint8Array, options: SharpOptions): Sharp {
  if (!wide) return sharp(bytes, options).toColourspace('srgb').raw({ depth: 'uchar' });
  const stored = sharp(bytes, { ...options, ignoreIcc: true })
    .toColourspace(wide.space)
    .raw({ depth: 'ushort' });
  // With 16 bits sharp converts to the P3 profile, and takes that for sRGB. As the profile of an output, sRGB is right.
  return wide.profile ? stored : stored.withIccProfile('srgb');
}

/** Undefined without an embedded profile that fits. */
async function wideColours(bytes: Uint8Array, options: SharpOptions): Promise<WideColours | undefined> {
  const { icc, channels } = await sharp(bytes, options).metadata();
  if (icc?.toString('latin1', 36, 40) !== 'acsp') return undefined;
  const isGrey = channels < 3;
  if (icc.toString('latin1', 16, 20) !== (isGrey ? 'GRAY' : 'RGB ')) return undefined;
  return { space: isGrey ? 'grey16' : 'rgb16', profile: readMatrixProfile(icc) };
}

/** 16-bit values, rounded to 8 bits. */
function toBytes(samples: Uint16Array): Uint8Array {
  const bytes = new Uint8Array(samples.length);
  for (let i = 0; i < samples.length; i += 1) bytes[i] = ((samples[i] ?? 0) + 128) / 257;
  return bytes;
}

type Colour = readonly [red: number, green: number, blue: number];

/** @param text as "#ffffff" */
function readColour(text: string): Colour {
  const [red = 0, green = 0, blue = 0] = Buffer.from(text.slice(1), 'hex');
  return [red, green, blue];
}

/** Lays the pixels on a colour, rounded to the nearest value. */
function flatten({ width, height, channels, data }: StoredPixels, colour: Colour): RgbImage {
  if (channels === 3) return { width, height, data };
  const rgb = new Uint8Array(width * height * 3);
  const hasAlpha = channels === 2 || channels === 4;
  const isGrey = channels < 3;
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += 3) {
    const alpha = hasAlpha ? (data[from + channels - 1] ?? 0) : 255;
    for (let c = 0; c < 3; c += 1) {
      const value = data[isGrey ? from : from + c] ?? 0;
      rgb[to + c] = (value * alpha + (colour[c] ?? 0) * (255 - alpha)) / 255 + 0.5;
    }
  }
  return { width, height, data: rgb };
}

/** Puts a frame where it belongs in the picture; around it is the background. */
function place(
  frame: RgbImage,
  { width, height }: Pick<Container, 'width' | 'height'>,
  { left, top }: { readonly left: number; readonly top: number },
  colour: Colour,
): RgbImage {
  const data = Buffer.alloc(width * height * 3, Buffer.from(colour));
  for (let row = 0; row < frame.height; row += 1) {
    const pixels = frame.data.subarray(row * frame.width * 3, (row + 1) * frame.width * 3);
    data.set(pixels, ((top + row) * width + left) * 3);
  }
  return { width, height, data };
}

async function turn({ width, height, data }: RgbImage, orientation: Orientation): Promise<RgbImage> {
  if (orientation === 1) return { width, height, data };
  const { flop, angle } = turns[orientation];
  const turned = await sharp(data, { raw: { width, height, channels: 3 } })
    .flop(flop)
    .rotate(angle)
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: turned.info.width, height: turned.info.height, data: turned.data };
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
