/** Packs of the Stable Video Diffusion family: a picture to frames, with numbers in place of a text. */
import { z } from 'zod';
import { ignorableOptions } from '../../request/ignorable-options.ts';
import { hasShallowCore } from '../../request/model-limits.ts';
import { presetNames } from '../../request/presets.ts';
import { schedulerNames } from '../../request/scheduler-names.ts';
import { svdMemory } from '../residency/measured-memory.ts';
import type { FamilyParts, GraphShapes, Shape } from './family-parts.ts';
import { commonGraphs, type GraphName, shallowCore } from './graphs.ts';
import {
  commonArchitecture,
  commonDefaults,
  commonFields,
  commonLimits,
  intUpTo,
  presetValues,
  range,
} from './manifest-fields.ts';

/** Of the projected embedding of its number, which is computed for any. */
const largestBucket = 1000;

export const svdManifestSchema = z.strictObject({
  ...commonFields,
  family: z.literal('svd'),
  architecture: z.strictObject({
    ...commonArchitecture,
    /** Frames of the clips that it was trained with; positions beyond them are extrapolated. */
    trainedFrames: intUpTo(1024),
  }),
  limits: z.strictObject({
    ...commonLimits,
    motionBucket: range(intUpTo(largestBucket)),
    /** Standard deviation of the noise on the picture, whose values are -1 … 1. */
    noiseAug: range(z.number().min(0).max(10)),
  }),
  /** motionBucket of --motion low, medium and high. */
  motionBuckets: z.strictObject({
    low: intUpTo(largestBucket),
    medium: intUpTo(largestBucket),
    high: intUpTo(largestBucket),
  }),
  /** For requests that leave them out. */
  defaults: z.strictObject({
    ...commonDefaults,
    /** lcm: the weights were distilled for it, and take no other. */
    scheduler: z.enum(schedulerNames).extract(['euler', 'dpm++2m', 'lcm']),
    /** The rate that the model is conditioned on. */
    targetFps: intUpTo(1000),
    noiseAug: z.number().min(0).max(10),
    /** Guidance of the first frame, from which it grows evenly to that of the last. */
    minGuidance: z.number().min(0).max(100),
    /** Frames on either side that a frame is decoded with, at least. */
    decodeOverlap: z.int().min(0).max(4),
  }),
  /** The general ones are not for this family. */
  presets: z.record(z.enum(presetNames), presetValues),
  /** Options that change nothing that anybody could see with this model: they are neither offered nor charged. */
  ignoredOptions: z.array(z.enum(ignorableOptions)).max(ignorableOptions.length).optional(),
});
export type SvdManifest = z.infer<typeof svdManifestSchema>;

export function svd(manifest: SvdManifest): FamilyParts {
  const { limits, motionBuckets, defaults } = manifest;
  const { motionBucket, noiseAug, targetFps } = limits;
  const bounded = [
    ...Object.entries(motionBuckets).map(
      ([motion, bucket]) => [['motionBuckets', motion], bucket, motionBucket, 'motionBucket'] as const,
    ),
    [['defaults', 'noiseAug'], defaults.noiseAug, noiseAug, 'noiseAug'] as const,
    [['defaults', 'targetFps'], defaults.targetFps, targetFps, 'targetFps'] as const,
  ];
  return {
    graphs: commonGraphs,
    otherFiles: ['scheduler/scheduler_config.json'],
    maxTokens: undefined,
    contradictions: bounded
      .filter(([, value, { min, max }]) => value < min || value > max)
      .map(([path, , , limit]) => ({ path, message: `expected a number within limits.${limit}` })),
    integerInputs: new Set(),
    optionalInputs: [],
    shapes: () => shapesOf(manifest),
    memory: svdMemory,
    decoderMixesFrames: true,
    hasKarrasLevels: true,
    usualPicture: { width: 16, height: 9 },
  };
}

function shapesOf(manifest: SvdManifest): Partial<Record<GraphName, GraphShapes>> {
  const { latentChannels: c, imageEncoderSize: s } = manifest.architecture;
  // Inputs that are the same for both rows of guidance have one row.
  const coreInputs: Readonly<Record<string, Shape>> = {
    sample: [1, c, null, null, null],
    timestep: [1],
    image_latents: [null, c, null, null],
    cond_emb: [1, 'T'],
    context: [null, 'X'],
    positions: [1, null, 'P'],
    factors: [null, null],
  };
  const coreOutputs = { out_sample: [1, c, null, null, null] };
  // The layout is the pack's own choice; the output of one core must fit the input of the other.
  const deepFeatures = { deep_features: ['K', 'L', 'M', 'N'] };
  const hasShallow = hasShallowCore(manifest);
  return {
    image_encoder: { in: { pixel_values: [1, 3, s, s] }, out: { image_embeds: [1, 'E'] } },
    vae_encoder: { in: { sample: [1, 3, null, null] }, out: { moments: [null, 2 * c, null, null] } },
    unet_cond: {
      in: { added_time_ids: [1, 3], image_embeddings: [null, 1, 'E'], frame_index: [null] },
      out: { cond_emb: [1, 'T'], context: [null, 'X'], positions: [1, null, 'P'] },
    },
    unet_core: { in: coreInputs, out: hasShallow ? { ...coreOutputs, ...deepFeatures } : coreOutputs },
    ...(hasShallow ? { [shallowCore]: { in: { ...coreInputs, ...deepFeatures }, out: coreOutputs } } : {}),
    vae_decoder: {
      in: { latent: [null, c, null, null] },
      out: { sample: [null, 3, null, null], rgb: [null, null, null, 3], mean: [] },
    },
  };
}
