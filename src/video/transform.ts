/**
 * New MP4s from finished ones, without the model: loop, smooth, smaller file. Knows files, no frames.
 * Tags of the source (prompt, seed, parameters) are kept.
 */
import { copyFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { isKinoraError, KinoraError } from '../errors.ts';
import { defaultDeadlineMs, describe, type EncodedVideo, verify } from './encode.ts';
import {
  applicable,
  defaultCrf,
  encoderOptions,
  filterGraph,
  numFramesAfter,
  type Transformation,
} from './filters.ts';
import { type Fitted, fitInPlace, validateBudget } from './fit.ts';
import { type Mp4Info, readMp4Info } from './mp4.ts';
import { writeAtomically, writing } from './output-file.ts';
import { runFfmpeg } from './run-ffmpeg.ts';

export interface TransformOptions {
  readonly ffmpegPath: string;
  readonly signal?: AbortSignal | undefined;
  /** The longest that one run of ffmpeg may take. */
  readonly deadlineMs?: number | undefined;
  readonly maxBytes?: number | undefined;
}

/** Plays forwards and backwards: n frames become 2n - 2. */
export function loopVideo(inPath: string, outPath: string, options: TransformOptions): Promise<EncodedVideo> {
  return transform(inPath, outPath, { loop: true, smooth: 1 }, options);
}

/** Motion-compensated interpolation: n frames become (n - 1) * factor + 1, at `factor` times the frame rate. */
export function smoothVideo(
  inPath: string,
  outPath: string,
  factor: 2 | 3,
  options: TransformOptions,
): Promise<EncodedVideo> {
  return transform(inPath, outPath, { loop: false, smooth: factor }, options);
}

/** At most `maxBytes`; a file that fits already is copied as it is. */
export async function fitToBytes(
  inPath: string,
  outPath: string,
  maxBytes: number,
  options: TransformOptions,
): Promise<EncodedVideo> {
  validateBudget(maxBytes);
  const source = await readSource(inPath);
  return await writeAtomically(outPath, async (temporaryPath) => {
    await writing(outPath, copyFile(inPath, temporaryPath));
    return await fitAndVerify(temporaryPath, source.numFrames, { ...options, maxBytes, outPath });
  });
}

async function transform(
  inPath: string,
  outPath: string,
  wanted: Transformation,
  options: TransformOptions,
): Promise<EncodedVideo> {
  const { maxBytes, deadlineMs = defaultDeadlineMs } = options;
  if (maxBytes !== undefined) validateBudget(maxBytes);
  const source = await readSource(inPath);
  const [numerator, denominator] = source.frameRate;
  const transformation = applicable(source.numFrames, wanted);
  return await writeAtomically(outPath, async (temporaryPath) => {
    await runFfmpeg({
      ffmpegPath: options.ffmpegPath,
      source: { file: inPath },
      inputOptions: [],
      filter: filterGraph({ ...source, ...transformation, input: 'yuv420p' }),
      outputOptions: encoderOptions(defaultCrf, [numerator * transformation.smooth, denominator]),
      target: temporaryPath,
      outPath,
      signal: options.signal,
      deadlineMs,
    });
    return await fitAndVerify(temporaryPath, numFramesAfter(source.numFrames, transformation), {
      ...options,
      outPath,
    });
  });
}

async function fitAndVerify(
  path: string,
  numFrames: number,
  options: TransformOptions & { readonly outPath: string },
): Promise<EncodedVideo> {
  const { maxBytes, deadlineMs = defaultDeadlineMs } = options;
  let info: Mp4Info = await verify(path, numFrames);
  let fitted: Fitted | undefined;
  if (maxBytes !== undefined && info.bytes > maxBytes) {
    fitted = await fitInPlace(path, info, { ...options, maxBytes, deadlineMs });
    info = await verify(path, numFrames);
  }
  return describe(info, fitted);
}

async function readSource(path: string): Promise<Mp4Info> {
  try {
    return await readMp4Info(path);
  } catch (error) {
    if (isKinoraError(error)) throw error;
    throw new KinoraError('VIDEO_NOT_FOUND', `The video ${basename(path)} is not there any more.`, {
      cause: error,
    });
  }
}
