/**
 * `npm run bench:quality`: how well the built-in model does what it is told, on pictures that its training has not seen
 * and on prompts that were written before it. Three questions:
 *
 * 1. Prompts: is what moves what the prompt says, at its speed? Clips are made, and the motion is read back from their
 *    pixels (quality/fit.ts).
 * 2. Pixels: how close is every frame to the same picture warped analytically (quality/motion.ts)? PSNR against the
 *    original picture, not its autoencoded copy; the outermost pixels apart, where mirrored or smeared borders would
 *    show; and the share of pixels that are far off, which is what garbage looks like.
 * 3. Sheets: contact sheets and a moving picture, to be looked at.
 *
 * Options: --only prompts|pixels|sheets · --set test|dev · --limit N · --threads N · --readme (sheets go to docs/)
 * · --save (tables go to bench/results instead of out/bench)
 * Only whole runs over the test set write a table of prompts: the dev set is for trying things out. Ends with 1 when a
 * goal is missed.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp, { type OverlayOptions } from 'sharp';
import { Fitter, fitFrames, sameMotions } from './quality/fit.ts';
import { Generator, originalPicture } from './quality/generate.ts';
import { Clip, type Kind, kinds, type Motion, psnr, resample, speeds } from './quality/motion.ts';
import { environmentLine, printTable, type Row, tablesFolder, writeCsv } from './report.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    set: { type: 'string', default: 'test' },
    limit: { type: 'string' },
    threads: { type: 'string', default: '0' },
    readme: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
});
const project = fileURLToPath(new URL('..', import.meta.url));
const tables = tablesFolder(values.save);
const example = (name: string): string => path.join(project, 'examples', name);
const pictures = ['cat.jpg', 'coffee.jpg', 'astronaut.jpg'].map(example);
const limit = Number(values.limit ?? Number.POSITIVE_INFINITY);

/** One plain prompt per motion and speed for the pixels; phrasings are measured by the prompts. */
const words: Readonly<Record<Kind, string>> = {
  'zoom-in': 'zoom in',
  'zoom-out': 'zoom out',
  'pan-left': 'pan left',
  'pan-right': 'pan right',
  'tilt-up': 'tilt up',
  'tilt-down': 'tilt down',
  'rotate-cw': 'rotate clockwise',
  'rotate-ccw': 'rotate counterclockwise',
  static: 'static shot',
  waves: 'waves rolling',
  sway: 'swaying in the wind',
};
const adverbs = { slow: 'slowly', normal: '', fast: 'fast' } as const;
const promptFor = ({ kind, speed }: Motion): string =>
  kind === 'static' ? words[kind] : `${words[kind]} ${adverbs[speed]}`.trim();

async function examinePrompts(generator: Generator): Promise<boolean> {
  const file = path.join(project, 'tests/fixtures/prompts', `${values.set}.json`);
  const all = JSON.parse(readFileSync(file, 'utf8')) as { prompt: string; motions: Motion[] }[];
  const size = 128;
  const picture = example('coffee.jpg');
  const fitter = new Fitter(await originalPicture(picture, size, size));
  const rows: Row[] = [];
  for (const { prompt, motions } of all.slice(0, limit)) {
    const options = { prompt, size: `${size}x${size}`, numFrames: fitFrames, numInferenceSteps: 2 };
    const fit = fitter.fit(await generator.frames(picture, options));
    const describe = (list: readonly Motion[]): string =>
      list.map(({ kind, speed }) => `${kind} ${speed}`).join(' + ');
    rows.push({
      prompt,
      expected: describe(motions),
      seen: describe(fit.motions),
      psnr: fit.psnr.toFixed(1),
      margin: fit.margin.toFixed(1),
      // Right, and really that: a clip that resembles nothing is not obedient by chance.
      obeyed: sameMotions(fit.motions, motions) && fit.psnr >= 28 ? 1 : 0,
      language: /\p{Script=Han}/u.test(prompt) ? 'zh' : 'en',
    });
  }
  const share = (part: readonly Row[]): string => {
    const obeyed = part.filter((row) => row['obeyed'] === 1).length;
    return `${obeyed}/${part.length} (${((100 * obeyed) / part.length).toFixed(1)} %)`;
  };
  const groups: [string, Row[]][] = [
    ['all', rows],
    ['English', rows.filter((row) => row['language'] === 'en')],
    ['Chinese', rows.filter((row) => row['language'] === 'zh')],
    ['two motions', rows.filter((row) => String(row['expected']).includes('+'))],
    ...kinds.map((kind): [string, Row[]] => [
      kind,
      rows.filter((row) => String(row['expected']).startsWith(kind)),
    ]),
  ];
  printTable(
    `Prompts obeyed, speed included (${values.set} set)`,
    groups.filter(([, part]) => part.length > 0).map(([group, part]) => ({ group, obeyed: share(part) })),
  );
  const misses = rows.filter((row) => row['obeyed'] === 0);
  if (misses.length > 0) printTable('Not obeyed', misses);
  if (values.set === 'test' && rows.length === all.length) writeCsv(tables, 'quality-prompts-test', rows);
  return rows.length - misses.length >= 0.98 * rows.length;
}

interface Measured {
  readonly mean: number;
  readonly first: number;
  readonly border: number;
  readonly worst: number;
  /** Pixels that are far from the warp, in parts per million. */
  readonly garbagePpm: number;
}

const borderPixels = 4;
const farOff = 64;

async function measure(generator: Generator, file: string, motion: Motion, side: number): Promise<Measured> {
  const numFrames = 16;
  const frames = await generator.frames(file, {
    prompt: promptFor(motion),
    size: `${side}x${side}`,
    numFrames,
  });
  const picture = await originalPicture(file, side, side);
  const clip = new Clip([motion], side, side);
  const scores: number[] = [];
  const borders: number[] = [];
  let garbage = 0;
  frames.forEach((frame, index) => {
    const expected = resample(picture, clip.warp(index / (numFrames - 1))).data;
    scores.push(psnr(frame, expected));
    borders.push(psnr(ring(frame, side), ring(expected, side)));
    for (let i = 0; i < frame.length; i++) {
      if (Math.abs((frame[i] as number) - (expected[i] as number)) > farOff) garbage++;
    }
  });
  const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
  return {
    mean: mean(scores),
    first: scores[0] ?? 0,
    border: mean(borders),
    worst: Math.min(...scores),
    garbagePpm: (1e6 * garbage) / (frames.length * side * side * 3),
  };
}

/** The outermost pixels of a square frame. */
function ring(data: Uint8Array, side: number): Uint8Array {
  const kept: number[] = [];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const inner = Math.min(x, y, side - 1 - x, side - 1 - y) >= borderPixels;
      if (!inner) kept.push(...data.subarray((y * side + x) * 3, (y * side + x) * 3 + 3));
    }
  }
  return Uint8Array.from(kept);
}

async function examinePixels(generator: Generator): Promise<boolean> {
  const rows: Row[] = [];
  let good = true;
  for (const kind of kinds) {
    const small: Measured[] = [];
    const large: Measured[] = [];
    for (const file of pictures) {
      for (const speed of kind === 'static' ? (['normal'] as const) : speeds) {
        small.push(await measure(generator, file, { kind, speed }, 256));
      }
      large.push(await measure(generator, file, { kind, speed: 'normal' }, 512));
    }
    const mean = (list: readonly Measured[], value: (measured: Measured) => number): number =>
      list.reduce((sum, measured) => sum + value(measured), 0) / list.length;
    const at256 = mean(small, ({ mean: db }) => db);
    const at512 = mean(large, ({ mean: db }) => db);
    const first = mean(small, (measured) => measured.first);
    good &&= at256 >= 35 && at512 >= at256 - 2 && first >= 37;
    rows.push({
      motion: kind,
      '256 dB': at256.toFixed(1),
      'first frame': first.toFixed(1),
      'worst frame': Math.min(...small.map(({ worst }) => worst)).toFixed(1),
      border: mean(small, ({ border }) => border).toFixed(1),
      'far off ppm': mean(small, ({ garbagePpm }) => garbagePpm).toFixed(1),
      '512 dB': at512.toFixed(1),
    });
  }
  printTable('PSNR against the analytic warp of the original picture', rows);
  writeCsv(tables, 'quality-pixels', rows);
  return good;
}

async function drawSheets(generator: Generator): Promise<void> {
  const folder = path.join(project, values.readme ? 'docs' : 'out');
  mkdirSync(folder, { recursive: true });
  const [width, height, columns] = [240, 160, 5];
  const shown: Motion[] = kinds.map((kind) => ({ kind, speed: 'fast' }));
  const tiles: OverlayOptions[] = [];
  for (const [row, motion] of shown.entries()) {
    const file = pictures[row % 2] ?? '';
    const frames = await generator.frames(file, {
      prompt: promptFor(motion),
      size: '384x256',
      numFrames: 16,
    });
    for (let column = 0; column < columns; column++) {
      const frame = frames[Math.round((column * 15) / (columns - 1))] ?? new Uint8Array();
      const raw = { width: 384, height: 256, channels: 3 as const };
      const input = await sharp(frame, { raw }).resize(width, height).png().toBuffer();
      tiles.push({ input, left: column * (width + 4), top: row * (height + 4) });
    }
  }
  const create = {
    width: columns * (width + 4) - 4,
    height: shown.length * (height + 4) - 4,
    channels: 3 as const,
    background: '#ffffff',
  };
  const sheet = await sharp({ create }).composite(tiles).jpeg({ quality: 88 }).toBuffer();
  writeFileSync(path.join(folder, 'motions.jpg'), sheet);

  const frames = await generator.frames(example('cat.jpg'), {
    prompt: 'camera slowly zooming in',
    size: '384x256',
    numFrames: 24,
  });
  // Played to the end and back, as --loop does.
  const pages = [...frames, ...frames.slice(1, -1).reverse()];
  const raw = { width: 384, height: 256 * pages.length, channels: 3 as const, pageHeight: 256 };
  const moving = await sharp(Buffer.concat(pages), { raw })
    .webp({ quality: 72, loop: 0, delay: pages.map(() => 80) })
    .toBuffer();
  writeFileSync(path.join(folder, 'cat.webp'), moving);
  process.stdout.write(`\nSheets: ${folder}/motions.jpg, ${folder}/cat.webp\n`);
}

process.stdout.write(`${environmentLine()}\n`);
const generator = await Generator.open(path.join(project, 'models/builtin'), Number(values.threads));
const verdicts: boolean[] = [];
if (!values.only || values.only === 'prompts') verdicts.push(await examinePrompts(generator));
if (!values.only || values.only === 'pixels') verdicts.push(await examinePixels(generator));
if (!values.only || values.only === 'sheets') await drawSheets(generator);
await generator.close();
if (verdicts.length > 0) {
  const reached = verdicts.every(Boolean);
  process.stdout.write(`\n${reached ? 'Every goal is reached.' : 'A goal is missed.'}\n`);
  if (!reached) process.exitCode = 1;
}
