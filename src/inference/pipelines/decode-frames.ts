/**
 * Latents to pixels through the VAE's decoder, a few frames at a time, while the runtime is already at the next ones.
 * Knows neither text nor steps. Shapes as in i2vgen-xl.ts.
 */
import { KinoraError } from '../../errors.ts';
import type { Frame, GenerateRequest } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import { isFinite32 } from '../sessions/finite.mjs';
import { takeFrames } from '../sessions/frames.mjs';
import { badNumbers, type OnnxSession } from '../sessions/session.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import type { FrameRange, KeptTensor, KeptTensors } from '../sessions/thread-tensors.ts';
import { pickBytes } from './parts.ts';
import type { Run } from './run.ts';

/** (count, H, W, 3), or why not. */
type Decoded =
  | { readonly rgb: Uint8Array; readonly first: number; readonly count: number }
  | { readonly error: unknown };

/**
 * Latents (1, C, F, h, w), kept in the session thread, to frames. The VAE knows single frames only, so chunks do not
 * change a pixel. While the frames of one chunk are consumed, the runtime decodes the next, and has the one after that
 * at hand.
 * @param spare memory of chunks whose frames were consumed, used again for later ones, also by the next clip
 * @param onTaken is given the latents, which leave the session thread meanwhile
 */
export async function* decodeFrames(
  pack: OpenPack,
  kept: KeptTensors,
  latents: KeptTensor,
  request: GenerateRequest,
  run: Run,
  spare: Uint8Array[],
  onTaken: (latents: Float32Array) => void,
): AsyncGenerator<Frame, void> {
  const { numFrames, width, height } = request;
  const factor = 1 / pack.manifest.architecture.vaeScalingFactor;
  let chunkSize = Math.min(request.decodeChunkSize, numFrames);
  const chunkAt = (next: number): FrameRange => {
    const rest = numFrames - next;
    // The last of several is cut: what is left to encode after the very last one, people wait for. Where another
    // shape costs more, it begins within the one before instead.
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
  const frameBytes = width * height * 3;
  const usual = chunkSize * frameBytes;
  spare.splice(0, spare.length, ...spare.filter(({ length }) => length === usual)); // chunks may have had another size
  let next = 0;
  // A run that has to open the session shows whether there is room: nothing waits behind it.
  let mostStarted = pack.sessions.vae_decoder.isOpen ? 2 : 1;
  const startMore = (): void => {
    while (started.length < mostStarted && next < numFrames) {
      const range = chunkAt(next);
      const latent = firstChunk ?? (taken && kept.keep(takeFrames(taken.data, taken.dims, range)));
      firstChunk = undefined;
      if (!latent) return;
      const { first, count } = range;
      const length = count * frameBytes;
      const fitting = spare.findIndex((memory) => memory.length === length);
      const [memory = new Uint8Array(length)] = fitting < 0 ? [] : spare.splice(fitting, 1);
      const decoding = decodeChunk(pack.sessions.vae_decoder, latent, [count, height, width], memory).then(
        (rgb) => ({ rgb, first, count }),
        (error: unknown) => ({ error }), // nobody may be waiting yet
      );
      started.push(decoding.finally(() => kept.forget([latent])));
      next = first + count;
    }
  };
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
      if (!('rgb' in decoded)) {
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
      const { rgb, first, count } = decoded;
      for (let n = index - first; n < count; n++) {
        run.step();
        yield { index, width, height, data: rgb.subarray(n * frameBytes, (n + 1) * frameBytes) };
        index++;
      }
      spare.push(rgb);
    }
  } finally {
    await Promise.all(started); // the sessions are free for the next job
  }
}

/**
 * Latents (count, C, h, w), scaled for the decoder, to pixels (count, H, W, 3), in memory that is lent for them.
 * Throws what the decoder's run throws.
 */
export async function decodeChunk(
  decoder: Pick<OnnxSession, 'run'>,
  latent: FloatTensor | KeptTensor,
  size: readonly [count: number, height: number, width: number],
  memory: Uint8Array,
): Promise<Uint8Array> {
  const rgb = { data: memory, dims: [...size, 3] };
  // The mean is fetched for the session to look at: it is finite only if all numbers behind the pixels are.
  const mean = { data: new Float32Array(1), dims: [] };
  const output = await decoder.run({ latent }, { into: { rgb, mean } });
  return pickBytes(output, 'rgb').data;
}
