/** How a chain of clips looks at its joins. Knows no model. */
import type { RgbImage } from '../../src/inference/image-to-video.ts';
import { psnr } from '../quality/pixels.ts';

export interface SeamNumbers {
  /** Levels of 255 by which the mean colour moves at a join: of the three channels the largest, mean of all joins and largest one. */
  readonly colourShift: number;
  readonly worstShift: number;
  /** The same between all other neighbouring frames. */
  readonly shiftElsewhere: number;
  /** Least alike frames on both sides of a join, and least alike other neighbours, in dB. */
  readonly psnrAtJoin: number;
  readonly psnrElsewhere: number;
  /**
   * Each join beside the least alike neighbours within the two clips that meet there: dB by which its frames are more alike,
   * at the join where that is least.
   */
  readonly leastMargin: number;
  /** Of the last frame over the first one: energy between neighbouring pixels, at the same number of pixels. */
  readonly detail: number;
}

/** @param joins indices of the first frames behind a join */
export function measureSeams(frames: readonly RgbImage[], joins: readonly number[]): SeamNumbers {
  const atJoin = new Set(joins);
  const steps = frames.slice(1).map((frame, i) => {
    const before = frames[i] ?? frame;
    return {
      isJoin: atJoin.has(i + 1),
      shift: colourShift(before, frame),
      psnr: psnr(before.data, frame.data),
    };
  });
  const [joined, others] = [true, false].map((isJoin) => steps.filter((step) => step.isJoin === isJoin));
  const of = (list: typeof steps | undefined, name: 'shift' | 'psnr') =>
    (list ?? []).map((step) => step[name]);
  const mean = (list: readonly number[]): number =>
    list.reduce((sum, value) => sum + value, 0) / Math.max(list.length, 1);
  // steps[i] is the step to frame i + 1.
  const psnrs = steps.map((step) => step.psnr);
  const marginOf = (i: number): number => {
    const [from, join = 0, to] = [joins[i - 1] ?? 0, joins[i], joins[i + 1] ?? frames.length];
    const around = [...psnrs.slice(from, join - 1), ...psnrs.slice(join, to - 1)];
    return (psnrs[join - 1] ?? 0) - Math.min(...around);
  };
  const [first, last] = [frames[0], frames.at(-1)];
  return {
    colourShift: mean(of(joined, 'shift')),
    worstShift: Math.max(...of(joined, 'shift')),
    shiftElsewhere: mean(of(others, 'shift')),
    psnrAtJoin: Math.min(...of(joined, 'psnr')),
    psnrElsewhere: Math.min(...of(others, 'psnr')),
    leastMargin: Math.min(...joins.map((_, i) => marginOf(i))),
    detail: first && last ? fineDetail(last) / fineDetail(first) : 0,
  };
}

function colourShift(a: RgbImage, b: RgbImage): number {
  const [from, to] = [meanColour(a), meanColour(b)];
  return Math.max(...from.map((value, channel) => Math.abs((to[channel] ?? 0) - value)));
}

function meanColour({ data }: RgbImage): readonly number[] {
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i++) sums[i % 3] = (sums[i % 3] ?? 0) + (data[i] as number);
  return sums.map((sum) => sum / (data.length / 3));
}

/** Mean square of what a pixel differs from the mean of its four neighbours, in green. */
function fineDetail({ width, height, data }: RgbImage): number {
  let sum = 0;
  const at = (x: number, y: number): number => data[(y * width + x) * 3 + 1] as number;
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      sum += (at(x, y) - (at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1)) / 4) ** 2;
    }
  }
  return sum / (width * height);
}
