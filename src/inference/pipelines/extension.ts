/**
 * Clips that go on from the end of an earlier one, of families that shape noise: the last frame's latents are the new clip's
 * picture, so that nothing is decoded and encoded on the way, and colours do not drift. The new clip's first frame
 * stands for that last one and is left out. Knows no session.
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
 * @throws KinoraError as endOfEarlierClip does
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
  const imageLatents = await endOfEarlierClip(extension.videoId, request, pictureKey, dims, run);
  return { ...image, imageLatents };
}

/**
 * Latents of the last frame of the clip that is extended.
 * @param dims (1, C, h, w), of the result
 * @throws KinoraError VIDEO_NOT_FOUND; INVALID_OPTION when the earlier clip does not fit, or nothing would be added
 */
export async function endOfEarlierClip(
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
  const last = lastFrame(latents);
  if (last.dims.join() !== dims.join()) {
    throw new KinoraError(
      'VIDEO_NOT_FOUND',
      `The video ${videoId} has another size, so it cannot be extended.`,
    );
  }
  return last;
}

/** (1, C, h, w) of (1, C, F, h, w) */
function lastFrame({ data, dims }: FloatTensor): FloatTensor {
  const [, channels = 0, numFrames = 0, h = 0, w = 0] = dims;
  const plane = h * w;
  const last = new Float32Array(channels * plane);
  for (let c = 0; c < channels; c++) {
    const start = ((c + 1) * numFrames - 1) * plane;
    last.set(data.subarray(start, start + plane), c * plane);
  }
  return { data: last, dims: [1, channels, h, w] };
}

/** (1, C, F - 1, h, w) of (1, C, F, h, w): all frames but the first. */
export function withoutFirstFrame({ data, dims }: FloatTensor): FloatTensor {
  const [, channels = 0, numFrames = 0, h = 0, w = 0] = dims;
  const plane = h * w;
  const rest = new Float32Array(channels * (numFrames - 1) * plane);
  for (let c = 0; c < channels; c++) {
    const start = c * numFrames * plane;
    rest.set(data.subarray(start + plane, start + numFrames * plane), c * (numFrames - 1) * plane);
  }
  return { data: rest, dims: [1, channels, numFrames - 1, h, w] };
}
