/**
 * Latents to pixels through the VAE's decoder, some frames at a time, while the frames before are consumed. Knows neither
 * text nor steps, and no family. Shapes as in i2vgen-xl.ts.
 */
import { isKinoraError } from '../../errors.ts';
import type { Frame, RgbImage, SmallerRuns } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import type { OnnxSession } from '../sessions/session.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import type { DecoderRun, DecoderRuns } from './decode-runs.ts';
import { pickBytes } from './parts.ts';
import type { Run } from './run.ts';

/** A failure is a value, since the run is awaited only when the frames before it were consumed. */
type Decoded = (DecoderRun & { readonly rgb: Uint8Array }) | { readonly error: unknown };

/**
 * Latents (1, C, F, h, w) to frames. Where memory runs out, smaller runs begin at the first frame that was not handed out.
 * @param firstShown the frame that becomes the first one; those before it are decoded only as neighbours of others
 * @returns where they began, if they did
 */
export async function* decodeFrames(
  pack: OpenPack,
  latents: FloatTensor,
  { width, height }: Pick<RgbImage, 'width' | 'height'>,
  planned: DecoderRuns,
  run: Run,
  firstShown = 0,
): AsyncGenerator<Frame, SmallerRuns[]> {
  const factor = 1 / pack.manifest.architecture.vaeScalingFactor;
  const [, , numFrames = 0] = latents.dims;
  const frameBytes = width * height * 3;
  let runs = planned;
  const changes: SmallerRuns[] = [];
  const decodeFor = async (index: number): Promise<Decoded> => {
    const next = runs.runFor(index);
    try {
      const latent = takeFrames(latents, next.first, next.count, factor);
      const rgb = await decodeChunk(pack.sessions.vae_decoder, latent, [next.count, height, width]);
      return { ...next, rgb };
    } catch (error) {
      return { error };
    }
  };

  let decoding = decodeFor(firstShown);
  try {
    for (let index = firstShown; index < numFrames; ) {
      run.check();
      const decoded = await decoding;
      if ('error' in decoded) {
        const { error } = decoded;
        const smaller = runs.smaller();
        if (!isKinoraError(error) || error.code !== 'OUT_OF_MEMORY' || !smaller) throw error;
        runs = smaller;
        changes.push({ fromFrame: index - firstShown, frames: runs.size });
        await pack.makeRoom();
        decoding = decodeFor(index);
        continue;
      }
      const { first, end, rgb } = decoded;
      if (end < numFrames) decoding = decodeFor(end);
      for (; index < end; index++) {
        run.step();
        const start = (index - first) * frameBytes;
        yield { index: index - firstShown, width, height, data: rgb.subarray(start, start + frameBytes) };
      }
    }
    return changes;
  } finally {
    await decoding; // the sessions are free for the next job
  }
}

/** The frames from `first` on out of (1, C, F, h, w), times `factor`, as (count, C, h, w). */
export function takeFrames(
  { data: latents, dims }: FloatTensor,
  first: number,
  count: number,
  factor: number,
): FloatTensor {
  const [, channels = 0, numFrames = 0, h = 0, w = 0] = dims;
  const plane = h * w;
  const data = new Float32Array(count * channels * plane);
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < channels; c++) {
      const start = (c * numFrames + first + n) * plane;
      const target = (n * channels + c) * plane;
      for (let i = 0; i < plane; i++) data[target + i] = (latents[start + i] as number) * factor;
    }
  }
  return { data, dims: [count, channels, h, w] };
}

/**
 * Latents (count, C, h, w), scaled for the decoder, to pixels (count, H, W, 3).
 * Throws what the decoder's run throws.
 */
export async function decodeChunk(
  decoder: Pick<OnnxSession, 'run'>,
  latent: FloatTensor,
  size: readonly [count: number, height: number, width: number],
): Promise<Uint8Array> {
  const [count, height, width] = size;
  const rgb = { data: new Uint8Array(count * height * width * 3), dims: [...size, 3] };
  // The mean tells whether all numbers behind the pixels are finite.
  const mean = { data: new Float32Array(1), dims: [] };
  const output = await decoder.run({ latent }, { into: { rgb, mean } });
  return pickBytes(output, 'rgb').data;
}
