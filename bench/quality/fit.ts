/**
 * Which motions a clip shows, from its pixels alone. Every clip that the table of motions allows (each motion at each
 * speed, and all pairs of different motions) is made of the picture by the analytic warp; the one that looks most like
 * the clip is the answer. Knows nothing of prompts or models.
 */
import type { RgbImage } from '../../src/inference/image-to-video.ts';
import { Clip, kinds, type Motion, psnr, resample, speeds } from './motion.ts';

/** Frames that are compared: not the last alone, which waves and sway return to. */
const positions = [2 / 7, 4 / 7, 1] as const;
/** Frames to make, so that the positions are among them. */
export const fitFrames = 8;

interface Candidate {
  readonly motions: readonly Motion[];
  readonly frames: readonly Uint8Array[];
}

export interface Fit {
  readonly motions: readonly Motion[];
  /** Of the compared frames against the best candidate's, in dB. */
  readonly psnr: number;
  /** How much better than the second best, in dB. */
  readonly margin: number;
}

const opposite: Readonly<Record<string, string>> = {
  'zoom-in': 'zoom-out',
  'pan-left': 'pan-right',
  'tilt-up': 'tilt-down',
  'rotate-cw': 'rotate-ccw',
};

function allMotions(): Motion[][] {
  const moving = kinds.filter((kind) => kind !== 'static');
  const singles = moving.flatMap((kind) => speeds.map((speed) => ({ kind, speed })));
  const pairs = singles.flatMap((first, index) =>
    singles
      .slice(index + 1)
      .filter((second) => second.kind !== first.kind && opposite[first.kind] !== second.kind)
      .map((second) => [first, second]),
  );
  return [[{ kind: 'static', speed: 'normal' }], ...singles.map((motion) => [motion]), ...pairs];
}

/** Makes every candidate of one picture once. */
export class Fitter {
  readonly #candidates: readonly Candidate[];

  constructor(picture: RgbImage) {
    this.#candidates = allMotions().map((motions) => {
      const clip = new Clip(motions, picture.width, picture.height);
      return { motions, frames: positions.map((p) => resample(picture, clip.warp(p)).data) };
    });
  }

  /** @param frames the clip, `fitFrames` of them */
  fit(frames: readonly Uint8Array[]): Fit {
    const seen = positions.map((p) => frames[Math.round(p * (fitFrames - 1))] ?? new Uint8Array());
    const scored = this.#candidates
      .map(({ motions, frames: expected }) => ({
        motions,
        psnr: Math.min(...seen.map((frame, index) => psnr(frame, expected[index] ?? new Uint8Array()))),
      }))
      .sort((a, b) => b.psnr - a.psnr);
    const [best, second] = scored;
    if (!best || !second) throw new Error('no candidates');
    return { ...best, margin: best.psnr - second.psnr };
  }
}

export function sameMotions(a: readonly Motion[], b: readonly Motion[]): boolean {
  // "static" has no speed that could be seen.
  const name = ({ kind, speed }: Motion): string => (kind === 'static' ? kind : `${kind} ${speed}`);
  return a.map(name).sort().join() === b.map(name).sort().join();
}
