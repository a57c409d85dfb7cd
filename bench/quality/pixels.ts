/** Pictures that are warped and compared. Knows no model. */
import type { RgbImage } from '../../src/inference/image-to-video.ts';

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** Where each pixel of a frame lies in the picture; x and y in pixels, centres at whole numbers. */
export interface Warp {
  readonly x: Float64Array;
  readonly y: Float64Array;
}

/** Separable cubic convolution with a = -0.75; indices outside the picture are clamped. */
export function resample({ width, height, data }: RgbImage, { x, y }: Warp): RgbImage {
  const out = new Uint8ClampedArray(x.length * 3);
  const wx = new Float64Array(4);
  const wy = new Float64Array(4);
  for (let k = 0; k < x.length; k++) {
    const px = x[k] as number;
    const py = y[k] as number;
    const x0 = Math.floor(px);
    const y0 = Math.floor(py);
    cubicWeights(px - x0, wx);
    cubicWeights(py - y0, wy);
    for (let channel = 0; channel < 3; channel++) {
      let sum = 0;
      for (let b = 0; b < 4; b++) {
        const row = clamp(y0 + b - 1, 0, height - 1) * width;
        let line = 0;
        for (let a = 0; a < 4; a++) {
          const column = clamp(x0 + a - 1, 0, width - 1);
          line += (wx[a] as number) * (data[(row + column) * 3 + channel] as number);
        }
        sum += (wy[b] as number) * line;
      }
      out[k * 3 + channel] = sum;
    }
  }
  return { width, height, data: new Uint8Array(out.buffer) };
}

function cubicWeights(t: number, weights: Float64Array): void {
  const a = -0.75;
  const far = (d: number): number => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  const near = (d: number): number => ((a + 2) * d - (a + 3)) * d * d + 1;
  weights[0] = far(1 + t);
  weights[1] = near(t);
  weights[2] = near(1 - t);
  weights[3] = far(2 - t);
}

/** In dB over all channels; the same pictures give 99. */
export function psnr(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return sum === 0 ? 99 : Math.min(99, 10 * Math.log10((255 ** 2 * a.length) / sum));
}

/** psnr() of each pair of frames, without those where both clips show what both began with. */
export function psnrOfChanged(one: readonly Uint8Array[], other: readonly Uint8Array[]): number[] {
  const [first = new Uint8Array()] = one;
  const isFirst = (frame: Uint8Array): boolean => psnr(frame, first) === 99;
  return one.flatMap((frame, index) => {
    const compared = other[index] ?? frame;
    return index === 0 || (isFirst(frame) && isFirst(compared)) ? [] : [psnr(frame, compared)];
  });
}

/** Below this, of 255, a difference from the first frame is rounding. */
const leastChange = 3;

/**
 * psnr() of two clips over the pixels that change in either, all frames but the first: of what moves only where water,
 * foliage or sky is. Over the whole picture the same waves would count as another clip on a sea and as the same one on
 * a pond, by nothing but how much of the picture stands still in both.
 */
export function psnrOfMoved(one: readonly Uint8Array[], other: readonly Uint8Array[]): number {
  const [first = new Uint8Array()] = one;
  const isMoved = new Uint8Array(first.length / 3);
  for (const frame of [...one, ...other]) {
    frame.forEach((value, i) => {
      if (Math.abs(value - (first[i] as number)) > leastChange) isMoved[Math.floor(i / 3)] = 1;
    });
  }
  let [sum, count] = [0, 0];
  for (const [k, frame] of one.slice(1).entries()) {
    const compared = other[k + 1] ?? frame;
    frame.forEach((value, i) => {
      if (!isMoved[Math.floor(i / 3)]) return;
      sum += (value - (compared[i] as number)) ** 2;
      count++;
    });
  }
  return sum === 0 ? 99 : 10 * Math.log10((255 ** 2 * count) / sum);
}
