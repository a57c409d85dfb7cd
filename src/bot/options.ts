/**
 * What people can choose in a chat, how it is written in a caption, and what it means for a generation. Ranges here are
 * what any model could take; the limits of the installed pack are checked where it runs. Knows no platform.
 */
import { z } from 'zod';
import type { ErrorDetail } from '../error-details.ts';
import { KinoraError } from '../errors.ts';
import type { Artifact } from '../queue/jobs.ts';
import { presetNames } from '../request/presets.ts';
import { cleanPrompt } from '../request/prompt.ts';
import type { Generation } from '../request/request.ts';
import type { Messages } from './sentences/catalogue.ts';

export const motions = ['low', 'medium', 'high'] as const;

/** Camera choices and the words by which models know them. */
export const cameraWords = {
  'zoom-in': 'camera slowly zooming in',
  'zoom-out': 'camera slowly zooming out',
  'pan-left': 'camera panning left',
  'pan-right': 'camera panning right',
  'tilt-up': 'camera tilting up',
  'tilt-down': 'camera tilting down',
  'rotate-clockwise': 'camera rotating clockwise',
  'rotate-counterclockwise': 'camera rotating counterclockwise',
  static: 'static camera',
} as const;
export type Camera = keyof typeof cameraWords;
export const cameras = Object.keys(cameraWords) as [Camera, ...Camera[]];

/** Both ends included. Discord's command definitions show them. */
export const optionRanges = {
  seed: { min: 0, max: Number.MAX_SAFE_INTEGER },
  frames: { min: 1, max: 32 },
  steps: { min: 1, max: 200 },
  guidance: { min: 1, max: 20 },
  fps: { min: 1, max: 60 },
  smooth: { min: 1, max: 3 },
} as const;

/** "512" or "640x384". */
const sizePattern = /^\d{2,4}([x×]\d{2,4})?$/;

const whole = (what: keyof typeof optionRanges) => {
  const { min, max } = optionRanges[what];
  const error = (): string => `The ${what} must be a whole number from ${min} to ${max}.`;
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error }).optional();
};
const oneOf = <const T extends readonly [string, ...string[]]>(what: string, names: T) =>
  z.enum(names, { error: () => `The ${what} must be one of ${names.join(', ')}.` }).optional();
const text = (what: string) => z.string({ error: () => `The ${what} must be a text.` }).optional();
const guidanceError = (): string =>
  `The guidance must be a number from ${optionRanges.guidance.min} to ${optionRanges.guidance.max}.`;

/** For both adapters. Everything is optional; absent means "as before" for a remix, else "as the preset says". */
export const chatOptionsSchema = z.strictObject({
  prompt: text('prompt'),
  preset: oneOf('preset', presetNames),
  motion: oneOf('motion', motions),
  camera: oneOf('camera', cameras),
  seed: whole('seed'),
  negative: text('negative prompt'),
  frames: whole('frames'),
  steps: whole('steps'),
  guidance: z
    .number({ error: guidanceError })
    .min(optionRanges.guidance.min, { error: guidanceError })
    .max(optionRanges.guidance.max, { error: guidanceError })
    .optional(),
  fps: whole('fps'),
  size: z
    .string()
    .regex(sizePattern, { error: () => 'The size must look like 512 or 640x384.' })
    .optional(),
  loop: z.boolean().optional(),
  /** true is three times the frames. */
  smooth: z.union([z.boolean(), z.literal(1), z.literal(2), z.literal(3)]).optional(),
  /** Only the person who asks sees the answer, where the platform can do that. */
  isPrivate: z.boolean().optional(),
});
export type ChatOptions = z.infer<typeof chatOptionsSchema>;

/**
 * What an adapter collected, checked.
 * @throws KinoraError INVALID_OPTION with what is allowed
 */
export function parseOptions(raw: unknown): ChatOptions {
  const parsed = chatOptionsSchema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const what = String(issue?.path[0]);
  throw new KinoraError(
    'INVALID_OPTION',
    allowedFor(what) ?? issue?.message ?? 'The options are not understood.',
  );
}

function allowedFor(what: string): ErrorDetail | undefined {
  if (what === 'preset') return { kind: 'oneOf', what, allowed: [...presetNames] };
  if (what === 'motion') return { kind: 'oneOf', what, allowed: [...motions] };
  if (what === 'camera') return { kind: 'oneOf', what, allowed: cameras };
  if (what === 'size') return { kind: 'sizeForm' };
  if (!(what in optionRanges)) return undefined;
  const { min, max } = optionRanges[what as keyof typeof optionRanges];
  return { kind: 'range', what, min, max, isWhole: what !== 'guidance' };
}

/** How options are written in a caption → their names here. */
const keys: Readonly<Record<string, keyof ChatOptions>> = {
  prompt: 'prompt',
  preset: 'preset',
  motion: 'motion',
  camera: 'camera',
  seed: 'seed',
  negative: 'negative',
  frames: 'frames',
  steps: 'steps',
  guidance: 'guidance',
  fps: 'fps',
  size: 'size',
  loop: 'loop',
  smooth: 'smooth',
  private: 'isPrivate',
};
/** Those that may stand alone, without a value. */
const switches = ['loop', 'smooth', 'private'] as const;
const numbers: readonly string[] = ['seed', 'frames', 'steps', 'guidance', 'fps'];
const yes = ['yes', 'on', 'true'];
const no = ['no', 'off', 'false'];

/** What chats put between letters so that nothing becomes a link or command, and what keyboards leave behind. */
const invisible = /[\u200B\u2060\uFEFF]/gu;
/** At the start: "/animate" or "/animate@some_bot". */
const commandPattern = /^\s*\/[a-z_]+(?:@\w+)?(?=\s|$)/iu;
/** key=value with the value bare or in any kind of double quotes, or a single word. */
const wordPattern = /([\p{L}_-]+)\s?[=＝]\s?(?:["“”„«»＂]([^"“”„«»＂]*)["“”„«»＂]|([^\s"“”„«»＂]*))|(\S+)/gu;

/**
 * A caption such as `/animate zoom in preset=fast seed=7 negative="blurry, text" loop smooth private`. What is no
 * option is the prompt. "loop", "smooth" and "private" are options only at the end, or beside others: a prompt may
 * speak of a loop.
 * @throws KinoraError INVALID_OPTION for an unknown key, naming the known ones, or a value outside its range
 */
export function parseWords(caption: string): ChatOptions {
  const words = readWords(caption.replace(invisible, '').replace(commandPattern, ''));
  const raw: Record<string, unknown> = {};
  const prompt: string[] = [];
  for (const [index, word] of words.entries()) {
    if (typeof word !== 'string') setOption(raw, word);
    else if (
      isSwitch(word) &&
      words.slice(index + 1).every((next) => typeof next !== 'string' || isSwitch(next))
    ) {
      setOption(raw, { key: word, value: 'yes' });
    } else prompt.push(word);
  }
  // `prompt="…"` and loose words are one prompt.
  if (prompt.length > 0) raw['prompt'] = [raw['prompt'], ...prompt].filter(Boolean).join(' ');
  return parseOptions(raw);
}

interface KeyValue {
  readonly key: string;
  readonly value: string;
}

function readWords(caption: string): (string | KeyValue)[] {
  return [...caption.matchAll(wordPattern)].map(([whole, key, quoted, bare]) => {
    if (key === undefined) return whole;
    return { key: key.toLowerCase(), value: (quoted ?? bare ?? '').trim() };
  });
}

const isSwitch = (word: string): boolean => switches.some((name) => name === word.toLowerCase());

function setOption(raw: Record<string, unknown>, { key, value }: KeyValue): void {
  const shown = key.toLowerCase();
  const name = Object.hasOwn(keys, shown) ? keys[shown] : undefined;
  if (name === undefined) {
    throw new KinoraError('INVALID_OPTION', {
      kind: 'unknownOption',
      got: key.slice(0, 40),
      known: Object.keys(keys),
    });
  }
  if (Object.hasOwn(raw, name)) {
    throw new KinoraError('INVALID_OPTION', { kind: 'givenTwice', what: shown });
  }
  raw[name] = readValue(shown, value);
}

function readValue(key: string, value: string): unknown {
  if (numbers.includes(key)) return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  if (!isSwitch(key)) return key === 'prompt' || key === 'negative' ? value : value.toLowerCase();
  const word = value.toLowerCase();
  if (yes.includes(word)) return true;
  if (no.includes(word)) return false;
  const factor = Number(/^[×x]?([123])$/.exec(word)?.[1]);
  if (key === 'smooth' && factor > 0) return factor;
  const factors = key === 'smooth' ? { factors: [1, 2, 3] } : {};
  throw new KinoraError('INVALID_OPTION', { kind: 'yesOrNo', what: key, ...factors });
}

/**
 * The part of a generation that the options decide; what they leave open is absent.
 * @param base earlier job that is changed: a camera choice is added to its prompt when there is no new one
 * @throws KinoraError INVALID_PROMPT for a prompt that is too long or no text
 */
export function toGeneration(options: ChatOptions, base?: Pick<Generation, 'prompt'>): Partial<Generation> {
  const { preset, motion, camera, seed, frames, steps, guidance, fps, size, loop, smooth } = options;
  const prompt =
    options.prompt === undefined && camera === undefined
      ? undefined
      : cleanPrompt(
          'prompt',
          [options.prompt ?? base?.prompt ?? '', camera ? cameraWords[camera] : '']
            .filter((part) => part.trim() !== '')
            .join(', '),
        );
  return {
    ...(prompt === undefined ? {} : { prompt }),
    ...(options.negative === undefined
      ? {}
      : { negativePrompt: cleanPrompt('negative prompt', options.negative) }),
    ...(preset === undefined ? {} : { preset }),
    ...(motion === undefined ? {} : { motion }),
    ...(seed === undefined ? {} : { seed }),
    ...(frames === undefined ? {} : { numFrames: frames }),
    ...(steps === undefined ? {} : { numInferenceSteps: steps }),
    ...(guidance === undefined ? {} : { guidanceScale: guidance }),
    ...(fps === undefined ? {} : { fps }),
    ...(size === undefined ? {} : { size: size.replace('×', 'x') }),
    ...(loop === undefined ? {} : { loop }),
    ...(smooth === undefined ? {} : { smooth: smooth === true ? 3 : smooth === false ? 1 : smooth }),
  };
}

/** A generation as a caption that parseWords() reads back. */
export function optionsAsWords(generation: Generation): string {
  const { prompt, preset, seed, ...rest } = generation;
  const words = [promptAsWords(prompt), `preset=${preset}`, `seed=${seed}`];
  if (rest.motion) words.push(`motion=${rest.motion}`);
  if (rest.numFrames) words.push(`frames=${rest.numFrames}`);
  if (rest.numInferenceSteps) words.push(`steps=${rest.numInferenceSteps}`);
  if (rest.guidanceScale !== undefined) words.push(`guidance=${rest.guidanceScale}`);
  if (rest.fps) words.push(`fps=${rest.fps}`);
  if (rest.size) words.push(`size=${rest.size}`);
  if (rest.negativePrompt) words.push(`negative="${withoutQuotes(rest.negativePrompt)}"`);
  if (rest.loop) words.push('loop');
  if (rest.smooth && rest.smooth > 1) words.push(rest.smooth === 3 ? 'smooth' : `smooth=${rest.smooth}`);
  return words.filter(Boolean).join(' ');
}

/** A prompt that would be read as options is put in quotes. */
function promptAsWords(prompt: string): string {
  if (!/[=＝]|^\/|(^|\s)(loop|smooth|private)$/iu.test(prompt)) return prompt;
  return `prompt="${withoutQuotes(prompt)}"`;
}

const withoutQuotes = (text: string): string => text.replace(/["“”„«»＂]/gu, "'");

/** All parameters, one to a line. What the preset decided is known only by the video that came of it. */
export function describeOptions(
  generation: Generation,
  artifact: Artifact | undefined,
  say: Messages,
): string[] {
  const { labels, yes: on } = say.settings;
  const size = artifact ? `${artifact.width}×${artifact.height}` : generation.size;
  const rows: readonly (readonly [string, string | number | undefined])[] = [
    [labels.prompt, generation.prompt],
    [labels.negative, generation.negativePrompt],
    [labels.preset, generation.preset],
    [labels.seed, artifact?.seed ?? generation.seed],
    [labels.motion, generation.motion],
    [labels.frames, artifact?.numFrames ?? generation.numFrames],
    [labels.steps, generation.numInferenceSteps],
    [labels.guidance, generation.guidanceScale],
    [labels.fps, artifact?.fps ?? generation.fps],
    [labels.size, size],
    [labels.loop, generation.loop ? on : undefined],
    [labels.smooth, generation.smooth && generation.smooth > 1 ? `×${generation.smooth}` : undefined],
    [labels.variation, generation.variation?.strength],
    [labels.model, artifact?.model],
  ];
  return rows.flatMap(([label, value]) =>
    value === undefined || value === '' ? [] : [`${label}: ${value}`],
  );
}
