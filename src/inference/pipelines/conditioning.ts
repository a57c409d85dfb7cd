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
import { CoreInputs } from './core-inputs.ts';
import type { EncodedImage } from './encode-image.ts';
import type { Run } from './run.ts';
import { readUnderstood } from './understood.ts';

export interface Conditioning {
  readonly inputs: CoreInputs;
  /** Of the prompt, by a model that tells. */
  readonly understood: Understood | undefined;
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
): Promise<Conditioning> {
  const { targetFps, guidanceScale, numFrames, width, height } = request;
  // The unconditional row gets zeros for the picture's embedding, but the same image latents.
  const none = { ...imageEmbeds, data: new Float32Array(imageEmbeds.data.length) };
  const { data, dims } = guidanceScale > 1 ? stack(none, imageEmbeds) : imageEmbeds;
  const [rows = 0, size = 0] = dims;
  const text = { encoder_hidden_states: tensors.put(promptEmbeds) };
  const isTextInContext = pack.optionalInputs.has('encoder_hidden_states');
  const hasPositions = pack.optionalInputs.has('frame_positions');
  const latents = tensors.put(
    hasPositions ? asOneFrame(imageLatents) : withFrameRamp(imageLatents, numFrames),
  );
  const compute = async (positions?: FloatTensor): Promise<Computed> => {
    // Arrays go to the session's thread; the next run needs its own.
    const feeds = {
      fps: { data: BigInt64Array.of(BigInt(targetFps)), dims: [1] },
      image_latents: latents,
      image_embeddings: { data: data.slice(), dims: [rows, 1, size] },
      ...(isTextInContext ? text : {}),
      ...(positions ? { frame_positions: positions } : {}),
      ...(draws ? { draws: { ...draws, data: draws.data.slice() } } : {}),
      ...(pack.optionalInputs.has('frame_size') ? { frame_size: frameSize(width, height) } : {}),
    };
    const into = { fps_emb: tensors.empty(), context: tensors.empty(), image_latents_enc: tensors.empty() };
    await pack.sessions.unet_cond.run(feeds, { into });
    return into;
  };
  const computed = hasPositions
    ? await drawInParts(framePositions(numFrames), request, compute, tensors, run)
    : await compute();
  // As large as all latents of the clip, and not read again.
  tensors.free([latents]);
  const inputs = isTextInContext ? computed : { ...computed, ...text };
  return {
    inputs: new CoreInputs(pack.sessions.unet_core, inputs, rows === 2, tensors),
    understood: await understoodIn(computed.context, pack, tensors),
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

export function frameSize(width: number, height: number): IntTensor {
  return { data: BigInt64Array.of(BigInt(height), BigInt(width)), dims: [2] };
}

/** (1, C, 1, h, w) of (1, C, h, w): a copy, since it goes to the session's thread and the cache keeps the original. */
function asOneFrame({ data, dims }: FloatTensor): FloatTensor {
  const [, channels = 0, h = 0, w = 0] = dims;
  return { data: data.slice(), dims: [1, channels, 1, h, w] };
}

/** What unet_cond puts out. */
type Computed = Readonly<Record<'fps_emb' | 'context' | 'image_latents_enc', ThreadTensor>>;

/** What is drawn between two looks at whether the clip is still wanted: some seconds of two processor cores. */
const pixelsAtOnce = 8_000_000;

/** In how many parts a clip is drawn whose frames know nothing of each other; each is a step of its progress. */
export function drawnParts({
  numFrames,
  width,
  height,
}: Pick<GenerateRequest, 'numFrames' | 'width' | 'height'>): number {
  return Math.ceil(numFrames / framesAtOnce(width, height));
}

function framesAtOnce(width: number, height: number): number {
  return Math.max(1, Math.floor(pixelsAtOnce / (width * height)));
}

/** The outputs for all positions, from runs for some of them at a time. */
async function drawInParts(
  { data: positions }: FloatTensor,
  { width, height }: GenerateRequest,
  compute: (positions: FloatTensor) => Promise<Computed>,
  tensors: ThreadTensors,
  run: Run,
): Promise<Computed> {
  const atOnce = framesAtOnce(width, height);
  let first: Computed | undefined;
  let whole: FloatTensor | undefined;
  for (let start = 0; start < positions.length; start += atOnce) {
    const part = positions.slice(start, start + atOnce);
    const computed = await compute({ data: part, dims: [part.length] });
    const drawn = await tensors.take(computed.image_latents_enc);
    const [rows = 0, channels = 0, , h = 0, w = 0] = drawn.dims;
    whole ??= {
      data: new Float32Array(rows * channels * positions.length * h * w),
      dims: [rows, channels, positions.length, h, w],
    };
    copyFrames(drawn, whole, start);
    first ??= computed;
    if (first !== computed) tensors.free([computed.fps_emb, computed.context]);
    run.step();
  }
  if (!first || !whole) throw new Error('a clip without frames');
  return { ...first, image_latents_enc: tensors.put(whole) };
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

/** (F): how far into the clip each frame is, 0 … 1. */
function framePositions(numFrames: number): FloatTensor {
  const data = Float32Array.from({ length: numFrames }, (_, k) => k / Math.max(numFrames - 1, 1));
  return { data, dims: [numFrames] };
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
