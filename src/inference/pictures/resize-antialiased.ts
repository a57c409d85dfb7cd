/**
 * The square that the image encoder of Stable Video Diffusion sees: the whole picture, stretched. Blurred and then
 * interpolated, as diffusers' `_resize_with_antialiasing` does it (after kornia). Both are sums along one axis at a time,
 * so each axis takes one pass. Knows nothing of files or models.
 *
 * Loops over typed arrays use `as number`: their indices are in range by construction.
 */
import type { RgbImage } from '../image-to-video.ts';
import type { FloatTensor } from '../sessions/tensor.ts';

const { fround } = Math;

export interface SquareOptions {
  readonly encoderSize: number;
  /** Of each channel, for values in [0, 1]. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** (1, 3, encoderSize, encoderSize), normalised. The picture has at least 2 pixels on each side. */
export function toSquare(image: RgbImage, { encoderSize, mean, std }: SquareOptions): FloatTensor {
  const { width, height, data } = image;
  const columns = weightsOf(width, encoderSize);
  const rows = weightsOf(height, encoderSize);
  const values = Float32Array.from({ length: 256 }, (_, value) => 2 * fround(value / 255) - 1);
  const plane = encoderSize ** 2;
  const square = new Float32Array(3 * plane);
  const narrow = new Float32Array(height * encoderSize);
  for (let channel = 0; channel < 3; channel += 1) {
    for (let y = 0; y < height; y += 1) {
      for (const [x, { first, weights }] of columns.entries()) {
        let sum = 0;
        let from = (y * width + first) * 3 + channel;
        for (let k = 0; k < weights.length; k += 1, from += 3) {
          sum += (weights[k] as number) * (values[data[from] as number] as number);
        }
        narrow[y * encoderSize + x] = sum;
      }
    }
    const [shift, scale] = [fround(mean[channel] as number), fround(std[channel] as number)];
    for (const [y, { first, weights }] of rows.entries()) {
      for (let x = 0; x < encoderSize; x += 1) {
        let sum = 0;
        for (let k = 0; k < weights.length; k += 1) {
          sum += (weights[k] as number) * (narrow[(first + k) * encoderSize + x] as number);
        }
        const value = fround(fround(fround(sum) + 1) / 2);
        square[channel * plane + y * encoderSize + x] = fround(value - shift) / scale;
      }
    }
  }
  return { data: square, dims: [1, 3, encoderSize, encoderSize] };
}

/** Of one output pixel: the first input pixel, and the weights of it and those after it. */
interface PixelWeights {
  readonly first: number;
  readonly weights: Float64Array;
}

/** Along one axis of `size` pixels. */
function weightsOf(size: number, target: number): PixelWeights[] {
  const blur = gaussian(Math.max((size / target - 1) / 2, 0.001));
  const reach = (blur.length - 1) / 2;
  const step = fround((size - 1) / (target - 1));
  return Array.from({ length: target }, (_, i) => {
    const source = fround(step * i);
    const base = Math.floor(source);
    const first = Math.max(base - 1 - reach, 0);
    const end = Math.min(base + 2 + reach, size - 1) + 1;
    const weights = new Float64Array(end - first);
    for (let k = -1; k <= 2; k += 1) {
      const weight = cubic(Math.abs(k - fround(source - base)));
      const centre = Math.min(Math.max(base + k, 0), size - 1);
      for (const [n, ofTap] of blur.entries()) {
        // Beyond the edge the picture is mirrored, and its edge is there once.
        const at = Math.abs(centre + n - reach);
        const mirrored = at < size ? at : 2 * (size - 1) - at;
        weights[mirrored - first] = (weights[mirrored - first] ?? 0) + weight * ofTap;
      }
    }
    return { first, weights };
  });
}

/** Its sum is 1, its length odd. */
function gaussian(sigma: number): number[] {
  const taps = Math.trunc(Math.max(4 * sigma, 3));
  const reach = Math.floor(taps / 2);
  const bell = Array.from({ length: 2 * reach + 1 }, (_, n) =>
    Math.exp(-((n - reach) ** 2) / (2 * sigma ** 2)),
  );
  const sum = bell.reduce((total, value) => total + value, 0);
  return bell.map((value) => value / sum);
}

/** torch's bicubic interpolation: a = -0.75. */
function cubic(distance: number): number {
  const a = -0.75;
  if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * a;
  return 0;
}
