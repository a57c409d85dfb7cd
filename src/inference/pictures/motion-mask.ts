/**
 * A mask that a person painted: a clip moves where it is white, and stays what it is where it is black: as the first frame
 * shows it, or without the weather that a model draws on that. Works on finished frames, so it holds for every model and
 * every motion. Knows no model and no file format.
 */
import { isKinoraError, KinoraError } from '../../errors.ts';
import type { Frame, RgbImage } from '../image-to-video.ts';
import { readPicture } from './header.ts';
import { resizeToCover } from './prepare.ts';

interface Size {
  readonly width: number;
  readonly height: number;
}

/** How far the shapes of mask and picture may differ: less than what rounding a painted canvas to whole pixels gives. */
const shapeTolerance = 0.03;
/** Of the clip's short side: how wide the border between moving and still is. */
const featherShare = 1 / 50;
/** Below this brightness everywhere, nothing would move. */
const leastWhite = 128;

/** @throws KinoraError INVALID_OPTION for a mask of another shape than its picture */
export function checkMaskShape(mask: Size, picture: Size): void {
  const ratio = (mask.width * picture.height) / (mask.height * picture.width);
  if (Math.abs(Math.log(ratio)) <= shapeTolerance) return;
  throw new KinoraError('INVALID_OPTION', {
    kind: 'maskShape',
    width: mask.width,
    height: mask.height,
    pictureWidth: picture.width,
    pictureHeight: picture.height,
  });
}

/**
 * How much each pixel of a clip of `size` may move, 0 to 255, row by row: the mask's brightness, cut to the clip's shape as
 * its picture is, with a soft border.
 * @throws KinoraError INVALID_OPTION for a mask of another shape than the picture, and for one without white
 */
export function motionWeights(mask: RgbImage, picture: Size, { width, height }: Size): Uint8Array {
  checkMaskShape(mask, picture);
  const { data } = resizeToCover(mask, width, height);
  const weights = new Uint8Array(width * height);
  for (let i = 0; i < weights.length; i++) {
    // In range by construction, as below.
    const [red, green, blue] = [data[3 * i], data[3 * i + 1], data[3 * i + 2]] as [number, number, number];
    weights[i] = (2 * red + 5 * green + blue) >> 3;
  }
  if (!weights.some((weight) => weight >= leastWhite)) {
    throw new KinoraError('INVALID_OPTION', { kind: 'maskEmpty' });
  }
  const radius = Math.round((Math.min(width, height) * featherShare) / 2);
  for (let pass = 0; pass < 2; pass++) {
    blur(weights, { count: height, stride: width }, { count: width, stride: 1 }, radius);
    blur(weights, { count: width, stride: 1 }, { count: height, stride: width }, radius);
  }
  return weights;
}

interface Axis {
  readonly count: number;
  readonly stride: number;
}

/** Mean over 2 · radius + 1 pixels along `along`, for every line of `lines`, in place. The border's pixel goes on beyond it. */
function blur(weights: Uint8Array, lines: Axis, along: Axis, radius: number): void {
  const line = new Uint8Array(along.count);
  const last = along.count - 1;
  const at = (i: number): number => line[Math.min(Math.max(i, 0), last)] as number;
  for (let l = 0; l < lines.count; l++) {
    const start = l * lines.stride;
    for (let i = 0; i <= last; i++) line[i] = weights[start + i * along.stride] as number;
    let sum = 0;
    for (let i = -radius; i <= radius; i++) sum += at(i);
    for (let i = 0; i <= last; i++) {
      weights[start + i * along.stride] = Math.round(sum / (2 * radius + 1));
      sum += at(i + radius + 1) - at(i - radius);
    }
  }
}

/**
 * The weights of a mask's file for a clip of `size`.
 * @throws what motionWeights() throws, and KinoraError INVALID_OPTION for a file that is no picture
 */
export async function openMask(
  path: string,
  picture: Size | Promise<Size>,
  size: Size,
  decode: (bytes: Uint8Array) => Promise<RgbImage>,
): Promise<Uint8Array> {
  const mask = await readMask(async () => await decode(await readPicture(path)));
  return motionWeights(mask, await picture, size);
}

/** What `read` gives; a picture that is refused is told as a mask. */
export async function readMask<Mask>(read: () => Promise<Mask>): Promise<Mask> {
  try {
    return await read();
  } catch (error) {
    if (!isKinoraError(error) || !error.code.startsWith('IMAGE_')) throw error;
    throw new KinoraError('INVALID_OPTION', { kind: 'maskUnreadable' }, { cause: error });
  }
}

/**
 * The frames, each of them still where the weights are 0: what the first frame brings for that, or what was shown there
 * before, or the first frame itself. Changes their pixels in place.
 * @param weights as motionWeights() gives them; for all frames of one size
 * @param before what is shown there, for frames that come after those of an earlier clip
 */
export async function* moveInside(
  frames: AsyncIterable<Frame>,
  weights: Promise<Uint8Array>,
  before?: Promise<Uint8Array>,
): AsyncGenerator<Frame, void> {
  let still: Uint8Array | undefined;
  for await (const frame of frames) {
    still ??= frame.still ?? (await before) ?? frame.data.slice();
    keepStill(frame.data, still, await weights);
    yield frame;
  }
}

function keepStill(moving: Uint8Array, still: Uint8Array, weights: Uint8Array): void {
  for (let i = 0, p = 0; i < weights.length; i++) {
    const weight = weights[i] as number;
    for (let channel = 0; channel < 3; channel++, p++) {
      const from = still[p] as number;
      moving[p] = Math.round(from + (((moving[p] as number) - from) * weight) / 255);
    }
  }
}
