/** Fields of a manifest that all families have, and what fields are made of. Bounds: see manifest.ts. */
import { z } from 'zod';
import { motions } from '../../request/presets.ts';

export const intUpTo = (max: number) => z.int().min(1).max(max);

/** Both ends included. */
export const range = (value: z.ZodNumber) =>
  z
    .strictObject({ min: value, max: value })
    .refine(({ min, max }) => min <= max, { error: 'min is larger than max' });

/** Shown in terminals and chats: no line breaks, no control characters. */
export const line = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .regex(/^\P{C}*$/u, { error: 'expected one line of plain text' });

const maxSide = 8192;
const maxFrames = 1024;

export const presetValues = z.strictObject({
  /** Side of the square whose area the working size approaches; the picture's aspect ratio decides the sides. */
  size: intUpTo(maxSide),
  numFrames: intUpTo(maxFrames),
  numInferenceSteps: intUpTo(1000),
  guidanceScale: z.number().min(0).max(100),
  /** Instead of medium. */
  motion: z.enum(motions).optional(),
});

/** Relative, with forward slashes, on every system: no "..", no drive, no characters with a meaning for a file system. */
const relativePath = z
  .string()
  .max(512)
  .refine((path) => path.split('/').every((part) => /^(?!\.{1,2}$)[^\p{C}\\:*?"<>|]+$/u.test(part)), {
    error: 'expected a path inside the pack',
  });

export const commonArchitecture = {
  latentChannels: intUpTo(256),
  /** Pixels per latent cell and side. */
  vaeScaleFactor: intUpTo(64),
  /** Latents are multiplied by this after encoding and divided before decoding. */
  vaeScalingFactor: z.number().min(1e-4).max(1e4),
  /** Side of the square that the image encoder sees, and its normalisation per channel. */
  imageEncoderSize: intUpTo(2048),
  imageMean: z.tuple([z.number(), z.number(), z.number()]),
  imageStd: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]),
};

export const commonLimits = {
  /** Of width and of height, each. */
  side: range(intUpTo(maxSide)),
  /** Of width × height. */
  pixels: range(intUpTo(maxSide ** 2)),
  numFrames: range(intUpTo(maxFrames)),
  numInferenceSteps: range(intUpTo(1000)),
  guidanceScale: range(z.number().min(0).max(100)),
  /** Of targetFps, the rate that the model is conditioned on. */
  targetFps: range(intUpTo(1000)),
};

export const commonDefaults = {
  /** Frames per second of the finished MP4. */
  fps: intUpTo(60),
  decodeChunkSize: intUpTo(maxFrames),
};

/** The fields whose meaning no family changes. */
export const commonFields = {
  /** Format of this file. */
  kinora: z.literal(1),
  /** Lower-case name, unique per set of weights: part of every cache key. */
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/),
  title: line(200).min(1),
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
  /** What the licence wants to be said wherever the model serves people: "Powered by …". */
  attribution: line(200).min(1).optional(),
  /** Width and height must be multiples of this. */
  sizeMultiple: intUpTo(1024),
  /** Every file of the pack but the manifest, paths relative to the root with forward slashes. */
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
};
