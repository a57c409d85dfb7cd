/** What requests may tell the models of a family. Each family has a file beside this one that says it. */
import type { IgnorableOption } from '../ignorable-options.ts';
import type { MotionKind } from '../motions.ts';
import type { Motion, OwnPresets } from '../presets.ts';
import type { Range } from '../ranges.ts';
import type { GenerationOptions } from '../request.ts';
import type { SchedulerName } from '../scheduler-names.ts';
import type { SizeLimits, WorkingSize } from '../sizes.ts';

export interface FamilyOptions<Model> {
  /** Whatever a single pack heeds. */
  readonly ignored: readonly IgnorableOption[];
  readonly schedulers: readonly SchedulerName[];
  /** Of one of its models. */
  readonly of: (model: Model) => ModelOptions;
}

export interface ModelOptions {
  /** What a motion means for the model. */
  readonly motionLevels: Readonly<Record<Motion, number>>;
  /** Frames decoded at once where nobody says how many. */
  readonly usualChunk: (clip: WorkingSize & { readonly numFrames: number }) => number;
  /** @throws KinoraError INVALID_OPTION or INVALID_PROMPT with what is allowed */
  readonly conditioning: (options: GenerationOptions, clip: ChosenNumbers) => Conditioning;
}

/** What was decided before, for every family alike. */
export interface ChosenNumbers {
  readonly motion: Motion;
  readonly guidanceScale: number;
  readonly numFrames: number;
  readonly decodeChunkSize: number;
}

/** What only some families can be told. */
export interface Conditioning {
  /** Empty for a model that reads none, like the negative prompt. */
  readonly prompt: string;
  readonly negativePrompt: string;
  /** The frame rate that the model is conditioned on: lower means more motion between frames. */
  readonly targetFps: number;
  /** For a model that takes them. */
  readonly motionNumbers?: MotionNumbers;
  /**
   * Frames on either side that a frame shares its run of the decoder with, at least, where the decoder mixes frames. 0 or
   * absent: chunks side by side, as diffusers decodes them.
   */
  readonly decodeOverlap?: number;
}

/** What Stable Video Diffusion is told in place of a text. */
export interface MotionNumbers {
  /** How much moves. */
  readonly motionBucket: number;
  /** Standard deviation of the noise on the picture, whose values are -1 … 1. */
  readonly noiseAug: number;
  /** Guidance of the first frame, from which it grows evenly to guidanceScale at the last. */
  readonly minGuidance: number;
}

/** What manifests say of models: of every one, and what is optional of those of some families. Forms show it. */
export interface CommonModel extends SizeLimits {
  readonly id: string;
  readonly limits: SizeLimits['limits'] & {
    readonly numFrames: Range;
    readonly numInferenceSteps: Range;
    readonly guidanceScale: Range;
    readonly motionBucket?: Range;
    readonly noiseAug?: Range;
  };
  /** What a motion means, as motionBucket. */
  readonly motionBuckets?: Readonly<Record<Motion, number>>;
  readonly defaults: {
    readonly scheduler: SchedulerName;
    /** Frames per second of the finished video. */
    readonly fps: number;
    readonly decodeChunkSize: number;
    readonly noiseAug?: number;
    readonly negativePrompt?: string;
  };
  /** Replaces the general presets. */
  readonly presets?: OwnPresets | undefined;
  /** Options that change nothing that anybody could see: they are neither offered nor charged. */
  readonly ignoredOptions?: readonly IgnorableOption[] | undefined;
  /** That the model knows by name. */
  readonly motions?: readonly MotionKind[] | undefined;
  readonly files: readonly { readonly path: string }[];
}
