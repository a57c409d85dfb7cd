/**
 * What a request has to know of the model that will serve it: its limits, defaults and presets. The manifest of a model
 * pack satisfies this interface.
 */
import type { IgnorableOption } from './ignorable-options.ts';
import { type MotionKind, offeredMotions } from './motions.ts';
import type { Motion, OwnPresets } from './presets.ts';
import type { Range } from './ranges.ts';
import type { SchedulerName } from './scheduler-names.ts';

/** Families of models, by the names that manifests have for them. */
export type Family = 'i2vgen-xl' | 'svd';

/** What the models of a family can be told, whatever a single pack makes of it. */
const familyOptions: Readonly<
  Record<
    Family,
    { readonly ignored: readonly IgnorableOption[]; readonly schedulers: readonly SchedulerName[] }
  >
> = {
  // Its decoder knows single frames only, so that windows have nothing to share.
  'i2vgen-xl': { ignored: ['motionBucket', 'noiseAug', 'decodeOverlap'], schedulers: ['ddim', 'dpm++2m'] },
  // It sees the picture alone.
  svd: { ignored: ['prompt', 'camera', 'negativePrompt'], schedulers: ['euler', 'dpm++2m'] },
};

/** The schedulers that a model can be run with. Weights that were distilled for LCM sampling know no other. */
export function schedulersOf({ family, defaults }: ModelLimits): readonly SchedulerName[] {
  return defaults.scheduler === 'lcm' ? ['lcm'] : familyOptions[family].schedulers;
}

interface CommonModel {
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
  readonly defaults: {
    readonly scheduler: SchedulerName;
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

/** Picture and text to frames. */
export interface I2VGenXLModel extends CommonModel {
  readonly family: 'i2vgen-xl';
  /** What a motion means for this model, as targetFps. */
  readonly motionFps: Readonly<Record<Motion, number>>;
  readonly defaults: CommonModel['defaults'] & { readonly prompt: string; readonly negativePrompt: string };
  /** That the model knows by name. */
  readonly motions?: readonly MotionKind[] | undefined;
}

/** Stable Video Diffusion: a picture to frames, with numbers in place of a text. */
export interface SvdModel extends CommonModel {
  readonly family: 'svd';
  readonly limits: CommonModel['limits'] & { readonly motionBucket: Range; readonly noiseAug: Range };
  /** What a motion means for this model. */
  readonly motionBuckets: Readonly<Record<Motion, number>>;
  readonly defaults: CommonModel['defaults'] & {
    readonly targetFps: number;
    readonly noiseAug: number;
    readonly minGuidance: number;
    readonly decodeOverlap: number;
  };
}

export type ModelLimits = I2VGenXLModel | SvdModel;

/**
 * Whether the model has a second core, which takes deep features that the first one computed in an earlier step
 * (DeepCache, arXiv 2312.00858): requests with featureReuse above 1 need it.
 */
export function hasShallowCore({ files }: Pick<ModelLimits, 'files'>): boolean {
  return files.some((file) => file.path === 'unet_shallow/model.onnx');
}

/** Of a model, or of one that is not known. */
export type Heed = Partial<Pick<ModelLimits, 'family' | 'ignoredOptions'>>;

/** The options that the model ignores: those of its family, and those that its manifest names. */
export function ignoredOptionsOf({ family, ignoredOptions = [] }: Heed): readonly IgnorableOption[] {
  return [...new Set([...(family ? familyOptions[family].ignored : []), ...ignoredOptions])];
}

export function heeds(model: Heed, option: IgnorableOption): boolean {
  return !ignoredOptionsOf(model).includes(option);
}

/** Motions that the model knows by name, and tells which of them it understood; undefined for one that does not tell. */
export function knownMotions(model: ModelLimits | undefined): readonly MotionKind[] | undefined {
  return model?.family === 'i2vgen-xl' ? model.motions : undefined;
}

/** Motions to choose from for a prompt: none where nobody reads it. */
export function motionsFor(model: ModelLimits | undefined): readonly MotionKind[] {
  return heeds(model ?? {}, 'prompt') ? offeredMotions(knownMotions(model)) : [];
}

/** Whether --motion makes a difference. */
export function heedsMotion(model: ModelLimits): boolean {
  const levels = model.family === 'svd' ? model.motionBuckets : model.motionFps;
  return new Set(Object.values(levels)).size > 1;
}

/** The options without those that the model ignores: its presets and defaults decide them. An ignored prompt is empty. */
export function withEffect<Options extends { readonly prompt?: string | undefined }>(
  model: Heed,
  options: Options,
): Options {
  const ignored: readonly string[] = ignoredOptionsOf(model);
  const kept = Object.entries(options).filter(([name]) => !ignored.includes(name));
  const noPrompt = options.prompt !== undefined && ignored.includes('prompt') ? { prompt: '' } : {};
  // Those that may be left out: every ignorable option but the prompt may.
  return { ...Object.fromEntries(kept), ...noPrompt } as Options;
}

/** The options that were chosen in vain. */
export function withoutEffect(
  model: Heed,
  options: { readonly [Name in IgnorableOption]?: unknown },
): IgnorableOption[] {
  return ignoredOptionsOf(model).filter((name) => options[name] !== undefined && options[name] !== '');
}
