/**
 * What a job costs: the credits of its preset, more when it asks for more frames, steps or pixels than the preset has.
 * Fair scheduling takes the same number for the length of the job.
 */
import type { Preset } from './presets.ts';
import type { Generation } from './request.ts';
import { readSize } from './sizes.ts';

/**
 * Never less than the preset's credits: a job that asks for less is not cheaper to queue and to deliver.
 * @param preset what these credits pay for
 */
export function costOf(
  generation: Generation,
  presetCredits: number,
  preset: Omit<Preset, 'guidanceScale'>,
): number {
  const frames = (generation.numFrames ?? preset.numFrames) / preset.numFrames;
  const steps = (generation.numInferenceSteps ?? preset.numInferenceSteps) / preset.numInferenceSteps;
  // A size that is not understood is refused by the engine.
  const { width, height } = readSize(generation.size ?? '') ?? { width: preset.size, height: preset.size };
  const work = frames * steps * ((width * height) / preset.size ** 2);
  // Rounded a little first: 1.0000000000000002 times as much is as much.
  return Math.max(presetCredits, Math.ceil(Number((presetCredits * work).toFixed(6))));
}
