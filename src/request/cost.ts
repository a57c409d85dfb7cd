/**
 * What a job costs: the credits of its preset, more when it asks for more frames, steps or pixels than the preset has.
 * The same number is its length in the eyes of fairness. Knows no model; presets come from whoever does.
 */
import type { Generation } from './request.ts';

/** What the preset's own credits pay for. */
export interface PresetWork {
  /** Side of the square whose area is the size. */
  readonly size: number;
  readonly numFrames: number;
  readonly numInferenceSteps: number;
}

/** Never less than the preset's credits: a job that asks for less is not cheaper to queue and to deliver. */
export function costOf(generation: Generation, presetCredits: number, preset: PresetWork): number {
  const frames = (generation.numFrames ?? preset.numFrames) / preset.numFrames;
  const steps = (generation.numInferenceSteps ?? preset.numInferenceSteps) / preset.numInferenceSteps;
  const pixels = pixelsOf(generation.size) ?? preset.size ** 2;
  const work = frames * steps * (pixels / preset.size ** 2);
  // Rounded a little first: 1.0000000000000002 times as much is as much.
  return Math.max(presetCredits, Math.ceil(Number((presetCredits * work).toFixed(6))));
}

/** Of "512" or "640x384"; undefined when absent, or for anything else, which the engine refuses. */
export function pixelsOf(size: string | undefined): number | undefined {
  const match = /^(\d{1,5})(?:[x×](\d{1,5}))?$/i.exec(size?.trim() ?? '');
  return match ? Number(match[1]) * Number(match[2] ?? match[1]) : undefined;
}
