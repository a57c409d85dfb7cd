/**
 * DDIM without added noise (eta = 0): arXiv 2010.02502, formula 12, as diffusers' DDIMScheduler computes it.
 * Knows no model and no numbers but its factors.
 */
import { KinoraError } from '../../errors.ts';
import { alphasCumprod } from './noise-schedule.ts';
import type { Combination, Scheduler, StepTensor } from './scheduler.ts';
import type { BetaConfig, TimestepSpacing } from './scheduler-config.ts';
import { makeTimesteps } from './timesteps.ts';

export class DdimScheduler implements Scheduler {
  readonly timesteps: readonly number[];
  readonly initNoiseSigma = 1;
  readonly #alphasCumprod: Float32Array;
  readonly #finalAlphaCumprod: number;
  /** Distance to the previous timestep in the formula; not always that of the list (trailing). */
  readonly #stride: number;
  readonly #isVPrediction: boolean;
  readonly #clipRange: number;

  /** Throws INVALID_OPTION when the number of steps does not fit, PACK_INVALID when the configuration cannot work. */
  constructor(config: BetaConfig, numInferenceSteps: number, timestepSpacing?: TimestepSpacing) {
    const numTrainTimesteps = config.num_train_timesteps ?? 1000;
    this.timesteps = makeTimesteps({
      numInferenceSteps,
      numTrainTimesteps,
      spacing: timestepSpacing ?? config.timestep_spacing ?? 'leading',
      stepsOffset: config.steps_offset ?? 0,
      extraPoint: false,
    });
    this.#stride = Math.floor(numTrainTimesteps / numInferenceSteps);
    this.#alphasCumprod = alphasCumprod(config);
    this.#finalAlphaCumprod = (config.set_alpha_to_one ?? true) ? 1 : (this.#alphasCumprod[0] ?? 1);
    this.#isVPrediction = config.prediction_type === 'v_prediction';
    this.#clipRange = (config.clip_sample ?? true) ? (config.clip_sample_range ?? 1) : Infinity;

    if (!this.#isVPrediction && this.timesteps.some((t) => this.#alphasCumprod[t] === 0)) {
      throw new KinoraError(
        'PACK_INVALID',
        'scheduler_config.json combines epsilon prediction with a timestep of zero signal (rescale_betas_zero_snr), which divides by zero; expected v_prediction or leading spacing.',
      );
    }
  }

  step(i: number): readonly Combination<StepTensor>[] {
    const timestep = this.#timestep(i);
    const alphaBar = this.#alphaBar(timestep);
    const previousAlphaBar = this.#alphaBar(timestep - this.#stride);
    const signal = Math.sqrt(alphaBar);
    const noise = Math.sqrt(1 - alphaBar);
    const previousSignal = Math.sqrt(previousAlphaBar);
    const previousNoise = Math.sqrt(1 - previousAlphaBar);

    // predOriginal = a · sample + b · noisePred, epsilon = c · sample + d · noisePred, and
    // prevSample = previousSignal · predOriginal + previousNoise · epsilon
    const [a, b] = this.#isVPrediction ? [signal, -noise] : [1 / signal, -noise / signal];
    const [c, d] = this.#isVPrediction ? [noise, signal] : [0, 1];
    if (this.#clipRange === Infinity) {
      const ofSample = previousSignal * a + previousNoise * c;
      const ofNoisePred = previousSignal * b + previousNoise * d;
      return [
        {
          target: 'prevSample',
          terms: [
            [ofSample, 'sample'],
            [ofNoisePred, 'noisePred'],
          ],
        },
      ];
    }
    return [
      {
        target: 'predOriginal',
        terms: [
          [a, 'sample'],
          [b, 'noisePred'],
        ],
        limit: this.#clipRange,
      },
      {
        target: 'prevSample',
        terms: [
          [previousSignal, 'predOriginal'],
          [previousNoise * c, 'sample'],
          [previousNoise * d, 'noisePred'],
        ],
      },
    ];
  }

  noiseFactors(i: number): readonly [number, number] {
    const alphaBar = this.#alphaBar(this.#timestep(i));
    return [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
  }

  #timestep(i: number): number {
    const timestep = this.timesteps[i];
    if (timestep === undefined)
      throw new RangeError(`No step ${i} in a run of ${this.timesteps.length} steps.`);
    return timestep;
  }

  #alphaBar(timestep: number): number {
    return timestep < 0 ? this.#finalAlphaCumprod : (this.#alphasCumprod[timestep] as number);
  }
}
