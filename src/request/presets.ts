/** The presets: named sets of numbers that people choose from. A model pack may replace each of them. */
export const presetNames = ['fast', 'standard', 'high', 'creative'] as const;
export type PresetName = (typeof presetNames)[number];
/** Of requests that name none. */
export const defaultPreset: PresetName = 'standard';

/** How much moves. */
export const motions = ['low', 'medium', 'high'] as const;
export type Motion = (typeof motions)[number];

export interface Preset {
  /** Side of the square whose area the working size approaches. */
  readonly size: number;
  readonly numFrames: number;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  /** Instead of medium. */
  readonly motion?: Motion | undefined;
}

/** What a model puts in their place. */
export type OwnPresets = { readonly [Name in PresetName]?: Preset | undefined };

/** For I2VGen-XL itself. */
export const generalPresets: Readonly<Record<PresetName, Preset>> = {
  fast: { size: 512, numFrames: 8, numInferenceSteps: 30, guidanceScale: 9 },
  standard: { size: 512, numFrames: 16, numInferenceSteps: 50, guidanceScale: 9 },
  high: { size: 768, numFrames: 24, numInferenceSteps: 80, guidanceScale: 10 },
  creative: { size: 512, numFrames: 16, numInferenceSteps: 50, guidanceScale: 6.5 },
};

/** The preset as this model runs it. */
export function presetOf(
  { presets }: { readonly presets?: OwnPresets | undefined },
  name: PresetName,
): Preset {
  return presets?.[name] ?? generalPresets[name];
}
