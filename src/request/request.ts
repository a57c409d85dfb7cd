/**
 * The one request: what a person asks for, before the model's defaults and limits are applied. Chats, command line,
 * queue and engine share it. A new option has an entry in generationSchema and one in optionTable, both below.
 */
import { z } from 'zod';
import { motionWords } from './motions.ts';
import { motions, presetNames } from './presets.ts';
import { cleanPrompt, isBlank } from './prompt.ts';
import { schedulerNames } from './scheduler-names.ts';

/** Camera choices and the words by which models know them. */
export const cameraWords = {
  'zoom-in': motionWords['zoom-in'],
  'zoom-out': motionWords['zoom-out'],
  'pan-left': motionWords['pan-left'],
  'pan-right': motionWords['pan-right'],
  'tilt-up': motionWords['tilt-up'],
  'tilt-down': motionWords['tilt-down'],
  'rotate-clockwise': motionWords['rotate-cw'],
  'rotate-counterclockwise': motionWords['rotate-ccw'],
  static: motionWords.static,
} as const;
export type Camera = keyof typeof cameraWords;
export const cameras: readonly string[] = Object.keys(cameraWords);

/**
 * A request as it is kept with its job. Bounds are loose: a job that waits must stay readable when a range changes.
 * People are held to optionTable where they type, and to the model's limits by resolveRequest().
 */
export const generationSchema = z.object({
  prompt: z.string().max(2000),
  negativePrompt: z.string().max(2000).optional(),
  preset: z.string().min(1).max(32),
  /** Chosen by name; the default where nobody did. */
  model: z.string().min(1).max(64).optional(),
  seed: z.int().nonnegative(),
  numFrames: z.int().positive().optional(),
  numInferenceSteps: z.int().positive().optional(),
  guidanceScale: z.number().optional(),
  /** Share of the steps that use guidance. */
  guidanceEnd: z.number().optional(),
  motion: z.string().max(32).optional(),
  scheduler: z.string().max(32).optional(),
  featureReuse: z.int().positive().optional(),
  motionBucket: z.int().positive().optional(),
  noiseAug: z.number().nonnegative().optional(),
  decodeChunkSize: z.int().positive().optional(),
  decodeOverlap: z.int().nonnegative().optional(),
  /** Of the finished video. */
  fps: z.int().positive().optional(),
  /** "512" or "640x384". */
  size: z.string().max(16).optional(),
  loop: z.boolean().optional(),
  smooth: z.int().positive().optional(),
  maxBytes: z.int().positive().optional(),
  variation: z.object({ videoId: z.string().min(1).max(128), strength: z.number().gt(0).max(1) }).optional(),
  /** Goes on from the end of an earlier clip. */
  extension: z
    .object({
      videoId: z.string().min(1).max(128),
      /** Frames that it has, before it was looped or smoothed as follows. */
      numFrames: z.int().positive(),
      loop: z.boolean(),
      smooth: z.union([z.literal(1), z.literal(2), z.literal(3)]),
    })
    .optional(),
});
export type Generation = z.infer<typeof generationSchema>;

/** The options that a person chose. The preset and the model decide the others. */
export type GenerationOptions = { readonly [Name in keyof Generation]?: Generation[Name] | undefined };

/** What can be chosen in a chat. */
export interface ChatOptions extends GenerationOptions {
  /** Becomes a part of the prompt. */
  readonly camera?: Camera | undefined;
  /** Only the person who asks sees the answer, where the platform can do that. */
  readonly isPrivate?: boolean | undefined;
}

/** The options that save time and leave the exact path. */
export type Shortcuts = Pick<GenerationOptions, 'scheduler' | 'guidanceEnd' | 'featureReuse'>;

export type OptionValues =
  /** "512" or "640x384", each side within the range. */
  | { readonly kind: 'size'; readonly min: number; readonly max: number }
  | { readonly kind: 'range'; readonly min: number; readonly max: number; readonly isWhole: boolean }
  | { readonly kind: 'oneOf'; readonly allowed: readonly string[] }
  | { readonly kind: 'text' }
  /** One word, such as the id of a model; who knows the models checks it. */
  | { readonly kind: 'name' }
  | { readonly kind: 'switch' }
  /** 1, 2 or 3; in a chat, yes is 3 and no is 1. */
  | { readonly kind: 'factor' };

export type Option = OptionValues & {
  /** How it is typed in a chat; absent where it cannot be chosen there. */
  readonly word?: string;
  /** How it is given on the command line, and its line in the help. */
  readonly flags?: string;
  readonly help?: string;
};

const whole = (min: number, max: number) => ({ kind: 'range', min, max, isWhole: true }) as const;
const number = (min: number, max: number) => ({ kind: 'range', min, max, isWhole: false }) as const;
const oneOf = (allowed: readonly string[]) => ({ kind: 'oneOf', allowed }) as const;

/** What may be typed. Ranges are what any model could take, with both ends included. */
export const optionTable = {
  prompt: { word: 'prompt', kind: 'text' },
  preset: {
    word: 'preset',
    ...oneOf(presetNames),
    flags: '-p, --preset <name>',
    help: `${presetNames.join(', ')} (default: standard)`,
  },
  model: { word: 'model', kind: 'name' },
  motion: {
    word: 'motion',
    ...oneOf(motions),
    flags: '--motion <amount>',
    help: 'low, medium or high (default: medium)',
  },
  motionBucket: {
    ...whole(1, 255),
    flags: '--motion-bucket <number>',
    help: 'for Stable Video Diffusion: how much moves, 1 to 255, in place of --motion',
  },
  noiseAug: {
    ...number(0, 0.5),
    flags: '--noise-aug <number>',
    help: 'for Stable Video Diffusion: more leads further from the picture, 0 to 0.5',
  },
  camera: { word: 'camera', ...oneOf(cameras) },
  seed: {
    word: 'seed',
    ...whole(0, Number.MAX_SAFE_INTEGER),
    flags: '-s, --seed <number>',
    help: 'same seed, same video (default: random)',
  },
  negativePrompt: {
    word: 'negative',
    kind: 'text',
    flags: '-n, --negative <text>',
    help: 'not for the built-in model: what should not be seen',
  },
  numFrames: { word: 'frames', ...whole(1, 96), flags: '--frames <number>', help: 'frames to make' },
  numInferenceSteps: {
    word: 'steps',
    ...whole(1, 200),
    flags: '--steps <number>',
    help: 'not for the built-in model: denoising steps',
  },
  guidanceScale: {
    word: 'guidance',
    ...number(1, 20),
    flags: '--guidance <number>',
    help: 'not for the built-in model: how closely the prompt is followed',
  },
  fps: { word: 'fps', ...whole(1, 60), flags: '--fps <number>', help: 'frames per second of the video' },
  size: {
    word: 'size',
    kind: 'size',
    min: 10,
    max: 9999,
    flags: '--size <size>',
    help: '"512" for that area in the picture\'s shape, or "640x384" exactly',
  },
  loop: { word: 'loop', kind: 'switch', flags: '--loop', help: 'play forwards and backwards' },
  smooth: {
    word: 'smooth',
    kind: 'factor',
    flags: '--smooth <factor>',
    help: '2 or 3 times as many frames, by interpolation',
  },
  isPrivate: { word: 'private', kind: 'switch' },
  guidanceEnd: {
    ...number(0, 1),
    flags: '--guidance-end <share>',
    help: 'not for the built-in model: share of the steps that use guidance, 0 to 1 (default: 1)',
  },
  scheduler: {
    ...oneOf(schedulerNames),
    flags: '--scheduler <name>',
    help: 'for I2VGen-XL ddim, or dpm++2m: as good in 25 steps; for Stable Video Diffusion euler or dpm++2m, with AnimateLCM lcm alone',
  },
  featureReuse: {
    kind: 'factor',
    flags: '--reuse <number>',
    help: 'run the whole UNet every 2 or 3 steps only (default: 1, every step)',
  },
  decodeChunkSize: {
    ...whole(1, Number.MAX_SAFE_INTEGER),
    flags: '--chunk <frames>',
    help: 'frames decoded at once; fewer need less memory',
  },
  decodeOverlap: {
    ...whole(0, 4),
    flags: '--overlap <frames>',
    help: 'for Stable Video Diffusion: neighbours that every frame is decoded with, 0 to 4; 0 decodes chunk by chunk',
  },
  maxBytes: {
    ...whole(1, Number.MAX_SAFE_INTEGER),
    flags: '--max-bytes <number>',
    help: 'make the file no larger than this',
  },
} as const satisfies Readonly<Record<Exclude<keyof ChatOptions, 'variation' | 'extension'>, Option>>;

export type OptionName = keyof typeof optionTable;

/** How an option is typed in a chat, or undefined where it cannot be chosen there. */
export const wordOf = ({ word }: Option): string | undefined => word;

/** "subtle" and "strong" of a variation. */
export const variationStrengths = { subtle: 0.35, strong: 0.7 } as const;

/** The values without undefined ones, which would hide a default. */
function withoutUndefined<T extends object>(values: T): { [Name in keyof T]: Exclude<T[Name], undefined> } {
  const defined = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(defined) as { [Name in keyof T]: Exclude<T[Name], undefined> };
}

/**
 * The fields of a request that the options decide. The others are absent. One that is undefined is the earlier request's
 * no longer.
 * @param base the earlier request that is changed: a camera choice is added to its prompt when there is no new one
 * @throws KinoraError INVALID_PROMPT for a prompt that is too long or no text
 */
export function toGeneration(chosen: ChatOptions, base?: Pick<Generation, 'prompt'>): Partial<Generation> {
  const { camera, isPrivate: _, prompt, negativePrompt, ...rest } = chosen;
  // An amount that was chosen takes the place of the earlier one, whichever of the two says it.
  const isMotionNew = rest.motion !== undefined && rest.motionBucket === undefined;
  const parts = [prompt ?? base?.prompt ?? '', camera ? cameraWords[camera] : ''];
  const words = parts.filter((part) => !isBlank(part)).join(', ');
  const named = withoutUndefined({
    ...rest,
    prompt: prompt === undefined && camera === undefined ? undefined : cleanPrompt('prompt', words),
    negativePrompt: negativePrompt === undefined ? undefined : cleanPrompt('negative prompt', negativePrompt),
  });
  return isMotionNew ? { ...named, motionBucket: undefined } : named;
}
