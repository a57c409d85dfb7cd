/** What may be said of a video that goes on from the end of an earlier one, and how long it may become. */
import { KinoraError } from '../errors.ts';
import { heeds, type ModelLimits } from './model-limits.ts';
import { type GenerationOptions, type OptionName, optionTable, wordOf } from './request.ts';

/** What people watch, and what fits into a message. */
const longestSeconds = 60;

/**
 * How many frames an extension adds, of those that are asked for: a clip that is made of noise begins with a frame that
 * stands for the earlier one's last, and is left out. A model that takes no steps draws its frames, and all are new.
 */
export function framesAdded(model: ModelLimits, numFrames: number): number {
  return heeds(model, 'numInferenceSteps') ? numFrames - 1 : numFrames;
}

/**
 * @param numFrames of the earlier video and of what is added, before both are looped or smoothed
 * @throws KinoraError INVALID_OPTION
 */
export function checkLength(numFrames: number, fps: number): void {
  const seconds = numFrames / fps;
  if (seconds <= longestSeconds) return;
  throw new KinoraError('INVALID_OPTION', {
    kind: 'tooLong',
    seconds: Number(seconds.toFixed(1)),
    max: longestSeconds,
  });
}

/** In all else an extension is as its video is: both are one file. */
const ofExtension: readonly OptionName[] = [
  'prompt',
  'negativePrompt',
  'motion',
  'motionBucket',
  'camera',
  'seed',
  'numFrames',
  'loop',
  'smooth',
  'isPrivate',
  'maxBytes',
  'decodeChunkSize',
];

/** @throws KinoraError INVALID_OPTION for an option that an extension cannot have */
export function checkExtensionOptions(chosen: GenerationOptions): void {
  const names = Object.keys(optionTable) as OptionName[];
  const given = new Set(
    Object.entries(chosen).flatMap(([name, value]) => (value === undefined ? [] : [name])),
  );
  const unfit = names.find((name) => given.has(name) && !ofExtension.includes(name));
  if (unfit === undefined) return;
  const word = (name: OptionName): string => wordOf(optionTable[name]) ?? name;
  throw new KinoraError('INVALID_OPTION', {
    kind: 'unknownOption',
    got: word(unfit),
    known: ofExtension.filter((name) => wordOf(optionTable[name]) !== undefined).map(word),
  });
}
