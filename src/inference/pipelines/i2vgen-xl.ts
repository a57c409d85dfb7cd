/**
 * I2VGen-XL: text and picture to frames, stage by stage as in diffusers' I2VGenXLPipeline, with what does not depend
 * on the timestep computed once. Knows no files, processes or video formats.
 *
 * Shapes: B is 2 with classifier-free guidance (unconditional row first) and 1 without; C latent channels, F frames,
 * h × w latent cells, H × W pixels.
 */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { KinoraError } from '../../errors.ts';
import type {
  Frame,
  GenerateHooks,
  GenerateRequest,
  ImageToVideoPipeline,
  Picture,
} from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import type { PackManifest } from '../packs/manifest.ts';
import type { OpenPack } from '../packs/open.ts';
import { prepareImage } from '../pictures/prepare.ts';
import { TorchGenerator } from '../random.ts';
import type { ClipShape } from '../residency/memory-plan.ts';
import { createScheduler } from '../schedulers/create-scheduler.ts';
import { startIndex } from '../schedulers/scheduler.ts';
import { combine } from '../sessions/combine.mjs';
import type { RunOptions } from '../sessions/session.ts';
import { type FloatTensor, stack } from '../sessions/tensor.ts';
import { type KeptTensor, KeptTensors } from '../sessions/thread-tensors.ts';
import { decodeFrames } from './decode-frames.ts';
import { type Conditioning, denoise } from './denoise.ts';
import { encodePrompts } from './encode-prompts.ts';
import { pick, present } from './parts.ts';
import { Run, type SessionMs } from './run.ts';

/** What the image encoder and the VAE say of a picture. */
interface EncodedPicture {
  /** (1, D) */
  readonly imageEmbeds: FloatTensor;
  /** (1, C, h, w), scaled as latents are */
  readonly pictureLatents: FloatTensor;
}

/**
 * Of the sample that is taken of every picture's latents. diffusers draws it from the global generator, which the seed of
 * a clip says nothing of; with one seed for all, whatever is computed from the picture serves all its clips.
 */
const pictureSeed = 0;

/** With 16 frames of 512x512, 1.6 MB each. */
const latestPictures = 16;

/** A picture that is known has been opened by then; one that has to be decoded needs the processor for itself. */
const knownPictureMs = 2;

export class I2VGenXLPipeline implements ImageToVideoPipeline {
  readonly #pack: OpenPack;
  readonly #cache: LatentCache;
  /** Stands for the weights in cache keys, so that a changed pack never meets old numbers. */
  readonly #fingerprint: string;
  /** Of the clip before, for the next one if it has the same dims and number of rows. */
  #places: Places | undefined;
  readonly #kept = new KeptTensors();
  /** Of the latest pictures, what unet_cond computes where it does not see the text. It lies in the session thread. */
  readonly #conditionings = new LRUCache<string, Conditioning>({
    max: latestPictures,
    dispose: (conditioning) => this.#kept.forget(Object.values(conditioning)),
  });

  constructor(pack: OpenPack, cache: LatentCache) {
    this.#pack = pack;
    this.#cache = cache;
    this.#fingerprint = fingerprint(pack.manifest);
  }

  async *generate(request: GenerateRequest, hooks: GenerateHooks): AsyncGenerator<Frame, void> {
    const run = new Run(hooks, this.#cache, () => this.#sessionMs());
    const plan = await this.#pack.prepare(clipShape(request), hooks.leanest);

    const guided = request.guidanceScale > 1;
    const kept = new KeptTensors();

    // 1. Prompts. While the runtime computes, here and below, the main thread makes ready what comes next.
    run.enter('encoding', 3);
    const prompts = encodePrompts(this.#pack, this.#fingerprint, request, run, kept);
    const underWay = [prompts.encoded];
    try {
      // 2. Picture: what the image encoder sees in it, and its latents
      const { latentChannels, vaeScaleFactor } = this.#pack.manifest.architecture;
      const { numFrames, width, height, seed } = request;
      const dims = [1, latentChannels, numFrames, height / vaeScaleFactor, width / vaeScaleFactor];
      const noise = new Noise(seed, dims);
      const opening = Promise.resolve(request.image);
      // Where nothing may have to be computed of the picture, nothing would hide the time that the noise takes.
      if (this.#pack.textEntersAt === 'cores') await noise.drawUntil(opening, knownPictureMs);
      const picture = await opening;
      run.lap('readPicture');
      const videoId = this.#videoId(picture.key, request);
      const encoded = await this.#encodePicture(run, picture, request, prompts.promptEmbeds, (work) =>
        noise.drawUntil(work),
      );
      run.advance('encodeImage');

      // 3. Where the noise schedule is entered
      const { numInferenceSteps, variation } = request;
      const earlier = variation && (await this.#earlierLatents(run, variation.videoId, picture.key, dims));
      const firstStep = variation
        ? Math.min(startIndex(numInferenceSteps, variation.strength), numInferenceSteps - 1)
        : 0;
      const guidance = {
        steps: guided ? Math.ceil(numInferenceSteps * request.guidanceEnd) : 0,
        isBatched: plan.coreBatch === 2,
        scale: request.guidanceScale,
      };
      const promptEmbeds = await prompts.promptEmbeds; // it may first have to be looked for on the disk
      await Promise.race([prompts.encoded, undefined]); // if the text has failed by now, nothing else is begun
      run.advance('prepare');

      // 4. Everything in the UNet that no timestep changes. It stays with the runtime, which may still be busy with the
      // text.
      const places = this.#placesFor(dims, guided ? 2 : 1);
      const { conditioning, computed } = this.#condition({ picture, encoded, promptEmbeds }, request, places);
      underWay.push(computed);
      const conditioned = Promise.all(underWay);
      conditioned.catch(() => {}); // awaited below, unless something else fails first
      const scheduler = createScheduler(request.scheduler, {
        config: this.#pack.schedulerConfig,
        numInferenceSteps,
        // Few steps must begin at full noise, whatever the spacing of the many steps that the pack was made for.
        ...(request.scheduler === 'dpm++2m' ? { timestepSpacing: 'trailing' } : {}),
      });
      const drawn = noise.drawAll();
      const [signal, spread] = earlier ? scheduler.noiseFactors(firstStep) : [0, scheduler.initNoiseSigma];
      combine([[spread, drawn], ...(earlier ? [[signal, earlier] as const] : [])], drawn);

      // 5. Denoising
      const pack = this.#pack;
      const given = { pack, kept, scheduler, guidance, firstStep, latents: drawn, dims };
      const conditions = { conditioning, conditioned, isOfTwo: guided };
      const latents = await denoise({ ...given, ...conditions }, request, run);
      run.advance('denoise');

      // 6. Decoding, a few frames at a time
      run.enter('decoding', request.numFrames);
      const { decodeChunkSize } = plan;
      const decoded = { ...request, decodeChunkSize };
      yield* decodeFrames(pack, kept, latents, decoded, run, places.spareFrames, (data) => {
        // Reaches the disk while the runtime decodes.
        this.#cache.set(LatentCache.key('video', videoId), {
          tensors: { latents: { data, dims } },
          meta: { pictureKey: picture.key },
        });
      });
      run.advance('decode');
      hooks.onReport({ videoId, numFrames, width, height, timings: run.timings(), cache: run.cacheUse() });
    } finally {
      await Promise.allSettled(underWay); // the sessions are free for the next job
      kept.forgetAll();
    }
  }

  /**
   * Both parts are independent of the clip's seed.
   * @param prompts the sessions run one after the other, and the text's comes first
   * @param meanwhile called while the runtime encodes, until it is done; not when there is nothing to encode
   */
  async #encodePicture(
    run: Run,
    picture: Picture,
    request: GenerateRequest,
    prompts: Promise<unknown>,
    meanwhile: (work: Promise<unknown>) => Promise<void>,
  ): Promise<EncodedPicture> {
    const { width, height } = request;
    const key = LatentCache.pictureEntry(picture.key, this.#fingerprint, width, height);
    const entry = await run.cached('image', key, async () => {
      const { architecture } = this.#pack.manifest;
      const { imageEncoderSize, imageMean, imageStd } = architecture;
      const { pixelValues, vaeSample } = prepareImage(await picture.pixels(), {
        width,
        height,
        encoderSize: imageEncoderSize,
        mean: imageMean,
        std: imageStd,
      });
      const { image_encoder: imageEncoder, vae_encoder: vaeEncoder } = this.#pack.sessions;
      await prompts;
      const encoding = vaeEncoder.run({ sample: vaeSample });
      encoding.catch(() => {}); // awaited below, unless something else fails first
      const seeing = imageEncoder.run({ pixel_values: pixelValues });
      const both = Promise.all([encoding, seeing]);
      both.catch(() => {});
      const { latentChannels, vaeScaleFactor, vaeScalingFactor } = architecture;
      const cells = (width / vaeScaleFactor) * (height / vaeScaleFactor);
      const normal = new TorchGenerator(pictureSeed).randn(latentChannels * cells);
      await meanwhile(both);
      await Promise.allSettled([encoding, seeing]); // if one fails, the other one is waited for
      const [encoded, seen] = await both;
      const pictureLatents = sampleOf(pick(encoded, 'moments'), normal, vaeScalingFactor);
      return { imageEmbeds: pick(seen, 'image_embeds'), pictureLatents };
    });
    return {
      imageEmbeds: present(entry['imageEmbeds']),
      pictureLatents: present(entry['pictureLatents']),
    };
  }

  /** Gives back what it keeps from clip to clip. */
  forget(): void {
    this.#conditionings.clear();
    this.#forgetPlaces();
  }

  #forgetPlaces(): void {
    this.#places?.kept.forgetAll();
    this.#places = undefined;
  }

  #placesFor(dims: readonly number[], rows: 1 | 2): Places {
    const shape = [rows, ...dims].join();
    if (this.#places?.shape !== shape) {
      this.#forgetPlaces();
      const kept = new KeptTensors();
      const conditioning = reserveConditioning(kept);
      this.#places = {
        shape,
        kept,
        imageLatents: kept.keep({ data: rampOf(dims), dims }),
        conditioning,
        spareFrames: [],
      };
    }
    return this.#places;
  }

  /**
   * What every step is fed with, and when it is there. What has no text in it is there already, if a clip of this picture
   * has had it lately.
   */
  #condition(
    { picture, encoded, promptEmbeds }: ConditioningInputs,
    { width, height, numFrames, targetFps, guidanceScale }: GenerateRequest,
    { kept, imageLatents, conditioning }: Places,
  ): { readonly conditioning: Conditioning; readonly computed: Promise<void> } {
    const guided = guidanceScale > 1;
    const { imageEmbeds, pictureLatents } = encoded;
    const compute = async (
      text: Readonly<Record<string, KeptTensor>>,
      options: RunOptions,
    ): Promise<void> => {
      kept.setFrame(imageLatents, 0, { ...pictureLatents, data: pictureLatents.data.slice() });
      // The unconditional half is told nothing of prompt and picture embedding, but sees the same image latents.
      const none: FloatTensor = { ...imageEmbeds, data: new Float32Array(imageEmbeds.data.length) };
      const embeds = guided ? stack(none, imageEmbeds) : imageEmbeds;
      const feeds = {
        fps: { data: BigInt64Array.of(BigInt(targetFps)), dims: [1] },
        image_latents: imageLatents,
        image_embeddings: { data: embeds.data, dims: [guided ? 2 : 1, 1, imageEmbeds.data.length] },
        ...text,
      };
      await this.#pack.sessions.unet_cond.run(feeds, options);
    };

    const text = { encoder_hidden_states: promptEmbeds };
    if (this.#pack.textEntersAt === 'unet_cond') {
      // What is not finite in it makes every prediction so, which is checked.
      const checks = { fps_emb: 'none', context: 'none', image_latents_enc: 'none' } as const;
      return { conditioning, computed: compute(text, { into: { ...conditioning }, checks }) };
    }

    const key = [picture.key, width, height, numFrames, targetFps, guided].join();
    const known = this.#conditionings.get(key);
    if (known) return { conditioning: { ...known, ...text }, computed: Promise.resolve() };
    const fresh = reserveConditioning(this.#kept);
    const computed = compute({}, { into: { ...fresh } }).then(
      () => void this.#conditionings.set(key, fresh),
      (error: unknown) => {
        this.#kept.forget(Object.values(fresh));
        throw error;
      },
    );
    return { conditioning: { ...fresh, ...text }, computed };
  }

  async #earlierLatents(
    run: Run,
    videoId: string,
    pictureKey: string,
    dims: readonly number[],
  ): Promise<Float32Array> {
    const entry = await run.lookUp('video', LatentCache.key('video', videoId));
    const earlier = entry?.tensors['latents'];
    if (!earlier) {
      throw new KinoraError(
        'VIDEO_NOT_FOUND',
        `The video ${videoId} is no longer kept, so it cannot be varied.`,
      );
    }
    // Both pictures would shine through each other.
    if (entry?.meta?.['pictureKey'] !== pictureKey) {
      throw new KinoraError('INVALID_OPTION', { kind: 'otherPicture', videoId });
    }
    if (earlier.dims.join() !== dims.join()) {
      const { vaeScaleFactor } = this.#pack.manifest.architecture;
      const [, , numFrames = 0, h = 0, w = 0] = earlier.dims;
      const size = { width: w * vaeScaleFactor, height: h * vaeScaleFactor };
      throw new KinoraError('INVALID_OPTION', { kind: 'otherShape', videoId, numFrames, ...size });
    }
    return earlier.data;
  }

  /** The same request names the same clip. Names every field: callers may hand in objects that hold more. */
  #videoId(pictureKey: string, request: GenerateRequest): string {
    const { prompt, negativePrompt, seed, width, height, numFrames, numInferenceSteps } = request;
    const { guidanceScale, guidanceEnd, targetFps, scheduler, variation, featureReuse } = request;
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
    // The exact path keeps the ids that it always had.
    if (featureReuse > 1) parts.push('featureReuse', featureReuse);
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 24);
  }

  #sessionMs(): SessionMs {
    const sessions = Object.values(this.#pack.sessions);
    return {
      runMs: sessions.reduce((sum, session) => sum + session.runMs, 0),
      openMs: sessions.reduce((sum, session) => sum + session.openMs, 0),
    };
  }
}

interface ConditioningInputs {
  readonly picture: Picture;
  readonly encoded: EncodedPicture;
  /** (B, T, D) */
  readonly promptEmbeds: KeptTensor;
}

/** What stays from clip to clip, most of it in the session thread, so that no memory is asked for anew. */
interface Places {
  readonly shape: string;
  readonly kept: KeptTensors;
  /**
   * (1, C, F, h, w). The first frame is each clip's own; every other is the constant k / (F - 1) by which the UNet knows
   * how far into the clip frame k is.
   */
  readonly imageLatents: KeptTensor;
  /** Each clip's own, where there is text in it. */
  readonly conditioning: Conditioning;
  /** See decodeFrames. */
  readonly spareFrames: Uint8Array[];
}

/** (1, C, F, h, w): k / (F - 1) everywhere in frame k. */
function rampOf([, channels = 0, numFrames = 0, h = 0, w = 0]: readonly number[]): Float32Array {
  const plane = h * w;
  const data = new Float32Array(channels * numFrames * plane);
  for (let f = 1; f < numFrames; f++) {
    const value = f / (numFrames - 1);
    for (let c = 0; c < channels; c++) {
      const target = (c * numFrames + f) * plane;
      data.fill(value, target, target + plane);
    }
  }
  return data;
}

const leastLogvar = -30;
const leastDeviation = Math.exp(leastLogvar / 2);

/**
 * A sample (1, C, h, w) of the VAE's posterior, scaled as latents are, in the memory of the normal numbers that it takes.
 * @param moments mean and logarithm of the variance (1, 2C, h, w)
 */
function sampleOf({ data: moments, dims }: FloatTensor, normal: Float32Array, scale: number): FloatTensor {
  const { length } = normal;
  const [, , h = 0, w = 0] = dims;
  for (let k = 0; k < length; k++) {
    const logvar = moments[length + k] as number;
    // Of encoders that are sure of every pixel all are the least: the exponential is what takes time.
    const deviation = logvar <= leastLogvar ? leastDeviation : Math.exp(Math.min(logvar, 20) / 2);
    normal[k] = ((moments[k] as number) + deviation * (normal[k] as number)) * scale;
  }
  return { data: normal, dims: [1, length / (h * w), h, w] };
}

/**
 * What a clip begins with: (1, C, F, h, w), flat, from a fresh stream with the user's seed, as diffusers draws it from a
 * fresh generator. Part by part, as time allows.
 */
class Noise {
  readonly #seed: number;
  readonly #length: number;
  #drawing: { readonly numbers: Float32Array; readonly parts: Iterator<undefined, void> } | undefined;

  constructor(seed: number, dims: readonly number[]) {
    this.#seed = seed;
    this.#length = dims.reduce((product, size) => product * size, 1);
  }

  /** Draws as much as there is time for: until the work has succeeded or failed, but no longer than that. */
  async drawUntil(work: Promise<unknown>, atMostMs = Number.POSITIVE_INFINITY): Promise<void> {
    const endsAt = performance.now() + atMostMs;
    let isDone = false;
    const onDone = (): void => {
      isDone = true;
    };
    work.then(onDone, onDone);
    // It may be done already: the event loop is asked once around before megabytes are.
    await setImmediate();
    await setImmediate();
    while (!isDone && performance.now() < endsAt && this.#begun().parts.next().done !== true) {
      await setImmediate();
    }
  }

  drawAll(): Float32Array {
    const { numbers, parts } = this.#begun();
    while (parts.next().done !== true);
    return numbers;
  }

  /** Megabytes are asked for no earlier than they are needed. */
  #begun(): { readonly numbers: Float32Array; readonly parts: Iterator<undefined, void> } {
    if (!this.#drawing) {
      const numbers = new Float32Array(this.#length);
      this.#drawing = { numbers, parts: new TorchGenerator(this.#seed).randnInto(numbers) };
    }
    return this.#drawing;
  }
}

function reserveConditioning(kept: KeptTensors): Conditioning {
  return { fps_emb: kept.reserve(), context: kept.reserve(), image_latents_enc: kept.reserve() };
}

function clipShape(request: GenerateRequest): ClipShape {
  const { width, height, numFrames, guidanceScale, guidanceEnd, decodeChunkSize, featureReuse } = request;
  const usesShallowCore = featureReuse > 1;
  const batch = guidanceScale > 1 ? 2 : 1;
  const endsGuidance = batch === 2 && guidanceEnd > 0 && guidanceEnd < 1;
  return { width, height, numFrames, batch, decodeChunkSize, usesShallowCore, endsGuidance };
}

function fingerprint(manifest: PackManifest): string {
  const hash = createHash('sha256').update(manifest.id);
  for (const file of manifest.files) hash.update(`\n${file.path} ${file.sha256}`);
  return hash.digest('hex');
}
