/**
 * Resampling of 8-bit RGB pictures, bit-exact to Pillow's `Image.resize` (libImaging/Resample.c): other resamplers give
 * other pixels, and the encoders were fed by Pillow. Knows nothing of files or models.
 *
 * Loops over typed arrays use `as number`: their indices are in range by construction.
 */
import type { RgbImage } from '../image-to-video.ts';

/** Part of a picture in its pixels: left and top edge, right and bottom edge. Fractions are allowed. */
export interface Area {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** A filter of Pillow: the weight of a pixel by its distance, which is 0 beyond `support`. */
export interface Kernel {
  readonly support: number;
  readonly weight: (distance: number) => number;
}

export const box: Kernel = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };

export const bicubic: Kernel = {
  support: 2,
  weight: (x) => {
    const a = -0.5;
    const d = Math.abs(x);
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
    return 0;
  },
};

/** Fixed-point digits of the weights: 32 bits less 8 of the pixel less 2 of headroom. */
const precisionBits = 22;
const half = 1 << (precisionBits - 1);

/** For each output position: the first input position, how many, and their weights in fixed point. */
interface Coefficients {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
  /** Room for each position in `weights`. */
  readonly stride: number;
}

/** `image.resize((width, height), kernel, area)`: antialiased when it shrinks. The input is not changed. */
export function resizePillow(
  image: RgbImage,
  width: number,
  height: number,
  kernel: Kernel,
  area: Area = { left: 0, top: 0, right: image.width, bottom: image.height },
): RgbImage {
  const { left, top, right, bottom } = area;
  const horizontal =
    width === image.width && left === 0 && right === width
      ? undefined
      : coefficients(image.width, left, right, width, kernel);
  const vertical =
    height === image.height && top === 0 && bottom === height
      ? undefined
      : coefficients(image.height, top, bottom, height, kernel);
  if (!horizontal && !vertical) return { width, height, data: image.data.slice() };
  if (!horizontal) return resizeVertically(image, vertical as Coefficients, height);
  if (!vertical) return resizeHorizontally(image, horizontal, width, 0, image.height);
  // The order of the passes shows in the rounding between them. This is Pillow 13's choice, measured; Pillow up to 12
  // always began with the width.
  if (height < image.height && image.height - height > 2 * (image.width - width)) {
    return resizeHorizontally(resizeVertically(image, vertical, height), horizontal, width, 0, height);
  }
  // Rows that the vertical pass will not read are left out.
  const firstRow = vertical.first[0] as number;
  const endRow = (vertical.first.at(-1) as number) + (vertical.count.at(-1) as number);
  return resizeVertically(resizeHorizontally(image, horizontal, width, firstRow, endRow), vertical, height);
}

function coefficients(
  size: number,
  start: number,
  end: number,
  target: number,
  { support: kernelSupport, weight }: Kernel,
): Coefficients {
  const in0 = Math.fround(start); // Pillow keeps the area in float32
  const scale = Math.fround(Math.fround(end) - in0) / target;
  const filterScale = Math.max(scale, 1);
  const support = kernelSupport * filterScale;
  const perUnit = 1 / filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(target);
  const count = new Int32Array(target);
  const weights = new Int32Array(target * stride);
  const exact = new Float64Array(stride);
  for (let o = 0; o < target; o += 1) {
    const center = in0 + (o + 0.5) * scale;
    const low = Math.max(Math.trunc(center - support + 0.5), 0);
    const n = Math.min(Math.trunc(center + support + 0.5), size) - low;
    let sum = 0;
    for (let i = 0; i < n; i += 1) {
      const w = weight((i + low - center + 0.5) * perUnit);
      exact[i] = w;
      sum += w;
    }
    for (let i = 0; i < n; i += 1) {
      const w = (sum === 0 ? (exact[i] as number) : (exact[i] as number) / sum) * 2 ** precisionBits;
      weights[o * stride + i] = Math.trunc(w < 0 ? w - 0.5 : w + 0.5);
    }
    first[o] = low;
    count[o] = n;
  }
  return { first, count, weights, stride };
}

function resizeHorizontally(
  image: RgbImage,
  { first, count, weights, stride }: Coefficients,
  width: number,
  firstRow: number,
  endRow: number,
): RgbImage {
  const { height, data } = image;
  const output = new Uint8Array(width * height * 3);
  for (let y = firstRow; y < endRow; y += 1) {
    const row = y * image.width * 3;
    let to = y * width * 3;
    for (let x = 0; x < width; x += 1) {
      let red = half;
      let green = half;
      let blue = half;
      let from = row + (first[x] as number) * 3;
      let w = x * stride;
      for (const end = w + (count[x] as number); w < end; w += 1) {
        const weight = weights[w] as number;
        red += Math.imul(weight, data[from] as number);
        green += Math.imul(weight, data[from + 1] as number);
        blue += Math.imul(weight, data[from + 2] as number);
        from += 3;
      }
      output[to] = clamp8(red);
      output[to + 1] = clamp8(green);
      output[to + 2] = clamp8(blue);
      to += 3;
    }
  }
  return { width, height, data: output };
}

function resizeVertically(
  image: RgbImage,
  { first, count, weights, stride }: Coefficients,
  height: number,
): RgbImage {
  const { width, data } = image;
  const rowLength = width * 3;
  const output = new Uint8Array(rowLength * height);
  const sums = new Int32Array(rowLength);
  for (let y = 0; y < height; y += 1) {
    const to = y * rowLength;
    const row = (first[y] as number) * rowLength;
    const own = weights.subarray(y * stride, y * stride + (count[y] as number));
    // Row by row rather than column by column: reads memory in order.
    sums.fill(half);
    for (let i = 0; i < own.length; i += 1) {
      const weight = own[i] as number;
      const from = row + i * rowLength;
      for (let k = 0; k < rowLength; k += 1) {
        sums[k] = (sums[k] as number) + Math.imul(weight, data[from + k] as number);
      }
    }
    for (let k = 0; k < rowLength; k += 1) output[to + k] = clamp8(sums[k] as number);
  }
  return { width, height, data: output };
}

function clamp8(fixedPoint: number): number {
  return Math.max(0, Math.min(fixedPoint >> precisionBits, 255));
}
