/**
 * Sampling of weights that were distilled for few steps (latent consistency models, arXiv 2310.04378): every step predicts
 * the finished sample and adds fresh noise of the next level. Levels as AnimateLCM-SVD has them: every so many of 40 of
 * Karras. Knows no model and no numbers but its factors.
 */
import { KinoraError } from '../../errors.ts';
import { levelAt } from './euler-karras.ts';
import { karrasLevels, type NoiseLevel } from './karras-levels.ts';
import type { Combination, Scheduler, StepTensor } from './scheduler.ts';
import type { KarrasConfig } from './scheduler-config.ts';

/** The levels that the weights were distilled at. */
const distilledLevels = 40;

export class LcmKarrasScheduler implements Scheduler {
  readonly timesteps: readonly number[];
  readonly initNoiseSigma = 1;
  readonly #levels: readonly NoiseLevel[];

  /** Throws INVALID_OPTION when there are more steps than levels. */
  constructor(config: KarrasConfig, numInferenceSteps: number) {
    if (numInferenceSteps > distilledLevels) {
      const range = { min: 1, max: distilledLevels, isWhole: true, got: numInferenceSteps };
      throw new KinoraError('INVALID_OPTION', { kind: 'outOfRange', what: 'steps', ...range });
    }
    const every = Math.floor(distilledLevels / numInferenceSteps);
    const positions = Array.from(
      { length: numInferenceSteps },
      (_, i) => (i * every) / (distilledLevels - 1),
    );
    const { timesteps, levels } = karrasLevels(config, positions);
    this.timesteps = timesteps;
    this.#levels = levels;
  }

  step(i: number): readonly Combination<StepTensor>[] {
    const { alpha, sigma } = levelAt(this.#levels, i);
    const next = levelAt(this.#levels, i + 1);
    const isLast = next.sigma === 0;
    const predicted: Combination<StepTensor> = {
      target: isLast ? 'prevSample' : 'predOriginal',
      terms: [
        [alpha, 'sample'],
        [-sigma, 'noisePred'],
      ],
    };
    if (isLast) return [predicted];
    return [
      predicted,
      {
        target: 'prevSample',
        terms: [
          [next.alpha, 'predOriginal'],
          [next.sigma, 'noise'],
        ],
      },
    ];
  }

  noiseFactors(i: number): readonly [number, number] {
    const { alpha, sigma } = levelAt(this.#levels, i);
    return [alpha, sigma];
  }
}
