/**
 * Clips that go on from the end of an earlier one, of families that shape noise: the last frame's latents are the new clip's
 * picture, so that nothing is decoded and encoded on the way, and colours do not drift. The new clip's first frame
 * stands for that last one and is left out. Where the decoder mixes frames, the new ones are decoded beside the last ones
 * of the earlier clip. Knows no session.
 */
import { KinoraError } from '../../errors.ts';
import type { GenerateRequest } from '../image-to-video.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { earlierClip } from './earlier-clip.ts';
import type { EncodedImage } from './encode-image.ts';
import type { Run } from './run.ts';

/**
 * The picture as the extension sees it. What stands for its meaning stays that of the first picture, which keeps a long
 * chain from wandering off.
 * @param image of the first picture; as it is where the request is no extension
 * @throws KinoraError as latentsOfEarlierClip does
 */
export async function continuedImage(
  image: EncodedImage,
  request: GenerateRequest,
  pictureKey: string,
  run: Run,
): Promise<EncodedImage> {
  const { extension } = request;
  if (!extension) return image;
  const { dims } = image.imageLatents;
  const earlier = await latentsOfEarlierClip(extension.videoId, request, pictureKey, dims, run);
  return { ...image, imageLatents: lastFrame(earlier) };
}

/**
 * Latents (1, C, F, h, w) of the clip that is extended.
 * @param dims (1, C, h, w), of a frame of the new clip
 * @throws KinoraError VIDEO_NOT_FOUND; INVALID_OPTION when the earlier clip does not fit, or nothing would be added
 */
export async function latentsOfEarlierClip(
  videoId: string,
  { numFrames }: GenerateRequest,
  pictureKey: string,
  dims: readonly number[],
  run: Run,
): Promise<FloatTensor> {
  if (numFrames < 2) {
    const bounds = { min: 2, max: Number.MAX_SAFE_INTEGER, isWhole: true };
    throw new KinoraError('INVALID_OPTION', {
      kind: 'outOfRange',
      what: 'frames',
      ...bounds,
      got: numFrames,
    });
  }
  const latents = await earlierClip(videoId, pictureKey, ({ tensors }) => tensors['latents'], run);
  const [one, channels, , ...plane] = latents.dims;
  if ([one, channels, ...plane].join() !== dims.join()) {
    throw new KinoraError(
      'VIDEO_NOT_FOUND',
      `The video ${videoId} has another size, so it cannot be extended.`,
    );
  }
  return latents;
}

/** (1, C, h, w) of (1, C, F, h, w) */
export function lastFrame(latents: FloatTensor): FloatTensor {
  const { data, dims } = joinFrames([latents, framesOf(latents) - 1]);
  const [, channels = 0, , h = 0, w = 0] = dims;
  return { data, dims: [1, channels, h, w] };
}

/** (1, C, F - 1, h, w) of (1, C, F, h, w): all frames but the first. */
export function withoutFirstFrame(latents: FloatTensor): FloatTensor {
  return joinFrames([latents, 1]);
}

/**
 * The new frames of an extension behind the last ones of its earlier clip. Of that, the first frame is never used: if it was
 * an extension, too, nobody has seen that frame.
 * @param earlier (1, C, E, h, w)
 * @param latents (1, C, F, h, w), with the frame that stands for the last of `earlier`
 * @param neighbours frames of `earlier` that are wanted; fewer where it has fewer
 * @returns (1, C, n + F - 1, h, w), and n, the index of the first new frame
 */
export function behindEarlier(
  earlier: FloatTensor,
  latents: FloatTensor,
  neighbours: number,
): { readonly latents: FloatTensor; readonly firstNew: number } {
  const firstNew = Math.min(neighbours, framesOf(earlier) - 1);
  return { latents: joinFrames([earlier, framesOf(earlier) - firstNew], [latents, 1]), firstNew };
}

/** Of all clips (1, C, F, h, w) the frames from an index on, one clip behind the other. */
function joinFrames(...clips: readonly (readonly [latents: FloatTensor, from: number])[]): FloatTensor {
  const [, channels = 0, , h = 0, w = 0] = clips[0]?.[0].dims ?? [];
  const plane = h * w;
  const numFrames = clips.reduce((sum, [latents, from]) => sum + framesOf(latents) - from, 0);
  const data = new Float32Array(channels * numFrames * plane);
  let filled = 0;
  for (let c = 0; c < channels; c++) {
    for (const [latents, from] of clips) {
      const frames = framesOf(latents);
      const part = latents.data.subarray((c * frames + from) * plane, (c + 1) * frames * plane);
      data.set(part, filled);
      filled += part.length;
    }
  }
  return { data, dims: [1, channels, numFrames, h, w] };
}

function framesOf({ dims: [, , numFrames = 0] }: FloatTensor): number {
  return numFrames;
}
