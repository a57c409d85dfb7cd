/**
 * What a request has to know of the model that will serve it: its limits, defaults and presets. The manifest of a model
 * pack satisfies this interface.
 */
import type { FamilyOptions, ModelOptions } from './families/family.ts';
import { type I2VGenXLModel, i2vgenXl } from './families/i2vgen-xl.ts';
import { type SvdModel, svd } from './families/svd.ts';
import type { IgnorableOption } from './ignorable-options.ts';
import { type MotionKind, offeredMotions } from './motions.ts';
import type { SchedulerName } from './scheduler-names.ts';

export type ModelLimits = I2VGenXLModel | SvdModel;

/** Families of models, by the names that manifests have for them. */
export type Family = ModelLimits['family'];
type ModelOf<Name extends Family> = Extract<ModelLimits, { readonly family: Name }>;

const families: { readonly [Name in Family]: FamilyOptions<ModelOf<Name>> } = {
  'i2vgen-xl': i2vgenXl,
  svd,
};

/** What requests may tell the model. By the name of its family, so that the compiler knows that the row is the model's. */
export function optionsOf<Name extends Family>(
  model: ModelOf<Name> & { readonly family: Name },
): ModelOptions {
  return families[model.family].of(model);
}

/** The schedulers that a model can be run with. Weights that were distilled for LCM sampling know no other. */
export function schedulersOf({ family, defaults }: ModelLimits): readonly SchedulerName[] {
  return defaults.scheduler === 'lcm' ? ['lcm'] : families[family].schedulers;
}

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
  return [...new Set([...(family ? families[family].ignored : []), ...ignoredOptions])];
}

export function heeds(model: Heed, option: IgnorableOption): boolean {
  return !ignoredOptionsOf(model).includes(option);
}

/** Motions that the model knows by name, and tells which of them it understood; undefined for one that does not tell. */
export function knownMotions(model: ModelLimits | undefined): readonly MotionKind[] | undefined {
  return model?.motions;
}

/** Motions to choose from for a prompt: none where nobody reads it. */
export function motionsFor(model: ModelLimits | undefined): readonly MotionKind[] {
  return heeds(model ?? {}, 'prompt') ? offeredMotions(knownMotions(model)) : [];
}

/** Whether --motion makes a difference. */
export function heedsMotion(model: ModelLimits): boolean {
  return new Set(Object.values(optionsOf(model).motionLevels)).size > 1;
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
