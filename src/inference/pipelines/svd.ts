/**
 * Stable Video Diffusion: a picture to frames, stage by stage as in diffusers' StableVideoDiffusionPipeline, except that
 * what does not depend on the timestep is computed once. Knows no files, processes or video formats.
 *
 * Shapes: B is 2 with classifier-free guidance (unconditional row first) and 1 without; D the embedding's width; C latent
 * channels, F frames, h × w latent cells, H × W pixels.
 */
import { createHash } from 'node:crypto';
import type { MotionNumbers } from '../../request/families/family.ts';
import type { Frame, GenerateHooks, GenerateRequest, ImageToVideoPipeline } from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../packs/open.ts';
import { TorchGenerator } from '../random.ts';
import { isFinite32 } from '../sessions/finite.mjs';
import { badNumbers } from '../sessions/session.ts';
import { type FloatTensor, stack } from '../sessions/tensor.ts';
import { ThreadTensors } from '../sessions/thread-tensors.ts';
import { clipShape, fingerprint, sessionMs } from './clip.ts';
import { CoreInputs } from './core-inputs.ts';
import { decodeFrames } from './decode-frames.ts';
import { decoderWindows } from './decode-runs.ts';
import { denoise } from './denoise.ts';
import { enterSchedule } from './enter-schedule.ts';
import { behindEarlier, lastFrame, latentsOfEarlierClip } from './extension.ts';
import { together } from './overlap.ts';
import { Run } from './run.ts';
import { type SeenPicture, seePicture } from './svd-picture.ts';

export class SvdPipeline implements ImageToVideoPipeline {
  readonly #pack: OpenPack;
  readonly #cache: LatentCache;
  /** Stands for the weights in cache keys, so that entries of another pack are never found. */
  readonly #fingerprint: string;

  constructor(pack: OpenPack, cache: LatentCache) {
    this.#pack = pack;
    this.#cache = cache;
    this.#fingerprint = fingerprint(pack.manifest);
  }

  async *generate(request: GenerateRequest, hooks: GenerateHooks): AsyncGenerator<Frame, void> {
    const pack = this.#pack;
    const { motionNumbers, extension, width, height } = request;
    if (!motionNumbers) throw new Error('a request that was not resolved for Stable Video Diffusion');
    const run = new Run(hooks, this.#cache, () => sessionMs(pack));
    const { decodeChunkSize, coreBatch } = await pack.prepare(clipShape(request), hooks.leastMemory);
    const tensors = new ThreadTensors();
    try {
      // 1. Picture: its embedding and its latents. One stream of noise, the picture's first, used or not
      run.enter('encoding', 3);
      const generator = new TorchGenerator(request.seed);
      const pictureNoise = generator.randn(3 * height * width);
      const ofPicture = await seePicture(pack, this.#fingerprint, request, motionNumbers, pictureNoise, run);
      const { picture } = ofPicture;
      const { dims } = ofPicture.pictureLatents;
      const earlier =
        extension && (await latentsOfEarlierClip(extension.videoId, request, picture.key, dims, run));
      const seen = earlier ? this.#seeEnd(earlier, ofPicture) : ofPicture;
      run.advance('encodeImage');

      // 2. Conditioning: the part of the UNet that depends on no timestep
      // 3. Entry into the noise schedule: the plan of the steps, and noise or earlier latents
      const [inputs, entry] = await together(
        // No noise lies on the latents that an extension begins with.
        condition(
          pack,
          seen,
          request,
          extension ? { ...motionNumbers, noiseAug: 0 } : motionNumbers,
          tensors,
        ),
        enterSchedule(
          pack,
          request,
          {
            pictureKey: picture.key,
            variation: request.variation,
            scale: guidanceOfFrames(request, motionNumbers),
            isBatched: coreBatch === 2,
            drawNoise: (dims) => drawFrameByFrame(generator, dims),
          },
          run,
        ),
      );
      run.advance('conditioning');

      // 4. Denoising
      run.enter('denoising', entry.steps.length);
      const denoised = await denoise(pack, entry, inputs, tensors, run);
      const latents = await tensors.take(denoised);
      if (!isFinite32(latents.data)) throw badNumbers('unet_core');
      run.advance('denoise');

      // 5. Decoding. The latents reach the disk meanwhile.
      const { decodeOverlap = 0 } = request;
      const { latents: decoded, firstNew } = earlier
        ? behindEarlier(earlier, latents, decodeOverlap)
        : { latents, firstNew: 0 };
      const [, , decodedFrames = 0] = decoded.dims;
      const numFrames = decodedFrames - firstNew;
      run.enter('decoding', numFrames);
      const videoId = this.#videoId(picture.key, request, motionNumbers);
      run.keep(LatentCache.key('video', videoId), {
        tensors: { latents },
        meta: { pictureKey: picture.key, ...(request.origin ? { origin: request.origin } : {}) },
      });
      // Memory was planned for no more frames at once than the new clip has.
      const wanted = Math.min(request.decodeChunkSize, request.numFrames, decodedFrames);
      const windows = decoderWindows(decodedFrames, Math.min(decodeChunkSize, wanted), decodeOverlap);
      const planned = windows.size < wanted ? [{ fromFrame: 0, frames: windows.size }] : [];
      const changed = yield* decodeFrames(pack, decoded, request, windows, run, firstNew);
      run.advance('decode');
      const report = { videoId, numFrames, width, height, timings: run.timings(), cache: run.cacheUse() };
      const smaller = [...planned, ...changed];
      // Where the next windows begin at the same frame, none was made in these.
      const smallerRuns = smaller.filter(({ fromFrame }, i) => smaller[i + 1]?.fromFrame !== fromFrame);
      hooks.onReport({ ...report, smallerRuns });
    } finally {
      tensors.freeAll();
    }
  }

  /** The end of an earlier clip in the place of the picture. */
  #seeEnd(earlier: FloatTensor, seen: SeenPicture): SeenPicture {
    const { data, dims } = lastFrame(earlier);
    const { vaeScalingFactor } = this.#pack.manifest.architecture;
    return { ...seen, pictureLatents: { dims, data: data.map((value) => value / vaeScalingFactor) } };
  }

  /** The same request names the same latents, however they are decoded. */
  #videoId(pictureKey: string, request: GenerateRequest, numbers: MotionNumbers): string {
    const { seed, width, height, numFrames, numInferenceSteps, scheduler, targetFps } = request;
    const { guidanceScale, guidanceEnd, variation, extension, featureReuse } = request;
    const { motionBucket, noiseAug, minGuidance } = numbers;
    const parts = [
      ...[this.#fingerprint, pictureKey, seed, width, height, numFrames, numInferenceSteps, scheduler],
      ...[guidanceScale, minGuidance, guidanceEnd, targetFps, motionBucket, noiseAug],
      ...(variation ? [variation.videoId, variation.strength] : []),
      ...(extension ? ['extension', extension.videoId] : []),
      ...(featureReuse > 1 ? ['featureReuse', featureReuse] : []),
    ];
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 24);
  }
}

/** What the UNet computes of picture and numbers, once for all steps. The unconditional row sees zeros in their place. */
async function condition(
  pack: OpenPack,
  { imageEmbeds, pictureLatents }: SeenPicture,
  { targetFps, guidanceScale, numFrames }: GenerateRequest,
  { motionBucket, noiseAug }: MotionNumbers,
  tensors: ThreadTensors,
): Promise<CoreInputs> {
  const isGuided = guidanceScale > 1;
  const rowsOf = (row: FloatTensor): FloatTensor =>
    isGuided ? stack({ ...row, data: new Float32Array(row.data.length) }, row) : stack(row);
  const { data, dims } = rowsOf(imageEmbeds);
  const [rows = 0, size = 0] = dims;
  const computed = { cond_emb: tensors.empty(), context: tensors.empty(), positions: tensors.empty() };
  await pack.sessions.unet_cond.run(
    {
      // The rate was counted from 0 when the model was trained.
      added_time_ids: { data: Float32Array.of(targetFps - 1, motionBucket, noiseAug), dims: [1, 3] },
      image_embeddings: { data, dims: [rows, 1, size] },
      frame_index: { data: Float32Array.from({ length: numFrames }, (_, f) => f), dims: [numFrames] },
    },
    { into: computed },
  );
  const inputs = { ...computed, image_latents: tensors.put(rowsOf(pictureLatents)) };
  return new CoreInputs(pack.sessions.unet_core, inputs, isGuided, tensors);
}

/** From minGuidance at the first frame evenly to guidanceScale at the last. */
function guidanceOfFrames(
  { numFrames, guidanceScale }: GenerateRequest,
  { minGuidance }: MotionNumbers,
): number[] {
  const step = (guidanceScale - minGuidance) / Math.max(numFrames - 1, 1);
  return Array.from({ length: numFrames }, (_, f) => minGuidance + f * step);
}

/** (1, C, F, h, w) of numbers that diffusers draws as (1, F, C, h, w). */
function drawFrameByFrame(generator: TorchGenerator, dims: readonly number[]): Float32Array {
  const [, channels = 0, frames = 0, h = 0, w = 0] = dims;
  const plane = h * w;
  const drawn = generator.randn(frames * channels * plane);
  const data = new Float32Array(drawn.length);
  for (let f = 0; f < frames; f += 1) {
    for (let c = 0; c < channels; c += 1) {
      const from = (f * channels + c) * plane;
      data.set(drawn.subarray(from, from + plane), (c * frames + f) * plane);
    }
  }
  return data;
}
