/** Options that a model may pay no heed to. */
export const ignorableOptions = [
  'prompt',
  'camera',
  'negativePrompt',
  'numInferenceSteps',
  'guidanceScale',
  'guidanceEnd',
  'scheduler',
  'motionBucket',
  'noiseAug',
  'decodeOverlap',
] as const;
export type IgnorableOption = (typeof ignorableOptions)[number];

/** Those that are words about the clip: a model that reads none ignores them all. */
const texts: readonly IgnorableOption[] = ['prompt', 'camera', 'negativePrompt'];

/** Whether what was chosen in vain has words in it that the model does not read. */
export function readsNoText(inVain: readonly IgnorableOption[]): boolean {
  return inVain.includes('prompt') || inVain.includes('camera');
}

export function withoutTexts(inVain: readonly IgnorableOption[]): readonly IgnorableOption[] {
  return inVain.filter((name) => !texts.includes(name));
}
