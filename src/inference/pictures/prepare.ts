/**
 * From a decoded picture to what the two image branches of I2VGen-XL take: the image encoder's normalised square and
 * the VAE's picture at working size. Knows no ONNX session and no file.
 */

import type { RgbImage } from '../image-to-video.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { bicubic, box, resizePillow } from './resize.ts';

export interface PrepareImageOptions {
  /** Working size of the clip. */
  readonly width: number;
  readonly height: number;
  /** Side of the square that the image encoder takes. */
  readonly encoderSize: number;
  /** Of each channel, for values in [0, 1]. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

export interface PreparedImage {
  /** (1, 3, encoderSize, encoderSize), normalised by mean and std. */
  readonly pixelValues: FloatTensor;
  /** (1, 3, height, width) in [-1, 1]. */
  readonly vaeSample: FloatTensor;
}

/** Both inputs of one picture, of any size. Parts that do not fit are cut off evenly on both sides. */
export function prepareImage(image: RgbImage, options: PrepareImageOptions): PreparedImage {
  const { width, height, encoderSize } = options;
  const nearer = reduceForBoth(image, Math.max(width, encoderSize), Math.max(height, encoderSize));
  return {
    pixelValues: toPixelValues(resizeToCover(nearer, encoderSize, encoderSize), options),
    vaeSample: toVaeSample(resizeToCover(nearer, width, height)),
  };
}

export function toPixelValues(
  square: RgbImage,
  { mean, std }: Pick<PrepareImageOptions, 'mean' | 'std'>,
): FloatTensor {
  return toTensor(square, (value, channel) => {
    // In [0, 1] first, each step in float32, as numpy does it.
    const shifted = Math.fround(Math.fround(value / 255) - Math.fround(mean[channel] as number));
    return shifted / Math.fround(std[channel] as number);
  });
}

export function toVaeSample(picture: RgbImage): FloatTensor {
  return toTensor(picture, (value) => 2 * Math.fround(value / 255) - 1);
}

/** A picture this many times larger than wanted is averaged down first; a smaller factor would show (Pillow: reducing_gap). */
const reducingGap = 3;

/** Averages whole blocks of pixels of a much too large picture, once for both branches: a fraction of the time. */
function reduceForBoth(image: RgbImage, width: number, height: number): RgbImage {
  const factor = Math.floor(Math.min(image.width / width, image.height / height) / reducingGap);
  if (factor < 2) return image;
  const columns = Math.floor(image.width / factor);
  const rows = Math.floor(image.height / factor);
  const left = Math.floor((image.width - columns * factor) / 2);
  const top = Math.floor((image.height - rows * factor) / 2);
  const area = { left, top, right: left + columns * factor, bottom: top + rows * factor };
  return resizePillow(image, columns, rows, box, area);
}

/**
 * Centre crop of the picture scaled to cover width × height, in one step: bicubic over the exact (fractional) part of
 * the picture that has the wanted aspect ratio, as Pillow's `ImageOps.fit` does it. No rounding of sizes, hence no
 * border; smooth where it enlarges, unlike the reference's box filter, and with less ringing than Lanczos.
 */
export function resizeToCover(image: RgbImage, width: number, height: number): RgbImage {
  const scale = Math.min(image.width / width, image.height / height);
  // Exactly the picture's side where it limits the crop: products of rounded quotients may lie a hair outside.
  const boxWidth = Math.min(width * scale, image.width);
  const boxHeight = Math.min(height * scale, image.height);
  const left = (image.width - boxWidth) / 2;
  const top = (image.height - boxHeight) / 2;
  return resizePillow(image, width, height, bicubic, {
    left,
    top,
    right: left + boxWidth,
    bottom: top + boxHeight,
  });
}

/** The same of a picture of any size, with those that are much too large averaged down first. */
export function cropTo(image: RgbImage, width: number, height: number): RgbImage {
  return resizeToCover(reduceForBoth(image, width, height), width, height);
}

/** (1, 3, H, W); `map` sees each of the 256 values once per channel. */
function toTensor(
  { width, height, data }: RgbImage,
  map: (value: number, channel: number) => number,
): FloatTensor {
  const plane = width * height;
  const tensor = new Float32Array(plane * 3);
  for (let channel = 0; channel < 3; channel += 1) {
    const table = Float32Array.from({ length: 256 }, (_, value) => map(value, channel));
    for (let i = 0; i < plane; i += 1) {
      tensor[channel * plane + i] = table[data[i * 3 + channel] as number] as number;
    }
  }
  return { data: tensor, dims: [1, 3, height, width] };
}
