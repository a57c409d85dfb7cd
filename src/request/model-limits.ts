/**
 * What a request has to know of the model that will serve it: its limits, defaults and presets. The manifest of a model
 * pack satisfies this interface.
 */
import type { OwnPresets } from './presets.ts';

/** DDIM takes the pack's own timesteps, DPM-Solver++ 2M trailing ones. */
export const schedulerNames = ['ddim', 'dpm++2m'] as const;
export type SchedulerName = (typeof schedulerNames)[number];

export const motions = ['low', 'medium', 'high'] as const;
export type Motion = (typeof motions)[number];

/** Options that a model may pay no heed to. */
export const ignorableOptions = [
  'negativePrompt',
  'numInferenceSteps',
  'guidanceScale',
  'guidanceEnd',
  'scheduler',
] as const;
export type IgnorableOption = (typeof ignorableOptions)[number];

/** Both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

export interface ModelLimits {
  readonly id: string;
  /** Width and height are multiples of this. */
  readonly sizeMultiple: number;
  readonly limits: {
    /** Of width and of height, each. */
    readonly side: Range;
    /** Of width × height. */
    readonly pixels: Range;
    readonly numFrames: Range;
    readonly numInferenceSteps: Range;
    readonly guidanceScale: Range;
  };
  /** What a motion means for this model, as targetFps. */
  readonly motionFps: Readonly<Record<Motion, number>>;
  readonly defaults: {
    readonly scheduler: SchedulerName;
    readonly prompt: string;
    readonly negativePrompt: string;
    /** Frames per second of the finished video. */
    readonly fps: number;
    readonly decodeChunkSize: number;
  };
  /** Replaces the general presets. */
  readonly presets?: OwnPresets | undefined;
  /** Options that change nothing that anybody could see: they are neither offered nor charged. */
  readonly ignoredOptions?: readonly IgnorableOption[] | undefined;
  readonly files: readonly { readonly path: string }[];
}

/**
 * Whether the model has a second core, which takes deep features that the first one computed in an earlier step
 * (DeepCache, arXiv 2312.00858): requests with featureReuse above 1 need it.
 */
export function hasShallowCore({ files }: Pick<ModelLimits, 'files'>): boolean {
  return files.some((file) => file.path === 'unet_shallow/model.onnx');
}

/** The options without those that the model ignores: its presets and defaults decide them. */
export function withEffect<Options extends object>(
  { ignoredOptions = [] }: Pick<ModelLimits, 'ignoredOptions'>,
  options: Options,
): Options {
  const ignored: readonly string[] = ignoredOptions;
  const kept = Object.entries(options).filter(([name]) => !ignored.includes(name));
  return Object.fromEntries(kept) as Options; // those that may be left out: every ignorable option may
}

/** The options that were chosen in vain. */
export function withoutEffect(
  { ignoredOptions = [] }: Pick<ModelLimits, 'ignoredOptions'>,
  options: { readonly [Name in IgnorableOption]?: unknown },
): IgnorableOption[] {
  return ignoredOptions.filter((name) => options[name] !== undefined && options[name] !== '');
}
