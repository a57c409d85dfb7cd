/**
 * Euler's method without added noise down the levels of Karras, as diffusers' EulerDiscreteScheduler computes it for
 * v-prediction (s_churn = 0), on samples of variance 1. Knows no model and no numbers but its factors.
 */
import { evenPositions, karrasLevels, type NoiseLevel } from './karras-levels.ts';
import type { Combination, Scheduler, StepTensor } from './scheduler.ts';
import type { KarrasConfig } from './scheduler-config.ts';

export class EulerKarrasScheduler implements Scheduler {
  readonly timesteps: readonly number[];
  readonly initNoiseSigma = 1;
  readonly #levels: readonly NoiseLevel[];

  constructor(config: KarrasConfig, numInferenceSteps: number) {
    const { timesteps, levels } = karrasLevels(config, evenPositions(numInferenceSteps));
    this.timesteps = timesteps;
    this.#levels = levels;
  }

  step(i: number): readonly Combination<StepTensor>[] {
    const { alpha, sigma } = levelAt(this.#levels, i);
    const next = levelAt(this.#levels, i + 1);
    // x += (x − D) / s · (s' − s) with x = sample / alpha and D = alpha · sample − sigma · noisePred: DDIM's step
    const ofSample = next.alpha * alpha + next.sigma * sigma;
    const ofNoisePred = next.sigma * alpha - next.alpha * sigma;
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

  noiseFactors(i: number): readonly [number, number] {
    const { alpha, sigma } = levelAt(this.#levels, i);
    return [alpha, sigma];
  }
}

/** @throws RangeError when there is no such step */
export function levelAt(levels: readonly NoiseLevel[], i: number): NoiseLevel {
  const level = levels[i];
  if (level === undefined) throw new RangeError(`No step ${i} in a run of ${levels.length - 1} steps.`);
  return level;
}
