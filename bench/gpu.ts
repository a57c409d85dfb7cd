/**
 * `npm run bench:gpu -- --pack PACK --checkpoint FOLDER`: diffusers and Kinora side by side, on one card and with the
 * same weights. bench/gpu/README.md says what is measured, and how.
 *
 * Diffusers runs first, in a Python process that has ended before Kinora's engine starts; they never share the card.
 * Tables are saved after every part, so that a run that is cut off leaves what it had.
 *
 * Options: --pack PACK (cuda flavour) · --checkpoint FOLDER (diffusers; the pack's) · --python PATH · --device cuda[:N]|cpu
 * · --only part,part (jobs, steps, tail, remix, budgets, idle, options, vae, large) · --side diffusers|kinora · --continue (keep what an
 * earlier run measured) · --quick (one run of each clip, 2/5 of the steps) · --steps-scale X · --repeats N · --seconds N
 * (no part is begun later) · --compile (steps of diffusers with torch.compile, too: minutes a shape) · --out FOLDER (default:
 * out/bench) · --save (into bench/results) · --commit TEXT (where there is no checkout) · --threads N
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadPack } from '../src/inference/packs/files.ts';
import { findFfmpeg } from '../src/video/ffmpeg-path.ts';
import { measureDiffusers } from './gpu/diffusers-side.ts';
import { benchedFamily } from './gpu/families.ts';
import { describeCard, kinoraParts } from './gpu/kinora-parts.ts';
import { Measurements } from './gpu/measurements.ts';
import { makePlan, type PartName, partNames } from './gpu/plan.ts';
import { makeTables } from './gpu/tables.ts';
import { VramMeter } from './gpu/vram.ts';
import { environmentLine, printTable, tablesFolder, writeCsv } from './report.ts';

const { values } = parseArgs({
  options: {
    pack: { type: 'string' },
    checkpoint: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    device: { type: 'string', default: 'cuda' },
    only: { type: 'string' },
    side: { type: 'string' },
    continue: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    'steps-scale': { type: 'string' },
    repeats: { type: 'string' },
    seconds: { type: 'string', default: '100000' },
    out: { type: 'string' },
    save: { type: 'boolean', default: false },
    commit: { type: 'string' },
    threads: { type: 'string', default: '0' },
    compile: { type: 'boolean', default: false },
  },
});
const startedAt = performance.now();
const project = fileURLToPath(new URL('..', import.meta.url));
const image = path.join(project, 'examples/cat.jpg');
const prompt = 'camera slowly zooming in';

const parts = (values.only?.split(',') ?? partNames).map((name) => {
  const match = partNames.find((part) => part === name);
  if (!match) throw new Error(`There is no part "${name}"; expected some of ${partNames.join(', ')}.`);
  return match;
});
const sides = values.side ? [values.side] : ['diffusers', 'kinora'];
if (sides.some((side) => side !== 'diffusers' && side !== 'kinora')) {
  throw new Error(`The side is "${values.side}"; expected diffusers or kinora.`);
}
const packPath = values.pack;
if (!packPath) throw new Error('--pack is missing: the model pack that Kinora runs.');
const checkpoint = values.checkpoint;
if (sides.includes('diffusers') && !checkpoint) {
  throw new Error('--checkpoint is missing: the diffusers folder that the pack was exported from.');
}

/** Of the Python script, for a part of ours. */
const scriptParts: Readonly<Partial<Record<PartName, readonly string[]>>> = {
  jobs: ['jobs'],
  steps: values.compile ? ['flop', 'steps', 'compiled'] : ['flop', 'steps'],
  vae: ['vae'],
  large: ['large'],
};

const pack = await loadPack(packPath);
const plan = makePlan(pack.manifest, {
  stepsScale: Number(values['steps-scale'] ?? (values.quick ? '0.4' : '1')),
  repeats: Number(values.repeats ?? (values.quick ? '1' : '3')),
});
const { device } = values;
const ordinal = device.startsWith('cuda') ? Number(device.split(':')[1] ?? 0) : undefined;
const card = ordinal === undefined ? device : (describeCard(ordinal) ?? `${device} (no nvidia-smi)`);
const tablesAt = values.out ?? tablesFolder(values.save);
const measurements = new Measurements(tablesAt, card, values.continue);
const { path: ffmpegPath } = await findFfmpeg({});
const folder = mkdtempSync(path.join(tmpdir(), 'kinora-bench-'));
const vram = await VramMeter.start(ordinal);

/** Of what has been measured so far. */
function save(): ReturnType<typeof makeTables> {
  const version = (name: string): string => measurements.text('diffusers', 'versions', 'python', name) ?? '?';
  const libraries = ['torch', 'diffusers', 'transformers'].map((name) => `${name} ${version(name)}`);
  const python = [...libraries, `Python ${version('python')}`, `CUDA ${version('cuda')} in torch`].join(', ');
  const budget = process.env['KINORA_VRAM_GB'] ? [`KINORA_VRAM_GB=${process.env['KINORA_VRAM_GB']}`] : [];
  const environment = [card, ...budget, python, environmentLine(values.commit)].join(', ');
  const tables = makeTables(measurements, plan);
  for (const { name, rows } of tables) writeCsv(tablesAt, name, rows, environment);
  return tables;
}

/** What failed is said; what was measured stands. */
const fail =
  (what: string) =>
  (error: unknown): void => {
    process.stderr.write(`${what}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  };

function hasTime(what: string): boolean {
  const elapsed = (performance.now() - startedAt) / 1000;
  if (elapsed < Number(values.seconds)) return true;
  process.stderr.write(`${what}: left out after ${elapsed.toFixed(0)} s\n`);
  return false;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    vram.stop();
    save();
    process.exit(1); // child processes are ended on the way out
  });
}
process.stdout.write(`${card}\n${environmentLine(values.commit)}\n`);
if (ordinal !== undefined && !vram.works)
  process.stdout.write('nvidia-smi gives no samples: no peaks of memory.\n');
try {
  if (sides.includes('diffusers') && checkpoint !== undefined) {
    const work = measureDiffusers(
      plan,
      {
        ...{ python: values.python, checkpoint, device, image, prompt, folder, ffmpegPath },
        parts: ['matrix', ...parts.flatMap((part) => scriptParts[part] ?? [])],
        request: benchedFamily(pack.manifest).diffusersRequest,
        fps: pack.manifest.defaults.fps,
      },
      measurements,
      vram,
    );
    await work.catch(fail('diffusers'));
    save();
  }
  if (sides.includes('kinora')) {
    const options = { pack, device, threads: Number(values.threads), image, prompt, folder };
    for (const part of parts) {
      if (!hasTime(part)) continue;
      await kinoraParts[part]({ plan, options, measurements, vram }).catch(fail(part));
      save();
    }
  }
} finally {
  vram.stop();
  rmSync(folder, { recursive: true, force: true });
  for (const { title, rows } of save()) printTable(title, rows);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  process.stdout.write(`\n${seconds} s, saved in ${path.resolve(tablesAt)}\n`);
}
