/**
 * Clips of packs whose unet_cond takes `draws`: random numbers that decide what the prompt leaves open, in place of noise
 * that a core would have to shape. The first half is the clip's course (where a zoom goes, when a gust comes), the
 * second half its details (each flake of snow). Knows no session.
 */
import { z } from 'zod';
import type { CacheEntry } from '../cache-file.ts';
import type { GenerateRequest } from '../image-to-video.ts';
import { drawsPerClip } from '../packs/i2vgen-xl.ts';
import { TorchGenerator } from '../random.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { cameraEndSchema, cameraViewSchema } from './continued-camera.ts';
import { earlierClip } from './earlier-clip.ts';
import type { Run } from './run.ts';

/** Where the two halves of the draws come from. */
export interface DrawnSeeds {
  readonly course: number;
  readonly details: number;
}

/** What a clip showed when it ended, for one that goes on from there. */
const drawnEndSchema = z.object({
  camera: cameraEndSchema,
  /** Of what stays where the mask of an extension lets nothing move. Absent where another version kept the clip. */
  still: cameraViewSchema.optional(),
  detailsSeed: z.int().nonnegative(),
  prompt: z.string(),
  negativePrompt: z.string(),
  targetFps: z.int().positive(),
  /** Its motions but those of the camera, in words of our own: equal where they look alike. */
  scenery: z.string(),
  isEvening: z.boolean(),
});
export type DrawnEnd = z.output<typeof drawnEndSchema>;

/** What is kept of such a clip for variations and extensions: no latents, since they would shape nothing. */
export const drawnClipSchema = z.object({
  courseSeed: z.int().nonnegative(),
  width: z.int().positive(),
  height: z.int().positive(),
  numFrames: z.int().positive(),
  /** Of its picture, where the frames are smaller and pass along it. */
  pictureSize: z.object({ width: z.int().positive(), height: z.int().positive() }).optional(),
  /** Absent where another version kept it, or the pack cannot draw a view that it is given. */
  end: drawnEndSchema.optional(),
});
export type DrawnClip = z.output<typeof drawnClipSchema>;

/** A variation below this strength keeps the course of the earlier clip; "subtle" is below it, "strong" is not. */
const newCourseFrom = 0.5;

/**
 * A variation that keeps its course takes the one that the earlier clip had, so that a chain of them keeps the first.
 * @param pictureKey of the clip's picture: a variation needs the one of the earlier clip
 * @throws KinoraError VIDEO_NOT_FOUND, INVALID_OPTION when the earlier clip is of another picture
 */
export async function drawnSeeds(
  { seed, variation }: Pick<GenerateRequest, 'seed' | 'variation'>,
  pictureKey: string,
  run: Run,
): Promise<DrawnSeeds> {
  if (!variation) return { course: seed, details: seed };
  const { videoId, strength } = variation;
  const read = ({ meta }: CacheEntry) => drawnClipSchema.safeParse(meta?.['drawn']).data;
  const { courseSeed } = await earlierClip(videoId, pictureKey, read, run);
  return { course: strength < newCourseFrom ? courseSeed : seed, details: seed };
}

/** (1, drawsPerClip), uniform in [0, 1) */
export function drawsOf({ course, details }: DrawnSeeds): FloatTensor {
  const data = new TorchGenerator(course).rand(drawsPerClip);
  const half = drawsPerClip / 2;
  data.set(new TorchGenerator(details).rand(drawsPerClip).subarray(half), half);
  return { data, dims: [1, drawsPerClip] };
}
