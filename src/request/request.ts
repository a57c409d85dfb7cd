/** The one request: what a person asked for. The ledger keeps it, and the worker resolves it into a clip's numbers. */
import { z } from 'zod';

export const motions = ['low', 'medium', 'high'] as const;
export type Motion = (typeof motions)[number];

/** What decides the pixels, as the person asked for it; the engine's worker fills in the pack's defaults. */
export const generationSchema = z.object({
  prompt: z.string().max(2000),
  negativePrompt: z.string().max(2000).optional(),
  preset: z.string().min(1).max(32),
  seed: z.int().nonnegative(),
  numFrames: z.int().positive().optional(),
  numInferenceSteps: z.int().positive().optional(),
  guidanceScale: z.number().optional(),
  motion: z.enum(motions).optional(),
  fps: z.int().positive().optional(),
  size: z.string().max(16).optional(),
  loop: z.boolean().optional(),
  smooth: z.union([z.literal(1), z.literal(2), z.literal(3)]).optional(),
  maxBytes: z.int().positive().optional(),
  variation: z.object({ videoId: z.string().min(1).max(128), strength: z.number().gt(0).max(1) }).optional(),
});
export type Generation = z.infer<typeof generationSchema>;
