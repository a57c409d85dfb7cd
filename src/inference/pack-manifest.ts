/**
 * `kinora.json`, the manifest at the root of every model pack: what the pack is, which files belong to it, and the
 * numbers that the pipeline needs but cannot read from the ONNX graphs. Written by models/export and models/train.
 * Knows nothing of sessions or disks.
 */
import { z } from 'zod';

const positiveInt = z.int().positive();

/** An inclusive range with the step its values must be a multiple of (sizes only). */
const range = z.strictObject({ min: z.number(), max: z.number() });

const presetValues = z.strictObject({
  /** Side of the square whose area the working size approaches; the picture's aspect ratio decides the sides. */
  size: positiveInt,
  numFrames: positiveInt,
  numInferenceSteps: positiveInt,
  guidanceScale: z.number(),
});

export const packManifestSchema = z.strictObject({
  /** Format of this file. */
  kinora: z.literal(1),
  /** Lower-case name, unique per set of weights: part of every cache key. */
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  title: z.string().min(1),
  family: z.literal('i2vgen-xl'),
  /** `plain` runs on any execution provider; `cuda` holds fused FP16 graphs for CUDA only. */
  flavour: z.enum(['plain', 'cuda']),
  licence: z.string().min(1),
  /** Where the weights come from, in a sentence. */
  source: z.string().min(1),
  architecture: z.strictObject({
    latentChannels: positiveInt,
    /** Pixels per latent cell and side. */
    vaeScaleFactor: positiveInt,
    /** Latents are multiplied by this after encoding and divided before decoding. */
    vaeScalingFactor: z.number().positive(),
    /** Tokens per prompt, end token included. */
    maxTokens: positiveInt,
    /** Side of the square that the image encoder sees, and its normalisation per channel. */
    imageEncoderSize: positiveInt,
    imageMean: z.tuple([z.number(), z.number(), z.number()]),
    imageStd: z.tuple([z.number(), z.number(), z.number()]),
  }),
  /** Width and height must be multiples of this. */
  sizeMultiple: positiveInt,
  limits: z.strictObject({
    /** Of width and of height, each. */
    side: range,
    /** Of width × height. */
    pixels: range,
    numFrames: range,
    numInferenceSteps: range,
    guidanceScale: range,
    /** Of targetFps, the rate that the model is conditioned on. */
    targetFps: range,
  }),
  /** What --motion low|medium|high means for this model, as targetFps. */
  motionFps: z.strictObject({ low: positiveInt, medium: positiveInt, high: positiveInt }),
  /** Used where a request leaves them out, and whatever a preset does not say. */
  defaults: z.strictObject({
    scheduler: z.enum(['ddim', 'dpm++2m']),
    /** Encoded when no prompt was given. */
    prompt: z.string(),
    negativePrompt: z.string(),
    /** Frames per second of the finished MP4. */
    fps: positiveInt,
    decodeChunkSize: positiveInt,
  }),
  /** Replaces the general presets where this model needs other numbers. */
  presets: z.partialRecord(z.enum(['fast', 'standard', 'high', 'creative']), presetValues).optional(),
  /** Every file of the pack but this one, paths relative to the root with forward slashes. */
  files: z.array(
    z.strictObject({
      path: z.string().min(1),
      bytes: z.int().nonnegative(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});

export type PackManifest = z.infer<typeof packManifestSchema>;
