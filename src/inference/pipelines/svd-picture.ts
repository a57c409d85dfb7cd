/**
 * A picture to what Stable Video Diffusion sees of it: its embedding, and its latents with a little noise on the picture.
 * Both come from the picture as it is cropped to the clip's size. Knows no steps. Shapes as in svd.ts.
 */
import type { MotionNumbers } from '../../request/families/family.ts';
import type { GenerateRequest, Picture } from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../packs/open.ts';
import { cropTo, toVaeSample } from '../pictures/prepare.ts';
import { toSquare } from '../pictures/resize-antialiased.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { together } from './overlap.ts';
import { pick, present } from './parts.ts';
import type { Run } from './run.ts';

export interface SeenPicture {
  readonly picture: Picture;
  /** (1, D) */
  readonly imageEmbeds: FloatTensor;
  /** (1, C, h, w), not scaled as latents are */
  readonly pictureLatents: FloatTensor;
}

/**
 * @param fingerprint stands for the weights in cache keys
 * @param noise (3 · H · W), the first that the clip's seed gives
 */
export async function seePicture(
  pack: OpenPack,
  fingerprint: string,
  { image, width, height, seed }: GenerateRequest,
  { noiseAug }: MotionNumbers,
  noise: Float32Array,
  run: Run,
): Promise<SeenPicture> {
  const picture = await image;
  run.advance('readPicture');
  const keyOf = (...parts: readonly (string | number)[]): string =>
    LatentCache.pictureEntry(picture.key, fingerprint, width, height, ...parts);
  const embedsKey = keyOf('embeds');
  // Without noise all clips of a picture share its latents.
  const latentsKey = keyOf('latents', noiseAug, noiseAug === 0 ? '' : seed);
  let cropped: Promise<ReturnType<typeof cropTo>> | undefined;
  const pixels = async () => {
    cropped ??= picture.pixels().then((whole) => cropTo(whole, width, height));
    return await cropped;
  };
  const { image_encoder: imageEncoder, vae_encoder: vaeEncoder } = pack.sessions;
  const { imageEncoderSize: encoderSize, imageMean: mean, imageStd: std } = pack.manifest.architecture;
  const [latents, embeds] = await together(
    run.cached('image', latentsKey, async () => {
      const sample = addNoise(toVaeSample(await pixels()), noise, noiseAug);
      return { pictureLatents: meanOf(pick(await vaeEncoder.run({ sample }), 'moments')) };
    }),
    run.cached('image', embedsKey, async () => {
      const square = toSquare(await pixels(), { encoderSize, mean, std });
      return { imageEmbeds: pick(await imageEncoder.run({ pixel_values: square }), 'image_embeds') };
    }),
  );
  return {
    picture,
    imageEmbeds: present(embeds['imageEmbeds']),
    pictureLatents: present(latents['pictureLatents']),
  };
}

function addNoise({ data, dims }: FloatTensor, noise: Float32Array, noiseAug: number): FloatTensor {
  const factor = Math.fround(noiseAug);
  return { data: data.map((value, k) => value + Math.fround(factor * (noise[k] ?? 0))), dims };
}

/** The mean of the VAE's posterior (1, C, h, w), out of the moments (1, 2C, h, w). */
function meanOf({ data, dims }: FloatTensor): FloatTensor {
  const [, channels = 0, h = 0, w = 0] = dims;
  return { data: data.slice(0, data.length / 2), dims: [1, channels / 2, h, w] };
}
