/** What is kept of an earlier video, for `kinora animate --from`. */
import { z } from 'zod';
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import { LatentCache } from '../inference/latent-cache.ts';
import type { Pack } from '../inference/packs/files.ts';
import { type GenerationOptions, generationSchema } from '../request/request.ts';

const originSchema = z.object({ imagePath: z.string(), options: generationSchema.partial() });

export interface KeptVideo {
  /** Undefined for videos of chats, whose pictures are not the operator's. */
  readonly imagePath: string | undefined;
  /** As it was asked for, in the size and with the frames that it has. */
  readonly options: GenerationOptions;
}

/** @throws KinoraError VIDEO_NOT_FOUND */
export async function findKeptVideo(config: Config, pack: Pack, videoId: string): Promise<KeptVideo> {
  const { cacheFolder: folder, cacheDiskBytes: diskBytes } = config;
  const cache = new LatentCache({ folder, memoryBytes: 0, diskBytes });
  const entry = await cache.get(LatentCache.key('video', videoId));
  const [, , numFrames, height, width] = entry?.tensors['latents']?.dims ?? [];
  if (!entry || numFrames === undefined || height === undefined || width === undefined) {
    throw new KinoraError('VIDEO_NOT_FOUND', `The video ${videoId.slice(0, 40)} is no longer kept.`);
  }
  const { vaeScaleFactor } = pack.manifest.architecture;
  const size = `${width * vaeScaleFactor}x${height * vaeScaleFactor}`;
  const origin = originSchema.safeParse(entry.meta?.['origin']);
  const { imagePath, options } = origin.success ? origin.data : { imagePath: undefined, options: {} };
  return { imagePath, options: { ...options, numFrames, size } };
}
