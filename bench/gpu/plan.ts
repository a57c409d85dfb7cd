/**
 * What both sides are measured on: shapes, jobs and chunks, derived from the pack's presets, so that the same bench runs
 * the full model on a GPU and the tiny pack on a CPU.
 */

import type { PackManifest } from '../../src/inference/packs/manifest.ts';
import { allowedChunk } from '../../src/inference/residency/memory-plan.ts';
import { type PresetName, presetOf } from '../../src/request/presets.ts';
import { bestSize } from '../../src/request/sizes.ts';
import { benchedFamily, type Goal } from './families.ts';

export const partNames = [
  'jobs',
  'steps',
  'tail',
  'remix',
  'budgets',
  'idle',
  'options',
  'vae',
  'large',
] as const;
export type PartName = (typeof partNames)[number];

export interface Shape {
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
}

export interface StepShape extends Shape {
  /** "512x512x16, batch 2". */
  readonly key: string;
  readonly batch: 1 | 2;
}

export interface Job extends Shape {
  readonly key: string;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  /** Measured runs, after two for warm-up. */
  readonly repeats: number;
  /** Budget of GPU memory for the engine; absent: all of the card. */
  readonly budgetGiB?: number;
}

export interface VaeCase extends Shape {
  readonly key: string;
  readonly chunks: readonly number[];
}

export interface StepGoal extends Goal {
  readonly key: string;
}

export interface Plan {
  readonly jobs: readonly Job[];
  readonly steps: readonly StepShape[];
  /** Those of `steps` that are measured with torch.compile, too, which takes minutes each. */
  readonly compiled: readonly StepShape[];
  readonly vae: readonly VaeCase[];
  readonly stepGoals: readonly StepGoal[];
  /** Keys of what is decoded by its window or chunk, and the share of the time of diffusers that it may take. */
  readonly decodeGoals: readonly { readonly key: string; readonly ofDiffusers: number }[];
  /** Clips with the memory of smaller cards. */
  readonly budgets: readonly Job[];
  /** The largest clip, for its memory; a few steps. */
  readonly large: Job;
  /** Steps of warm-up runs, and of clips whose denoising loop is not measured. */
  readonly warmSteps: number;
  readonly repeats: number;
}

export interface PlanOptions {
  readonly stepsScale: number;
  readonly repeats: number;
}

export const shapeKey = ({ width, height, numFrames }: Shape): string => `${width}x${height}x${numFrames}`;

export function makePlan(manifest: PackManifest, { stepsScale, repeats }: PlanOptions): Plan {
  const { limits, sizeMultiple } = manifest;
  const { picture, fewerFrames = Infinity, windows, stepGoals } = benchedFamily(manifest);
  const shapeOf = (size: number, numFrames: number): Shape => {
    const best = picture && bestSize(picture, size, manifest);
    return { ...(best ?? { width: size, height: size }), numFrames };
  };
  const jobOf = (name: PresetName, runs: number): Job => {
    const { size, numFrames, numInferenceSteps, guidanceScale } = presetOf(manifest, name);
    return {
      key: name,
      ...shapeOf(size, numFrames),
      numInferenceSteps: Math.max(1, Math.round(numInferenceSteps * stepsScale)),
      guidanceScale,
      repeats: runs,
    };
  };
  // The longest preset runs once: it takes as long as all others together.
  const jobs = [jobOf('fast', repeats), jobOf('standard', repeats), jobOf('high', 1)];
  const budgets = [
    { ...jobOf('standard', 1), budgetGiB: 8 },
    // Only its memory is measured, which does not depend on the number of steps.
    { ...jobOf('high', 0), budgetGiB: 12 },
  ];
  const standard = presetOf(manifest, 'standard');
  // Half the side: bound by launches rather than arithmetic on a large card.
  const small = Math.max(limits.side.min, sizeMultiple * Math.round(standard.size / 2 / sizeMultiple));
  const high = presetOf(manifest, 'high');
  const fewer = high.numFrames > fewerFrames ? [shapeOf(high.size, fewerFrames)] : [];
  const shapes = [shapeOf(small, standard.numFrames), ...fewer, ...jobs];
  const steps = ([2, 1] as const).flatMap((batch) => differing(shapes).map((shape) => stepOf(shape, batch)));
  const compiled = differing([...fewer, ...jobs.slice(1)]).map((shape) => stepOf(shape, 2));
  const [, standardJob = jobOf('standard', 0), highJob = jobOf('high', 0)] = jobs;
  const goalsOf = (clip: keyof typeof stepGoals, ofClip: readonly Shape[]): StepGoal[] => {
    const goal = stepGoals[clip];
    return goal ? ofClip.map((shape) => ({ key: stepOf(shape, 2).key, ...goal })) : [];
  };
  const largest = Math.min(limits.side.max, 2 * standard.size);
  return {
    jobs,
    steps,
    compiled,
    vae: jobs.slice(1).map(({ width, height, numFrames }) => ({
      key: shapeKey({ width, height, numFrames }),
      ...{ width, height, numFrames },
      // All frames at once, as far as memory allows.
      chunks: [1, 2, 4, 8, 16, ...windows, numFrames]
        .filter(
          (chunk, index, all) =>
            chunk <= numFrames &&
            all.indexOf(chunk) === index &&
            chunk <= allowedChunk({ width, height, decodeChunkSize: chunk }),
        )
        .sort((one, other) => one - other),
    })),
    stepGoals: [
      ...goalsOf('fewer', fewer),
      ...goalsOf('standard', [standardJob]),
      ...goalsOf('high', [highJob]),
    ],
    decodeGoals: windows.map((chunk) => ({ key: `${shapeKey(highJob)} chunk ${chunk}`, ofDiffusers: 0.7 })),
    budgets,
    large: {
      key: 'large',
      ...shapeOf(largest, limits.numFrames.max),
      numInferenceSteps: 2,
      guidanceScale: standard.guidanceScale,
      repeats: 0,
      budgetGiB: 22,
    },
    warmSteps: 3,
    repeats,
  };
}

const stepOf = ({ width, height, numFrames }: Shape, batch: 1 | 2): StepShape => ({
  key: `${shapeKey({ width, height, numFrames })}, batch ${batch}`,
  ...{ width, height, numFrames, batch },
});

/** A small pack may have the same shape twice. */
const differing = (shapes: readonly Shape[]): Shape[] => [
  ...new Map(shapes.map((shape) => [shapeKey(shape), shape])).values(),
];
