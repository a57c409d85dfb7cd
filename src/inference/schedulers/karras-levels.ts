/**
 * Noise levels of Karras et al. (arXiv 2206.00364, formula 5, rho = 7), as diffusers' EulerDiscreteScheduler makes them
 * for continuous timesteps. There a sample is x = original + sigma · noise, and the model sees x / √(sigma² + 1).
 * Here a sample is what the model sees: its variance stays 1 where sigma is 700, and a step loses no digits.
 */
import type { KarrasConfig } from './scheduler-config.ts';

const { fround } = Math;
const rho = 7;

/** Factors of signal and noise in a sample, and log(alpha / sigma). */
export interface NoiseLevel {
  readonly alpha: number;
  readonly sigma: number;
  readonly lambda: number;
}

export interface KarrasLevels {
  /** What the model is told: 0.25 · ln(sigma / alpha), one for each step. */
  readonly timesteps: readonly number[];
  /** One for each step, and the noise-free end. */
  readonly levels: readonly NoiseLevel[];
}

/** @param positions of the steps between the highest level, 0, and the lowest, 1 */
export function karrasLevels(
  { sigma_min: lowest, sigma_max: highest }: KarrasConfig,
  positions: readonly number[],
): KarrasLevels {
  const [first, last] = [highest ** (1 / rho), lowest ** (1 / rho)];
  const sigmas = positions.map((position) => fround((first + position * (last - first)) ** rho));
  return {
    timesteps: sigmas.map((sigma) => fround(0.25 * Math.log(sigma))),
    levels: [...sigmas, 0].map((sigma) => {
      const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
      return { alpha, sigma: sigma * alpha, lambda: -Math.log(sigma) };
    }),
  };
}

/** Positions of so many steps, evenly spaced, with both ends. */
export function evenPositions(numInferenceSteps: number): number[] {
  return Array.from({ length: numInferenceSteps }, (_, i) => i / Math.max(numInferenceSteps - 1, 1));
}
