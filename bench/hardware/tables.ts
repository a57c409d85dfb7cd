/**
 * What a clip of each preset takes on each card: seconds from the tables of bench:gpu, reckoned for cards that were not
 * measured, and memory from the plan that the engine makes with the card's memory. Measures nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { GraphName } from '../../src/inference/packs/graphs.ts';
import {
  type GraphMemory,
  i2vgenXlMemory,
  svdMemory,
} from '../../src/inference/residency/measured-memory.ts';
import {
  type ClipShape,
  type MemoryPlan,
  type PackMemory,
  planMemory,
} from '../../src/inference/residency/memory-plan.ts';
import { generalPresets, type Preset, type PresetName, presetNames } from '../../src/request/presets.ts';
import { bestSize } from '../../src/request/sizes.ts';

const gibibyte = 2 ** 30;

interface Card {
  readonly name: string;
  readonly memoryGiB: number;
  /** Products of FP16 summed in float32, without sparsity. */
  readonly teraflops: number;
  readonly gigabytesPerSecond: number;
}

/** By the data sheets of NVIDIA. */
const cards: readonly Card[] = [
  { name: 'H200', memoryGiB: 140, teraflops: 989, gigabytesPerSecond: 4800 },
  { name: 'H100', memoryGiB: 80, teraflops: 989, gigabytesPerSecond: 3350 },
  { name: 'RTX 4090', memoryGiB: 24, teraflops: 165, gigabytesPerSecond: 1008 },
  { name: 'A10', memoryGiB: 22.5, teraflops: 125, gigabytesPerSecond: 600 },
  { name: 'L4', memoryGiB: 22.5, teraflops: 121, gigabytesPerSecond: 300 },
  { name: 'T4', memoryGiB: 15, teraflops: 65, gigabytesPerSecond: 320 },
  { name: 'RTX 4060 Ti', memoryGiB: 16, teraflops: 44, gigabytesPerSecond: 288 },
  { name: 'RTX 4070', memoryGiB: 12, teraflops: 58, gigabytesPerSecond: 504 },
  { name: 'RTX 3060', memoryGiB: 12, teraflops: 25, gigabytesPerSecond: 360 },
  { name: 'RTX 4060', memoryGiB: 8, teraflops: 30, gigabytesPerSecond: 272 },
];
/** What the driver and a desktop keep. */
const keptGiB = 0.5;

/** Of the kernels of a step on an H200: products of matrices, attention and convolutions; docs/performance.md. */
const shareOfArithmetic = 0.7;
/** How much longer a card computes than one with a teraflop and a gigabyte a second: only ratios mean something. */
const slowness = ({ teraflops, gigabytesPerSecond }: Card): number =>
  shareOfArithmetic * (989 / teraflops) + (1 - shareOfArithmetic) * (4800 / gigabytesPerSecond);

interface Clip extends ClipShape {
  readonly steps: number;
}

interface Model {
  readonly title: string;
  /** In bench/results: the table gpu-clips that bench:gpu writes for a pack of this model, renamed where it is not the first. */
  readonly table: string;
  /** A clip that was measured, for presets that the table does not have. */
  readonly measured?: Clip & { readonly card: string; readonly seconds: number };
  readonly clips: Readonly<Record<PresetName, Clip>>;
  readonly memory: PackMemory;
}

function packOf(graphs: Readonly<Record<GraphName, GraphMemory>>, names: readonly GraphName[]): PackMemory {
  const bytes = (name: GraphName): number => graphs[name].parameters * (graphs[name].isFloat32 ? 4 : 2);
  return {
    weightBytes: Object.fromEntries(names.map((name) => [name, bytes(name)])),
    graphs,
    bytesPerValue: 2,
    vaeScaleFactor: 8,
  };
}
const graphsOfSvd = ['image_encoder', 'vae_encoder', 'unet_cond', 'unet_core', 'vae_decoder'] as const;

/** Presets, limits and windows are those of models/export/svd.py. */
function svdClips(trainedFrames: number): Record<PresetName, Clip> {
  const limits = { side: { min: 256, max: 1024 }, pixels: { min: 256 * 256, max: 1024 * 576 } };
  const clipOf = (size: number, frames: number, steps: number, decodeChunkSize: number): Clip => {
    const wide = bestSize({ width: 16, height: 9 }, size, { sizeMultiple: 64, limits });
    if (!wide) throw new Error(`No size of about ${size}² is allowed.`);
    return { ...wide, numFrames: Math.min(frames, trainedFrames), steps, batch: 2, decodeChunkSize };
  };
  const standard = clipOf(640, 25, 25, 7);
  return { fast: clipOf(512, 14, 20, 14), standard, high: clipOf(768, 25, 30, 7), creative: standard };
}

const generalClip = ({ size, numFrames, numInferenceSteps }: Preset): Clip => ({
  ...{ width: size, height: size, numFrames, steps: numInferenceSteps, batch: 2, decodeChunkSize: 2 },
});
/** Jobs of 25 steps, both rows of guidance, on an H200, from picture to frames in Python, without an MP4: gpu-svd.csv. */
const measuredSvd = {
  width: 1024,
  height: 576,
  steps: 25,
  batch: 2,
  decodeChunkSize: 7,
  card: 'H200',
} as const;
const memoryOfSvd: PackMemory = { ...packOf(svdMemory, graphsOfSvd), decoderMixesFrames: true };

const models: readonly Model[] = [
  {
    title: 'I2VGen-XL',
    table: 'gpu-clips',
    clips: {
      fast: generalClip(generalPresets.fast),
      standard: generalClip(generalPresets.standard),
      high: generalClip(generalPresets.high),
      creative: generalClip(generalPresets.creative),
    },
    memory: packOf(i2vgenXlMemory, ['text_encoder', ...graphsOfSvd]),
  },
  {
    title: 'Stable Video Diffusion XT (img2vid-xt)',
    table: 'gpu-clips-svd-xt',
    measured: { ...measuredSvd, numFrames: 25, seconds: 11.1 },
    clips: svdClips(25),
    memory: memoryOfSvd,
  },
  {
    title: 'Stable Video Diffusion (img2vid)',
    table: 'gpu-clips-svd',
    measured: { ...measuredSvd, numFrames: 14, seconds: 6.4 },
    clips: svdClips(14),
    memory: memoryOfSvd,
  },
];

interface Measured {
  readonly card: Card;
  readonly seconds: number;
  readonly peakGiB?: number;
}

const cardOf = (text: string): Card => {
  const card = cards.find(({ name }) => text.includes(name));
  if (!card) throw new Error(`Which card is "${text}"?`);
  return card;
};

/** @returns undefined where this clip was not measured, and none of the model's */
function measuredOf(model: Model, clip: Clip): Measured | undefined {
  const file = fileURLToPath(new URL(`../results/${model.table}.csv`, import.meta.url));
  if (!existsSync(file)) return undefined;
  const [environment = '', head = '', ...rows] = readFileSync(file, 'utf8').trim().split('\n');
  const columns = head.split(',');
  for (const row of rows) {
    const cells = row.split(',');
    const cell = (name: string): string => cells[columns.indexOf(name)] ?? '';
    const isSame = cell('size') === `${clip.width}x${clip.height}x${clip.numFrames}`;
    if (!isSame || Number(cell('steps')) !== clip.steps) continue;
    return {
      card: cardOf(environment),
      seconds: Number(cell('Kinora s')),
      peakGiB: Number(cell('Kinora peak GiB')),
    };
  }
  return undefined;
}

const work = ({ width, height, numFrames, steps }: Clip): number => width * height * numFrames * steps;

/** Seconds of a clip on a card, and whether they were measured there. */
function timeOf(
  model: Model,
  clip: Clip,
  card: Card,
): { readonly seconds: number; readonly measured?: Measured } {
  const measured = measuredOf(model, clip);
  if (measured?.card === card) return { seconds: measured.seconds, measured };
  const scale = (from: Card): number => slowness(card) / slowness(from);
  if (measured) return { seconds: measured.seconds * scale(measured.card) };
  if (!model.measured) throw new Error(`${model.table}.csv lacks a clip of ${model.title}.`);
  const share = work(clip) / work(model.measured);
  return { seconds: model.measured.seconds * share * scale(cardOf(model.measured.card)) };
}

/** What the plan gives up, as docs/memory.md orders it. */
function givenUp(
  { residency, coreBatch, decodeChunkSize }: MemoryPlan,
  clip: Clip,
  isWindow: boolean,
): string {
  const steps = {
    all: '',
    'encoders-on-demand': 'a',
    'core-and-decoder': 'b',
    'core-only': 'c',
    'one-at-a-time': 'e',
  };
  const rows = residency === 'core-only' && coreBatch < clip.batch ? 'd' : steps[residency];
  return rows + (isWindow && decodeChunkSize < Math.min(clip.decodeChunkSize, clip.numFrames) ? 'w' : '');
}

function secondsText(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  return `${(seconds / 60).toFixed(seconds < 570 ? 1 : 0)} min`;
}

function cellOf(model: Model, clip: Clip, card: Card): string {
  const { seconds, measured } = timeOf(model, clip, card);
  if (measured) return `**${secondsText(seconds)}**, **${measured.peakGiB} GiB**`;
  let plan: MemoryPlan;
  try {
    plan = planMemory(clip, model.memory, (card.memoryGiB - keptGiB) * gibibyte);
  } catch {
    return 'does not fit';
  }
  const marks = givenUp(plan, clip, model.memory.decoderMixesFrames === true);
  const memory = `${(plan.peakBytes / gibibyte).toFixed(1)} GiB`;
  return `${secondsText(seconds)}, ${memory}${marks && ` ${marks}`}`;
}

/** The smallest budget that has a plan. */
function leastOf(model: Model, clip: Clip): string {
  for (let budget = 1; ; budget += 0.1) {
    try {
      planMemory(clip, model.memory, budget * gibibyte);
      return `${budget.toFixed(1)} GiB`;
    } catch {}
  }
}

function markdown(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [
    line(head),
    `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`,
    ...rows.slice(1).map(line),
  ].join('\n');
}

/** As Markdown, for docs/operations.md; what was measured is bold. */
export function hardwareTables(): string {
  return models
    .map((model) => {
      const ofPresets = (cell: (clip: Clip) => string): string[] =>
        presetNames.map((name) => cell(model.clips[name]));
      const shape = ({ width, height, numFrames, steps }: Clip): string =>
        `${width}×${height}, ${numFrames} frames, ${steps} steps`;
      return `${model.title}:\n\n${markdown([
        ['card', 'memory', ...presetNames],
        ['', '', ...ofPresets(shape)],
        ['needs', '', ...ofPresets((clip) => leastOf(model, clip))],
        ...cards.map((card) => [
          card.name,
          `${card.memoryGiB} GiB`,
          ...ofPresets((clip) => cellOf(model, clip, card)),
        ]),
      ])}\n`;
    })
    .join('\n');
}

const [begin, end] = ['<!-- bench:hardware -->\n', '<!-- end of bench:hardware -->'];

/** The page with the tables of today between the two marks. */
export function withHardwareTables(page: string): string {
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error('The page lacks the marks of the tables.');
  return `${before}${begin}\n${hardwareTables()}\n${end}${after}`;
}
