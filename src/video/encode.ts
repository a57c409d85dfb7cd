/** Encodes frames, raw RGB, to an MP4 while they are made. Knows nothing of models, queues or chats. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { KinoraError } from '../errors.ts';
import { applicable, defaultCrf, encoderOptions, evenSize, filterGraph, numFramesAfter } from './filters.ts';
import { type Fitted, fitInPlace, validateBudget } from './fit.ts';
import { metadataOptions, type VideoMetadata } from './metadata.ts';
import { type Mp4Info, readMp4Info } from './mp4.ts';
import { temporaryFilesOf, writeAtomically, writing } from './output-file.ts';
import { runFfmpeg } from './run-ffmpeg.ts';
import { createThumbnail } from './thumbnail.ts';

/** A slow machine needs less to smooth a large clip. */
export const defaultDeadlineMs = 120_000;

export interface EncodeOptions {
  /** Size of every frame, at least 2x2. An odd last row or column is cut off. */
  readonly width: number;
  readonly height: number;
  /** Playing speed of the frames that come in. With `smooth` the MP4 has `fps * smooth`. */
  readonly fps: number;
  readonly outPath: string;
  /** Where the MP4 grows until it is complete; must be in the file system of `outPath`. A hidden name beside it by default. */
  readonly tempPath?: string | undefined;
  readonly ffmpegPath: string;
  readonly signal?: AbortSignal | undefined;
  /** The longest that ffmpeg may take to accept a frame or to finish; waiting for the source does not count. */
  readonly deadlineMs?: number | undefined;
  /** As FfmpegRun.sharesProcessGroup. */
  readonly sharesProcessGroup?: boolean | undefined;
  readonly loop?: boolean | undefined;
  readonly smooth?: 1 | 2 | 3 | undefined;
  /** Upper bound of the file; when the first encoding is larger, it is encoded again with less quality. */
  readonly maxBytes?: number | undefined;
  /** Written into the file when present. */
  readonly metadata?: VideoMetadata | undefined;
  /** What is known only after the last frame, to be written beside `metadata`; nothing where it is empty. */
  readonly lateMetadata?: (() => VideoMetadata) | undefined;
  /** JPEG of the first frame, at most 320 pixels a side. */
  readonly thumbnailPath?: string | undefined;
  /** How many frames must come; any other number is an error. */
  readonly numFrames?: number | undefined;
  /**
   * Resolves when ffmpeg may start, if that is before the first frame. A process with a model in memory takes 40 ms to
   * start another one, which cost no time while the model computes.
   */
  readonly framesAreComing?: Promise<void> | undefined;
}

export interface EncodedVideo {
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly fps: number;
  readonly durationSeconds: number;
  /** Present when the byte budget needed less than the usual quality. */
  readonly fitted?: Fitted;
}

/**
 * Encodes the frames, in order and as they come, to H.264 (High, yuv420p, bt709, faststart, no sound).
 * One frame is held at a time. `loop` and `smooth` of an unknown number of frames hold the first three as well.
 * `outPath` appears complete or not at all.
 *
 * @throws KinoraError INVALID_OPTION, CANCELLED, FFMPEG_MISSING, OUTPUT_UNWRITABLE, DISK_FULL, ENCODE_FAILED;
 * an error of the frames' source passes through unchanged.
 */
export async function encodeVideo(
  frames: AsyncIterable<{ readonly data: Uint8Array }>,
  options: EncodeOptions,
): Promise<EncodedVideo> {
  const { outPath, thumbnailPath, tempPath } = options;
  validate(options);
  const writeVideo = (jpegPath?: string) =>
    writeAtomically(outPath, (path) => encodeTo(path, jpegPath, frames, options), tempPath);
  // The thumbnail is the outer file: an unwritable place is seen before any work, and it appears after the MP4.
  return thumbnailPath === undefined ? await writeVideo() : await writeAtomically(thumbnailPath, writeVideo);
}

async function encodeTo(
  temporaryPath: string,
  jpegPath: string | undefined,
  frames: AsyncIterable<{ readonly data: Uint8Array }>,
  options: EncodeOptions,
): Promise<EncodedVideo> {
  const { width, height, fps, maxBytes, signal } = options;
  const wanted = { smooth: options.smooth ?? 1, loop: options.loop ?? false };
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
  const source = new FrameSource(frames, width * height * 3);
  let thumbnail: Promise<Uint8Array | undefined> = Promise.resolve(undefined);
  if (jpegPath !== undefined) {
    source.onFirst = (first) => {
      thumbnail = createThumbnail(first, width, height);
      thumbnail.catch(() => {}); // awaited below, unless the encoding fails first
    };
  }
  // Interpolation needs two frames and a way back three; fewer must be known before ffmpeg starts.
  const mustCount = (wanted.loop || wanted.smooth > 1) && options.numFrames === undefined;
  const peeked = source.peek(mustCount ? 3 : 1, signal);
  const count = options.numFrames ?? (await peeked);
  await Promise.race([peeked, options.framesAreComing ?? peeked]);
  const frameRate = toFraction(fps);
  const transformation = applicable(count, wanted);

  await runFfmpeg({
    ffmpegPath: options.ffmpegPath,
    source: { frames: source },
    inputOptions: [
      ...['-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${width}x${height}`],
      ...['-framerate', frameRate.join('/')],
    ],
    filter: filterGraph({ width, height, frameRate, ...transformation, input: 'rgb24' }),
    outputOptions: [
      ...encoderOptions(defaultCrf, [frameRate[0] * transformation.smooth, frameRate[1]]),
      ...metadataOptions(options.metadata),
    ],
    target: temporaryPath,
    outPath: options.outPath,
    signal,
    deadlineMs,
    sharesProcessGroup: options.sharesProcessGroup,
  });

  if (options.numFrames !== undefined && source.count !== options.numFrames) {
    throw new KinoraError('ENCODE_FAILED', `${source.count} of ${options.numFrames} frames arrived.`);
  }
  const expected = numFramesAfter(source.count, wanted);
  await addLateMetadata(temporaryPath, { ...options, deadlineMs });
  let info = await verify(temporaryPath, expected);
  let fitted: Fitted | undefined;
  if (maxBytes !== undefined && info.bytes > maxBytes) {
    fitted = await fitInPlace(temporaryPath, info, { ...options, maxBytes, deadlineMs });
    info = await verify(temporaryPath, expected);
  }
  const jpeg = await thumbnail;
  if (jpegPath !== undefined && jpeg !== undefined) {
    await writing(options.thumbnailPath ?? jpegPath, writeFile(jpegPath, jpeg));
  }
  return describe(info, fitted);
}

/** The tags stand before the frames, so the file is written once more, without encoding it again. */
async function addLateMetadata(
  path: string,
  options: EncodeOptions & { readonly deadlineMs: number },
): Promise<void> {
  const { outPath, metadata, lateMetadata, ffmpegPath, signal, deadlineMs, sharesProcessGroup } = options;
  const late = lateMetadata?.() ?? {};
  if (Object.keys(late).length === 0) return;
  const { candidate } = temporaryFilesOf(path);
  try {
    await runFfmpeg({
      ...{ ffmpegPath, outPath, signal, deadlineMs, sharesProcessGroup, target: candidate },
      source: { file: path },
      inputOptions: [],
      outputOptions: [
        ...['-c', 'copy', '-map_metadata', '-1', '-movflags', '+faststart', '-f', 'mp4'],
        ...metadataOptions({ ...metadata, ...late }),
      ],
    });
    await writing(outPath, rename(candidate, path));
  } finally {
    await rm(candidate, { force: true });
  }
}

export function describe(info: Mp4Info, fitted: Fitted | undefined): EncodedVideo {
  const { bytes, width, height, numFrames, fps, durationSeconds } = info;
  return { bytes, width, height, numFrames, fps, durationSeconds, ...(fitted ? { fitted } : {}) };
}

/** ffmpeg may end with exit code 0 on a full disk, so the file itself is checked. */
export async function verify(path: string, numFrames: number): Promise<Mp4Info> {
  const info = await readMp4Info(path);
  if (info.numFrames !== numFrames) {
    throw new KinoraError('ENCODE_FAILED', `The MP4 has ${info.numFrames} frames instead of ${numFrames}.`);
  }
  return info;
}

/** 8 → 8/1, 7.5 → 15/2: exact for every usual rate. */
function toFraction(fps: number): readonly [number, number] {
  const denominator = [1, 2, 1000].find((candidate) => Number.isInteger(fps * candidate)) ?? 1001;
  return [Math.round(fps * denominator), denominator];
}

function validate(options: EncodeOptions): void {
  const { width, height, fps, smooth = 1, maxBytes } = options;
  for (const [name, side] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!Number.isInteger(side) || evenSize(side) < 2 || side > 8192) {
      throw new KinoraError(
        'INVALID_OPTION',
        `${name} must be a whole number from 2 to 8192; it is ${side}.`,
      );
    }
  }
  if (!(fps >= 1 && fps <= 120)) {
    throw new KinoraError('INVALID_OPTION', `fps must be from 1 to 120; it is ${fps}.`);
  }
  if (![1, 2, 3].includes(smooth)) {
    throw new KinoraError('INVALID_OPTION', `smooth must be 1, 2 or 3; it is ${smooth}.`);
  }
  if (maxBytes !== undefined) validateBudget(maxBytes);
}

/** The frames as raw bytes; the first few can be waited for in advance. Ends the source when it is returned. */
class FrameSource implements AsyncIterator<Uint8Array> {
  readonly #iterator: AsyncIterator<{ readonly data: Uint8Array }>;
  readonly #frameBytes: number;
  readonly #ahead: Uint8Array[] = [];
  /** Is given a copy of the first frame. */
  onFirst: ((first: Uint8Array) => void) | undefined;
  #isPulling = false;
  #peeked: Promise<number> | undefined;
  /** Frames taken from the source so far. */
  count = 0;

  constructor(frames: AsyncIterable<{ readonly data: Uint8Array }>, frameBytes: number) {
    this.#iterator = frames[Symbol.asyncIterator]();
    this.#frameBytes = frameBytes;
  }

  /**
   * Waits for the first `count` frames, at least one. Copies are kept for next(): a source may reuse its buffer.
   * @returns how many of them there are
   */
  peek(count: number, signal: AbortSignal | undefined): Promise<number> {
    this.#peeked = this.#peek(count, signal);
    return this.#peeked;
  }

  async #peek(count: number, signal: AbortSignal | undefined): Promise<number> {
    const aborted = abortOf(signal);
    try {
      while (this.#ahead.length < count) {
        const next = await Promise.race([this.#pull(), aborted.promise]);
        if (next === undefined) break;
        const copy = new Uint8Array(next);
        if (this.#ahead.push(copy) === 1) this.onFirst?.(copy);
      }
      if (this.#ahead.length === 0) {
        throw new KinoraError('ENCODE_FAILED', 'There were no frames to encode.');
      }
    } catch (error) {
      void Promise.resolve(this.#iterator.return?.()).catch(() => {});
      throw error;
    } finally {
      aborted.forget();
    }
    return this.#ahead.length;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    await this.#peeked;
    const value = this.#ahead.shift() ?? (await this.#pull());
    return value === undefined ? { done: true, value } : { done: false, value };
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    const stopped = Promise.resolve(this.#iterator.return?.()).catch(() => {});
    // A generator that is busy may hang; it stops after that frame.
    if (!this.#isPulling) await stopped;
    return { done: true, value: undefined };
  }

  async #pull(): Promise<Uint8Array | undefined> {
    this.#isPulling = true;
    const next = await this.#iterator.next().finally(() => {
      this.#isPulling = false;
    });
    if (next.done === true) return undefined;
    const { data } = next.value;
    if (data.length !== this.#frameBytes) {
      throw new KinoraError(
        'INTERNAL',
        `Frame ${this.count} has ${data.length} bytes instead of ${this.#frameBytes}.`,
      );
    }
    this.count++;
    return data;
  }
}

function abortOf(signal: AbortSignal | undefined): { promise: Promise<never>; forget: () => void } {
  let onAbort = () => {};
  const promise = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(new KinoraError('CANCELLED', 'Writing the video was cancelled.'));
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
  promise.catch(() => {});
  return { promise, forget: () => signal?.removeEventListener('abort', onAbort) };
}
