/** `kinora animate`: pictures and a prompt to MP4s with one warm engine, without queue or chat. */
import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Config, deviceExpectation, isDevice } from '../config.ts';
import { runWithinMemory, smallerJobs } from '../engine/memory-ladder.ts';
import type { EngineJob, EngineResult } from '../engine/protocol.ts';
import { KinoraError } from '../errors.ts';
import type { Pack } from '../inference/packs/files.ts';
import { readImageHeader } from '../inference/pictures/header.ts';
import { createLogger } from '../log.ts';
import { readFlags } from '../request/options-text.ts';
import { type GenerationOptions, variationStrengths } from '../request/request.ts';
import { describeRequest, type ResolvedRequest, resolveRequest } from '../request/resolve.ts';
import { validateBudget } from '../video/fit.ts';
import { startEngine } from './engines.ts';
import { choosePack } from './packs.ts';
import { ProgressBar } from './progress-bar.ts';

/** The options as commander passes them, those of a request by the names of their flags: readFlags() reads them. */
export interface AnimateOptions {
  readonly out?: string;
  readonly model?: string;
  readonly device?: string;
  readonly from?: string;
  readonly strength?: string;
  readonly thumbnail?: boolean;
  readonly metadata?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly [requestFlag: string]: unknown;
}

interface Task {
  readonly job: EngineJob;
  readonly request: ResolvedRequest;
}

/** File endings that make an argument a picture even if there is no such file. */
const pictureEndings = /\.(jpe?g|png|webp|gif|heic|heif|avif|svg|bmp|tiff?|pdf)$/i;

/**
 * Tells pictures from the prompt: the first argument is always a picture, others are when they exist as a file or end
 * like one. At most one argument may be left: the prompt.
 */
export async function splitArguments(
  args: readonly string[],
): Promise<{ readonly images: readonly string[]; readonly prompt: string | undefined }> {
  const images: string[] = [];
  const prompts: string[] = [];
  for (const [index, argument] of args.entries()) {
    const isPicture = index === 0 || pictureEndings.test(argument) || (await isFile(argument));
    (isPicture ? images : prompts).push(argument);
  }
  if (prompts.length > 1) {
    throw new KinoraError('INVALID_OPTION', 'There are several prompts; expected one, in quotes.');
  }
  return { images, prompt: prompts[0] };
}

/** Undefined when there is no such file; a prompt may be too long for a name, or hold a null. */
async function statOf(name: string): Promise<Stats | undefined> {
  return await stat(name).catch(() => undefined);
}

async function isFile(name: string): Promise<boolean> {
  return (await statOf(name))?.isFile() ?? false;
}

async function isFolder(name: string): Promise<boolean> {
  return (await statOf(name))?.isDirectory() ?? false;
}

export async function animate(
  args: readonly string[],
  options: AnimateOptions,
  config: Config,
  signal: AbortSignal,
): Promise<void> {
  const { images, prompt } = await splitArguments(args);
  const wanted = options.device ?? config.device;
  if (!isDevice(wanted)) {
    throw new KinoraError('INVALID_OPTION', `The device is "${wanted.slice(0, 40)}"; ${deviceExpectation}.`);
  }
  const pack = await choosePack(config, options.model ?? config.model);
  const outs = await chooseOuts(options.out, images);

  // Wrong options are refused before the engine takes memory and time.
  const tasks: Task[] = [];
  for (const [index, image] of images.entries()) {
    const out = outs[index];
    if (out !== undefined) tasks.push(await prepareTask(image, out, prompt, pack, options, config, tasks));
  }

  // The command prints its own sentence about a failure; the engine's log lines would repeat it.
  const logLevel = /^(info|debug)$/.test(config.logLevel) ? config.logLevel : 'silent';
  // Without a warm-up: the first video warms up the engine with its own shape.
  const settings = { ...config, warmUp: config.warmUp ?? [] };
  const log = createLogger('engine', logLevel);
  const { engine, choice, advice } = await startEngine(settings, pack, wanted, log);
  if (advice !== undefined && !options.quiet) process.stderr.write(`${advice}\n`);
  // A named device needs no explanation.
  if (wanted === 'auto' && !options.json && !options.quiet) {
    process.stderr.write(`${pack.manifest.id} runs on ${choice}.\n`);
  }
  const reports: Record<string, unknown>[] = [];
  const bar = new ProgressBar(process.stderr);
  try {
    for (const task of tasks) {
      const startedAt = performance.now();
      const result = await runWithinMemory(engine, task.job, {
        signal,
        onProgress: (event) => {
          if (!options.quiet) bar.update(event);
        },
      });
      bar.clear();
      const seconds = (performance.now() - startedAt) / 1000;
      reports.push(describe(task, result));
      if (!options.json && !options.quiet) process.stderr.write(summarize(result, seconds));
    }
  } finally {
    bar.clear();
    await engine.stop();
  }
  if (options.json) {
    const [only] = reports;
    process.stdout.write(`${JSON.stringify(images.length === 1 ? only : { videos: reports }, null, 2)}\n`);
  }
}

async function prepareTask(
  image: string,
  outPath: string | { readonly folder: string; readonly stem: string },
  prompt: string | undefined,
  pack: Pack,
  options: AnimateOptions,
  config: Config,
  earlier: readonly Task[],
): Promise<Task> {
  const asked = { ...config.shortcuts, ...readFlags(options), ...variationOf(options) };
  const wanted = prompt === undefined ? asked : { ...asked, prompt };
  if (wanted.maxBytes !== undefined) validateBudget(wanted.maxBytes);
  const request = resolveRequest(pack.manifest, wanted, await readImageHeader(image));
  const { preset: _preset, ...numbers } = request;
  const out =
    typeof outPath === 'string'
      ? outPath
      : await freeName(outPath.folder, `${outPath.stem}-${request.seed}`, earlier);
  const metadata = config.metadata && options.metadata !== false;
  const job: EngineJob = {
    ...numbers,
    id: `cli-${randomUUID()}`,
    imagePath: path.resolve(image),
    outPath: out,
    ...(options.thumbnail ? { thumbnailPath: `${out.replace(/\.mp4$/i, '')}.jpg` } : {}),
    ...(metadata ? { metadata: describeRequest(request, pack.manifest) } : {}),
    smaller: smallerJobs(pack.manifest, request, metadata),
  };
  return { job, request };
}

function variationOf({ from, strength }: AnimateOptions): Pick<GenerationOptions, 'variation'> {
  if (strength !== undefined && from === undefined) {
    throw new KinoraError('INVALID_OPTION', '--strength belongs to --from VIDEO-ID; expected both or none.');
  }
  if (from === undefined) return {};
  return { variation: { videoId: from, strength: parseStrength(strength ?? 'subtle') } };
}

function parseStrength(text: string): number {
  if (text === 'subtle' || text === 'strong') return variationStrengths[text];
  const strength = Number(text);
  if (text.trim() === '' || Number.isNaN(strength)) {
    throw new KinoraError(
      'INVALID_OPTION',
      `The strength is "${text.slice(0, 40)}"; expected subtle, strong or a number from 0.01 to 1.`,
    );
  }
  return strength;
}

type Out = string | { readonly folder: string; readonly stem: string };

/** The path of each video: the named file, or a free name in a folder. */
async function chooseOuts(out: string | undefined, images: readonly string[]): Promise<Out[]> {
  const namesFolder = out === undefined || /[/\\]$/.test(out) || (await isFolder(out));
  if (!namesFolder && images.length > 1) {
    throw new KinoraError(
      'INVALID_OPTION',
      `There are ${images.length} pictures, but --out names one file; expected a folder.`,
    );
  }
  const folder = path.resolve(namesFolder ? (out ?? '.') : path.dirname(out));
  if (!(await isFolder(folder))) throw new KinoraError('OUTPUT_UNWRITABLE', `There is no folder ${folder}.`);
  try {
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new KinoraError('OUTPUT_UNWRITABLE', `The folder ${folder} may not be written to.`, { cause });
  }
  if (!namesFolder) {
    const file = path.resolve(out);
    return [/\.mp4$/i.test(file) ? file : `${file}.mp4`];
  }
  return images.map((image) => ({ folder, stem: path.parse(image).name }));
}

/** A name that no file has: only a video that --out names is overwritten. */
async function freeName(folder: string, stem: string, earlier: readonly Task[]): Promise<string> {
  for (let number = 1; ; number++) {
    const file = path.join(folder, `${stem}${number === 1 ? '' : `-${number}`}.mp4`);
    const taken = earlier.some((task) => task.job.outPath === file) || (await statOf(file)) !== undefined;
    if (!taken) return file;
  }
}

/** The object of --json. */
function describe({ request }: Task, result: EngineResult): Record<string, unknown> {
  const { outPath, videoId, bytes, seed, width, height, numFrames, fps, durationSeconds } = result;
  return {
    out: outPath,
    videoId,
    seed,
    prompt: request.prompt,
    preset: result.reducedTo ?? request.preset,
    ...(result.reducedTo === undefined ? {} : { reducedTo: result.reducedTo }),
    width,
    height,
    numFrames,
    fps,
    durationSeconds,
    scheduler: request.scheduler,
    guidanceEnd: request.guidanceEnd,
    featureReuse: request.featureReuse,
    bytes,
    model: result.model,
    device: result.device,
    cache: result.cache,
    timings: Object.fromEntries(Object.entries(result.timings).map(([name, ms]) => [name, Math.round(ms)])),
    notes: result.notes,
  };
}

const reusable: Readonly<Record<string, string>> = {
  image: 'what the model saw in the picture',
  prompt: 'what it understood of the prompt',
  video: 'the earlier video',
};

function summarize(result: EngineResult, seconds: number): string {
  const { outPath, width, height, numFrames, fps, durationSeconds, bytes, seed, videoId, cache, notes } =
    result;
  const { reducedTo } = result;
  const size = bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const reused = cache.hits.map((kind) => reusable[kind] ?? kind);
  return [
    outPath,
    `  ${width}×${height}, ${numFrames} frames at ${fps} fps (${durationSeconds.toFixed(1)} s), ${size}, made in ${seconds.toFixed(1)} s on ${result.device}`,
    `  seed ${seed} · video id ${videoId}`,
    ...(reused.length > 0 ? [`  reused: ${reused.join(', ')}`] : []),
    ...(reducedTo === undefined
      ? []
      : [`  note: Memory ran out, so it was made smaller, as the preset ${reducedTo} would have it.`]),
    ...notes.map((note) => `  note: ${note}`),
    '',
  ].join('\n');
}
