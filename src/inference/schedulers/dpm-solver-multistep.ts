/**
 * DPM-Solver++ 2M, midpoint, ending at zero noise: arXiv 2211.01095, as diffusers' DPMSolverMultistepScheduler
 * computes it when made from a DDIM configuration. Better than DDIM in few steps. Knows no model and no
 * numbers but its factors.
 */
import { evenPositions, type KarrasLevels, karrasLevels, type NoiseLevel } from './karras-levels.ts';
import { alphasCumprod } from './noise-schedule.ts';
import type { Combination, Scheduler, StepTensor } from './scheduler.ts';
import type { BetaConfig, KarrasConfig, TimestepSpacing } from './scheduler-config.ts';
import { makeTimesteps } from './timesteps.ts';

const { fround } = Math;

/** Rounded to float32 where torch rounds. */
function noiseLevel(alphaBar: number): NoiseLevel {
  const ratio = fround(Math.sqrt(fround(fround(1 - alphaBar) / alphaBar)));
  const alpha = fround(1 / fround(Math.sqrt(fround(fround(ratio * ratio) + 1))));
  const sigma = fround(ratio * alpha);
  return { alpha, sigma, lambda: fround(fround(Math.log(alpha)) - fround(Math.log(sigma))) };
}

export class DpmSolverMultistepScheduler implements Scheduler {
  readonly timesteps: readonly number[];
  readonly initNoiseSigma = 1;
  /** One per timestep, and the noise-free end. */
  readonly #levels: readonly NoiseLevel[];
  readonly #isVPrediction: boolean;

  constructor({ timesteps, levels }: KarrasLevels, isVPrediction: boolean) {
    this.timesteps = timesteps;
    this.#levels = levels;
    this.#isVPrediction = isVPrediction;
  }

  /** Throws INVALID_OPTION when the number of steps does not fit. */
  static ofTraining(
    config: BetaConfig,
    numInferenceSteps: number,
    timestepSpacing?: TimestepSpacing,
  ): DpmSolverMultistepScheduler {
    const alphaBars = alphasCumprod(config);
    // Instead of no signal at all, float16's smallest number: the first sigma must be finite.
    if (config.rescale_betas_zero_snr) alphaBars[alphaBars.length - 1] = 2 ** -24;
    const timesteps = makeTimesteps({
      numInferenceSteps,
      numTrainTimesteps: alphaBars.length,
      spacing: timestepSpacing ?? config.timestep_spacing ?? 'linspace',
      stepsOffset: config.steps_offset ?? 0,
      extraPoint: true,
    });
    const levels = [...timesteps, undefined].map((t) =>
      noiseLevel(t === undefined ? 1 : (alphaBars[t] ?? 1)),
    );
    return new DpmSolverMultistepScheduler({ timesteps, levels }, config.prediction_type === 'v_prediction');
  }

  /** Down the levels of Karras, for v-prediction. */
  static ofKarras(config: KarrasConfig, numInferenceSteps: number): DpmSolverMultistepScheduler {
    return new DpmSolverMultistepScheduler(karrasLevels(config, evenPositions(numInferenceSteps)), true);
  }

  step(i: number, first: number): readonly Combination<StepTensor>[] {
    const current = this.#level(i);
    const target = this.#level(i + 1);
    const h = fround(target.lambda - current.lambda);
    const ofSample = fround(target.sigma / current.sigma);
    const ofOriginal = -fround(target.alpha * fround(fround(Math.exp(-h)) - 1));

    // predOriginal = a · sample + b · noisePred
    const [a, b] = this.#isVPrediction
      ? [current.alpha, -current.sigma]
      : [1 / current.alpha, -current.sigma / current.alpha];
    // Second order needs the step before; there is none at the start of a run, and the last step must land exactly on
    // the prediction.
    const isSecondOrder = i > first && i < this.timesteps.length - 1;
    const slope = isSecondOrder
      ? (0.5 * ofOriginal) / fround(fround(current.lambda - this.#level(i - 1).lambda) / h)
      : 0;
    return [
      {
        target: 'predOriginal',
        terms: [
          [a, 'sample'],
          [b, 'noisePred'],
        ],
      },
      {
        target: 'prevSample',
        terms: [
          [ofSample, 'sample'],
          [ofOriginal + slope, 'predOriginal'],
          ...(isSecondOrder ? [[-slope, 'lastPredOriginal'] as const] : []),
        ],
      },
    ];
  }

  noiseFactors(i: number): readonly [number, number] {
    const { alpha, sigma } = this.#level(i);
    return [alpha, sigma];
  }

  #level(i: number): NoiseLevel {
    const level = this.#levels[i];
    if (level === undefined) throw new RangeError(`No step ${i} in a run of ${this.timesteps.length} steps.`);
    return level;
  }
}
