/** What is kept of an earlier video, for `kinora animate --from` and `--extend`. */
import { z } from 'zod';
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import type { CacheEntry } from '../inference/cache-file.ts';
import { LatentCache } from '../inference/latent-cache.ts';
import type { Pack } from '../inference/packs/files.ts';
import { drawnClipSchema } from '../inference/pipelines/drawn-clip.ts';
import { Artifacts } from '../queue/artifacts.ts';
import { skipNewer } from '../queue/contract.ts';
import type { JobFile } from '../queue/job-files.ts';
import { jobIdSchema } from '../queue/jobs.ts';
import { type GenerationOptions, generationSchema } from '../request/request.ts';
import { openStorage } from './storage.ts';

const originSchema = z.object({
  imagePath: z.string(),
  maskPath: z.string().optional(),
  options: generationSchema.partial(),
  // Absent where an earlier version kept it.
  seed: generationSchema.shape.seed.optional(),
  videoPath: z.string().optional(),
  earlierPath: z.string().optional(),
});

type Origin = z.output<typeof originSchema>;

export interface KeptVideo {
  readonly videoId: string;
  /** Undefined where nobody knows any more which picture it was made of. */
  readonly imagePath: string | undefined;
  /** What could move in it, where that was said. */
  readonly maskPath: string | undefined;
  /** As it was asked for, in the size and with the frames that it has. */
  readonly options: GenerationOptions;
  readonly seed: number | undefined;
  /** Where the video was written, and the one that it continues. */
  readonly videoPath: string | undefined;
  readonly earlierPath: string | undefined;
}

/**
 * @param id of a video, as the command line and its record tell it, or of the job that made it for a chat, the inbox or
 * the HTTP API
 * @throws KinoraError VIDEO_NOT_FOUND
 */
export async function findKeptVideo(config: Config, pack: Pack, id: string): Promise<KeptVideo> {
  const { cacheFolder: folder, cacheDiskBytes: diskBytes } = config;
  const cache = new LatentCache({ folder, memoryBytes: 0, diskBytes });
  const artifacts = new Artifacts(await openStorage(config));
  const ofJob = jobIdSchema.safeParse(id).success ? await artifacts.readRecord(id) : undefined;
  const videoId = ofJob?.videoId ?? id;
  const entry = await cache.get(LatentCache.key('video', videoId));
  const shape = entry && shapeOf(entry, pack);
  if (!shape) {
    throw new KinoraError('VIDEO_NOT_FOUND', `The video ${id.slice(0, 40)} is no longer kept.`);
  }
  const { width, height, numFrames } = shape;
  const size = `${width}x${height}`;
  const stored = originSchema.safeParse(entry.meta?.['origin']);
  const origin = stored.success ? stored.data : await findJob(artifacts, videoId, ofJob && id);
  const { imagePath, maskPath, options, seed, videoPath, earlierPath } = origin ?? {};
  const files = { imagePath, maskPath, videoPath, earlierPath };
  return { videoId, ...files, seed, options: { ...options, numFrames, size } };
}

/** Undefined where another version of Kinora kept something else. */
function shapeOf({ tensors, meta }: CacheEntry, { manifest }: Pack) {
  const drawn = drawnClipSchema.safeParse(meta?.['drawn']);
  if (drawn.success) return drawn.data;
  const [, , numFrames, h, w] = tensors['latents']?.dims ?? [];
  if (numFrames === undefined || h === undefined || w === undefined) return undefined;
  const { vaeScaleFactor } = manifest.architecture;
  return { width: w * vaeScaleFactor, height: h * vaeScaleFactor, numFrames };
}

/** What was asked for elsewhere lies in the job's folder alone, which goes when its person deletes their data. */
async function findJob(
  artifacts: Artifacts,
  videoId: string,
  knownId: string | undefined,
): Promise<Origin | undefined> {
  for (const jobId of knownId === undefined ? await artifacts.jobIds() : [knownId]) {
    if ((await artifacts.readRecord(jobId).catch(skipNewer))?.videoId !== videoId) continue;
    const accepted = await artifacts.accepted(jobId);
    const {
      seed,
      maxBytes: _maxBytes,
      variation: _variation,
      ...options
    } = accepted?.request.generation ?? {};
    if (!(await artifacts.hasImage(jobId))) continue;
    const hasMask = accepted?.request.hasMask === true;
    const hasEarlier = accepted?.request.generation.extension !== undefined;
    const wanted: JobFile[] = ['image', 'video'];
    if (hasMask) wanted.push('mask');
    if (hasEarlier) wanted.push('earlier');
    // The video that is made of them names them as its origin, so they are not closed.
    const { files } = await artifacts.open(jobId, wanted);
    return {
      imagePath: files.image,
      options,
      seed,
      videoPath: files.video,
      ...(hasMask ? { maskPath: files.mask } : {}),
      ...(hasEarlier ? { earlierPath: files.earlier } : {}),
    };
  }
  return undefined;
}
