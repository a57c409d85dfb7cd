/**
 * Which part of a picture a frame shows, from pixels alone: the magnification, turn and shift under which both look most
 * alike, to a small part of a pixel. Lengths are in half short sides of the picture, from its middle. Knows no model.
 */
import type { RgbImage } from '../../src/inference/image-to-video.ts';
import type { Warp } from './pixels.ts';

/** The frame's point (X, Y) shows the picture's point (a X - b Y + x, b X + a Y + y). */
export interface Similarity {
  readonly a: number;
  readonly b: number;
  readonly x: number;
  readonly y: number;
}

export const identity: Similarity = { a: 1, b: 0, x: 0, y: 0 };

/** Where each pixel of a frame lies in a picture of the same size. */
export function warpOf({ a, b, x, y }: Similarity, width: number, height: number): Warp {
  const short = Math.min(width, height);
  const warp = { x: new Float64Array(width * height), y: new Float64Array(width * height) };
  for (let j = 0, k = 0; j < height; j++) {
    for (let i = 0; i < width; i++, k++) {
      const [X, Y] = [(2 * i + 1 - width) / short, (2 * j + 1 - height) / short];
      warp.x[k] = ((a * X - b * Y + x) * short + width - 1) / 2;
      warp.y[k] = ((b * X + a * Y + y) * short + height - 1) / 2;
    }
  }
  return warp;
}

interface Grey {
  readonly width: number;
  readonly height: number;
  readonly data: Float64Array;
}

/** Coarse to fine, so that a step may be larger than the details are. */
const levels = 3;
const rounds = 12;

/** Where the search begins, beside what is known: any of them may be near enough. */
const starts: readonly Similarity[] = [1, 1.15, 1.3, 1.5].flatMap((m) =>
  [-0.16, 0, 0.16].flatMap((x) => [-0.16, 0, 0.16].map((y) => ({ a: 1 / m, b: 0, x, y }))),
);

/** @param near of the frame before, or of one that is near */
export function fitSimilarity(picture: RgbImage, frame: RgbImage, near: Similarity = identity): Similarity {
  const pictures = [greyOf(picture)];
  const frames = [greyOf(frame)];
  for (let level = 1; level < levels; level++) {
    pictures.push(half(pictures.at(-1) as Grey)); // the one before was pushed
    frames.push(half(frames.at(-1) as Grey));
  }
  const refine = (start: Similarity, level: number): Step => {
    let step: Step = { fit: start, error: Infinity };
    for (let round = 0; round < rounds; round++) {
      step = improve(pictures[level] as Grey, frames[level] as Grey, step.fit);
    }
    return step;
  };
  const coarse = [near, ...starts].map((start) => refine(start, levels - 1));
  let { fit } = coarse.reduce((best, step) => (step.error < best.error ? step : best));
  for (let level = levels - 2; level >= 0; level--) ({ fit } = refine(fit, level));
  return fit;
}

/** A fit, and the mean square of what the one before it left. */
interface Step {
  readonly fit: Similarity;
  readonly error: number;
}

function greyOf({ width, height, data }: RgbImage): Grey {
  const grey = Float64Array.from(
    { length: width * height },
    (_, i) =>
      (299 * (data[3 * i] as number) +
        587 * (data[3 * i + 1] as number) +
        114 * (data[3 * i + 2] as number)) /
      1000,
  );
  return { width, height, data: grey };
}

function half({ width, height, data }: Grey): Grey {
  const [w, h] = [width >> 1, height >> 1];
  const at = (i: number, j: number): number => data[j * width + i] as number;
  const means = Float64Array.from({ length: w * h }, (_, k) => {
    const [i, j] = [2 * (k % w), 2 * Math.floor(k / w)];
    return (at(i, j) + at(i + 1, j) + at(i, j + 1) + at(i + 1, j + 1)) / 4;
  });
  return { width: w, height: h, data: means };
}

/** One step of Gauss and Newton. */
function improve(picture: Grey, frame: Grey, fit: Similarity): Step {
  const { width, height, data } = picture;
  const short = Math.min(width, height);
  const warp = warpOf(fit, width, height);
  const normal = Array.from({ length: 4 }, () => new Float64Array(5));
  let squares = 0;
  let seen = 0;
  for (let k = 0; k < frame.data.length; k++) {
    const [px, py] = [warp.x[k] as number, warp.y[k] as number];
    const [i, j] = [Math.floor(px), Math.floor(py)];
    if (i < 0 || j < 0 || i + 1 >= width || j + 1 >= height) continue;
    const [s, t] = [px - i, py - j];
    const at = j * width + i;
    const [p, q] = [data[at] as number, data[at + 1] as number];
    const [r, o] = [data[at + width] as number, data[at + width + 1] as number];
    const gx = ((q - p) * (1 - t) + (o - r) * t) * (short / 2);
    const gy = ((r - p) * (1 - s) + (o - q) * s) * (short / 2);
    const error = (frame.data[k] as number) - ((p * (1 - s) + q * s) * (1 - t) + (r * (1 - s) + o * s) * t);
    squares += error ** 2;
    seen++;
    const X = (2 * (k % width) + 1 - width) / short;
    const Y = (2 * Math.floor(k / width) + 1 - height) / short;
    const by = [gx * X + gy * Y, gy * X - gx * Y, gx, gy];
    normal.forEach((row, m) => {
      for (let n = 0; n < 4; n++) row[n] = (row[n] as number) + (by[m] as number) * (by[n] as number);
      row[4] = (row[4] as number) + (by[m] as number) * error;
    });
  }
  const [a = 0, b = 0, x = 0, y = 0] = solve(normal);
  // A fit that looks beyond most of the picture is none.
  const error = seen < frame.data.length / 2 ? Infinity : squares / seen;
  return { fit: { a: fit.a + a, b: fit.b + b, x: fit.x + x, y: fit.y + y }, error };
}

/** Gauss elimination of rows of coefficients with the right side behind them; the matrix is positive. */
function solve(rows: readonly Float64Array[]): number[] {
  const size = rows.length;
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0;
  for (let pivot = 0; pivot < size; pivot++) {
    for (let row = 0; row < size; row++) {
      const target = rows[row];
      if (!target || row === pivot || at(pivot, pivot) === 0) continue;
      const factor = at(row, pivot) / at(pivot, pivot);
      for (let column = pivot; column <= size; column++) {
        target[column] = at(row, column) - factor * at(pivot, column);
      }
    }
  }
  return rows.map((_, row) => (at(row, row) === 0 ? 0 : at(row, size) / at(row, row)));
}
