/** `/v1/studio`: what whoever asks for a video may choose, by what the loaded model can do, and how long it takes now. */
import { z } from 'zod';
import type { Models } from '../bot/models.ts';
import type { PackManifest } from '../inference/packs/manifest.ts';
import { defaultImageLimits } from '../inference/pictures/header.ts';
import type { JobClient } from '../queue/client.ts';
import { storedModeSchema } from '../queue/mode.ts';
import { kindName } from '../queue/models.ts';
import type { Redis } from '../queue/redis.ts';
import type { IgnorableOption } from '../request/ignorable-options.ts';
import {
  hasShallowCore,
  heeds,
  heedsMotion,
  knownMotions,
  type ModelLimits,
  motionsFor,
  schedulersOf,
} from '../request/model-limits.ts';
import { motionKinds, motionWords } from '../request/motions.ts';
import { defaultPreset, motions, presetNames, presetOf } from '../request/presets.ts';
import { optionTable, type Shortcuts } from '../request/request.ts';
import { enoughDpmSteps } from '../request/resolve.ts';
import { callerWith } from './caller.ts';
import { errorSchema, ProblemError } from './problem.ts';
import type { WebServer } from './web-server.ts';

const rangeSchema = z.object({ min: z.number(), max: z.number() }).describe('Both ends included.');

/** Parameters that may change nothing, by the model. */
const ignorable = [
  'prompt',
  'num_inference_steps',
  'guidance_scale',
  'guidance_end',
  'negative_prompt',
  'scheduler',
  'motion',
  'motion_bucket_id',
  'noise_aug_strength',
  'feature_reuse',
] as const;

export const ignoredSchema = z
  .array(z.enum(ignorable))
  .describe('Parameters that change nothing with this model.');

export const attributionSchema = z
  .string()
  .nullable()
  .describe('A line that its licence wants shown to people who use it; null where there is none.');

export const studioSchema = z
  .object({
    object: z.literal('studio'),
    model: z
      .object({ id: z.string(), title: z.string() })
      .nullable()
      .describe('The one that all this is of; null where Kinora does not know the models of its workers.'),
    models: z
      .array(
        z.object({
          id: z.string(),
          title: z.string(),
          licence: z.string(),
          attribution: attributionSchema,
          size: z.int().describe('Of the preset for those who choose none, as below.'),
          num_frames: z.int(),
          credits: z.number(),
          seconds_now: z.number().nullable().describe('The same, until the video.'),
        }),
      )
      .describe('Those that can be asked for, the default first.'),
    mode: z.enum(['running', 'paused', 'draining']).describe('Requests are taken while it is running.'),
    motions: z
      .array(z.object({ name: z.enum(motionKinds), prompt: z.string() }))
      .describe('Words to choose from for a prompt, which may hold several.'),
    tells_understood: z
      .boolean()
      .describe('The model tells with a video which motions of its prompt it understood.'),
    presets: z.array(
      z.object({
        name: z.enum(presetNames),
        credits: z.number(),
        seconds_now: z
          .number()
          .nullable()
          .describe('Until the video of one who asks now, the wait included; null while nobody knows.'),
        size: z.int().describe('Side of the square whose area the video has.'),
        num_frames: z.int(),
        num_inference_steps: z.int(),
        guidance_scale: z.number(),
        motion: z.enum(motions),
      }),
    ),
    queue_position: z.int().describe('Videos that would be made before one that is asked for now.'),
    ranges: z.object({
      num_frames: rangeSchema,
      num_inference_steps: rangeSchema,
      guidance_scale: rangeSchema,
      guidance_end: rangeSchema,
      motion_bucket_id: rangeSchema,
      noise_aug_strength: rangeSchema,
      fps: rangeSchema,
      seed: rangeSchema,
    }),
    size: z
      .object({
        multiple: z.int().describe('Of width and height.'),
        side: rangeSchema,
        pixels: rangeSchema.describe('Of width × height.'),
      })
      .nullable(),
    schedulers: z.array(
      z.object({
        name: z.string(),
        most_preset_steps: z.int().nullable().describe('The steps of a preset are cut to these.'),
      }),
    ),
    motion_levels: z.array(z.enum(motions)),
    motion_buckets: z
      .record(z.string(), z.int())
      .nullable()
      .describe('The `motion_bucket_id` of each level; null for a model that takes none.'),
    defaults: z.object({
      preset: z.enum(presetNames),
      fps: z.number().nullable(),
      noise_aug_strength: z.number().nullable(),
      negative_prompt: z.string().nullable(),
      scheduler: z.string().nullable(),
      guidance_end: z.number(),
      feature_reuse: z.int(),
    }),
    ignored: ignoredSchema,
    upload: z.object({
      bytes: z.int().describe('Of the picture.'),
      min_side: z.int(),
      pixels: z.int(),
      types: z.array(z.string()),
    }),
  })
  .meta({ id: 'Studio' });
export type Studio = z.infer<typeof studioSchema>;

export interface StudioTools {
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly client: JobClient;
  readonly models: Models;
  /** What the operator gives up for speed. */
  readonly shortcuts: Shortcuts;
}

export function studioRoutes(app: WebServer, tools: StudioTools): void {
  app.get(
    '/v1/studio',
    {
      schema: {
        summary: 'What can be chosen, what it costs, and how long it takes now',
        tags: ['studio'],
        querystring: z.strictObject({
          model: z.string().max(64).optional().describe('Whose choices are meant; the default without it.'),
        }),
        response: { 200: studioSchema, '4xx': errorSchema, '5xx': errorSchema },
      },
      // For a model that no worker has.
      config: { answers: [404] },
    },
    async (request) => {
      const { userKey } = callerWith(request, 'use').person;
      return await studioFor(userKey, askedModel(request.query.model, tools.models), tools);
    },
  );
}

function shownOf(model: PackManifest) {
  const { id, title, licence, attribution = null } = model;
  const { size, numFrames } = presetOf(model, defaultPreset);
  return { id, title, licence, attribution, size, num_frames: numFrames };
}

/** The model with this id; the default where there is none. */
function askedModel(id: string | undefined, models: Models): PackManifest | undefined {
  if (id === undefined || models.isOffered(id)) return models.of(id);
  throw new ProblemError({ kind: 'unknownModel', models: models.offered.map((model) => model.id) });
}

async function studioFor(
  userKey: string,
  manifest: PackManifest | undefined,
  { redis, client, models, shortcuts }: StudioTools,
): Promise<Studio> {
  const own = presetNames.map((preset) => ({ preset, model: manifest?.id }));
  const usual = models.offered.map(({ id }) => ({ preset: defaultPreset, model: id }));
  const [stored, places] = await Promise.all([
    redis.get(client.keys.mode),
    client.timeLeft.forecast(userKey, [...own, ...usual]),
  ]).catch(() => {
    throw new ProblemError({ kind: 'unavailable' });
  });
  const creditsOf = (preset: string, model: string | undefined): number =>
    client.costOf({ generation: { prompt: '', preset, seed: 0 }, model });
  const secondsOf = (preset: string, model: string | undefined): number | null => {
    const leftMs = places.get(kindName({ preset, model }))?.leftMs;
    return leftMs === undefined ? null : Math.ceil(leftMs / 1000);
  };
  const { numFrames, numInferenceSteps, guidanceScale } = manifest?.limits ?? optionTable;
  // What only some families have in their manifests.
  const model: ModelLimits | undefined = manifest;
  const { motionBucket = optionTable.motionBucket, noiseAug = optionTable.noiseAug } = model?.limits ?? {};
  const { fps, seed, guidanceEnd } = optionTable;
  const range = ({ min, max }: { readonly min: number; readonly max: number }) => ({ min, max });
  return {
    object: 'studio',
    model: manifest ? { id: manifest.id, title: manifest.title } : null,
    models: models.offered.map((model) => ({
      ...shownOf(model),
      credits: creditsOf(defaultPreset, model.id),
      seconds_now: secondsOf(defaultPreset, model.id),
    })),
    mode: storedModeSchema.parse(stored),
    motions: motionsFor(manifest).map((name) => ({ name, prompt: motionWords[name] })),
    tells_understood: knownMotions(manifest) !== undefined,
    presets: presetNames.map((name) => {
      const preset = presetOf(manifest ?? {}, name);
      return {
        name,
        credits: creditsOf(name, manifest?.id),
        seconds_now: secondsOf(name, manifest?.id),
        size: preset.size,
        num_frames: preset.numFrames,
        num_inference_steps: preset.numInferenceSteps,
        guidance_scale: preset.guidanceScale,
        motion: preset.motion ?? 'medium',
      };
    }),
    queue_position: places.get(kindName({ preset: defaultPreset, model: manifest?.id }))?.ahead ?? 0,
    ranges: {
      num_frames: range(narrower(numFrames, optionTable.numFrames)),
      num_inference_steps: range(narrower(numInferenceSteps, optionTable.numInferenceSteps)),
      guidance_scale: range(narrower(guidanceScale, optionTable.guidanceScale)),
      guidance_end: range(guidanceEnd),
      motion_bucket_id: range(narrower(motionBucket, optionTable.motionBucket)),
      noise_aug_strength: range(narrower(noiseAug, optionTable.noiseAug)),
      fps: range(fps),
      seed: range(seed),
    },
    size: manifest
      ? {
          multiple: manifest.sizeMultiple,
          side: range(manifest.limits.side),
          pixels: range(manifest.limits.pixels),
        }
      : null,
    schedulers: (manifest ? schedulersOf(manifest) : optionTable.scheduler.allowed).map((name) => ({
      name,
      most_preset_steps: name === 'dpm++2m' ? enoughDpmSteps : null,
    })),
    motion_levels: [...motions],
    motion_buckets: model?.motionBuckets ?? null,
    defaults: {
      preset: defaultPreset,
      fps: manifest?.defaults.fps ?? null,
      noise_aug_strength: model?.defaults.noiseAug ?? null,
      negative_prompt: model?.defaults.negativePrompt ?? null,
      scheduler: shortcuts.scheduler ?? manifest?.defaults.scheduler ?? null,
      guidance_end: shortcuts.guidanceEnd ?? 1,
      feature_reuse: shortcuts.featureReuse ?? 1,
    },
    ignored: manifest ? ignoredBy(manifest) : [],
    upload: {
      bytes: defaultImageLimits.maxBytes,
      min_side: defaultImageLimits.minSide,
      pixels: defaultImageLimits.maxPixels,
      types: ['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/tiff'],
    },
  };
}

interface Ends {
  readonly min: number;
  readonly max: number;
}

/** What the model can make, of what may be typed at all. */
function narrower(model: Ends, typed: Ends): Ends {
  return { min: Math.max(model.min, typed.min), max: Math.min(model.max, typed.max) };
}

/** What the manifest names, what can have one value only by its numbers, and what needs a part that the model lacks. */
export function ignoredBy(manifest: PackManifest): Studio['ignored'] {
  const { guidanceScale } = manifest.limits;
  const isGuided = guidanceScale.max > 1;
  const says = (option: IgnorableOption): boolean => !heeds(manifest, option);
  const ignored: Record<(typeof ignorable)[number], boolean> = {
    prompt: says('prompt'),
    num_inference_steps: says('numInferenceSteps'),
    guidance_scale: says('guidanceScale') || guidanceScale.min === guidanceScale.max,
    guidance_end: says('guidanceEnd') || !isGuided,
    negative_prompt: says('negativePrompt') || !isGuided,
    scheduler: says('scheduler'),
    motion: !heedsMotion(manifest),
    motion_bucket_id: says('motionBucket'),
    noise_aug_strength: says('noiseAug'),
    feature_reuse: !hasShallowCore(manifest),
  };
  return ignorable.filter((name) => ignored[name]);
}
