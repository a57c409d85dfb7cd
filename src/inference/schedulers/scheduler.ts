/**
 * What a sampling algorithm offers the denoising loop. Knows no model and no random numbers.
 * Formulas and defaults follow diffusers, so that a configuration means the same thing here and there.
 */

/** One run down the noise schedule. Holds state of that run: make a new one for each clip. */
export interface Scheduler {
  /** Training timesteps in the order they are visited, highest noise first. Index `i` below points into it. */
  readonly timesteps: readonly number[];
  /** Standard deviation of the noise that a run from index 0 starts with. */
  readonly initNoiseSigma: number;
  /**
   * Takes the sample at `timesteps[i]` one step down. Arrays are of one length and any shape; no input is kept, nor
   * changed unless it is `out` as well, which takes the result (a new array by default). Indices must rise by one from
   * call to call; the first may be any (variation).
   * @throws KinoraError BAD_NUMBERS when an input holds NaN or infinity: the model's output needs no check of its own
   */
  step(modelOutput: Float32Array, i: number, sample: Float32Array, out?: Float32Array): Float32Array;
  /** `original` with as much of `noise` as a sample at `timesteps[i]` holds. Inputs are not changed. */
  addNoise(original: Float32Array, noise: Float32Array, i: number): Float32Array;
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
