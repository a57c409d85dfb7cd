/** The presets: named sets of numbers that people choose from. A model pack may replace each of them. */
import type { ModelLimits } from './model-limits.ts';

export const presetNames = ['fast', 'standard', 'high', 'creative'] as const;
export type PresetName = (typeof presetNames)[number];

export interface Preset {
  /** Side of the square whose area the working size approaches. */
  readonly size: number;
  readonly numFrames: number;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
}

/** For I2VGen-XL itself. */
export const generalPresets: Readonly<Record<PresetName, Preset>> = {
  fast: { size: 512, numFrames: 8, numInferenceSteps: 30, guidanceScale: 9 },
  standard: { size: 512, numFrames: 16, numInferenceSteps: 50, guidanceScale: 9 },
  high: { size: 768, numFrames: 24, numInferenceSteps: 80, guidanceScale: 10 },
  creative: { size: 512, numFrames: 16, numInferenceSteps: 50, guidanceScale: 6.5 },
};

/** The preset as this model runs it. */
export function presetOf({ presets }: Pick<ModelLimits, 'presets'>, name: PresetName): Preset {
  return presets?.[name] ?? generalPresets[name];
}
