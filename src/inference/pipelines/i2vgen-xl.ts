/**
 * I2VGen-XL: text and picture to frames, stage by stage as in diffusers' I2VGenXLPipeline, except that what does not
 * depend on the timestep is computed once. Knows no files, processes or video formats.
 *
 * Shapes: B is 2 with classifier-free guidance (unconditional row first) and 1 without; T tokens, D their width; C latent
 * channels, F frames, h × w latent cells, H × W pixels.
 */
import { createHash } from 'node:crypto';
import type { Frame, GenerateHooks, GenerateRequest, ImageToVideoPipeline } from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../packs/open.ts';
import { TorchGenerator } from '../random.ts';
import { isFinite32 } from '../sessions/finite.mjs';
import { badNumbers } from '../sessions/session.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { ThreadTensors } from '../sessions/thread-tensors.ts';
import { clipShape, fingerprint, sessionMs } from './clip.ts';
import { type Conditioning, condition, drawnParts, wholeClip } from './conditioning.ts';
import { decodeFrames } from './decode-frames.ts';
import { exactChunks } from './decode-runs.ts';
import { denoise } from './denoise.ts';
import { type DrawnSeeds, drawnClipSchema, drawsOf } from './drawn-clip.ts';
import { keptDrawn, planDrawn, type Words } from './drawn-extension.ts';
import { drawStill, hasStill, stillView } from './drawn-still.ts';
import { encodeImage, preparePicture } from './encode-image.ts';
import { encodePrompts } from './encode-prompts.ts';
import { enterSchedule, type ScheduleEntry } from './enter-schedule.ts';
import { continuedImage, withoutFirstFrame } from './extension.ts';
import { together } from './overlap.ts';
import { passesAlong } from './passage.ts';
import { Run } from './run.ts';

export class I2VGenXLPipeline implements ImageToVideoPipeline {
  readonly #pack: OpenPack;
  readonly #cache: LatentCache;
  /** Stands for the weights in cache keys, so that entries of another pack are never found. */
  readonly #fingerprint: string;

  constructor(pack: OpenPack, cache: LatentCache) {
    this.#pack = pack;
    this.#cache = cache;
    this.#fingerprint = fingerprint(pack.manifest);
  }

  async chooseShape<Request extends GenerateRequest>(
    request: Request,
    { leastMemory }: Pick<GenerateHooks, 'leastMemory'>,
  ): Promise<Request> {
    const { passage, extension } = request;
    if (extension) return { ...request, ...(await this.#earlierShape(extension.videoId)) };
    if (!passage || !this.#pack.optionalInputs.has('frame_size')) return request;
    await this.#pack.prepare(clipShape(request), leastMemory);
    if (!(await passesAlong(this.#pack, request, passage))) return request;
    return { ...request, ...passage.frame, pictureSize: passage.picture };
  }

  /** An extension has the shape of its earlier clip; one that is not kept any more is refused later. */
  async #earlierShape(
    videoId: string,
  ): Promise<Pick<GenerateRequest, 'width' | 'height' | 'pictureSize'> | undefined> {
    const entry = await this.#cache.get(LatentCache.key('video', videoId));
    const drawn = drawnClipSchema.safeParse(entry?.meta?.['drawn']).data;
    if (!drawn) return undefined;
    const { width, height, pictureSize } = drawn;
    return { width, height, ...(pictureSize ? { pictureSize } : {}) };
  }

  async *generate(request: GenerateRequest, hooks: GenerateHooks): AsyncGenerator<Frame, void> {
    const pack = this.#pack;
    const run = new Run(hooks, this.#cache, () => sessionMs(pack));
    const { decodeChunkSize, coreBatch } = await pack.prepare(clipShape(request), hooks.leastMemory);
    const tensors = new ThreadTensors();
    try {
      // 1. Prompts. What runs beside what, here and below: overlap.ts
      const isDrawn = pack.optionalInputs.has('frame_positions');
      run.enter('encoding', isDrawn ? 2 : 3);
      const [promptEmbeds, prepared] = await together(
        encodePrompts(pack, this.#fingerprint, request, run),
        preparePicture(pack, this.#fingerprint, request, run),
      );

      // 2. Picture: its embedding and its latents
      const ofPicture = await encodeImage(pack, prepared, run);
      run.advance('encodeImage');

      // 3. Conditioning: the part of the UNet that depends on no timestep
      // 4. Entry into the noise schedule: the plan of the steps, and noise or earlier latents
      const { picture } = prepared;
      const { extension } = request;
      const hasDraws = pack.optionalInputs.has('draws');
      const image = hasDraws ? ofPicture : await continuedImage(ofPicture, request, picture.key, run);
      const draw = (drawing = wholeClip(request.numFrames), seeds?: DrawnSeeds, embeds = promptEmbeds) =>
        condition(pack, embeds, image, request, seeds && drawsOf(seeds), tensors, run, drawing);
      const encodeWords = (words: Words) =>
        encodePrompts(pack, this.#fingerprint, { ...request, ...words }, run);
      const plan = hasDraws ? await planDrawn(request, picture.key, draw, encodeWords, run) : undefined;
      const drawing = plan?.drawing ?? wholeClip(request.numFrames);
      const entryOptions = {
        pictureKey: picture.key,
        variation: hasDraws ? undefined : request.variation,
        scale: request.guidanceScale,
        isBatched: coreBatch === 2,
        drawNoise: noiseOf(request, hasDraws),
      };
      const enter = (clip: GenerateRequest) => enterSchedule(pack, clip, entryOptions, run);
      // Drawing takes nearly all of the clip's time: its parts are steps, by which a hang and the time left are judged.
      const { numInferenceSteps } = request;
      const stillSteps = plan && hasStill(pack, request, plan) ? 1 + numInferenceSteps : 0;
      if (isDrawn) run.enter('denoising', drawnParts(request, drawing) + numInferenceSteps + stillSteps);
      const [conditioning, entry] = await together(draw(drawing, plan?.seeds), enter(request));
      run.advance('conditioning');

      // 5. Denoising
      if (!isDrawn) run.enter('denoising', entry.steps.length);
      const latents = await finalLatents(pack, entry, conditioning, tensors, run);
      const view = plan && stillView(request, plan, conditioning);
      const still =
        view &&
        (await drawStill(pack, request, view, async (drawing) => {
          const wordless = await encodeWords({ prompt: '', negativePrompt: '' });
          const drawn = await draw(drawing, plan.seeds, wordless);
          return await finalLatents(pack, await enter({ ...request, numFrames: 1 }), drawn, tensors, run);
        }));
      run.advance('denoise');

      // 6. Decoding. The latents reach the disk meanwhile.
      const shown = extension && !hasDraws ? withoutFirstFrame(latents) : latents;
      const [, , numFrames = 0] = shown.dims;
      run.enter('decoding', numFrames);
      const videoId = this.#videoId(picture.key, request, await request.motionWeights);
      const drawn = plan && keptDrawn(request, plan, conditioning);
      run.keep(LatentCache.key('video', videoId), {
        tensors: drawn ? {} : { latents },
        meta: {
          pictureKey: picture.key,
          ...(request.origin ? { origin: request.origin } : {}),
          ...(drawn ? { drawn } : {}),
        },
      });
      const chunks = exactChunks(numFrames, Math.min(decodeChunkSize, numFrames), pack.prefersEqualShapes);
      for await (const frame of decodeFrames(pack, shown, request, chunks, run)) {
        yield still && frame.index === 0 ? { ...frame, still } : frame;
      }
      run.advance('decode');
      const { width, height } = request;
      const report = { videoId, numFrames, width, height, timings: run.timings(), cache: run.cacheUse() };
      hooks.onReport({
        ...report,
        ...(conditioning.understood ? { understood: conditioning.understood } : {}),
      });
    } finally {
      tensors.freeAll();
    }
  }

  /** The same request names the same clip. Names every field: callers may hand in objects that hold more. */
  #videoId(pictureKey: string, request: GenerateRequest, weights: Uint8Array | undefined): string {
    const { prompt, negativePrompt, seed, width, height, numFrames, numInferenceSteps } = request;
    const { guidanceScale, guidanceEnd, targetFps, scheduler, variation, extension, featureReuse } = request;
    const parts: (string | number)[] = [
      this.#fingerprint,
      pictureKey,
      prompt,
      negativePrompt,
      seed,
      width,
      height,
      numFrames,
    ];
    parts.push(numInferenceSteps, guidanceScale, guidanceEnd, targetFps, scheduler);
    if (variation) parts.push(variation.videoId, variation.strength);
    if (extension) parts.push('extension', extension.videoId);
    // Other packs make the same clip whatever is painted; it is stilled afterwards.
    if (weights && this.#pack.optionalInputs.has('motion_mask')) {
      parts.push('mask', createHash('sha256').update(weights).digest('hex'));
    }
    // The exact path keeps the ids that it always had.
    if (featureReuse > 1) parts.push('featureReuse', featureReuse);
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 24);
  }
}

async function finalLatents(
  pack: OpenPack,
  entry: ScheduleEntry,
  { inputs }: Conditioning,
  tensors: ThreadTensors,
  run: Run,
): Promise<FloatTensor> {
  const latents = await tensors.take(await denoise(pack, entry, inputs, tensors, run));
  if (!isFinite32(latents.data)) throw badNumbers('unet_core');
  return latents;
}

/**
 * Noise from a fresh stream with the user's seed, as diffusers draws it from a fresh generator. Where draws have said all
 * that noise could, there is none: it would take a second for a clip of three seconds.
 */
function noiseOf({ seed }: GenerateRequest, hasDraws: boolean): (dims: readonly number[]) => Float32Array {
  const generator = new TorchGenerator(seed);
  return (dims) => {
    const length = dims.reduce((product, size) => product * size, 1);
    return hasDraws ? new Float32Array(length) : generator.randn(length);
  };
}
