/** Which class makes the clips of which family. */
import type { ImageToVideoPipeline } from '../image-to-video.ts';
import type { LatentCache } from '../latent-cache.ts';
import type { PackManifest } from '../packs/manifest.ts';
import type { OpenPack } from '../packs/open.ts';
import { I2VGenXLPipeline } from './i2vgen-xl.ts';
import { SvdPipeline } from './svd.ts';

type PipelineClass = new (pack: OpenPack, cache: LatentCache) => ImageToVideoPipeline;

const pipelines: Readonly<Record<PackManifest['family'], PipelineClass>> = {
  'i2vgen-xl': I2VGenXLPipeline,
  svd: SvdPipeline,
};

export function createPipeline(pack: OpenPack, cache: LatentCache): ImageToVideoPipeline {
  return new pipelines[pack.manifest.family](pack, cache);
}
