/**
 * `npm run bench:extend`: five extensions in a row with the built-in model, and the same in two ways that need no knowledge of
 * the model, in which the last frame becomes the picture of the next clip: as raw pixels (which the built-in model's encoder
 * keeps to a level, so that this is what its last latents would give), and out of the clip's MP4.
 *
 * Options: --frames N · --size N · --threads N · --save (the table goes to bench/results) · --keep FOLDER (chains as MP4s)
 * Ends with 1 when a goal is missed.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import type { RgbImage } from '../src/inference/image-to-video.ts';
import { encodeVideo } from '../src/video/encode.ts';
import { findFfmpeg } from '../src/video/ffmpeg-path.ts';
import { lastFrame } from './extend/last-frame.ts';
import { measureSeams, type SeamNumbers } from './extend/seams.ts';
import { Generator } from './quality/generate.ts';
import { environmentLine, printTable, type Row, tablesFolder, writeCsv } from './report.ts';

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '24' },
    size: { type: 'string', default: '288' },
    threads: { type: 'string', default: '0' },
    save: { type: 'boolean', default: false },
    keep: { type: 'string' },
  },
});
const project = fileURLToPath(new URL('..', import.meta.url));
const tables = tablesFolder(values.save);
const [numFrames, size] = [Number(values.frames), values.size];
const fps = 24;
const extensions = 5;

/** The first prompt, and that of the extensions where it is another. */
const chains: readonly (readonly [picture: string, prompt: string, then?: string])[] = [
  ['cat.jpg', 'zoom in'],
  ['coffee.jpg', 'pan right'],
  ['astronaut.jpg', 'zoom out'],
  ['coffee.jpg', 'rotate clockwise'],
  ['cat.jpg', 'snow'],
  ['astronaut.jpg', 'rain, tilt up'],
  ['cat.jpg', 'zoom in', 'then pan right, light snow'],
];
const ways = ['extended', 'last frame', 'last frame of the MP4'] as const;
type Way = (typeof ways)[number];

const folder = mkdtempSync(path.join(tmpdir(), 'kinora-extend-'));
const { path: ffmpegPath } = await findFfmpeg();
const generator = await Generator.open(path.join(project, 'models/builtin'), Number(values.threads));

interface Chain {
  readonly frames: RgbImage[];
  readonly joins: number[];
}

async function writeMp4(frames: readonly RgbImage[], outPath: string): Promise<void> {
  const [{ width, height } = { width: 0, height: 0 }] = frames;
  async function* all() {
    yield* frames;
  }
  await encodeVideo(all(), { width, height, fps, outPath, ffmpegPath });
}

async function makeChain(way: Way, picture: string, prompts: readonly string[]): Promise<Chain> {
  const chain: Chain = { frames: [], joins: [] };
  let [file, videoId] = [path.join(project, 'examples', picture), ''];
  for (const [i, prompt] of prompts.entries()) {
    const extension = { videoId, numFrames, loop: false, smooth: 1 } as const;
    const isExtension = i > 0 && way === 'extended';
    const made = await generator.clip(file, {
      ...{ prompt, numFrames, size },
      ...(isExtension ? { extension } : {}),
    });
    const { width, height } = made;
    const frames = made.frames.map((data) => ({ width, height, data }));
    if (i > 0) chain.joins.push(chain.frames.length);
    // The picture of the next clip is its first frame, too, which would be shown twice.
    chain.frames.push(...(i > 0 && way !== 'extended' ? frames.slice(1) : frames));
    videoId = made.videoId;
    if (way === 'extended') continue;
    file = path.join(folder, `${i}.png`);
    let last = frames.at(-1);
    if (way === 'last frame of the MP4') {
      const mp4 = path.join(folder, 'clip.mp4');
      await writeMp4(frames, mp4);
      last = await lastFrame(mp4, ffmpegPath);
    }
    if (!last) throw new Error('a clip without frames');
    const raw = { width: last.width, height: last.height, channels: 3 } as const;
    await sharp(last.data, { raw }).png().toFile(file);
  }
  return chain;
}

const round = (value: number, digits = 2): number => Number(value.toFixed(digits));
const rows: Row[] = [];
const missed: string[] = [];
for (const [picture, first, then = first] of chains) {
  for (const way of ways) {
    const chain = await makeChain(way, picture, [first, ...Array.from({ length: extensions }, () => then)]);
    const numbers: SeamNumbers = measureSeams(chain.frames, chain.joins);
    const prompt = then === first ? first : `${first}, ${then}`;
    rows.push({
      picture,
      prompt,
      ...{ 'frames of a clip': numFrames, size: `${chain.frames[0]?.width}x${chain.frames[0]?.height}` },
      way,
      'colour shift': round(numbers.colourShift),
      'largest shift': round(numbers.worstShift),
      'shift elsewhere': round(numbers.shiftElsewhere),
      'PSNR at joins': round(numbers.psnrAtJoin, 1),
      'PSNR elsewhere': round(numbers.psnrElsewhere, 1),
      'least margin': round(numbers.leastMargin, 1),
      detail: round(numbers.detail),
    });
    const isGood = numbers.colourShift <= 1 && numbers.leastMargin >= 0;
    if (way === 'extended' && !isGood) missed.push(`${picture}, ${prompt}`);
    if (values.keep !== undefined) {
      mkdirSync(values.keep, { recursive: true });
      const name = `${prompt}-${way}.mp4`.replaceAll(/[ ,]+/g, '-');
      await writeMp4(chain.frames, path.join(values.keep, name));
    }
  }
}
await generator.close();
rmSync(folder, { recursive: true, force: true });
printTable(`${extensions} extensions of ${numFrames} frames, size ${size} · ${environmentLine()}`, rows);
writeCsv(tables, 'extend', rows);
for (const chain of missed) process.stdout.write(`missed: ${chain}\n`);
process.exitCode = missed.length > 0 ? 1 : 0;
