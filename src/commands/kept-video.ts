/** What is kept of an earlier video, for `kinora animate --from`. */
import { z } from 'zod';
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import { LatentCache } from '../inference/latent-cache.ts';
import type { Pack } from '../inference/packs/files.ts';
import { Artifacts } from '../queue/artifacts.ts';
import { jobIdSchema } from '../queue/jobs.ts';
import { type GenerationOptions, generationSchema } from '../request/request.ts';

const originSchema = z.object({ imagePath: z.string(), options: generationSchema.partial() });

type Origin = z.output<typeof originSchema>;

export interface KeptVideo {
  readonly videoId: string;
  /** Undefined where nobody knows any more which picture it was made of. */
  readonly imagePath: string | undefined;
  /** As it was asked for, in the size and with the frames that it has. */
  readonly options: GenerationOptions;
}

/**
 * @param id of a video, as the command line and its record tell it, or of the job that made it for a chat, the inbox or
 * the HTTP API
 * @throws KinoraError VIDEO_NOT_FOUND
 */
export async function findKeptVideo(config: Config, pack: Pack, id: string): Promise<KeptVideo> {
  const { cacheFolder: folder, cacheDiskBytes: diskBytes } = config;
  const cache = new LatentCache({ folder, memoryBytes: 0, diskBytes });
  const artifacts = new Artifacts(config.jobsFolder);
  const ofJob = jobIdSchema.safeParse(id).success ? await artifacts.readRecord(id) : undefined;
  const videoId = ofJob?.videoId ?? id;
  const entry = await cache.get(LatentCache.key('video', videoId));
  const [, , numFrames, height, width] = entry?.tensors['latents']?.dims ?? [];
  if (!entry || numFrames === undefined || height === undefined || width === undefined) {
    throw new KinoraError('VIDEO_NOT_FOUND', `The video ${id.slice(0, 40)} is no longer kept.`);
  }
  const { vaeScaleFactor } = pack.manifest.architecture;
  const size = `${width * vaeScaleFactor}x${height * vaeScaleFactor}`;
  const stored = originSchema.safeParse(entry.meta?.['origin']);
  const origin = stored.success ? stored.data : await findJob(artifacts, videoId, ofJob && id);
  return { videoId, imagePath: origin?.imagePath, options: { ...origin?.options, numFrames, size } };
}

/** What was asked for elsewhere lies in the job's folder alone, which goes when its person deletes their data. */
async function findJob(
  artifacts: Artifacts,
  videoId: string,
  knownId: string | undefined,
): Promise<Origin | undefined> {
  for (const jobId of knownId === undefined ? await artifacts.jobIds() : [knownId]) {
    if ((await artifacts.readRecord(jobId))?.videoId !== videoId) continue;
    const accepted = await artifacts.accepted(jobId);
    const {
      seed: _seed,
      maxBytes: _maxBytes,
      variation: _variation,
      ...options
    } = accepted?.request.generation ?? {};
    if (await artifacts.hasImage(jobId)) return { imagePath: artifacts.files(jobId).image, options };
  }
  return undefined;
}
