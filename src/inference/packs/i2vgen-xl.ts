/**
 * Packs of the I2VGen-XL family: picture and text to frames. The model that comes with Kinora has the same graphs, with
 * further inputs.
 */
import { z } from 'zod';
import { ignorableOptions } from '../../request/ignorable-options.ts';
import { hasShallowCore } from '../../request/model-limits.ts';
import { motionKinds } from '../../request/motions.ts';
import { presetNames } from '../../request/presets.ts';
import { schedulerNames } from '../../request/scheduler-names.ts';
import { i2vgenXlMemory } from '../residency/measured-memory.ts';
import type { FamilyParts, GraphShapes, Shape } from './family-parts.ts';
import { commonGraphs, type GraphName, shallowCore } from './graphs.ts';
import {
  commonArchitecture,
  commonDefaults,
  commonFields,
  commonLimits,
  intUpTo,
  line,
  presetValues,
} from './manifest-fields.ts';

export const i2vgenXlManifestSchema = z.strictObject({
  ...commonFields,
  family: z.literal('i2vgen-xl'),
  architecture: z.strictObject({
    ...commonArchitecture,
    /** Tokens per prompt, end token included. */
    maxTokens: intUpTo(4096).min(3),
  }),
  limits: z.strictObject(commonLimits),
  /** targetFps of --motion low, medium and high. */
  motionFps: z.strictObject({ low: intUpTo(1000), medium: intUpTo(1000), high: intUpTo(1000) }),
  /** For requests that leave them out. */
  defaults: z.strictObject({
    ...commonDefaults,
    scheduler: z.enum(schedulerNames).extract(['ddim', 'dpm++2m']),
    /** Encoded when no prompt was given. */
    prompt: line(1000),
    negativePrompt: line(1000),
  }),
  /** Replaces the general presets where this model needs other numbers. */
  presets: z.partialRecord(z.enum(presetNames), presetValues).optional(),
  /** Options that change nothing that anybody could see with this model: they are neither offered nor charged. */
  ignoredOptions: z.array(z.enum(ignorableOptions)).max(ignorableOptions.length).optional(),
  /** Motions that the model knows, in the order of their levels in unet_cond's context: see pipelines/understood.ts. */
  motions: z.array(z.enum(motionKinds)).min(1).max(motionKinds.length).optional(),
});
export type I2VGenXLManifest = z.infer<typeof i2vgenXlManifestSchema>;

/**
 * Inputs of unet_cond that some packs have. Without `encoder_hidden_states` it depends on the picture alone, and the cores
 * read the text. `frame_positions` (F) are 0 … 1, and image_latents is the picture alone then. `draws` (1, drawsPerClip)
 * decide what the prompt leaves open: such a pack needs no noise. `frame_size` (height, width) in pixels may be smaller than
 * the picture: then the frames pass along it. `frame_views` (F, 4) are what each frame shows of the picture, as
 * continued-camera.ts has them; zeros leave it to the pack, which tells its own views as `camera_path`. `motion_mask`
 * (1, 1, h, w), 0 … 1, is what a person painted to move, of any size; zeros where nobody did.
 */
const optionalInputs: readonly string[] = [
  'encoder_hidden_states',
  'frame_positions',
  'draws',
  'frame_size',
  'frame_views',
  'motion_mask',
];

/** Of a pack whose unet_cond takes them: one half for the clip's course, one for its details. */
export const drawsPerClip = 64;

export function i2vgenXl(manifest: I2VGenXLManifest): FamilyParts {
  const { architecture, limits, motionFps, motions = [] } = manifest;
  const outside = Object.entries(motionFps).filter(
    ([, fps]) => fps < limits.targetFps.min || fps > limits.targetFps.max,
  );
  return {
    graphs: ['text_encoder', ...commonGraphs],
    otherFiles: [
      'tokenizer/tokenizer.json',
      'tokenizer/tokenizer_config.json',
      'scheduler/scheduler_config.json',
    ],
    maxTokens: architecture.maxTokens,
    contradictions: [
      ...outside.map(([motion]) => ({
        path: ['motionFps', motion],
        message: 'expected a number within limits.targetFps',
      })),
      ...(new Set(motions).size === motions.length
        ? []
        : [{ path: ['motions'], message: 'a motion is named twice' }]),
    ],
    integerInputs: new Set(['input_ids', 'fps', 'timestep', 'frame_size']),
    optionalInputs,
    shapes: (optional) => shapesOf(manifest, optional),
    memory: i2vgenXlMemory,
    decoderMixesFrames: false,
    hasKarrasLevels: false,
    usualPicture: { width: 1, height: 1 },
  };
}

function shapesOf(
  manifest: I2VGenXLManifest,
  optional: ReadonlySet<string>,
): Partial<Record<GraphName, GraphShapes>> {
  const { latentChannels: c, maxTokens: t, imageEncoderSize: s } = manifest.architecture;
  const text: Readonly<Record<string, Shape>> = { encoder_hidden_states: [null, t, 'D'] };
  const isTextInContext = optional.has('encoder_hidden_states');
  const hasPositions = optional.has('frame_positions');
  // Inputs that are the same for both rows of guidance have one row.
  const coreInputs: Readonly<Record<string, Shape>> = {
    sample: [1, c, null, null, null],
    timestep: [1],
    ...(isTextInContext ? {} : text),
    fps_emb: [1, 'F'],
    context: [null, null, 'X'],
    image_latents_enc: ['R', null, null, null, null],
    factors: [null],
  };
  const coreOutputs = { out_sample: [1, c, null, null, null] };
  // The layout is the pack's own choice; the output of one core must fit the input of the other.
  const deepFeatures = { deep_features: ['K', 'L', 'M', 'N'] };
  const hasShallow = hasShallowCore(manifest);
  return {
    text_encoder: { in: { input_ids: [null, t] }, out: { prompt_embeds: [null, t, 'D'] } },
    image_encoder: { in: { pixel_values: [1, 3, s, s] }, out: { image_embeds: [1, 'E'] } },
    vae_encoder: { in: { sample: [1, 3, null, null] }, out: { moments: [null, 2 * c, null, null] } },
    unet_cond: {
      in: {
        fps: [1],
        image_latents: [1, c, hasPositions ? 1 : null, null, null],
        image_embeddings: [null, 1, 'E'],
        ...(isTextInContext ? text : {}),
        ...(hasPositions ? { frame_positions: [null] } : {}),
        ...(optional.has('draws') ? { draws: [1, drawsPerClip] } : {}),
        ...(optional.has('frame_size') ? { frame_size: [2] } : {}),
        ...(optional.has('frame_views') ? { frame_views: [null, 4] } : {}),
        ...(optional.has('motion_mask') ? { motion_mask: [1, 1, null, null] } : {}),
      },
      out: {
        fps_emb: [1, 'F'],
        context: [null, null, 'X'],
        image_latents_enc: ['R', null, null, null, null],
        ...(optional.has('frame_views') ? { camera_path: [null, 4] } : {}),
      },
    },
    unet_core: { in: coreInputs, out: hasShallow ? { ...coreOutputs, ...deepFeatures } : coreOutputs },
    ...(hasShallow ? { [shallowCore]: { in: { ...coreInputs, ...deepFeatures }, out: coreOutputs } } : {}),
    vae_decoder: {
      in: { latent: [null, c, null, null] },
      // The pipeline uses rgb. Tests compare samples. The mean is finite only if the whole sample is.
      out: { sample: [null, 3, null, null], rgb: [null, null, null, 3], mean: [] },
    },
  };
}
