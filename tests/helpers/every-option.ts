import type { Generation } from '../../src/request/request.ts';

/** A request in which every option of a chat is set, with a prompt that looks like options. */
export const everyOption: Generation = {
  prompt: 'waves = "big" loop',
  negativePrompt: 'blurry, "text"',
  preset: 'fast',
  seed: 7,
  numFrames: 16,
  numInferenceSteps: 20,
  guidanceScale: 9.5,
  motion: 'low',
  fps: 12,
  size: '512',
  loop: true,
  smooth: 3,
};
