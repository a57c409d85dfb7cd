/**
 * The plan of a run down the noise schedule, made before anything is computed: for each step the timestep, the graph, the
 * rows and the factors. Pure numbers; denoise.ts carries them out. Knows no tensor and no session.
 */
import type { Combination, Scheduler, StepTensor } from '../schedulers/scheduler.ts';

/** The same for all frames, or one for each. */
export type Factor = number | readonly number[];

/** How the steps use classifier-free guidance. */
export interface Guidance {
  readonly scale: Factor;
  /** The steps before this index use it. */
  readonly steps: number;
  /** Whether both rows go through the UNet as one batch, or one after the other because memory is short. */
  readonly isBatched: boolean;
}

/** Rows of a batch: 'both' of guidance, the unconditional one first, or one of them. */
export type Rows = 'both' | 'unconditional' | 'conditional';

/** The scheduler's, and what the unconditional row adds to the result where it runs alone. */
export type PlanTensor = StepTensor | 'unconditional';

/**
 * A run of the UNet. Its graph ends with target = f₀ · sample + Σ fₙ · (prediction for row n), so that guidance and the
 * scheduler's step cost no pass of their own over the latents.
 */
export interface UNetRun {
  readonly rows: Rows;
  /** f₀, and one for each row. */
  readonly factors: readonly Factor[];
  readonly target: PlanTensor;
}

export interface DenoisingStep {
  readonly timestep: number;
  /**
   * DeepCache (arXiv 2312.00858): the whole UNet may keep what it computes deep inside, which the shallow one reuses in
   * later steps.
   */
  readonly deepFeatures: 'unused' | 'kept' | 'reused';
  readonly runs: readonly UNetRun[];
  /** What the graph does not compute, in this order, after the runs. */
  readonly after: readonly Combination<PlanTensor>[];
}

export interface PlanOptions {
  readonly scheduler: Scheduler;
  /** Index of the first step that is run; above 0 for a variation. */
  readonly firstStep: number;
  readonly guidance: Guidance;
  /** Steps that share deep features, the first of which runs the whole UNet. 1: every step does. */
  readonly featureReuse: number;
}

export function planSteps({ scheduler, firstStep, guidance, featureReuse }: PlanOptions): DenoisingStep[] {
  /** Steps share deep features of the same rows: where guidance ends, they are computed anew. */
  const runsWhole = (i: number): boolean => {
    const start = i < guidance.steps ? firstStep : Math.max(firstStep, guidance.steps);
    return (i - start) % featureReuse === 0;
  };
  const steps: DenoisingStep[] = [];
  for (const [i, timestep] of scheduler.timesteps.entries()) {
    if (i < firstStep) continue;
    const isReusedNext = i + 1 < scheduler.timesteps.length && !runsWhole(i + 1);
    const deepFeatures = !runsWhole(i) ? 'reused' : isReusedNext ? 'kept' : 'unused';
    const formulas = splitStep(scheduler.step(i, firstStep));
    steps.push({
      timestep,
      deepFeatures,
      ...(i < guidance.steps ? guided(formulas, guidance) : plain(formulas)),
    });
  }
  return steps;
}

/** The formula that the UNet's graph computes, and those that come after. */
interface SplitStep {
  readonly target: StepTensor;
  readonly ofSample: number;
  readonly ofNoisePred: number;
  readonly after: readonly Combination<StepTensor>[];
}

/**
 * Splits a scheduler's step: the graph computes the first formula, unless that limits its result or noisePred itself is
 * read later.
 */
function splitStep(step: readonly Combination<StepTensor>[]): SplitStep {
  const [first, ...rest] = step;
  const isRead = rest.some(({ terms }) => terms.some(([, source]) => source === 'noisePred'));
  if (!first || first.limit !== undefined || isRead) {
    return { target: 'noisePred', ofSample: 0, ofNoisePred: 1, after: step };
  }
  const { target, terms } = first;
  const factorOf = (wanted: StepTensor): number => terms.find(([, source]) => source === wanted)?.[0] ?? 0;
  return { target, ofSample: factorOf('sample'), ofNoisePred: factorOf('noisePred'), after: rest };
}

type StepWork = Pick<DenoisingStep, 'runs' | 'after'>;

function plain({ target, ofSample, ofNoisePred, after }: SplitStep): StepWork {
  return { runs: [{ rows: 'conditional', factors: [ofSample, ofNoisePred], target }], after };
}

/** Classifier-free guidance (arXiv 2207.12598, formula 6): noisePred = uncond + scale · (cond − uncond). */
function guided(
  { target, ofSample, ofNoisePred, after }: SplitStep,
  { scale, isBatched }: Guidance,
): StepWork {
  const ofUncond = mapFactor(scale, (one) => ofNoisePred * (1 - one));
  const ofCond = mapFactor(scale, (one) => ofNoisePred * one);
  if (isBatched) return { runs: [{ rows: 'both', factors: [ofSample, ofUncond, ofCond], target }], after };
  const runs: UNetRun[] = [
    { rows: 'unconditional', factors: [ofSample, ofUncond], target: 'unconditional' },
    { rows: 'conditional', factors: [0, ofCond], target },
  ];
  const total: Combination<PlanTensor> = {
    target,
    terms: [
      [1, 'unconditional'],
      [1, target],
    ],
  };
  return { runs, after: [total, ...after] };
}

function mapFactor(factor: Factor, change: (one: number) => number): Factor {
  return typeof factor === 'number' ? change(factor) : factor.map(change);
}
