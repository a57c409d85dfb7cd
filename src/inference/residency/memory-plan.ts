/**
 * Plans how a clip fits into the memory of a GPU: which sessions may be open at the same time, and how many frames are
 * decoded at once. Pure arithmetic over weights, sizes and measured coefficients; opens and closes nothing.
 *
 * A session holds its weights and the activations of its largest run until it is released, because onnxruntime's arenas
 * grow and never shrink. Its release frees both.
 */
import { KinoraError } from '../../errors.ts';
import type { GraphName } from '../packs/graphs.ts';
import { type GraphMemory, measuredMemory } from './measured-memory.ts';

/** The part of a request that decides how much memory it takes. */
export interface ClipShape {
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  /** 2 with classifier-free guidance. */
  readonly batch: 1 | 2;
  /** Frames decoded at once, as requested; a plan may have fewer. */
  readonly decodeChunkSize: number;
  /** Some steps have guidance and some have none, so that the core runs with both batches. */
  readonly endsGuidance?: boolean;
  /** The two rows of guidance go through the core one after the other although there is memory for both at once. */
  readonly splitsGuidance?: boolean;
  /** Deep features of the UNet are reused between steps, so that the second core is needed too. */
  readonly usesShallowCore?: boolean;
}

/** The part of a pack that decides how much memory a clip takes. */
export interface PackMemory {
  /** Of the graphs that the pack has. */
  readonly weightBytes: Readonly<Partial<Record<GraphName, number>>>;
  /** What was measured of its family. */
  readonly graphs: Readonly<Record<GraphName, GraphMemory>>;
  /** As FamilyParts.decoderMixesFrames. */
  readonly decoderMixesFrames?: boolean;
  /** Bytes of a weight and of an activation: 2 in fused FP16 packs, 4 in plain ones. */
  readonly bytesPerValue: 2 | 4;
  /** Pixels per latent cell and side. */
  readonly vaeScaleFactor: number;
}

/**
 * From the fastest to the one with the least memory. A graph "on demand" is opened for its run, and released before
 * another graph on demand is opened.
 */
export const residencies = [
  'all',
  'encoders-on-demand',
  'core-and-decoder',
  'core-only',
  'one-at-a-time',
] as const;
export type Residency = (typeof residencies)[number];

export interface MemoryPlan {
  readonly residency: Residency;
  readonly decodeChunkSize: number;
  /** 1 for a clip with guidance: its two rows go through the core one after the other, with half the activations. */
  readonly coreBatch: 1 | 2;
  /** Graphs whose sessions hold more, from a larger clip, than fits: they are released first. */
  readonly release: readonly GraphName[];
  /** Activations of each graph, in bytes. */
  readonly activationBytes: Readonly<Partial<Record<GraphName, number>>>;
  /** The largest memory of the process in bytes, estimated, with one session per graph. */
  readonly peakBytes: number;
  /** The rest of the budget, for extra sessions of the same graphs; 0 without a budget. */
  readonly spareBytes: number;
}

const gibibyte = 1024 ** 3;

/** Both must be open at the same time: they alternate from step to step. */
export const cores: readonly string[] = ['unet_core', 'unet_shallow'];
const vae: readonly string[] = ['vae_encoder', 'vae_decoder'];
const encoders: readonly string[] = ['text_encoder', 'image_encoder'];

/** True when the graph is released as soon as another one on demand is opened. */
export function isOnDemand(graph: string, residency: Residency): boolean {
  if (residency === 'all') return false;
  if (residency === 'one-at-a-time' || encoders.includes(graph)) return true;
  if (graph === 'vae_encoder') return residency !== 'encoders-on-demand';
  return graph === 'vae_decoder' && residency === 'core-only';
}

/** True when the two may not be open at once: `other` is released before `graph` opens. */
export function takeTurns(graph: string, other: string, residency: Residency): boolean {
  if (graph === other || (cores.includes(graph) && cores.includes(other))) return false;
  return isOnDemand(graph, residency) && isOnDemand(other, residency);
}

/** What is given up, in this order; each level includes all earlier ones. */
const levels: readonly { readonly residency: Residency; readonly splitsBatch: boolean }[] = [
  { residency: 'all', splitsBatch: false },
  { residency: 'encoders-on-demand', splitsBatch: false },
  { residency: 'core-and-decoder', splitsBatch: false },
  { residency: 'core-only', splitsBatch: false },
  { residency: 'core-only', splitsBatch: true },
  { residency: 'one-at-a-time', splitsBatch: true },
];
type Level = (typeof levels)[number];
const unlimitedLevel: Level = { residency: 'all', splitsBatch: false };
const leastMemoryLevel: Level = { residency: 'one-at-a-time', splitsBatch: true };

/** Bytes of activations that a run of the graph for this clip needs. */
function activationBytes(graph: GraphName, clip: ClipShape, pack: PackMemory, coreBatch: 1 | 2): number {
  const pixels = clip.width * clip.height;
  const cells = pixels / pack.vaeScaleFactor ** 2;
  const units = vae.includes(graph)
    ? pixels * (graph === 'vae_decoder' ? Math.min(clip.decodeChunkSize, clip.numFrames) : 1)
    : cells * clip.numFrames * (cores.includes(graph) ? coreBatch : clip.batch);
  return bytesOfUnits(graph, units, cells, pack);
}

/**
 * The same from the input of one run: of a core's `sample` (B, C, F, h, w), of the VAE's `sample` (n, 3, H, W) or
 * `latent` (n, C, h, w). undefined for the other graphs.
 */
export function activationBytesOfRun(
  graph: GraphName,
  dims: readonly number[],
  pack: PackMemory,
): number | undefined {
  if (!cores.includes(graph) && !vae.includes(graph)) return undefined;
  const plane = (dims.at(-1) ?? 0) * (dims.at(-2) ?? 0);
  const count = (dims[0] ?? 0) * (cores.includes(graph) ? (dims[2] ?? 0) : 1);
  const pixels = graph === 'vae_decoder' ? plane * pack.vaeScaleFactor ** 2 : plane;
  return bytesOfUnits(graph, count * pixels, plane, pack);
}

/** Bytes of an open session that has made such a run. */
export function sessionBytesOf(graph: GraphName, activations: number, pack: PackMemory): number {
  const { sessionBytes = measuredMemory.sessionBytes } = pack.graphs[graph];
  return (pack.weightBytes[graph] ?? 0) + activations + sessionBytes;
}

function bytesOfUnits(graph: GraphName, units: number, cells: number, pack: PackMemory): number {
  const {
    parameters,
    fixedBytes,
    bytesPerUnit,
    bytesPerUnitAndCell = 0,
    inPowersOfTwo = false,
    isFloat32 = false,
  } = pack.graphs[graph];
  const bytesPerValue = isFloat32 ? 4 : pack.bytesPerValue;
  const ownParameters = (pack.weightBytes[graph] ?? 0) / bytesPerValue;
  // Weights grow with the square of the width, activations with the width.
  const width = Math.sqrt(ownParameters / parameters);
  const bytes = fixedBytes + (bytesPerUnit + bytesPerUnitAndCell * cells) * units;
  const taken = Math.round(bytes * width * (bytesPerValue / 2));
  return inPowersOfTwo ? nextPowerOfTwo(taken) : taken;
}

/** With a tolerance of 6 %: a model slightly wider than the measured one must not count twice as much. */
function nextPowerOfTwo(bytes: number): number {
  const power = 2 ** Math.floor(Math.log2(bytes));
  return bytes <= 1.06 * power ? Math.max(bytes, power) : 2 * power;
}

/** Channels of the decoder's largest tensor, which has the size of the frame. */
const decoderChannels = 256;
/** onnxruntime's CUDA kernels count elements with 31 bits; with more, the run fails. */
const mostElements = 2 ** 31 - 1;

/** Frames that are decoded at once: as requested, but with no tensor of more elements than kernels count. */
export function allowedChunk({
  width,
  height,
  decodeChunkSize,
}: Pick<ClipShape, 'width' | 'height' | 'decodeChunkSize'>): number {
  return Math.max(
    1,
    Math.min(decodeChunkSize, Math.floor(mostElements / (decoderChannels * width * height))),
  );
}

/** Windows of a decoder that mixes frames. Below three, no frame has neighbours on either side. */
const windowSizes = [14, 11, 9, 7, 5, 3, 2, 1];

/** The next smaller chunk: by halves, or the next window of a decoder that mixes frames. */
export function smallerChunk(size: number, decoderMixesFrames: boolean): number {
  if (!decoderMixesFrames) return Math.ceil(size / 2);
  return windowSizes.find((window) => window < size) ?? 1;
}

/** The requested chunk and the smaller ones. */
function chunkSizes(wanted: number, decoderMixesFrames: boolean): number[] {
  const sizes = [wanted];
  for (let size = wanted; size > 1; ) {
    size = smallerChunk(size, decoderMixesFrames);
    sizes.push(size);
  }
  return sizes;
}

function planFor(
  { residency, splitsBatch }: Level,
  decodeChunkSize: number,
  clip: ClipShape,
  pack: PackMemory,
  heldBytes: Readonly<Partial<Record<GraphName, number>>>,
): MemoryPlan {
  const coreBatch = splitsBatch || clip.splitsGuidance ? 1 : clip.batch;
  const needed: Partial<Record<GraphName, number>> = {};
  const totals = new Map<string, number>();
  for (const name of Object.keys(pack.weightBytes)) {
    const graph = name as GraphName; // the only keys
    if (name === 'unet_shallow' && !clip.usesShallowCore) continue;
    const own = activationBytes(graph, { ...clip, decodeChunkSize }, pack, coreBatch);
    needed[graph] = own;
    const total = sessionBytesOf(graph, Math.max(own, heldBytes[graph] ?? 0), pack);
    const group = cores.includes(name) ? 'cores' : name;
    totals.set(group, (totals.get(group) ?? 0) + total);
  }
  let resident = 0;
  let largestOnDemand = 0;
  for (const [group, total] of totals) {
    if (isOnDemand(group, residency)) largestOnDemand = Math.max(largestOnDemand, total);
    else resident += total;
  }
  const peakBytes = measuredMemory.contextBytes + resident + largestOnDemand;
  const shares = { activationBytes: needed, peakBytes, spareBytes: 0 };
  return { residency, decodeChunkSize, coreBatch, release: [], ...shares };
}

/**
 * The fastest plan that fits. Given up in this order, by what it costs: frames per decoded chunk (hundredths of a
 * second) · the open text and image encoders (about a second per new picture or prompt) · the open VAE encoder (another
 * second per new picture, for cuDNN's search) · the open VAE decoder (half a second per clip) · both rows of guidance in
 * one run (some per cent of a step) · the open core (four seconds per clip). Frames per run of a decoder that mixes frames
 * decide pixels: those are given up last.
 * @param budgetBytes undefined: everything may stay open
 * @param heldBytes activations that open sessions hold from earlier clips
 * @throws KinoraError OUT_OF_MEMORY naming need and budget when even the plan with the least memory does not fit
 */
export function planMemory(
  clip: ClipShape,
  pack: PackMemory,
  budgetBytes: number | undefined,
  heldBytes: Readonly<Partial<Record<GraphName, number>>> = {},
): MemoryPlan {
  const chunk = allowedChunk(clip);
  if (budgetBytes === undefined) return planFor(unlimitedLevel, chunk, clip, pack, heldBytes);
  const usableBytes = budgetBytes * measuredMemory.usableShare;
  const sizes = chunkSizes(chunk, pack.decoderMixesFrames === true);
  const held = [heldBytes, {}];
  const attempts = pack.decoderMixesFrames
    ? sizes.flatMap((size) => levels.flatMap((level) => held.map((bytes) => ({ level, bytes, size }))))
    : levels.flatMap((level) => held.flatMap((bytes) => sizes.map((size) => ({ level, bytes, size }))));
  for (const { level, bytes, size } of attempts) {
    const plan = planFor(level, size, clip, pack, bytes);
    if (plan.peakBytes > usableBytes) continue;
    const spareBytes = usableBytes - plan.peakBytes;
    const release = bytes === heldBytes ? [] : grownGraphs(plan, heldBytes);
    return { ...plan, release, spareBytes };
  }
  const { peakBytes } = planFor(leastMemoryLevel, 1, clip, pack, {});
  const { width, height, numFrames } = clip;
  throw new KinoraError(
    'OUT_OF_MEMORY',
    `A clip of ${numFrames} frames of ${width}x${height} needs about ${inGibibytes(peakBytes / measuredMemory.usableShare)} of GPU memory; ${inGibibytes(budgetBytes)} may be used.`,
  );
}

/** A clip that ran out of memory gets no larger one. Still smaller ones give their frames fewer neighbours. */
const windowAfterFailure = 5;

/**
 * For a clip that ran out of memory although its plan fitted: one session at a time, and frame by frame. A decoder that
 * mixes frames has the windows of the plan that failed, up to a size, since single frames flicker.
 * @param budgetBytes as for the plan that failed; where not even this plan fits, it is made all the same
 */
export function leastMemoryPlan(
  clip: ClipShape,
  pack: PackMemory,
  budgetBytes: number | undefined,
  heldBytes: Readonly<Partial<Record<GraphName, number>>> = {},
): MemoryPlan {
  const planOf = (size: number): MemoryPlan => planFor(leastMemoryLevel, size, clip, pack, {});
  const least = planOf(1);
  // planMemory gives windows up last, so its window was the largest one that fits at this level.
  const usableBytes = (budgetBytes ?? Number.POSITIVE_INFINITY) * measuredMemory.usableShare;
  const mostBytes = Math.max(usableBytes, least.peakBytes);
  const sizes = pack.decoderMixesFrames ? chunkSizes(allowedChunk(clip), true) : [];
  const plans = sizes.filter((size) => size <= windowAfterFailure).map(planOf);
  const plan = plans.find(({ peakBytes }) => peakBytes <= mostBytes) ?? least;
  return { ...plan, release: grownGraphs(plan, heldBytes) };
}

function grownGraphs(plan: MemoryPlan, heldBytes: Readonly<Partial<Record<GraphName, number>>>): GraphName[] {
  return (Object.keys(heldBytes) as GraphName[]).filter(
    (graph) => (heldBytes[graph] ?? 0) > (plan.activationBytes[graph] ?? 0),
  );
}

function inGibibytes(bytes: number): string {
  return `${(bytes / gibibyte).toFixed(1)} GiB`;
}
