/**
 * `npm run bench:quality`: how well the built-in model does what it is told, on pictures that its training has not seen
 * and on prompts that were written without a look at its words. The questions:
 *
 * 1. Prompts: does it understand what is asked for, speed included? By what it says itself of every prompt.
 * 2. Camera: does the clip do it? The part of the picture that each frame shows is found from its pixels
 *    (quality/similarity.ts) and read as a move (quality/camera.ts); then the picture is warped by it and compared with
 *    the frame: PSNR against the original picture, the outermost pixels apart, where smeared borders would show.
 * 3. Pixels: those of the prompts that ask for one camera move alone, by what the clip's pixels show, speed included.
 * 4. Weather: more where heavy was asked for, and with the wind, by counting and following particles (quality/weather.ts).
 * 5. Masks: how much of waves, sway and clouds lies inside masks drawn by hand; whether the first frame is the picture;
 *    how far apart two seeds are there; whether clouds move more when fast, and with the wind (quality/places.ts).
 * 6. Seeds: how far apart are the clips of two seeds, in all frames but the first, which is the picture? Waves, sway and
 *    clouds where anything moves, all else over the whole picture.
 * 7. Sheets: a contact sheet of all kinds and three moving pictures, to be looked at.
 *
 * Options: --only prompts|camera|pixels|weather|masks|seeds|sheets · --quick (a part of each) · --set
 * second|third|fourth|fifth|sixth|seventh|eighth|ninth|test|dev · --limit N · --threads N · --readme (sheets go to docs/) · --save (tables go to bench/results instead of out/bench)
 * Ends with 1 when a goal is missed.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp, { type OverlayOptions } from 'sharp';
import { z } from 'zod';
import { motionWords } from '../src/request/motions.ts';
import { cameraPrompts, readCamera } from './quality/camera.ts';
import { Generator, originalPicture } from './quality/generate.ts';
import { psnr, psnrOfChanged, psnrOfMoved, resample } from './quality/pixels.ts';
import { cloudsObey, examinePlaces } from './quality/places.ts';
import { fitSimilarity, identity, warpOf } from './quality/similarity.ts';
import { examineWeather } from './quality/weather.ts';
import { environmentLine, printTable, type Row, tablesFolder, writeCsv } from './report.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    set: { type: 'string', default: 'ninth' },
    limit: { type: 'string' },
    threads: { type: 'string', default: '0' },
    quick: { type: 'boolean', default: false },
    readme: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
});
const project = fileURLToPath(new URL('..', import.meta.url));
const tables = tablesFolder(values.save);
const example = (name: string): string => path.join(project, 'examples', name);
const pictures = ['cat.jpg', 'coffee.jpg', 'astronaut.jpg'].map(example);
const limit = Number(values.limit ?? (values.quick ? 40 : Number.POSITIVE_INFINITY));
const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;

/** The first edition's prompts list motions, the second's have a speed for each. */
const promptsSchema = z.array(
  z.object({
    prompt: z.string(),
    language: z.string().default('en, zh'),
    motions: z.union([
      z.record(z.string(), z.string()),
      z
        .array(z.object({ kind: z.string(), speed: z.string() }))
        .transform((list) => Object.fromEntries(list.map(({ kind, speed }) => [kind, speed]))),
    ]),
  }),
);

/** What counts: a still camera has no speed, and says nothing beside something that moves. */
function meaning(motions: Readonly<Record<string, string>>): string {
  const moving = Object.entries(motions).filter(([kind]) => kind !== 'static');
  if (moving.length === 0) return 'static' in motions ? 'static' : 'zoom-in slow';
  return moving
    .map(([kind, speed]) => `${kind} ${speed}`)
    .sort()
    .join(' + ');
}

function promptsOfSet(): z.infer<typeof promptsSchema> {
  const file = path.join(project, 'tests/fixtures/prompts', `${values.set}.json`);
  return promptsSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}

async function examinePrompts(generator: Generator): Promise<boolean> {
  const all = promptsOfSet();
  const rows: Row[] = [];
  for (const { prompt, language, motions } of all.slice(0, limit)) {
    const { understood } = await generator.clip(example('coffee.jpg'), {
      prompt,
      size: '128x128',
      numFrames: 1,
    });
    const read = meaning(Object.fromEntries(understood.asked.map(({ motion, speed }) => [motion, speed])));
    const expected = meaning(motions);
    rows.push({ language, prompt, expected, read, obeyed: read === expected ? 1 : 0 });
  }
  const share = (part: readonly Row[]): string => {
    const obeyed = part.filter((row) => row['obeyed'] === 1).length;
    return `${obeyed}/${part.length} (${((100 * obeyed) / part.length).toFixed(1)} %)`;
  };
  const languages = [...new Set(rows.map((row) => String(row['language'])))];
  printTable(`Prompts understood, speed included (${values.set} set)`, [
    { group: 'all', understood: share(rows) },
    ...languages.map((language) => ({
      group: language,
      understood: share(rows.filter((row) => row['language'] === language)),
    })),
  ]);
  const misses = rows.filter((row) => row['obeyed'] === 0);
  if (misses.length > 0) printTable('Not understood', misses);
  if (rows.length === all.length) writeCsv(tables, `quality-prompts-${values.set}`, rows);
  return rows.length - misses.length >= 0.98 * rows.length;
}

/** Of prompts that ask for one move of the camera and nothing else, the move that their clips make. */
async function examinePixels(generator: Generator): Promise<boolean> {
  const side = 160;
  const file = example('coffee.jpg');
  const picture = await originalPicture(file, side, side);
  const rows: Row[] = [];
  const prompts = promptsOfSet().filter(({ motions }) => {
    const [only, ...others] = Object.keys(motions);
    return only !== undefined && others.length === 0 && only in cameraPrompts;
  });
  for (const [index, { prompt, language, motions }] of prompts.slice(0, limit).entries()) {
    const options = { prompt, size: `${side}x${side}`, numFrames: 5, seed: 1 + index };
    const frames = await generator.frames(file, options);
    let fit = identity;
    const fits = frames.map((data) => {
      fit = fitSimilarity(picture, { width: side, height: side, data }, fit);
      return fit;
    });
    const seen = readCamera(fits[0] ?? identity, fits.at(-1) ?? identity, picture);
    const read = seen.map(({ motion, speed }) => `${motion} ${speed}`).join(' + ');
    const expected = meaning(motions);
    rows.push({ language, prompt, expected, read, obeyed: read === expected ? 1 : 0 });
  }
  const obeyed = rows.filter((row) => row['obeyed'] === 1).length;
  printTable(`Camera prompts obeyed, by pixels (${values.set} set): ${obeyed}/${rows.length}`, [
    ...rows.filter((row) => row['obeyed'] === 0),
  ]);
  writeCsv(tables, `quality-pixels-${values.set}`, rows);
  return obeyed >= 0.98 * rows.length;
}

async function examineWind(generator: Generator): Promise<boolean> {
  const rows = await examineWeather(generator, values.quick);
  printTable('Weather: amounts by strength, and whether it goes with the wind', rows);
  writeCsv(tables, 'quality-weather', rows);
  return rows.every((row) => row['obeyed'] === 1);
}

async function examineMasks(generator: Generator): Promise<boolean> {
  const rows = await examinePlaces(generator, path.join(project, 'tests/fixtures/masks'), values.quick);
  printTable('Waves, sway and clouds: how much of what changes lies inside masks drawn by hand', rows);
  writeCsv(tables, 'quality-masks', rows);
  return rows
    .filter((row) => row['done'] === 'yes')
    .every(
      (row) =>
        Number(row['inside %']) >= 80 &&
        Number(row['first dB']) >= 40 &&
        (row['kind'] !== 'clouds' || cloudsObey(row)),
    );
}

const borderPixels = 4;
const speedWords = { slow: 'slowly', normal: '', fast: 'fast' } as const;

/** The outermost pixels of a square frame. */
function ring(data: Uint8Array, side: number): Uint8Array {
  const kept: number[] = [];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const isInner = Math.min(x, y, side - 1 - x, side - 1 - y) >= borderPixels;
      if (!isInner) kept.push(...data.subarray((y * side + x) * 3, (y * side + x) * 3 + 3));
    }
  }
  return Uint8Array.from(kept);
}

async function examineCamera(generator: Generator): Promise<boolean> {
  const side = 256;
  const rows: Row[] = [];
  for (const [motion, words] of Object.entries(cameraPrompts)) {
    const scores: number[] = [];
    const firsts: number[] = [];
    const borders: number[] = [];
    let right = 0;
    let clips = 0;
    for (const file of values.quick ? pictures.slice(0, 1) : pictures) {
      const picture = await originalPicture(file, side, side);
      for (const [speed, word] of Object.entries(speedWords)) {
        const prompt = `${words} ${word}`.trim();
        const options = { prompt, size: `${side}x${side}`, numFrames: 8, seed: 1 + clips };
        const frames = await generator.frames(file, options);
        let fit = identity;
        const fits = frames.map((data, index) => {
          fit = fitSimilarity(picture, { width: side, height: side, data }, fit);
          const expected = resample(picture, warpOf(fit, side, side)).data;
          scores.push(psnr(data, expected));
          if (index === 0) firsts.push(psnr(data, expected));
          borders.push(psnr(ring(data, side), ring(expected, side)));
          return fit;
        });
        const seen = readCamera(fits[0] ?? identity, fits.at(-1) ?? identity, picture);
        if (seen.length === 1 && seen[0]?.motion === motion && seen[0].speed === speed) right++;
        clips++;
      }
    }
    rows.push({
      motion,
      obeyed: `${right}/${clips}`,
      mean: mean(scores).toFixed(1),
      first: mean(firsts).toFixed(1),
      worst: Math.min(...scores).toFixed(1),
      border: mean(borders).toFixed(1),
    });
  }
  printTable('Camera: moves that were done, and PSNR against the original picture warped (256², dB)', rows);
  writeCsv(tables, 'quality-camera', rows);
  return rows.every((row) => Number(row['mean']) >= 40 && Number(row['first']) >= 40);
}

/** Mean PSNR between two seeds that counts as another clip, in dB. */
const enoughDistance = { camera: 33, other: 28 };

async function examineSeeds(generator: Generator): Promise<boolean> {
  const rows: Row[] = [];
  for (const [kind, prompt] of Object.entries(motionWords)) {
    if (kind === 'static' || kind.startsWith('wind')) continue;
    const scores: number[] = [];
    const photos = photosWith[kind];
    for (const file of (photos ?? pictures).slice(0, values.quick ? 1 : undefined)) {
      const [one, other] = [
        await generator.clip(file, { prompt, size: '384x256', numFrames: 9, seed: 1 }),
        await generator.clip(file, { prompt, size: '384x256', numFrames: 9, seed: 2 }),
      ];
      if (!one.understood.done.some(({ motion }) => motion === kind)) continue;
      // The first frame of most kinds is the picture, whatever the seed, and so is the last one of flicker and lightning.
      if (photos) scores.push(psnrOfMoved(one.frames.slice(0, -1), other.frames.slice(0, -1)));
      else scores.push(...psnrOfChanged(one.frames, other.frames));
    }
    const isCamera = kind in cameraPrompts;
    const most = isCamera ? enoughDistance.camera : enoughDistance.other;
    const over = photos ? 'what moves' : 'all';
    if (scores.length > 0) rows.push({ kind, over, dB: mean(scores).toFixed(1), 'at most': most });
  }
  printTable('Between two seeds of one prompt: mean PSNR', rows);
  writeCsv(tables, 'quality-seeds', rows);
  return rows.every((row) => Number(row['dB']) <= Number(row['at most']));
}

const masked = (name: string): string => path.join(project, 'tests/fixtures/masks', name);
/** Photos for motions that need something in the picture. They come back to it, so that the last frame is not compared. */
const photosWith: Readonly<Record<string, readonly string[]>> = {
  waves: ['ocean-waves.jpg', 'lake-sherburne.jpg', 'singaporean-cityscape.jpg'].map(masked),
  sway: ['raccoon.jpg', 'dandelions.jpg', 'tea-gardens.jpg'].map(masked),
  clouds: ['lake-sherburne.jpg', 'extreme-desert-hike.jpg', 'beacon-street-sunset.jpg'].map(masked),
};

/** Where a motion needs something in the picture; the others take turns with the examples. */
const placesOf: Readonly<Record<string, string>> = {
  waves: 'ocean-waves.jpg',
  sway: 'tea-gardens.jpg',
  clouds: 'singaporean-cityscape.jpg',
  steam: 'coffee.jpg',
};

async function drawSheets(generator: Generator): Promise<void> {
  const folder = path.join(project, values.readme ? 'docs' : 'out');
  mkdirSync(folder, { recursive: true });
  const [width, height, columns, label] = [240, 160, 5, 20] as const;
  const tiles: OverlayOptions[] = [];
  const kinds = Object.entries(motionWords).filter(([kind]) => !kind.startsWith('wind'));
  for (const [row, [kind, prompt]] of kinds.entries()) {
    const place = placesOf[kind];
    const picture = place ? masked(place) : (pictures[row % 3] ?? '');
    // As the presets make them: fewer frames would show less of what falls and drifts.
    const clip = await generator.clip(picture, { prompt, size: '384', numFrames: 4 * columns - 3 });
    const top = row * (height + label + 4);
    const name = await sharp({ text: { text: prompt, dpi: 96, rgba: true } })
      .png()
      .toBuffer();
    tiles.push({ input: name, left: 0, top });
    for (let column = 0; column < columns; column++) {
      const raw = { width: clip.width, height: clip.height, channels: 3 as const };
      const frame = clip.frames[4 * column];
      const input = await sharp(frame, { raw }).resize(width, height).png().toBuffer();
      tiles.push({ input, left: column * (width + 4), top: top + label });
    }
  }
  const create = {
    width: columns * (width + 4) - 4,
    height: kinds.length * (height + label + 4) - 4,
    channels: 3 as const,
    background: '#ffffff',
  };
  const sheet = await sharp({ create }).composite(tiles).jpeg({ quality: 70 }).toBuffer();
  writeFileSync(path.join(folder, 'motions.jpg'), sheet);
  const moving = [
    // Goes back at its end, as --loop does. What falls and flows repeats by itself.
    { name: 'cat', picture: example('cat.jpg'), prompt: 'camera slowly zooming in', isPlayedBack: true },
    { name: 'snow', picture: masked('raccoon.jpg'), prompt: 'snow falling', isPlayedBack: false },
    {
      name: 'city',
      picture: masked('singaporean-cityscape.jpg'),
      prompt: 'waves, clouds drifting',
      isPlayedBack: false,
    },
  ];
  for (const { name, picture, prompt, isPlayedBack } of moving) {
    const { frames, width, height } = await generator.clip(picture, { prompt, size: '320', numFrames: 40 });
    const pages = isPlayedBack ? [...frames, ...frames.slice(1, -1).reverse()] : frames;
    const raw = { width, height: height * pages.length, channels: 3 as const, pageHeight: height };
    await sharp(Buffer.concat(pages), { raw })
      // Below, blocks of earlier frames stay where little moves.
      .webp({ quality: 85, loop: 0, delay: pages.map(() => 60) })
      .toFile(path.join(folder, `${name}.webp`));
  }
  process.stdout.write(`\nSheets: motions.jpg, cat.webp, snow.webp and city.webp in ${folder}\n`);
}

process.stdout.write(`${environmentLine()}\n`);
const generator = await Generator.open(path.join(project, 'models/builtin'), Number(values.threads));
const verdicts: boolean[] = [];
if (!values.only || values.only === 'prompts') verdicts.push(await examinePrompts(generator));
if (!values.only || values.only === 'camera') verdicts.push(await examineCamera(generator));
if (!values.only || values.only === 'pixels') verdicts.push(await examinePixels(generator));
if (!values.only || values.only === 'weather') verdicts.push(await examineWind(generator));
if (!values.only || values.only === 'masks') verdicts.push(await examineMasks(generator));
if (!values.only || values.only === 'seeds') verdicts.push(await examineSeeds(generator));
if (!values.only || values.only === 'sheets') await drawSheets(generator);
await generator.close();
if (verdicts.length > 0) {
  const reached = verdicts.every(Boolean);
  process.stdout.write(`\n${reached ? 'Every goal is reached.' : 'A goal is missed.'}\n`);
  if (!reached) process.exitCode = 1;
}
