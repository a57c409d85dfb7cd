/**
 * Latents to pixels through the VAE's decoder, a few frames at a time, while the runtime is already at the next ones.
 * Knows neither text nor steps. Shapes as in i2vgen-xl.ts.
 */
import { KinoraError } from '../../errors.ts';
import { isFinite32 } from '../finite.mjs';
import { takeFrames } from '../frames.mjs';
import type { Frame, GenerateRequest } from '../image-to-video.ts';
import type { FrameRange, KeptTensor, KeptTensors } from '../kept-tensors.ts';
import type { OpenPack } from '../model-pack.ts';
import { badNumbers } from '../session.ts';
import type { FloatTensor } from '../tensor.ts';
import { pick } from './parts.ts';
import type { Run } from './run.ts';

/** (count, 3, H, W), or why not. */
type Decoded =
  | { readonly sample: Float32Array; readonly first: number; readonly count: number }
  | { readonly error: unknown };

/**
 * Latents (1, C, F, h, w), kept in the session thread, to frames. The VAE knows single frames only, so chunks do not
 * change a pixel. While the frames of one chunk are converted and consumed, the runtime decodes the next, and has the
 * one after that at hand.
 * @param spare memory of chunks whose frames were consumed, used again for later ones, also by the next clip
 * @param onTaken is given the latents, which leave the session thread meanwhile
 */
export async function* decodeFrames(
  pack: OpenPack,
  kept: KeptTensors,
  latents: KeptTensor,
  request: GenerateRequest,
  run: Run,
  spare: Float32Array[],
  onTaken: (latents: Float32Array) => void,
): AsyncGenerator<Frame, void> {
  const { numFrames, width, height } = request;
  const factor = 1 / pack.manifest.architecture.vaeScalingFactor;
  let chunkSize = Math.min(request.decodeChunkSize, numFrames);
  const chunkAt = (next: number): FrameRange => {
    const rest = numFrames - next;
    // The last of several is cut: what is left to convert and encode after the very last one, people wait for. Where
    // another shape costs more, it begins within the one before instead.
    const isCut = rest <= chunkSize && next > 0 && !pack.prefersEqualShapes;
    const count = isCut ? Math.ceil(rest / 2) : chunkSize;
    return { first: Math.min(next, numFrames - count), count, factor };
  };

  // The first chunk is cut out where the latents lie, so that the runtime need not wait until they have moved.
  let firstChunk: KeptTensor | undefined = kept.frames(latents, chunkAt(0));
  const taking = kept.take(latents);
  taking.catch(() => {}); // awaited below
  let taken: FloatTensor | undefined;

  const started: Promise<Decoded>[] = [];
  const usual = chunkSize * 3 * width * height;
  spare.splice(0, spare.length, ...spare.filter(({ length }) => length === usual)); // chunks may have had another size
  let next = 0;
  // A run that has to open the session shows whether there is room: nothing waits behind it.
  let mostStarted = pack.sessions.vae_decoder.isOpen ? 2 : 1;
  const startMore = (): void => {
    while (started.length < mostStarted && next < numFrames) {
      const range = chunkAt(next);
      const latent = firstChunk ?? (taken && takeFrames(taken.data, taken.dims, range));
      firstChunk = undefined;
      if (!latent) return;
      const length = range.count * 3 * width * height;
      const fitting = spare.findIndex((memory) => memory.length === length);
      const [memory = new Float32Array(length)] = fitting < 0 ? [] : spare.splice(fitting, 1);
      started.push(decodeChunk(pack, latent, range, request, memory));
      next = range.first + range.count;
    }
  };
  // A clamped array rounds half to even, as numpy does. One for all frames: whoever needs more than one copies.
  const rgb = new Uint8ClampedArray(width * height * 3);
  const data = new Uint8Array(rgb.buffer);
  let index = 0;
  try {
    while (index < numFrames) {
      run.check();
      startMore();
      if (!taken) {
        taken = await taking;
        if (!isFinite32(taken.data)) throw badNumbers('unet_core');
        onTaken(taken.data);
        startMore();
      }
      const decoded = await started.shift();
      if (!decoded) break; // never: one was just started
      if (!('sample' in decoded)) {
        const { error } = decoded;
        if (!(error instanceof KinoraError) || error.code !== 'OUT_OF_MEMORY' || chunkSize === 1) throw error;
        await Promise.all(started.splice(0));
        chunkSize = Math.ceil(chunkSize / 2);
        mostStarted = 1;
        next = index;
        await pack.makeRoom();
        continue;
      }
      mostStarted = 2;
      startMore();
      const { sample, first, count } = decoded;
      for (let n = index - first; n < count; n++) {
        run.step();
        toRgb(sample, n, rgb);
        yield { index, width, height, data };
        index++;
      }
      spare.push(sample);
    }
  } finally {
    await Promise.all(started); // the sessions are free for the next job
  }
}

/** Never rejects: nobody may be waiting yet. */
async function decodeChunk(
  pack: OpenPack,
  latent: FloatTensor | KeptTensor,
  { first, count }: FrameRange,
  { width, height }: GenerateRequest,
  memory: Float32Array,
): Promise<Decoded> {
  try {
    const output = await pack.sessions.vae_decoder.run(
      { latent },
      {
        into: { sample: { data: memory, dims: [count, 3, height, width] } },
        checks: { sample: 'none' }, // until its numbers become pixels
      },
    );
    return { sample: pick(output, 'sample').data, first, count };
  } catch (error) {
    return { error };
  }
}

/**
 * Frame n of (n, 3, H, W) in [-1, 1] to interleaved 8-bit RGB; out of range is clamped, halves go to even.
 * Throws BAD_NUMBERS when a number is not finite: then their sum is not, either.
 */
function toRgb(sample: Float32Array, n: number, rgb: Uint8ClampedArray): void {
  const plane = rgb.length / 3;
  const red = n * 3 * plane;
  let sum = 0;
  for (let i = 0, j = 0; i < plane; i++, j += 3) {
    const r = sample[red + i] as number;
    const g = sample[red + plane + i] as number;
    const b = sample[red + 2 * plane + i] as number;
    rgb[j] = r * 127.5 + 127.5;
    rgb[j + 1] = g * 127.5 + 127.5;
    rgb[j + 2] = b * 127.5 + 127.5;
    sum += r + g + b;
  }
  if (!Number.isFinite(sum)) {
    throw badNumbers('vae_decoder');
  }
}
