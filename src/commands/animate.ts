/** `kinora animate`: pictures and a prompt to MP4s with one warm engine, without queue or chat. */

import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { calledAs } from '../called-as.ts';
import { type Config, deviceExpectation, isDevice } from '../config.ts';
import { runWithinMemory, smallerJobs } from '../engine/memory-ladder.ts';
import type { EngineJob } from '../engine/protocol.ts';
import {
  describeError,
  deserializeError,
  type ErrorCode,
  errorCatalogue,
  KinoraError,
  remedyOf,
  type SerializedError,
  serializeError,
} from '../errors.ts';
import type { ClipOrigin } from '../inference/image-to-video.ts';
import type { Pack } from '../inference/packs/files.ts';
import { PictureDecoder } from '../inference/pictures/decoder-process.ts';
import { pictureName } from '../inference/pictures/format.ts';
import { checkMaskShape, readMask } from '../inference/pictures/motion-mask.ts';
import { createLogger } from '../log.ts';
import { checkExtensionOptions, checkLength, framesAdded } from '../request/extension.ts';
import { withoutEffect } from '../request/model-limits.ts';
import { readFlags } from '../request/options-text.ts';
import {
  type Generation,
  type GenerationOptions,
  type Shortcuts,
  variationStrengths,
} from '../request/request.ts';
import { describeRequest, type ResolvedRequest, resolveRequest } from '../request/resolve.ts';
import { numFramesBefore } from '../video/filters.ts';
import { validateBudget } from '../video/fit.ts';
import { readMp4Info } from '../video/mp4.ts';
import { isFile, Outs } from './animate-files.ts';
import { type Asked, describe, summarize } from './animate-report.ts';
import { startEngine } from './engines.ts';
import { findKeptVideo, type KeptVideo } from './kept-video.ts';
import { assertShortcuts, choosePack } from './packs.ts';
import { ProgressBar } from './progress-bar.ts';

/** The options as commander passes them, those of a request by the names of their flags: readFlags() reads them. */
export interface AnimateOptions {
  readonly out?: string;
  readonly model?: string;
  readonly device?: string;
  readonly from?: string;
  readonly extend?: string;
  /** A picture, white where the clip may move. */
  readonly mask?: string;
  readonly strength?: string;
  readonly thumbnail?: boolean;
  readonly metadata?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly force?: boolean;
  readonly [requestFlag: string]: unknown;
}

interface Task extends Asked {
  readonly image: string;
  readonly job: EngineJob;
}

interface Failed {
  readonly image: string;
  readonly failure: SerializedError;
}

/**
 * Tells pictures from the prompt: the first argument is always a picture, others are when they exist as a file or end
 * like one. At most one argument may be left: the prompt.
 * @param isFirst whether the first argument is always a picture; not so where an earlier video has one
 */
export async function splitArguments(
  args: readonly string[],
  isFirst = true,
): Promise<{ readonly images: readonly string[]; readonly prompt: string | undefined }> {
  const images: string[] = [];
  const prompts: string[] = [];
  for (const [index, argument] of args.entries()) {
    const isPicture = (isFirst && index === 0) || pictureName.test(argument) || (await isFile(argument));
    (isPicture ? images : prompts).push(argument);
  }
  if (prompts.length > 1) {
    throw new KinoraError('INVALID_OPTION', 'There are several prompts; expected one, in quotes.', {
      remedy: 'Put the words of the prompt between one pair of quotes.',
    });
  }
  return { images, prompt: prompts[0] };
}

/** After these the other pictures would fail, too. */
const endsAll: ReadonlySet<ErrorCode> = new Set([
  'CANCELLED',
  'DEVICE_UNAVAILABLE',
  'DISK_FULL',
  'FFMPEG_MISSING',
  'PACK_INVALID',
]);

export async function animate(
  args: readonly string[],
  options: AnimateOptions,
  config: Config,
  signal: AbortSignal,
): Promise<void> {
  const { extend } = options;
  const keptId = keptIdOf(options);
  const named = await splitArguments(args, keptId === undefined);
  const wanted = options.device ?? config.device;
  if (!isDevice(wanted)) {
    throw new KinoraError('INVALID_OPTION', `The device is "${wanted.slice(0, 40)}"; ${deviceExpectation}.`);
  }
  const strength = strengthOf(options);
  const pack = await choosePack(config, options.model ?? config.model);
  const kept = keptId === undefined ? undefined : await findKeptVideo(config, pack, keptId);
  const variation = kept && extend === undefined ? { variation: { videoId: kept.videoId, strength } } : {};
  const images = named.images.length > 0 ? named.images : kept?.imagePath ? [kept.imagePath] : [];
  if (images.length === 0) {
    const remedy = `Name one, such as: ${calledAs('animate', 'photo.jpg "camera slowly zooming in"')}`;
    throw new KinoraError('IMAGE_NOT_FOUND', 'There is no picture to animate.', { remedy });
  }
  const flags = readFlags(options);
  const extension = kept && extend !== undefined ? await extensionOf(kept, flags) : undefined;
  const asked = {
    ...kept?.options,
    ...flags,
    ...(named.prompt === undefined ? {} : { prompt: named.prompt }),
    ...(extension ? { extension } : {}),
  };
  assertShortcuts(without(config.shortcuts, asked), pack);
  const outs = await Outs.choose(options, images);

  // Wrong options are refused before the engine takes memory and time.
  const tasks: Task[] = [];
  const failed: Failed[] = [];
  const fail = (image: string, error: unknown): void => {
    const failure = serializeError(error);
    // One picture, or options that fit none of them.
    if (images.length === 1 || endsAll.has(failure.code)) throw error;
    failed.push({ image, failure });
  };
  for (const image of images) {
    try {
      const seed = extension ? { seed: flags.seed ?? kept?.seed } : {};
      const wish = { ...config.shortcuts, ...asked, ...seed, ...variation };
      const mask = options.mask ?? kept?.maskPath;
      const earlierPath = extension ? kept?.videoPath : kept?.earlierPath;
      tasks.push(await prepareTask({ image, mask, earlierPath, asked, wish, outs, pack, options, config }));
    } catch (error) {
      fail(image, error);
    }
  }
  const [first] = failed;
  if (first && tasks.length === 0) throw deserializeError(first.failure);
  for (const { image, failure } of failed) process.stderr.write(`${image}: ${describeError(failure)}\n`);
  await outs.makeFolder();

  // The command prints its own sentence about a failure; the engine's log lines would repeat it.
  const logLevel = /^(info|debug)$/.test(config.logLevel) ? config.logLevel : 'silent';
  // Without a warm-up: the first video warms up the engine with its own shape.
  const settings = { ...config, warmUp: config.warmUp ?? [] };
  const log = createLogger('engine', logLevel);
  const { engine, choice, advice } = await startEngine(settings, [pack], wanted, log);
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
      try {
        const result = await runWithinMemory(engine, task.job, {
          signal,
          onProgress: (event) => {
            if (!options.quiet) bar.update(event);
          },
        });
        bar.clear();
        const seconds = (performance.now() - startedAt) / 1000;
        reports.push(describe(task, result));
        if (!options.json && !options.quiet) process.stderr.write(summarize(task, result, seconds));
      } catch (error) {
        bar.clear();
        fail(task.image, error);
        process.stderr.write(`${task.image}: ${describeError(serializeError(error))}\n`);
      }
    }
  } finally {
    bar.clear();
    await engine.stop();
  }
  if (options.json) printJson(images.length, reports, failed);
  const worst = failed[0]?.failure.code;
  if (worst) process.exitCode = errorCatalogue[worst].exitCode;
}

/** The settings that no option replaces. */
function without(shortcuts: Shortcuts, asked: GenerationOptions): Shortcuts {
  return Object.fromEntries(Object.entries(shortcuts).filter(([name]) => !Object.hasOwn(asked, name)));
}

function printJson(
  count: number,
  videos: readonly Record<string, unknown>[],
  failed: readonly Failed[],
): void {
  const failures = failed.map(({ image, failure }) => {
    const { code, message } = failure;
    return { image, code, message, remedy: remedyOf(failure) };
  });
  const batch = failures.length > 0 ? { videos, failures } : { videos };
  process.stdout.write(`${JSON.stringify(count === 1 ? videos[0] : batch, null, 2)}\n`);
}

async function prepareTask(task: {
  readonly image: string;
  readonly mask: string | undefined;
  /** The video that the extension continues. */
  readonly earlierPath: string | undefined;
  /** What the person chose, which a variation of the video keeps. */
  readonly asked: GenerationOptions;
  readonly wish: GenerationOptions;
  readonly outs: Outs;
  readonly pack: Pack;
  readonly options: AnimateOptions;
  readonly config: Config;
}): Promise<Task> {
  const { image, mask, earlierPath, asked, wish, outs, pack, options, config } = task;
  if (wish.maxBytes !== undefined) validateBudget(wish.maxBytes);
  const picture = await new PictureDecoder().check(image);
  if (mask !== undefined) checkMaskShape(await readMask(() => new PictureDecoder().check(mask)), picture);
  const request = resolveRequest(pack.manifest, wish, picture);
  const { preset: _preset, ...numbers } = request;
  const { extension } = wish;
  if (extension) {
    checkLength(extension.numFrames + framesAdded(pack.manifest, request.numFrames), request.fps);
  }
  const out = await outs.of(image, request.seed);
  const metadata = config.metadata && options.metadata !== false;
  const imagePath = path.resolve(image);
  const ofMask = mask === undefined ? {} : { maskPath: path.resolve(mask) };
  const { seed: _seed, maxBytes: _maxBytes, ...keptOptions } = asked;
  const job: EngineJob = {
    ...numbers,
    id: `cli-${randomUUID()}`,
    imagePath,
    ...ofMask,
    origin: { imagePath, ...ofMask, options: keptOptions, ...ofVideo(request, out.video, earlierPath) },
    ...(extension && earlierPath !== undefined ? { earlier: { ...extension, path: earlierPath } } : {}),
    outPath: out.video,
    ...(out.thumbnail === undefined ? {} : { thumbnailPath: out.thumbnail }),
    ...(metadata ? { metadata: describeRequest(request, pack.manifest) } : {}),
    smaller: smallerJobs(pack.manifest, request, metadata),
  };
  return { image, picture, job, request, ignored: withoutEffect(pack.manifest, asked) };
}

function ofVideo(
  { seed }: ResolvedRequest,
  videoPath: string,
  earlierPath: string | undefined,
): Pick<ClipOrigin, 'seed' | 'videoPath' | 'earlierPath'> {
  return { seed, videoPath: path.resolve(videoPath), ...(earlierPath === undefined ? {} : { earlierPath }) };
}

/** How the video that is kept goes on, with the flags that were given. */
async function extensionOf(
  { videoId, videoPath = '', options }: KeptVideo,
  flags: GenerationOptions,
): Promise<Generation['extension']> {
  checkExtensionOptions(flags);
  const info = await readMp4Info(videoPath).catch((cause: unknown) => {
    throw new KinoraError(
      'VIDEO_NOT_FOUND',
      `${path.basename(videoPath) || 'The video'} is not there any more.`,
      {
        cause,
      },
    );
  });
  const { loop = false, smooth = 1 } = options;
  const transformation = { loop, smooth: smooth === 2 || smooth === 3 ? smooth : 1 } as const;
  return { videoId, numFrames: numFramesBefore(info.numFrames, transformation), ...transformation };
}

/** The video that is varied or continued. */
function keptIdOf({ from, extend }: AnimateOptions): string | undefined {
  if (from === undefined || extend === undefined) return extend ?? from;
  throw new KinoraError('INVALID_OPTION', 'There are both --from and --extend; expected one of them.', {
    remedy: 'Vary the video with --from, or continue it with --extend.',
  });
}

function strengthOf({ from, strength }: AnimateOptions): number {
  if (strength !== undefined && from === undefined) {
    throw new KinoraError('INVALID_OPTION', '--strength belongs to --from VIDEO-ID; expected both or none.', {
      remedy: 'Name the video with --from, or leave --strength out.',
    });
  }
  return parseStrength(strength ?? 'subtle');
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
