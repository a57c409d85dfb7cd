/**
 * Which training timesteps a run visits: diffusers' three spacings, with numpy's arithmetic down to the rounding
 * (table 2 of arXiv 2305.08891). DDIM and DPM-Solver count differently, hence `extraPoint`.
 */
import { KinoraError } from '../../errors.ts';
import type { TimestepSpacing } from './scheduler-config.ts';

interface TimestepOptions {
  readonly numInferenceSteps: number;
  readonly numTrainTimesteps: number;
  readonly spacing: TimestepSpacing;
  /** Added to every timestep when spacing is leading. */
  readonly stepsOffset: number;
  /** DPM-Solver spaces one point more and drops the lowest (leading and linspace). */
  readonly extraPoint: boolean;
}

/** The timesteps, falling. Throws INVALID_OPTION with the range when the steps do not fit the schedule. */
export function makeTimesteps(options: TimestepOptions): number[] {
  const { numInferenceSteps, numTrainTimesteps, spacing } = options;
  const timesteps = Number.isInteger(numInferenceSteps) && numInferenceSteps >= 1 ? space(options) : [];
  if (fits(timesteps, options)) return timesteps;

  let most = numTrainTimesteps;
  while (most > 1 && !fits(space({ ...options, numInferenceSteps: most }), options)) most -= 1;
  throw new KinoraError(
    'INVALID_OPTION',
    `${numInferenceSteps} inference steps do not fit a schedule of ${numTrainTimesteps} timesteps with ${spacing} spacing; expected a whole number from 1 to ${most}.`,
  );
}

function fits(timesteps: readonly number[], { numTrainTimesteps }: TimestepOptions): boolean {
  return (
    timesteps.length > 0 &&
    timesteps.every((t, i) => t >= 0 && t < numTrainTimesteps && t < (timesteps[i - 1] ?? Infinity))
  );
}

function space(options: TimestepOptions): number[] {
  const { numInferenceSteps, numTrainTimesteps, spacing, stepsOffset, extraPoint } = options;
  const points = extraPoint ? numInferenceSteps + 1 : numInferenceSteps;
  switch (spacing) {
    case 'leading': {
      const ratio = Math.floor(numTrainTimesteps / points);
      return Array.from({ length: numInferenceSteps }, (_, i) => (points - 1 - i) * ratio + stepsOffset);
    }
    case 'linspace': {
      const last = numTrainTimesteps - 1;
      const step = points > 1 ? last / (points - 1) : 0;
      return Array.from({ length: numInferenceSteps }, (_, i) =>
        i === 0 && points > 1 ? last : roundHalfToEven((points - 1 - i) * step),
      );
    }
    case 'trailing': {
      // np.arange(T, 0, -T/N): the increment it applies is the rounded difference of its first two values. For a
      // few N (61 of 1000 is one) arange yields a point too many, and diffusers a last timestep of -1; we do not.
      const increment = numTrainTimesteps - numTrainTimesteps / numInferenceSteps - numTrainTimesteps;
      return Array.from(
        { length: numInferenceSteps },
        (_, i) => roundHalfToEven(numTrainTimesteps + i * increment) - 1,
      );
    }
  }
}

/** numpy's round. */
export function roundHalfToEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
