/** I2VGen-XL: picture and text to frames. */
import type { Motion } from '../presets.ts';
import { cleanPrompt } from '../prompt.ts';
import type { CommonModel, FamilyOptions } from './family.ts';

export interface I2VGenXLModel extends CommonModel {
  readonly family: 'i2vgen-xl';
  /** What a motion means for this model, as targetFps. */
  readonly motionFps: Readonly<Record<Motion, number>>;
  readonly defaults: CommonModel['defaults'] & { readonly prompt: string; readonly negativePrompt: string };
}

export const i2vgenXl: FamilyOptions<I2VGenXLModel> = {
  // Its decoder knows single frames only, so that windows have nothing to share.
  ignored: ['motionBucket', 'noiseAug', 'decodeOverlap'],
  schedulers: ['ddim', 'dpm++2m'],
  of: ({ defaults, motionFps }) => ({
    motionLevels: motionFps,
    usualChunk: ({ numFrames }) => Math.min(defaults.decodeChunkSize, numFrames),
    conditioning: ({ prompt, negativePrompt }, { motion }) => ({
      prompt: cleanPrompt('prompt', prompt) || defaults.prompt,
      negativePrompt:
        negativePrompt === undefined
          ? defaults.negativePrompt
          : cleanPrompt('negative prompt', negativePrompt),
      targetFps: motionFps[motion],
    }),
  }),
};
