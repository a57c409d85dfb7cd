/** Which class makes the clips of which family. */
import type { ImageToVideoPipeline } from '../image-to-video.ts';
import type { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../packs/open.ts';
import { I2VGenXLPipeline } from './i2vgen-xl.ts';
import { SvdPipeline } from './svd.ts';

export function createPipeline(pack: OpenPack, cache: LatentCache): ImageToVideoPipeline {
  switch (pack.manifest.family) {
    case 'i2vgen-xl':
      return new I2VGenXLPipeline(pack, cache);
    case 'svd':
      return new SvdPipeline(pack, cache);
  }
}
