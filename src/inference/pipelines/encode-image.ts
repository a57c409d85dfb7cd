/**
 * A picture to its embedding (image encoder) and its latents (VAE). Both are independent of the clip's seed, so that all
 * clips of a picture share them through the cache. Knows neither prompts nor steps. Shapes as in i2vgen-xl.ts.
 */
import type { GenerateRequest, Picture } from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../packs/open.ts';
import { type PreparedImage, prepareImage } from '../pictures/prepare.ts';
import { TorchGenerator } from '../random.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { together } from './overlap.ts';
import { pick, present } from './parts.ts';
import type { Run } from './run.ts';

export interface EncodedImage {
  /** (1, D) */
  readonly imageEmbeds: FloatTensor;
  /** (1, C, h, w), scaled as latents are */
  readonly imageLatents: FloatTensor;
}

/**
 * Seed of the sample of a picture's latents. diffusers draws it from the global generator, independently of the clip's
 * seed; one fixed seed lets every clip of a picture share its latents.
 */
const imageSeed = 0;

/** A picture whose encodings are in the cache, or which is resized for the encoders. */
export type PreparedPicture = { readonly picture: Picture } & (
  | { readonly encoded: EncodedImage }
  | { readonly prepared: PreparedImage; readonly cacheKey: string }
);

/** @param fingerprint stands for the weights in cache keys */
export async function preparePicture(
  pack: OpenPack,
  fingerprint: string,
  { image, width: frameWidth, height: frameHeight, pictureSize }: GenerateRequest,
  run: Run,
): Promise<PreparedPicture> {
  const { width, height } = pictureSize ?? { width: frameWidth, height: frameHeight };
  const picture = await image;
  run.lap('readPicture');
  const cacheKey = LatentCache.pictureEntry(picture.key, fingerprint, width, height);
  const entry = await run.lookUp('image', cacheKey);
  if (entry) {
    const imageEmbeds = present(entry.tensors['imageEmbeds']);
    const imageLatents = present(entry.tensors['pictureLatents']);
    return { picture, encoded: { imageEmbeds, imageLatents } };
  }
  const { imageEncoderSize: encoderSize, imageMean: mean, imageStd: std } = pack.manifest.architecture;
  const options = { width, height, encoderSize, mean, std };
  return { picture, prepared: prepareImage(await picture.pixels(), options), cacheKey };
}

export async function encodeImage(pack: OpenPack, picture: PreparedPicture, run: Run): Promise<EncodedImage> {
  if ('encoded' in picture) return picture.encoded;
  const { pixelValues, vaeSample } = picture.prepared;
  const { image_encoder: imageEncoder, vae_encoder: vaeEncoder } = pack.sessions;
  const [encoded, seen] = await together(
    vaeEncoder.run({ sample: vaeSample }),
    imageEncoder.run({ pixel_values: pixelValues }),
  );
  const imageEmbeds = pick(seen, 'image_embeds');
  const imageLatents = sampleOf(pick(encoded, 'moments'), pack.manifest.architecture.vaeScalingFactor);
  run.keep(picture.cacheKey, { tensors: { imageEmbeds, pictureLatents: imageLatents } });
  return { imageEmbeds, imageLatents };
}

/**
 * A sample (1, C, h, w) of the VAE's posterior, scaled as latents are.
 * @param moments mean and logarithm of the variance (1, 2C, h, w)
 */
function sampleOf({ data: moments, dims }: FloatTensor, scale: number): FloatTensor {
  const [, channels = 0, h = 0, w = 0] = dims;
  const length = moments.length / 2;
  const data = new TorchGenerator(imageSeed).randn(length).map((normal, k) => {
    const logvar = Math.min(Math.max(moments[length + k] as number, -30), 20);
    return ((moments[k] as number) + Math.exp(logvar / 2) * normal) * scale;
  });
  return { data, dims: [1, channels / 2, h, w] };
}
