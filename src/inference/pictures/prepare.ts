/**
 * From a decoded picture to what the two image branches of I2VGen-XL take: the image encoder's normalised square and
 * the VAE's picture at working size. Knows no ONNX session and no file.
 */

import type { RgbImage } from '../image-to-video.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { resizePillow } from './resize.ts';

/**
 * `compat` repeats the reference, which rounds the scaled size down and can leave a black last column or row.
 * `fixed` always fills the frame.
 */
export type CropMode = 'fixed' | 'compat';

export interface PrepareImageOptions {
  /** Working size of the clip. */
  readonly width: number;
  readonly height: number;
  /** Side of the square that the image encoder takes. */
  readonly encoderSize: number;
  /** Of each channel, for values in [0, 1]. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  readonly cropMode: CropMode;
}

export interface PreparedImage {
  /** (1, 3, encoderSize, encoderSize), normalised by mean and std. */
  readonly pixelValues: FloatTensor;
  /** (1, 3, height, width) in [-1, 1]. */
  readonly vaeSample: FloatTensor;
}

/** Both branches of one picture. The picture may have any size; what does not fit is cut off evenly on both sides. */
export function prepareImage(image: RgbImage, options: PrepareImageOptions): PreparedImage {
  const { pixelValues, vaeSample } = imageBranches(image, options);
  return { pixelValues: pixelValues(), vaeSample: vaeSample() };
}

/** The same, each branch when it is asked for: one can be computed while a session runs on the other. */
export function imageBranches(
  image: RgbImage,
  options: PrepareImageOptions,
): { readonly [Branch in keyof PreparedImage]: () => PreparedImage[Branch] } {
  const { width, height, encoderSize, mean, std, cropMode } = options;
  const isCompat = cropMode === 'compat';
  const nearer = isCompat
    ? image
    : reduceForBoth(image, Math.max(width, encoderSize), Math.max(height, encoderSize));
  return {
    pixelValues: () => {
      const square = isCompat
        ? // (width, width), as the reference does: not (width, height)
          resizePillow(centerCropWide(image, width, width), encoderSize, encoderSize, 'bilinear')
        : resizeToCover(nearer, encoderSize, encoderSize);
      return toTensor(square, (value, channel) => {
        // In [0, 1] first, each step in float32, as numpy does it.
        const shifted = Math.fround(Math.fround(value / 255) - Math.fround(mean[channel] as number));
        return shifted / Math.fround(std[channel] as number);
      });
    },
    vaeSample: () => {
      const picture = isCompat ? centerCropWide(image, width, height) : resizeToCover(nearer, width, height);
      return toTensor(picture, (value) => 2 * Math.fround(value / 255) - 1);
    },
  };
}

/** A picture this many times larger than wanted is averaged down to it first; less shows (Pillow: reducing_gap). */
const reducingGap = 3;

/** Averages whole blocks of pixels of a much too large picture, once for both branches: a fraction of the time. */
function reduceForBoth(image: RgbImage, width: number, height: number): RgbImage {
  const factor = Math.floor(Math.min(image.width / width, image.height / height) / reducingGap);
  if (factor < 2) return image;
  const columns = Math.floor(image.width / factor);
  const rows = Math.floor(image.height / factor);
  const left = Math.floor((image.width - columns * factor) / 2);
  const top = Math.floor((image.height - rows * factor) / 2);
  const box = { left, top, right: left + columns * factor, bottom: top + rows * factor };
  return resizePillow(image, columns, rows, 'box', box);
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
  return resizePillow(image, width, height, 'bicubic', {
    left,
    top,
    right: left + boxWidth,
    bottom: top + boxHeight,
  });
}

/** diffusers' `_center_crop_wide`: pixels that the crop takes from outside the picture are black. */
export function centerCropWide(image: RgbImage, width: number, height: number): RgbImage {
  const scale = Math.min(image.width / width, image.height / height);
  const scaledWidth = Math.max(floorDivide(image.width, scale), 1);
  const scaledHeight = Math.max(floorDivide(image.height, scale), 1);
  const scaled = resizePillow(image, scaledWidth, scaledHeight, 'box');
  const left = Math.floor((scaledWidth - width) / 2); // -1 when rounding left too little
  const top = Math.floor((scaledHeight - height) / 2);
  const data = new Uint8Array(width * height * 3);
  const firstColumn = Math.max(left, 0);
  const lastColumn = Math.min(left + width, scaledWidth);
  for (let y = Math.max(top, 0); y < Math.min(top + height, scaledHeight); y += 1) {
    const row = y * scaledWidth;
    const pixels = scaled.data.subarray((row + firstColumn) * 3, (row + lastColumn) * 3);
    data.set(pixels, ((y - top) * width + firstColumn - left) * 3);
  }
  return { width, height, data };
}

/** Python's `a // b` of positive floats: the remainder is exact, so that no rounded quotient is rounded down twice. */
function floorDivide(a: number, b: number): number {
  const quotient = (a - (a % b)) / b;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
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
