/**
 * Latents to pixels through the VAE's decoder, a chunk of frames at a time, while the frames of the chunk before are
 * consumed. Knows neither text nor steps. Shapes as in i2vgen-xl.ts.
 */
import { isKinoraError } from '../../errors.ts';
import type { Frame, GenerateRequest } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import type { OnnxSession } from '../sessions/session.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { pickBytes } from './parts.ts';
import type { Run } from './run.ts';

/** A failure is a value, since the chunk is awaited only when the frames before it were consumed. */
type DecodedChunk =
  | { readonly first: number; readonly count: number; readonly rgb: Uint8Array }
  | { readonly error: unknown };

/**
 * Latents (1, C, F, h, w) to frames. The VAE knows single frames only, so that chunks do not change a pixel. Where memory
 * runs out, smaller ones are tried.
 */
export async function* decodeFrames(
  pack: OpenPack,
  latents: FloatTensor,
  { numFrames, width, height, decodeChunkSize }: GenerateRequest,
  run: Run,
): AsyncGenerator<Frame, void> {
  const factor = 1 / pack.manifest.architecture.vaeScalingFactor;
  const frameBytes = width * height * 3;
  let chunkSize = Math.min(decodeChunkSize, numFrames);
  const decodeFrom = async (index: number): Promise<DecodedChunk> => {
    // The last chunk is smaller. Where another shape costs a search for kernels, it begins within the one before.
    const first = pack.prefersEqualShapes ? Math.min(index, numFrames - chunkSize) : index;
    const count = Math.min(chunkSize, numFrames - first);
    try {
      const latent = takeFrames(latents, first, count, factor);
      const rgb = await decodeChunk(pack.sessions.vae_decoder, latent, [count, height, width]);
      return { first, count, rgb };
    } catch (error) {
      return { error };
    }
  };

  let chunk = decodeFrom(0);
  try {
    for (let index = 0; index < numFrames; ) {
      run.check();
      const decoded = await chunk;
      if ('error' in decoded) {
        const { error } = decoded;
        if (!isKinoraError(error) || error.code !== 'OUT_OF_MEMORY' || chunkSize === 1) throw error;
        chunkSize = Math.ceil(chunkSize / 2);
        await pack.makeRoom();
        chunk = decodeFrom(index);
        continue;
      }
      const { first, count, rgb } = decoded;
      if (first + count < numFrames) chunk = decodeFrom(first + count);
      for (; index < first + count; index++) {
        run.step();
        const start = (index - first) * frameBytes;
        yield { index, width, height, data: rgb.subarray(start, start + frameBytes) };
      }
    }
  } finally {
    await chunk; // the sessions are free for the next job
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
