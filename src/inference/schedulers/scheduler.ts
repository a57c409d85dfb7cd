/**
 * What a sampling algorithm offers the denoising loop. Knows no model and no random numbers.
 * Formulas and defaults follow diffusers, so that a configuration means the same thing here and there.
 */

/** What a step reads and writes. Of the two originals a step writes one and may read the other, the step's before. */
export type Operand = 'sample' | 'output' | 'original 0' | 'original 1';

/** target = Σ factor · source, element by element, each result limited to ±limit. See combine.mjs. */
export interface Combination<Place> {
  readonly target: Place;
  readonly terms: readonly (readonly [factor: number, source: Place])[];
  readonly limit?: number;
}

/** One run down the noise schedule. Holds state of that run: make a new one for each clip. */
export interface Scheduler {
  /** Training timesteps in the order they are visited, highest noise first. Index `i` below points into it. */
  readonly timesteps: readonly number[];
  /** Standard deviation of the noise that a run from index 0 starts with. */
  readonly initNoiseSigma: number;
  /**
   * What takes the sample at `timesteps[i]` one step down, given the model's output for it: to be computed in this
   * order, by whoever has the numbers. The last one writes the sample. Indices must rise by one from call to call; the
   * first may be any (variation).
   */
  step(i: number): readonly Combination<Operand>[];
  /** `original` with as much of `noise` as a sample at `timesteps[i]` holds: their factors. */
  noiseFactors(i: number): readonly [original: number, noise: number];
}

/**
 * Index to start from when only a share of the schedule is run again, as diffusers' img2img `get_timesteps`:
 * the last int(numInferenceSteps × strength) steps are run. Equals numInferenceSteps when that share is less
 * than one step: there is nothing to run then.
 */
export function startIndex(numInferenceSteps: number, strength: number): number {
  const stepsToRun = Math.min(Math.trunc(numInferenceSteps * strength), numInferenceSteps);
  return Math.max(numInferenceSteps - stepsToRun, 0);
}
