/** What the video endpoints take and give: the one source of validation, types and the OpenAPI document. */
import { z } from 'zod';
import type { ErrorDetail } from '../../error-details.ts';
import { keptFiles } from '../../queue/artifacts.ts';
import { waysAgain } from '../../queue/jobs.ts';
import { type ChatOptions, type Option, type OptionName, optionTable } from '../../request/request.ts';
import { understoodSchema } from '../../request/understood.ts';

/** Options by their names in the API, which are those of the field. */
const optionNames = {
  preset: 'preset',
  motion: 'motion',
  seed: 'seed',
  negative_prompt: 'negativePrompt',
  num_frames: 'numFrames',
  num_inference_steps: 'numInferenceSteps',
  guidance_scale: 'guidanceScale',
  fps: 'fps',
  size: 'size',
  loop: 'loop',
  scheduler: 'scheduler',
  guidance_end: 'guidanceEnd',
  feature_reuse: 'featureReuse',
  motion_bucket_id: 'motionBucket',
  noise_aug_strength: 'noiseAug',
} as const satisfies Readonly<Record<string, OptionName>>;

const number = ({ min, max, isWhole }: { min: number; max: number; isWhole: boolean }) =>
  (isWhole ? z.int() : z.number()).min(min).max(max).optional();

/** Far above what the model takes, whose refusal names the length. */
export const mostCharacters = 100_000;

const prompt = z
  .string()
  .max(mostCharacters)
  .describe('What moves, and how: "camera slowly zooming in, waves rolling".');

/** The options of a request that every kind of request takes. */
const options = {
  model: z
    .string()
    .max(200)
    .optional()
    .describe('The id of a model, as /v1/models lists them; "kinora" is the default.'),
  seconds: z
    .union([z.string().regex(/^\d{1,4}(\.\d{1,3})?$/), z.number().positive().max(9_999)])
    .optional()
    .describe('Length of the video, which decides the number of frames.'),
  size: z
    .string()
    .max(16)
    .optional()
    .describe('"640x384" exactly, or "512" for that area in the shape of the picture.'),
  num_frames: number(optionTable.numFrames),
  fps: number(optionTable.fps),
  seed: number(optionTable.seed).describe('The same seed gives the same video.'),
  negative_prompt: z.string().max(mostCharacters).optional(),
  num_inference_steps: number(optionTable.numInferenceSteps),
  guidance_scale: number(optionTable.guidanceScale),
  enable_frame_interpolation: z
    .boolean()
    .optional()
    .describe('Three times as many frames, for smoother motion.'),
  preset: z.enum(optionTable.preset.allowed).optional().describe('How much time goes into it.'),
  motion: z.enum(optionTable.motion.allowed).optional(),
  motion_bucket_id: number(optionTable.motionBucket).describe(
    'How much moves, for Stable Video Diffusion; in place of `motion`.',
  ),
  noise_aug_strength: number(optionTable.noiseAug).describe(
    'Noise on the picture, for Stable Video Diffusion: more leads further from it.',
  ),
  loop: z.boolean().optional().describe('Forwards, then backwards.'),
  scheduler: z.enum(optionTable.scheduler.allowed).optional().describe('"dpm++2m" is as good in 25 steps.'),
  guidance_end: number(optionTable.guidanceEnd).describe('Share of the steps that use guidance.'),
  feature_reuse: z
    .int()
    .min(1)
    .max(3)
    .optional()
    .describe('The whole UNet runs every 2 or 3 steps only; for models that can do so.'),
  user: z.string().max(512).optional().describe('Not used: the key says who asks.'),
};

const pictureText = z.union([z.string(), z.strictObject({ image_url: z.string() })]);

export const createSchema = z.strictObject({
  prompt: prompt.optional(),
  input_reference: pictureText
    .optional()
    .describe(
      'The picture: a file of multipart/form-data, a data URL, an http or https address, or the id of an upload. JPEG, PNG, WebP, GIF or TIFF.',
    ),
  motion_mask: z
    .string()
    .optional()
    .describe(
      'What may move, white on black, in the shape of the picture: a file of multipart/form-data, or a data URL. The rest stays still.',
    ),
  ...options,
});
export type CreateBody = z.infer<typeof createSchema>;
type Body = Partial<CreateBody>;

export const remixSchema = z.strictObject({
  prompt,
  motion_mask: z.string().optional().describe('Another mask, or "none", so that everything may move again.'),
  ...options,
});
export type RemixBody = z.infer<typeof remixSchema>;

export const variationSchema = z.strictObject({
  strength: z.enum(['subtle', 'strong']).describe('How much of the video is made anew.'),
});
export type VariationBody = z.infer<typeof variationSchema>;

export const extensionSchema = z.strictObject({
  video: z.strictObject({ id: z.string().max(200) }).describe('The completed video that is extended.'),
  prompt: prompt.optional().describe('What happens next; as before where it is left out.'),
  seconds: options.seconds.describe(
    'Of the new part; as long as the earlier one was made where it is left out.',
  ),
  num_frames: options.num_frames.describe('Of the new part.'),
  seed: options.seed,
  negative_prompt: options.negative_prompt,
  motion: options.motion,
  motion_bucket_id: options.motion_bucket_id,
  loop: options.loop,
  enable_frame_interpolation: options.enable_frame_interpolation,
});
export type ExtensionBody = z.infer<typeof extensionSchema>;

export const deletedSchema = z
  .object({ id: z.string(), object: z.literal('video.deleted'), deleted: z.literal(true) })
  .meta({ id: 'VideoDeleted' });

export const repeatableSchema = z.looseObject({
  'idempotency-key': z
    .string()
    .meta({ pattern: '^[\\x21-\\x7e]{1,255}$' }) // for the document: it is refused with a code of its own
    .optional()
    .describe(
      'The same request, sent again with the same key within a day, is the same video and one charge.',
    ),
});

export const idSchema = z.object({ id: z.string().max(200) });

export const listSchema = z.strictObject({
  after: z
    .string()
    .max(200)
    .optional()
    .describe('`next_after` of the page before, or the id of its last video.'),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  order: z.enum(['asc', 'desc']).default('desc'),
  search: z
    .string()
    .max(300)
    .optional()
    .describe('Words of the prompt, in any order and in capitals or not; every one of them is in it.'),
  preset: z.string().max(32).optional().describe('Only videos that were made with this preset.'),
  model: z.string().max(200).optional().describe('Only videos that this model made.'),
  favourite: z.literal('true').optional().describe("Only one's favourites."),
});

export const contentSchema = z.strictObject({ variant: z.enum(keptFiles).default('video') });

const seconds = z.int().describe('Unix time in seconds.');

export const videoSchema = z
  .object({
    id: z.string(),
    object: z.literal('video'),
    model: z.string(),
    status: z
      .enum(['queued', 'in_progress', 'completed', 'failed'])
      .describe(
        'queued until the first step has begun; a cancelled video has failed with the code CANCELLED.',
      ),
    progress: z.int().min(0).max(100),
    prompt: z.string(),
    seconds: z.string(),
    size: z.string(),
    created_at: seconds,
    completed_at: seconds.nullable(),
    expires_at: seconds.nullable(),
    remixed_from_video_id: z.string().nullable().describe('Of every way to make one of another.'),
    remixed_by: z.enum(waysAgain).nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    queue_position: z
      .int()
      .nullable()
      .describe('Videos that are made before this one; null once it is begun.'),
    waits_for_model: z
      .boolean()
      .describe('No worker has its model now: it waits until one comes that has, or is cancelled.'),
    seconds_left: z
      .number()
      .nullable()
      .describe('Until it is made, waiting included: an estimate; null where there is none yet.'),
    phase: z.enum(['loading', 'encoding', 'denoising', 'decoding', 'finishing']).nullable(),
    step: z.int().nullable().describe('Steps of the phase that are done, of `steps`.'),
    steps: z.int().nullable(),
    preset: z.string(),
    seed: z.int(),
    num_frames: z.int().nullable(),
    fps: z.number().nullable(),
    num_inference_steps: z.int().nullable(),
    guidance_scale: z.number().nullable(),
    negative_prompt: z.string().nullable(),
    motion: z.string().nullable(),
    motion_bucket_id: z.int().nullable().describe('Null for a model that takes none.'),
    noise_aug_strength: z.number().nullable().describe('Null for a model that takes none.'),
    has_motion_mask: z.boolean().describe('A mask says what may move.'),
    loop: z.boolean(),
    enable_frame_interpolation: z.boolean(),
    interpolation_factor: z.number().describe('How many times as many frames; 1 where none were added.'),
    scheduler: z.string().nullable(),
    guidance_end: z.number().nullable().describe('Share of the steps that use guidance.'),
    feature_reuse: z.int().nullable().describe('The whole UNet runs every so many steps.'),
    variation_strength: z.number().nullable(),
    credits: z.number().describe('What it costs; given back when it fails.'),
    surface: z.string().describe('Where it was asked for: "web", "discord", "telegram", "inbox".'),
    spoiler: z.boolean().describe('Its picture was under a cover in the chat: show it under one.'),
    favourite: z.boolean(),
    variants: z
      .array(z.enum(keptFiles))
      .describe('The content that there is now: none before it is made, and none when it is no longer kept.'),
    device: z.string().nullable().describe('What made it.'),
    timings: z.record(z.string(), z.number()).nullable().describe('Milliseconds by stage.'),
    understood: understoodSchema
      .nullable()
      .describe('Motions of the prompt, once it is made; null where the model does not tell.'),
  })
  .meta({ id: 'Video' });
export type Video = z.infer<typeof videoSchema>;

/** The answer to a request. */
export const askedVideoSchema = videoSchema
  .extend({
    ignored: z
      .array(z.string())
      .describe(
        'Parameters of this request that change nothing with its model: they are left out and cost nothing.',
      ),
  })
  .meta({ id: 'AskedVideo' });
export type AskedVideo = z.infer<typeof askedVideoSchema>;

export const videoListSchema = z
  .object({
    object: z.literal('list'),
    data: z.array(videoSchema),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
    next_after: z
      .string()
      .nullable()
      .describe(
        'What to send as `after` for the next page. It holds when videos are added or deleted meanwhile. With a filter, a page may have few videos or none, and the next one more.',
      ),
  })
  .meta({ id: 'VideoList' });
export type VideoList = z.infer<typeof videoListSchema>;

export const lineageSchema = z
  .object({
    object: z.literal('lineage'),
    data: z
      .array(videoSchema)
      .describe('The first video, then those that were made from it, each by its remixed_from_video_id.'),
    truncated: z.boolean().describe('There are more.'),
  })
  .meta({ id: 'Lineage' });
export type Lineage = z.infer<typeof lineageSchema>;

/** The options that a body chose, but for `seconds`. Ranges of the model are checked later. */
export function optionsOf(body: Body): ChatOptions {
  const chosen = Object.entries(optionNames).map(([name, option]) => [
    option,
    body[name as keyof typeof optionNames],
  ]);
  const smooth = body.enable_frame_interpolation;
  return {
    ...Object.fromEntries(chosen),
    prompt: body.prompt,
    smooth: smooth === undefined ? undefined : smooth ? 3 : 1,
  };
}

/** Which parameter of the API an error of an option is about. */
export function parameterOf(detail: ErrorDetail | undefined): string | undefined {
  switch (detail?.kind) {
    case 'noSuchModel':
      return 'model';
    case 'sizeForm':
    case 'sizeLimits':
      return 'size';
    case 'pictureFormat':
    case 'pictureFile':
    case 'pictureSize':
      return 'input_reference';
    case 'maskShape':
    case 'maskEmpty':
    case 'maskUnreadable':
      return 'motion_mask';
    case 'promptLength':
    case 'promptText':
      return detail.what.replace(' ', '_');
    case 'range':
    case 'oneOf':
    case 'outOfRange':
    case 'notOneOf':
    case 'unknownOption':
      return 'what' in detail ? parameterOfWord(detail.what) : detail.got;
    default:
      return undefined;
  }
}

/** How errors name options that cannot be typed in a chat. */
const spelledOut: { readonly [Name in OptionName]?: string } = {
  guidanceEnd: 'guidance end',
  motionBucket: 'motion bucket',
  noiseAug: 'noise on the picture',
};

/** "frames", as it is typed in a chat, is "num_frames" here. */
function parameterOfWord(word: string): string {
  const found = Object.entries(optionNames).find(([, name]) => {
    const option: Option = optionTable[name];
    return (option.word ?? spelledOut[name]) === word;
  });
  return found?.[0] ?? word;
}

/** What a parameter may be, for one that zod refused. */
export function detailOf(param: string): ErrorDetail | undefined {
  const option =
    param in optionNames ? optionTable[optionNames[param as keyof typeof optionNames]] : undefined;
  if (param === 'strength')
    return { kind: 'oneOf', what: param, allowed: variationSchema.shape.strength.options };
  if (param === 'enable_frame_interpolation' || option?.kind === 'switch')
    return { kind: 'yesOrNo', what: param };
  switch (option?.kind) {
    case 'range': {
      const { min, max, isWhole } = option;
      return { kind: 'range', what: param, min, max, isWhole };
    }
    case 'oneOf':
      return { kind: 'oneOf', what: param, allowed: [...option.allowed] };
    case 'size':
      return { kind: 'sizeForm' };
    case 'factor':
      return { kind: 'range', what: param, min: 1, max: 3, isWhole: true };
    default:
      return undefined;
  }
}

/** Parameters of a body by the type of their values, for forms, which send texts only. */
export const numberParameters: ReadonlySet<string> = new Set([
  'num_frames',
  'fps',
  'seed',
  'num_inference_steps',
  'guidance_scale',
  'guidance_end',
  'feature_reuse',
  'motion_bucket_id',
  'noise_aug_strength',
]);
export const booleanParameters: ReadonlySet<string> = new Set(['enable_frame_interpolation', 'loop']);
