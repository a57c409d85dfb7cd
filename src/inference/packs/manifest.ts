/**
 * `kinora.json`, the manifest at the root of every model pack: name, files, and the numbers that the pipeline needs but
 * cannot read from the ONNX graphs. Written by models/export and models/train. A pack may come from anywhere, so every
 * number has a bound, far above those of real packs: a hostile manifest cannot claim endless memory.
 */
import { z } from 'zod';
import { hasShallowCore, ignorableOptions, schedulerNames } from '../../request/model-limits.ts';
import { motionKinds } from '../../request/motions.ts';
import { presetNames } from '../../request/presets.ts';
import { type GraphName, graphNames, requiredGraphs } from './graphs.ts';

const intUpTo = (max: number) => z.int().min(1).max(max);

/** Both ends included. */
const range = (value: z.ZodNumber) =>
  z
    .strictObject({ min: value, max: value })
    .refine(({ min, max }) => min <= max, { error: 'min is larger than max' });

/** Shown in terminals and chats: no line breaks, no control characters. */
const line = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .regex(/^\P{C}*$/u, { error: 'expected one line of plain text' });

const maxSide = 8192;
const maxFrames = 1024;

const presetValues = z.strictObject({
  /** Side of the square whose area the working size approaches; the picture's aspect ratio decides the sides. */
  size: intUpTo(maxSide),
  numFrames: intUpTo(maxFrames),
  numInferenceSteps: intUpTo(1000),
  guidanceScale: z.number().min(0).max(100),
});

/** Relative, with forward slashes, on every system: no "..", no drive, no characters with a meaning for a file system. */
const relativePath = z
  .string()
  .max(512)
  .refine((path) => path.split('/').every((part) => /^(?!\.{1,2}$)[^\p{C}\\:*?"<>|]+$/u.test(part)), {
    error: 'expected a path inside the pack',
  });

/** Files of every pack; weights of large graphs lie beside them and are listed too. */
const requiredFiles = [
  ...requiredGraphs.map((graph) => `${graph}/model.onnx`),
  'tokenizer/tokenizer.json',
  'tokenizer/tokenizer_config.json',
  'scheduler/scheduler_config.json',
];

export const packManifestSchema = z
  .strictObject({
    /** Format of this file. */
    kinora: z.literal(1),
    /** Lower-case name, unique per set of weights: part of every cache key. */
    id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
    title: line(200).min(1),
    family: z.literal('i2vgen-xl'),
    /** `plain` runs on any execution provider; `cuda` holds fused FP16 graphs for CUDA only. */
    flavour: z.enum(['plain', 'cuda']),
    /** The device that the graphs need; absent: they run on any. */
    requires: z
      .strictObject({
        device: z.enum(['cuda', 'tensorrt']),
        /** A TensorRT engine runs only on the GPU model and with the TensorRT version that built it. */
        gpu: line(200).optional(),
        tensorrt: line(50).optional(),
      })
      .optional(),
    licence: line(500).min(1),
    /** Where the weights come from, in a sentence. */
    source: line(1000).min(1),
    architecture: z.strictObject({
      latentChannels: intUpTo(256),
      /** Pixels per latent cell and side. */
      vaeScaleFactor: intUpTo(64),
      /** Latents are multiplied by this after encoding and divided before decoding. */
      vaeScalingFactor: z.number().min(1e-4).max(1e4),
      /** Tokens per prompt, end token included. */
      maxTokens: intUpTo(4096).min(3),
      /** Side of the square that the image encoder sees, and its normalisation per channel. */
      imageEncoderSize: intUpTo(2048),
      imageMean: z.tuple([z.number(), z.number(), z.number()]),
      imageStd: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]),
    }),
    /** Width and height must be multiples of this. */
    sizeMultiple: intUpTo(1024),
    limits: z.strictObject({
      /** Of width and of height, each. */
      side: range(intUpTo(maxSide)),
      /** Of width × height. */
      pixels: range(intUpTo(maxSide ** 2)),
      numFrames: range(intUpTo(maxFrames)),
      numInferenceSteps: range(intUpTo(1000)),
      guidanceScale: range(z.number().min(0).max(100)),
      /** Of targetFps, the rate that the model is conditioned on. */
      targetFps: range(intUpTo(1000)),
    }),
    /** targetFps of --motion low, medium and high. */
    motionFps: z.strictObject({ low: intUpTo(1000), medium: intUpTo(1000), high: intUpTo(1000) }),
    /** For requests that leave them out. */
    defaults: z.strictObject({
      scheduler: z.enum(schedulerNames),
      /** Encoded when no prompt was given. */
      prompt: line(1000),
      negativePrompt: line(1000),
      /** Frames per second of the finished MP4. */
      fps: intUpTo(60),
      decodeChunkSize: intUpTo(maxFrames),
    }),
    /** Replaces the general presets where this model needs other numbers. */
    presets: z.partialRecord(z.enum(presetNames), presetValues).optional(),
    /** Options that change nothing that anybody could see with this model: they are neither offered nor charged. */
    ignoredOptions: z.array(z.enum(ignorableOptions)).max(ignorableOptions.length).optional(),
    /** Motions that the model knows, in the order of their levels in unet_cond's context: see pipelines/understood.ts. */
    motions: z.array(z.enum(motionKinds)).min(1).max(motionKinds.length).optional(),
    /** Every file of the pack but this one, paths relative to the root with forward slashes. */
    files: z
      .array(
        z.strictObject({
          path: relativePath,
          bytes: z
            .int()
            .min(0)
            .max(2 ** 42),
          sha256: z.string().regex(/^[0-9a-f]{64}$/),
        }),
      )
      .max(10_000),
  })
  .superRefine((manifest, context) => {
    const complain = (path: readonly string[], message: string): void =>
      context.addIssue({ code: 'custom', path: [...path], message });
    const { architecture, sizeMultiple, limits, motionFps, motions = [], files } = manifest;
    if (sizeMultiple % architecture.vaeScaleFactor !== 0) {
      complain(['sizeMultiple'], `expected a multiple of vaeScaleFactor, ${architecture.vaeScaleFactor}`);
    }
    for (const [motion, fps] of Object.entries(motionFps)) {
      if (fps < limits.targetFps.min || fps > limits.targetFps.max) {
        complain(['motionFps', motion], 'expected a number within limits.targetFps');
      }
    }
    if (new Set(motions).size !== motions.length) complain(['motions'], 'a motion is named twice');
    const paths = new Set(files.map((file) => file.path));
    if (paths.size !== files.length) complain(['files'], 'a path is listed twice');
    for (const path of requiredFiles) {
      if (!paths.has(path)) complain(['files'], `${path} is not listed`);
    }
  });

export type PackManifest = z.infer<typeof packManifestSchema>;

export function graphsOf(manifest: PackManifest): readonly GraphName[] {
  return hasShallowCore(manifest) ? graphNames : requiredGraphs;
}
