/**
 * What exactly is wrong with what a person sent, as data: it crosses process borders, is kept with a failed job, and
 * becomes a sentence where it is shown. The English sentences stand here, since they are also the errors' messages;
 * chats have theirs in bot/sentences.
 */
import { z } from 'zod';

/** Both ends included. */
const range = { min: z.number(), max: z.number() };
const kind = <Kind extends string, Shape extends z.core.$ZodLooseShape>(name: Kind, shape: Shape) =>
  z.object({ kind: z.literal(name), ...shape });

/** `what` is the option as people type it, `got` what they sent. */
const detailSchemas = [
  // Options, as they are typed.
  kind('range', { what: z.string(), ...range, isWhole: z.boolean(), got: z.number().optional() }),
  kind('oneOf', { what: z.string(), allowed: z.array(z.string()) }),
  kind('yesOrNo', { what: z.string(), factors: z.array(z.number()).optional() }),
  kind('nameForm', { what: z.string() }),
  kind('noSuchModel', { got: z.string(), models: z.array(z.string()) }),
  kind('unknownOption', { got: z.string(), known: z.array(z.string()) }),
  kind('givenTwice', { what: z.string() }),
  kind('sizeForm', { got: z.string().optional() }),
  // Options, against what the model can do.
  kind('outOfRange', { what: z.string(), ...range, isWhole: z.boolean(), got: z.number() }),
  kind('notOneOf', { what: z.string(), allowed: z.array(z.string()), got: z.string() }),
  kind('sizeLimits', {
    width: z.number(),
    height: z.number(),
    multiple: z.number(),
    side: z.object(range),
    pixels: z.object(range),
  }),
  kind('otherPicture', { videoId: z.string() }),
  kind('otherShape', { videoId: z.string(), numFrames: z.number(), width: z.number(), height: z.number() }),
  kind('tooLong', { seconds: z.number(), max: z.number() }),
  kind('maskShape', {
    width: z.number(),
    height: z.number(),
    pictureWidth: z.number(),
    pictureHeight: z.number(),
  }),
  kind('maskEmpty', {}),
  kind('maskUnreadable', {}),
  kind('encoderKilled', { by: z.string() }),
  kind('cannotFit', { smallestBytes: z.number(), maxBytes: z.number() }),
  // Prompts.
  kind('promptLength', { what: z.string(), got: z.number(), max: z.number() }),
  kind('promptText', { what: z.string(), character: z.string() }),
  // Pictures.
  kind('pictureFormat', { name: z.string().optional() }),
  kind('pictureFile', { megabytes: z.number(), maxMegabytes: z.number() }),
  kind('pictureSize', { width: z.number(), height: z.number(), minSide: z.number(), maxPixels: z.number() }),
  // Words of admins and moderators.
  kind('notANumber', { got: z.string() }),
  kind('target', { got: z.string() }),
  kind('owner', { got: z.string() }),
  kind('reasonLength', { got: z.number(), max: z.number() }),
  kind('banEnd', {}),
  kind('banHours', range),
  kind('weight', { ...range, got: z.number() }),
  kind('auditId', {}),
  kind('page', { max: z.number() }),
  kind('highestPreset', { allowed: z.array(z.string()) }),
  kind('tooManyNamed', { what: z.enum(['channels', 'roles']), max: z.number(), got: z.number() }),
  kind('notNamed', { what: z.enum(['channels', 'roles']), got: z.string() }),
  kind('patternForm', {}),
  kind('pattern', { why: z.string() }),
  kind('patternFitsAll', {}),
  kind('patternSize', { max: z.number(), got: z.number() }),
  kind('blockedLength', { what: z.enum(['word', 'pattern']), ...range, got: z.number() }),
  kind('blockedCount', { ...range, got: z.number() }),
] as const;

export const errorDetailSchema = z.discriminatedUnion('kind', detailSchemas);
export type ErrorDetail = z.infer<typeof errorDetailSchema>;
type Details = { readonly [Detail in ErrorDetail as Detail['kind']]: Detail };
type DetailOf<Kind extends keyof Details> = { [K in Kind]: Details[K] & { readonly kind: K } }[Kind];

/** A sentence for each kind. */
export type DetailSentences = { readonly [Kind in keyof Details]: (detail: DetailOf<Kind>) => string };

export function renderDetail<Kind extends keyof Details>(
  sentences: DetailSentences,
  detail: DetailOf<Kind>,
): string {
  return sentences[detail.kind](detail);
}

/** Where a sentence names an option by more than its word. */
const fullNames: Readonly<Record<string, string>> = {
  frames: 'number of frames',
  steps: 'number of steps',
  fps: 'frame rate',
};
const numberFrom = ({ isWhole, min, max }: { isWhole: boolean; min: number; max: number }): string =>
  `a ${isWhole ? 'whole ' : ''}number from ${min} to ${max}`;

export const englishDetails: DetailSentences = {
  range: (d) => `The ${d.what} must be ${numberFrom(d)}${d.got === undefined ? '' : `, not ${d.got}`}.`,
  oneOf: ({ what, allowed }) => `The ${what} must be one of ${allowed.join(', ')}.`,
  yesOrNo: ({ what, factors }) =>
    `The option "${what}" must be ${factors ? `yes, no, ${orList(factors)}` : 'yes or no'}.`,
  nameForm: ({ what }) =>
    `The ${what} must be a name in small letters, digits, dots, hyphens or underscores.`,
  noSuchModel: ({ got, models }) =>
    models.length === 0
      ? `No worker has the model "${got}" now, and none has another.`
      : `No worker has the model "${got}" now; there ${models.length === 1 ? 'is' : 'are'} ${models.join(', ')}.`,
  unknownOption: ({ got, known }) => `There is no option "${got}"; known are ${known.join(', ')}.`,
  givenTwice: ({ what }) => `The option "${what}" is given twice.`,
  sizeForm: ({ got }) =>
    got === undefined
      ? 'The size must look like 512 or 640x384.'
      : `The size is "${got}"; expected one number such as 512, or width x height such as 640x384.`,
  outOfRange: (d) => `The ${fullNames[d.what] ?? d.what} is ${d.got}; expected ${numberFrom(d)}.`,
  notOneOf: ({ what, allowed, got }) => `The ${what} is "${got}"; expected one of ${allowed.join(', ')}.`,
  sizeLimits: ({ width, height, ...limits }) =>
    `The size is ${width}x${height}; expected ${describeSizeLimits(limits)}.`,
  otherPicture: ({ videoId }) =>
    `The video ${videoId} was made from another picture; a variation needs the same one.`,
  otherShape: ({ videoId, numFrames, width, height }) =>
    `The video ${videoId} has ${numFrames} frames of ${width}x${height}; a variation must have the same.`,
  tooLong: ({ seconds, max }) => `The extended video would be ${seconds} s long; expected at most ${max} s.`,
  maskShape: ({ width, height, pictureWidth, pictureHeight }) =>
    `The mask has ${width} x ${height} pixels and its picture ${pictureWidth} x ${pictureHeight}; expected the same shape.`,
  maskEmpty: () => 'The mask is black everywhere, so nothing would move; expected white where it may.',
  maskUnreadable: () =>
    'The mask cannot be read; expected a picture as PNG or JPEG, white where it may move and black elsewhere.',
  encoderKilled: ({ by }) => `ffmpeg was killed by ${by}.`,
  cannotFit: ({ smallestBytes, maxBytes }) =>
    `This clip cannot be made smaller than ${smallestBytes} bytes; maxBytes is ${maxBytes}.`,
  promptLength: ({ what, got, max }) => `The ${what} has ${got} characters; at most ${max} are allowed.`,
  promptText: ({ what, character }) => `The ${what} is not plain text (it contains ${character}).`,
  pictureFormat: ({ name }) =>
    `The picture is in ${name === undefined ? 'a format that Kinora does not know' : `the format ${name}`}; expected JPEG, PNG or WebP, or GIF or TIFF.`,
  pictureFile: ({ megabytes, maxMegabytes }) =>
    `The picture has ${megabytes} MB; expected at most ${maxMegabytes} MB.`,
  pictureSize: ({ width, height, minSide, maxPixels }) =>
    `The picture has ${width} x ${height} pixels; expected at least ${minSide} x ${minSide} and at most ${maxPixels / 1e6} megapixels.`,
  notANumber: ({ got }) => `"${got}" is not a number.`,
  target: ({ got }) =>
    `"${got}" is no target; they are written like "user:discord:123", "role:…" or "community:…".`,
  owner: ({ got }) => `"${got}" is no user or community; they are written like "discord:123".`,
  reasonLength: ({ got, max }) => `The reason has ${got} characters; at most ${max}.`,
  banEnd: () => 'A ban ends between 1 millisecond and 10 years from now, or never.',
  banHours: ({ min, max }) => `A ban lasts ${min} to ${max} hours, or for good when no hours are given.`,
  weight: ({ min, max, got }) => `The weight is between ${min} and ${max}, not ${got}.`,
  auditId: () => 'That is not the id of an audit entry.',
  page: ({ max }) => `The page is a number from 1 to ${max}.`,
  highestPreset: ({ allowed }) => `The highest preset is one of ${allowed.join(', ')}.`,
  tooManyNamed: ({ what, max, got }) => `There can be 0 to ${max} ${what}, not ${got}.`,
  notNamed: ({ what, got }) =>
    `"${got}" is none of the ${what}; name them by their number${what === 'channels' ? ', or "here"' : ''}.`,
  patternForm: () =>
    'A pattern stands between two slashes with nothing after them, like /colou?r/; a slash in it is written \\/.',
  pattern: ({ why }) => `A pattern is not understood: ${why}.`,
  patternFitsAll: () => 'A pattern fits every prompt, even an empty one.',
  patternSize: ({ max, got }) =>
    `All patterns together may have ${max} steps, and these have ${got}; use fewer or smaller repetitions.`,
  blockedLength: ({ what, min, max, got }) =>
    `A blocked ${what} has ${min} to ${max} characters, not ${got}.`,
  blockedCount: ({ min, max, got }) => `There can be ${min} to ${max} blocked words, not ${got}.`,
};

const insideRange = 'Choose a value inside the range and try again.';
const oneOfThese = 'Choose one of these and try again.';
/** What to do, where the remedy of the error's code does not say it. */
export const englishRemedies: { readonly [Kind in keyof Details]?: string } = {
  range: insideRange,
  outOfRange: insideRange,
  sizeLimits: 'Choose a size inside these limits and try again.',
  oneOf: oneOfThese,
  notOneOf: oneOfThese,
  nameForm: 'Correct it, or leave it out.',
  noSuchModel: 'Name one of these, or none for the first of them.',
  unknownOption: 'Correct its name, or leave it out.',
  givenTwice: 'Give it once and try again.',
  otherPicture: 'Give the picture that the video was made of.',
  otherShape: 'Leave out the size and the number of frames.',
  tooLong: 'Start anew from its picture, or extend an earlier part.',
  maskShape: 'Paint the mask over the whole picture, and try again.',
  maskEmpty: 'Paint what should move, or leave the mask out.',
  maskUnreadable: 'Save the mask as PNG and try again.',
  encoderKilled: 'Try again; if it happens twice, see whether this machine has enough memory.',
  cannotFit: 'Allow more bytes, or choose fewer frames or a smaller size.',
  promptLength: 'Shorten it and try again.',
  promptText: 'Write it in plain text and try again.',
};

type SizeLimits = Pick<Details['sizeLimits'], 'multiple' | 'side' | 'pixels'>;

export function describeSizeLimits({ multiple, side, pixels }: SizeLimits): string {
  return `multiples of ${multiple} from ${side.min} to ${side.max}, and ${pixels.min} to ${pixels.max} pixels in all`;
}

/** [1, 2, 3] → "1, 2 or 3" */
function orList(numbers: readonly number[]): string {
  return `${numbers.slice(0, -1).join(', ')} or ${numbers.at(-1)}`;
}
