/**
 * `npm run bench`: what a clip costs and where the time goes, with the built-in and the tiny pack.
 *
 * 1. Cold: `kinora animate` as a person types it, in a fresh data folder: seconds, and the memory of all its processes.
 * 2. Warm: jobs through one engine, a picture that the cache does not know against one that it does; milliseconds per
 *    phase, and the share of the time that is spent outside ONNX sessions.
 * 3. Decoding: chunk size against memory, each in a process of its own; all must make the same frames.
 *
 * Options: --only cold|warm|decoding · --threads N (0: the runtime decides) · --jobs N · --save (tables go to
 * bench/results instead of out/bench)
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import type { EngineResult } from '../src/engine/protocol.ts';
import { Engine } from '../src/engine/supervisor.ts';
import { loadPack } from '../src/inference/packs/files.ts';
import { decodeImage } from '../src/inference/pictures/decode.ts';
import { createLogger } from '../src/log.ts';
import { resolveRequest } from '../src/request/resolve.ts';
import { findFfmpeg } from '../src/video/ffmpeg-path.ts';
import type { DecodingMeasured } from './engine/decoding.ts';
import { environmentLine, printTable, type Row, tablesFolder, writeCsv } from './report.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    threads: { type: 'string', default: '0' },
    jobs: { type: 'string', default: '5' },
    save: { type: 'boolean', default: false },
  },
});
const project = fileURLToPath(new URL('..', import.meta.url));
const cat = path.join(project, 'examples/cat.jpg');
const packs = { builtin: 'models/builtin', tiny: 'tests/fixtures/packs/tiny' } as const;
const folder = mkdtempSync(path.join(tmpdir(), 'kinora-bench-'));
const tables = tablesFolder(values.save);
const jobCount = Number(values.jobs);

const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN;

/** Memory of a process and everything below it, pages that several share counted once. Linux only; elsewhere 0. */
function treeBytes(root: number): number {
  const parents = new Map<number, number>();
  try {
    for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
      parents.set(pid, Number(/PPid:\s+(\d+)/.exec(readProc(pid, 'status'))?.[1]));
    }
  } catch {
    return 0;
  }
  const belongs = (pid: number | undefined): boolean =>
    pid === root || (pid !== undefined && pid > 1 && belongs(parents.get(pid)));
  const sizes = [...parents.keys()].filter(belongs).map((pid) => readProc(pid, 'smaps_rollup'));
  return sizes.reduce((sum, text) => sum + Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024, 0);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it has just ended
  }
}

async function measureCold(): Promise<void> {
  const rows: Row[] = [];
  for (let run = 1; run <= 3; run++) {
    const startedAt = performance.now();
    const out = path.join(folder, `cold-${run}.mp4`);
    const child = spawn(
      process.execPath,
      [path.join(project, 'src/kinora.mjs'), 'animate', cat, 'camera slowly zooming in', '--out', out],
      {
        stdio: 'ignore',
        env: {
          ...process.env,
          KINORA_DATA_DIR: path.join(folder, `data-${run}`),
          KINORA_THREADS: values.threads,
        },
      },
    );
    let peakBytes = 0;
    const poll = setInterval(() => {
      peakBytes = Math.max(peakBytes, treeBytes(child.pid ?? 0));
    }, 50);
    const code = await new Promise<number | null>((resolve) => child.on('exit', resolve));
    clearInterval(poll);
    if (code !== 0) throw new Error(`kinora animate ended with ${code}`);
    rows.push({
      run,
      seconds: ((performance.now() - startedAt) / 1000).toFixed(1),
      'peak MB of all processes': Math.round(peakBytes / 1e6),
    });
  }
  printTable('Cold: kinora animate examples/cat.jpg "camera slowly zooming in"', rows);
  writeCsv(tables, 'engine-cold', rows);
}

async function measureWarm(name: keyof typeof packs): Promise<Row[]> {
  const pack = await loadPack(path.join(project, packs[name]));
  const ffmpeg = await findFfmpeg({});
  const engine = Engine.start(
    {
      packPath: pack.folder,
      device: 'cpu',
      threads: Number(values.threads),
      cachePath: path.join(folder, `cache-${name}`),
      cacheMemoryBytes: 256e6,
      cacheDiskBytes: 1e9,
      ffmpegPath: ffmpeg.path,
    },
    {},
    createLogger('bench', 'error'),
  );
  const run = async (image: string, prompt: string, seed: number): Promise<EngineResult> => {
    const { preset: _, ...request } = resolveRequest(
      pack.manifest,
      { prompt, seed },
      await decodeImage(image),
    );
    const out = { outPath: path.join(folder, `${name}-${seed}.mp4`), loop: false, smooth: 1 as const };
    const job = { ...request, ...out, id: `bench-${name}-${seed}`, imagePath: image };
    return await engine.run(job, { signal: new AbortController().signal, onProgress: () => {} });
  };
  await run(cat, 'pan left', 1); // warms up code, memory and files
  const unknown: EngineResult[] = [];
  const known: EngineResult[] = [];
  for (let index = 0; index < jobCount; index++) {
    unknown.push(await run(await unknownPicture(index), `zoom out ${index}`, 100 + index));
    known.push(await run(cat, `zoom in ${index}`, 200 + index));
  }
  if (unknown.some(({ cache }) => cache.hits.includes('image'))) throw new Error('a picture was known');
  if (known.some(({ cache }) => cache.misses.includes('image'))) throw new Error('a picture was unknown');
  await engine.stop();
  return [describe(name, 'unknown picture', unknown), describe(name, 'known picture', known.slice(1))];
}

/** A slightly brighter cat every time. */
async function unknownPicture(index: number): Promise<string> {
  const { data, width, height } = await decodeImage(cat);
  const brighter = data.map((value) => Math.min(255, value + index + 1));
  const file = path.join(folder, `unknown-${index}.png`);
  await sharp(brighter, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(file);
  return file;
}

function describe(pack: string, picture: string, results: readonly EngineResult[]): Row {
  const middle = (name: string): number => median(results.map(({ timings }) => timings[name] ?? 0));
  const outside = median(
    results.map(({ timings }) => 1 - (timings['sessions'] ?? 0) / (timings['total'] ?? 1)),
  );
  const phases = ['encodeText', 'encodeImage', 'conditioning', 'denoise', 'decode', 'finishing'];
  const [first] = results;
  return {
    pack,
    picture,
    clip: first ? `${first.width}x${first.height}x${first.numFrames}` : '',
    ...Object.fromEntries(phases.map((phase) => [phase, Math.round(middle(phase))])),
    'total ms': Math.round(middle('total')),
    'outside sessions': `${(100 * outside).toFixed(1)} %`,
  };
}

async function measureDecoding(): Promise<void> {
  const rows: Row[] = [];
  let whole: DecodingMeasured | undefined;
  for (const chunkSize of [16, 8, 4, 2, 1]) {
    const script = fileURLToPath(new URL('engine/decoding.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', 'tsx', script, String(chunkSize), values.threads], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let text = '';
    for await (const part of child.stdout) text += String(part);
    const measured = JSON.parse(text) as DecodingMeasured;
    whole ??= measured;
    rows.push({
      'frames at once': chunkSize,
      ms: Math.round(measured.ms),
      'extra MB': Math.round(measured.extraBytes / 1e6),
      'of all at once': `${((100 * measured.extraBytes) / whole.extraBytes).toFixed(0)} %`,
      frames: measured.sha256 === whole.sha256 ? 'identical' : 'DIFFERENT',
    });
  }
  printTable('Decoding 16 frames of 512x512, built-in pack', rows);
  writeCsv(tables, 'engine-decoding', rows);
}

process.stdout.write(`${environmentLine()}\n`);
try {
  if (!values.only || values.only === 'cold') await measureCold();
  if (!values.only || values.only === 'warm') {
    const rows = [...(await measureWarm('builtin')), ...(await measureWarm('tiny'))];
    printTable('Warm jobs, medians in ms', rows);
    writeCsv(tables, 'engine-warm', rows);
  }
  if (!values.only || values.only === 'decoding') await measureDecoding();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
