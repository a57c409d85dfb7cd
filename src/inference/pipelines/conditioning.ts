/**
 * What the UNet computes of picture, text and frame rate, once for all steps (unet_cond). Knows no timestep. Shapes as
 * in i2vgen-xl.ts.
 */
import { knownMotions } from '../../request/model-limits.ts';
import type { Understood } from '../../request/understood.ts';
import type { GenerateRequest } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import { type FloatTensor, type IntTensor, stack } from '../sessions/tensor.ts';
import type { ThreadTensor } from '../sessions/thread-protocol.ts';
import type { ThreadTensors } from '../sessions/thread-tensors.ts';
import { eased } from './continued-camera.ts';
import { CoreInputs } from './core-inputs.ts';
import type { EncodedImage } from './encode-image.ts';
import type { Run } from './run.ts';
import { readUnderstood } from './understood.ts';

export interface Conditioning {
  readonly inputs: CoreInputs;
  /** Of the prompt, by a model that tells. */
  readonly understood: Understood | undefined;
  /** (S, 4), of a pack that takes views: those of the clip at evenly spaced positions */
  readonly cameraPath: FloatTensor | undefined;
}

/** What a pack with `frame_positions` is asked to draw. */
export interface Drawing {
  /** (F) */
  readonly positions: Float32Array;
  /** (F, 4), for a pack that takes them; absent: the clip's own */
  readonly views?: Float32Array;
  /** Other words and draws, in which the first frames still look. */
  readonly fadesFrom?: Look & { readonly numFrames: number };
}

/** What decides how a frame looks, beside picture, position and view. */
export interface Look {
  /** (B, T, D) */
  readonly promptEmbeds: FloatTensor;
  readonly draws: FloatTensor | undefined;
  readonly targetFps: number;
}

/** The frames of a clip from 0 to 1. */
export function wholeClip(numFrames: number): Drawing {
  const last = Math.max(numFrames - 1, 1);
  return { positions: Float32Array.from({ length: numFrames }, (_, k) => k / last) };
}

/**
 * @param promptEmbeds (B, T, D)
 * @param draws for a pack that takes them
 */
export async function condition(
  pack: OpenPack,
  promptEmbeds: FloatTensor,
  { imageEmbeds, imageLatents }: EncodedImage,
  request: GenerateRequest,
  draws: FloatTensor | undefined,
  tensors: ThreadTensors,
  run: Run,
  drawing = wholeClip(request.numFrames),
): Promise<Conditioning> {
  const { targetFps, guidanceScale, numFrames, width, height } = request;
  // The unconditional row gets zeros for the picture's embedding, but the same image latents.
  const none = { ...imageEmbeds, data: new Float32Array(imageEmbeds.data.length) };
  const { data, dims } = guidanceScale > 1 ? stack(none, imageEmbeds) : imageEmbeds;
  const [rows = 0, size = 0] = dims;
  // A copy, since it goes to the session's thread.
  const textOf = (embeds: FloatTensor) => ({
    encoder_hidden_states: tensors.put({ ...embeds, data: embeds.data.slice() }),
  });
  const text = textOf(promptEmbeds);
  const isTextInContext = pack.optionalInputs.has('encoder_hidden_states');
  const hasPositions = pack.optionalInputs.has('frame_positions');
  const latents = tensors.put(
    hasPositions ? asOneFrame(imageLatents) : withFrameRamp(imageLatents, numFrames),
  );
  const hasViews = pack.optionalInputs.has('frame_views');
  const weights = pack.optionalInputs.has('motion_mask') ? await request.motionWeights : undefined;
  const computeAs =
    (words: typeof text, look: Omit<Look, 'promptEmbeds'>) =>
    async (part?: PartOfDrawing): Promise<Computed> => {
      // Arrays go to the session's thread; the next run needs its own.
      const feeds = {
        fps: { data: BigInt64Array.of(BigInt(look.targetFps)), dims: [1] },
        image_latents: latents,
        image_embeddings: { data: data.slice(), dims: [rows, 1, size] },
        ...(isTextInContext ? words : {}),
        ...(part ? { frame_positions: part.positions } : {}),
        ...(part && hasViews ? { frame_views: part.views } : {}),
        ...(pack.optionalInputs.has('motion_mask') ? { motion_mask: motionMask(weights, request) } : {}),
        ...(pack.optionalInputs.has('frame_size') ? { frame_size: frameSize(width, height) } : {}),
        ...(look.draws ? { draws: { ...look.draws, data: look.draws.data.slice() } } : {}),
      };
      const into = {
        fps_emb: tensors.empty(),
        context: tensors.empty(),
        image_latents_enc: tensors.empty(),
        ...(hasViews ? { camera_path: tensors.empty() } : {}),
      };
      await pack.sessions.unet_cond.run(feeds, { into });
      return into;
    };
  const compute = computeAs(text, { draws, targetFps });
  const { fadesFrom } = drawing;
  const { camera_path: path, ...computed } = hasPositions
    ? await drawInParts(
        drawing,
        request,
        compute,
        fadesFrom && computeAs(textOf(fadesFrom.promptEmbeds), fadesFrom),
        tensors,
        run,
      )
    : await compute();
  // As large as all latents of the clip, and not read again.
  tensors.free([latents]);
  const inputs = isTextInContext ? computed : { ...computed, ...text };
  return {
    inputs: new CoreInputs(pack.sessions.unet_core, inputs, rows === 2, tensors),
    understood: await understoodIn(computed.context, pack, tensors),
    cameraPath: path && (await tensors.take(path)),
  };
}

/** What the model says that it understood of the prompt; undefined for one that does not tell. */
async function understoodIn(
  context: ThreadTensor,
  { manifest }: OpenPack,
  tensors: ThreadTensors,
): Promise<Understood | undefined> {
  const motions = knownMotions(manifest);
  if (!motions) return undefined;
  const copy = tensors.empty();
  await tensors.compute([{ target: copy, terms: [[1, context]] }]);
  return readUnderstood(motions, await tensors.take(copy));
}

/** (1, 1, H, W) from 0 to 1; one 0 where nothing was painted. */
function motionMask(
  weights: Uint8Array | undefined,
  { width, height }: Pick<GenerateRequest, 'width' | 'height'>,
): FloatTensor {
  if (!weights) return { data: new Float32Array(1), dims: [1, 1, 1, 1] };
  return { data: Float32Array.from(weights, (weight) => weight / 255), dims: [1, 1, height, width] };
}

export function frameSize(width: number, height: number): IntTensor {
  return { data: BigInt64Array.of(BigInt(height), BigInt(width)), dims: [2] };
}

/** (1, C, 1, h, w) of (1, C, h, w): a copy, since it goes to the session's thread and the cache keeps the original. */
function asOneFrame({ data, dims }: FloatTensor): FloatTensor {
  const [, channels = 0, h = 0, w = 0] = dims;
  return { data: data.slice(), dims: [1, channels, 1, h, w] };
}

/** What unet_cond puts out. */
type Computed = Readonly<Record<'fps_emb' | 'context' | 'image_latents_enc', ThreadTensor>> & {
  readonly camera_path?: ThreadTensor;
};

interface PartOfDrawing {
  /** (f) */
  readonly positions: FloatTensor;
  /** (f, 4) */
  readonly views: FloatTensor;
}

/** What is drawn between two looks at whether the clip is still wanted: some seconds of two processor cores. */
const pixelsAtOnce = 8_000_000;

/** In how many parts a clip is drawn whose frames know nothing of each other; each is a step of its progress. */
export function drawnParts(
  { width, height }: Pick<GenerateRequest, 'width' | 'height'>,
  { positions, fadesFrom }: Drawing,
): number {
  const atOnce = framesAtOnce(width, height);
  return Math.ceil(positions.length / atOnce) + Math.ceil((fadesFrom?.numFrames ?? 0) / atOnce);
}

function framesAtOnce(width: number, height: number): number {
  return Math.max(1, Math.floor(pixelsAtOnce / (width * height)));
}

/** The outputs for all positions, from runs for some of them at a time. */
async function drawInParts(
  drawing: Drawing,
  request: GenerateRequest,
  compute: (part: PartOfDrawing) => Promise<Computed>,
  computeFading: typeof compute | undefined,
  tensors: ThreadTensors,
  run: Run,
): Promise<Computed> {
  const numFrames = drawing.positions.length;
  const { whole, first } = await drawFrames(drawing, numFrames, request, compute, tensors, run);
  if (computeFading && drawing.fadesFrom) {
    const fading = drawing.fadesFrom.numFrames;
    const before = await drawFrames(drawing, fading, request, computeFading, tensors, run);
    fadeIn(whole, before.whole);
    tensors.free(Object.values(before.first));
  }
  return { ...first, image_latents_enc: tensors.put(whole) };
}

/** The first `numFrames` frames, and the other outputs. */
async function drawFrames(
  { positions, views }: Drawing,
  numFrames: number,
  { width, height }: GenerateRequest,
  compute: (part: PartOfDrawing) => Promise<Computed>,
  tensors: ThreadTensors,
  run: Run,
): Promise<{ readonly whole: FloatTensor; readonly first: Omit<Computed, 'image_latents_enc'> }> {
  const atOnce = framesAtOnce(width, height);
  let first: Omit<Computed, 'image_latents_enc'> | undefined;
  let whole: FloatTensor | undefined;
  for (let start = 0; start < numFrames; start += atOnce) {
    const end = Math.min(start + atOnce, numFrames);
    const count = end - start;
    const { image_latents_enc: part, ...others } = await compute({
      positions: { data: positions.slice(start, end), dims: [count] },
      // Where m is 0, the clip's own.
      views: { data: views?.slice(4 * start, 4 * end) ?? new Float32Array(4 * count), dims: [count, 4] },
    });
    const drawn = await tensors.take(part);
    const [rows = 0, channels = 0, , h = 0, w = 0] = drawn.dims;
    whole ??= {
      data: new Float32Array(rows * channels * numFrames * h * w),
      dims: [rows, channels, numFrames, h, w],
    };
    copyFrames(drawn, whole, start);
    if (first) tensors.free(Object.values(others));
    first ??= others;
    run.step();
  }
  if (!first || !whole) throw new Error('a clip without frames');
  return { whole, first };
}

/** The first frames of (B, C, F, h, w) from another look (B, C, f, h, w) to their own, slowly at both ends. */
function fadeIn(whole: FloatTensor, before: FloatTensor): void {
  const [rows = 0, channels = 0, count = 0, h = 0, w = 0] = before.dims;
  const [, , numFrames = 0] = whole.dims;
  const plane = h * w;
  for (let c = 0; c < rows * channels; c++) {
    for (let k = 0; k < count; k++) {
      const own = eased((k + 1) / (count + 1));
      const [from, to] = [(c * count + k) * plane, (c * numFrames + k) * plane];
      for (let i = 0; i < plane; i++) {
        const old = before.data[from + i] as number;
        whole.data[to + i] = old + own * ((whole.data[to + i] as number) - old);
      }
    }
  }
}

/** Copies (B, C, f, h, w) into (B, C, F, h, w), from frame `start` on. */
function copyFrames(part: FloatTensor, whole: FloatTensor, start: number): void {
  const [rows = 0, channels = 0, count = 0, h = 0, w = 0] = part.dims;
  const [, , frames = 0] = whole.dims;
  const plane = h * w;
  for (let c = 0; c < rows * channels; c++) {
    const from = part.data.subarray(c * count * plane, (c + 1) * count * plane);
    whole.data.set(from, (c * frames + start) * plane);
  }
}

/**
 * (1, C, F, h, w): the picture's latents (1, C, h, w) as the first frame. Every other frame k is the constant k / (F - 1),
 * by which the UNet knows how far into the clip it is.
 */
function withFrameRamp({ data: first, dims }: FloatTensor, numFrames: number): FloatTensor {
  const [, channels = 0, h = 0, w = 0] = dims;
  const plane = h * w;
  const data = new Float32Array(channels * numFrames * plane);
  for (let c = 0; c < channels; c++) {
    const start = c * numFrames * plane;
    data.set(first.subarray(c * plane, (c + 1) * plane), start);
    for (let k = 1; k < numFrames; k++) {
      data.fill(k / (numFrames - 1), start + k * plane, start + (k + 1) * plane);
    }
  }
  return { data, dims: [1, channels, numFrames, h, w] };
}
