/**
 * What a sampling algorithm offers the denoising loop. Knows no model and no random numbers.
 * Formulas and defaults follow diffusers, so that a configuration means the same thing here and there.
 */

/**
 * What a step reads and writes, of the shape of the latents, by the names of diffusers: `noisePred` is the model's output
 * for `sample`, `predOriginal` the prediction of the finished sample that follows from it, `lastPredOriginal` that of
 * the step before, `prevSample` the sample of the next lower noise level, `noise` fresh normal numbers.
 */
export type StepTensor =
  | 'sample'
  | 'noisePred'
  | 'predOriginal'
  | 'lastPredOriginal'
  | 'prevSample'
  | 'noise';

/** target = Σ factor · source, element by element, each result limited to ±limit. See combine.mjs. */
export interface Combination<Place> {
  readonly target: Place;
  readonly terms: readonly (readonly [factor: number, source: Place])[];
  readonly limit?: number;
}

/** One way down the noise schedule. It computes factors only, so that the numbers may lie anywhere. */
export interface Scheduler {
  /** Training timesteps in the order they are visited, highest noise first. Index `i` below points into it. */
  readonly timesteps: readonly number[];
  /** Standard deviation of the noise that a run from index 0 starts with. */
  readonly initNoiseSigma: number;
  /**
   * diffusers' `step(noise_pred, timesteps[i], sample)` as formulas, to be computed in this order; the last one writes
   * `prevSample`.
   * @param first index of the step that the run begins with: there is no step before it
   * @throws RangeError when there is no such step
   */
  step(i: number, first: number): readonly Combination<StepTensor>[];
  /** diffusers' `add_noise`: the factors of `original` and `noise` in a sample at `timesteps[i]`. */
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
