/**
 * One MP4 of an earlier one and of the frames that come after it. What is encoded is not encoded again: the earlier frames
 * keep their pixels through any number of continuations. Knows files, no frames.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { KinoraError } from '../errors.ts';
import { defaultDeadlineMs, describe, type EncodedVideo, verify } from './encode.ts';
import {
  applicable,
  defaultCrf,
  encoderOptions,
  filterGraph,
  numFramesAfter,
  numFramesBefore,
  type Transformation,
} from './filters.ts';
import { type Fitted, fitInPlace } from './fit.ts';
import { metadataOf, metadataOptions, type VideoMetadata } from './metadata.ts';
import { type Mp4Info, readMp4Info } from './mp4.ts';
import { temporaryFilesOf, writeAtomically, writing } from './output-file.ts';
import { type FfmpegRun, runFfmpeg } from './run-ffmpeg.ts';

export interface EarlierVideo extends Transformation {
  /** Of an MP4 of Kinora that was looped and smoothed as the transformation says. */
  readonly path: string;
}

export interface ContinueOptions extends Transformation {
  readonly earlier: EarlierVideo;
  /** MP4 of the new frames alone, neither looped nor smoothed. */
  readonly addedPath: string;
  readonly outPath: string;
  /** As EncodeOptions.tempPath. */
  readonly tempPath?: string | undefined;
  readonly ffmpegPath: string;
  readonly signal?: AbortSignal | undefined;
  /** The longest that one run of ffmpeg may take. */
  readonly deadlineMs?: number | undefined;
  readonly sharesProcessGroup?: boolean | undefined;
  readonly maxBytes?: number | undefined;
  readonly metadata?: VideoMetadata | undefined;
  /** Added to the metadata, where there is any. */
  readonly lateMetadata?: ((earlier: EarlierPart) => VideoMetadata) | undefined;
}

/** What comes before the new frames. */
export interface EarlierPart {
  /** Before the whole is looped and smoothed. */
  readonly numFrames: number;
  /** As the earlier video tells it. */
  readonly metadata: VideoMetadata;
}

export interface ContinuedVideo extends EncodedVideo {
  /** As EarlierPart.numFrames. */
  readonly earlierFrames: number;
}

/**
 * Joins both and loops or smooths the whole, when that is wanted. The earlier frames are encoded again only where they
 * were looped or smoothed before, or have lost quality or size to a byte budget.
 * @throws KinoraError VIDEO_NOT_FOUND when the earlier video is gone, and all that encodeVideo throws
 */
export async function continueVideo(options: ContinueOptions): Promise<ContinuedVideo> {
  const { outPath, tempPath, addedPath, maxBytes, deadlineMs = defaultDeadlineMs } = options;
  const { metadata, lateMetadata } = options;
  const earlier = await readMp4Info(options.earlier.path).catch((cause: unknown) => {
    throw new KinoraError('VIDEO_NOT_FOUND', 'The video to continue is not there any more.', { cause });
  });
  const added = await readMp4Info(addedPath);
  const earlierFrames = numFramesBefore(earlier.numFrames, options.earlier);
  const late = lateMetadata?.({ numFrames: earlierFrames, metadata: metadataOf(earlier.comment) });
  return await writeAtomically(
    outPath,
    async (path) => {
      const total = earlierFrames + added.numFrames;
      await join(path, earlier, added, { ...options, metadata: metadata && { ...metadata, ...late } });
      await verify(path, total);
      await transform(path, await readMp4Info(path), options);
      let info = await verify(path, numFramesAfter(total, options));
      let fitted: Fitted | undefined;
      if (maxBytes !== undefined && info.bytes > maxBytes) {
        fitted = await fitInPlace(path, info, { ...options, maxBytes, deadlineMs });
        info = await verify(path, info.numFrames);
      }
      return { ...describe(info, fitted), earlierFrames };
    },
    tempPath,
  );
}

/**
 * The first frame of an MP4 of Kinora: RGB, row by row.
 * @param tempPath as ContinueOptions.tempPath
 * @throws KinoraError VIDEO_NOT_FOUND, and all that runFfmpeg throws
 */
export async function firstFrame(
  path: string,
  { tempPath, ffmpegPath, signal }: Pick<ContinueOptions, 'ffmpegPath' | 'signal'> & { tempPath: string },
): Promise<Uint8Array> {
  const { before: target } = temporaryFilesOf(tempPath);
  try {
    await readMp4Info(path).catch((cause: unknown) => {
      throw new KinoraError('VIDEO_NOT_FOUND', 'The video to continue is not there any more.', { cause });
    });
    await runFfmpeg({
      ...{
        ffmpegPath,
        signal,
        target,
        outPath: target,
        deadlineMs: defaultDeadlineMs,
        sharesProcessGroup: true,
      },
      source: { file: path },
      inputOptions: [],
      filter: 'scale=in_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int',
      outputOptions: ['-frames:v', '1', '-f', 'rawvideo', '-pix_fmt', 'rgb24'],
    });
    return await readFile(target);
  } finally {
    await rm(target, { force: true });
  }
}

async function join(path: string, earlier: Mp4Info, added: Mp4Info, options: ContinueOptions): Promise<void> {
  const { before, list } = temporaryFilesOf(path);
  const isAlike = earlier.parameterSets.equals(added.parameterSets) && earlier.fps === added.fps;
  try {
    if (!isAlike) await encodeLike(before, earlier, added, options);
    const parts = [
      {
        path: isAlike ? options.earlier.path : before,
        count: numFramesBefore(earlier.numFrames, options.earlier),
      },
      { path: options.addedPath, count: added.numFrames },
    ];
    // A file says its length in milliseconds, by which the second part would begin a little late.
    const lines = parts.map(
      ({ path, count }) =>
        `file '${path.replaceAll("'", "'\\''")}'\nduration ${(count / added.fps).toFixed(6)}\n`,
    );
    await writing(options.outPath, writeFile(list, `ffconcat version 1.0\n${lines.join('')}`));
    await run(options, {
      source: { file: list },
      inputOptions: ['-f', 'concat', '-safe', '0'],
      outputOptions: [
        ...['-c', 'copy', '-map_metadata', '-1', '-movflags', '+faststart', '-f', 'mp4'],
        ...metadataOptions(options.metadata),
      ],
      target: path,
    });
  } finally {
    await rm(before, { force: true });
    await rm(list, { force: true });
  }
}

/** The frames that the earlier video had before it was looped or smoothed, in the size and at the rate of the new ones. */
async function encodeLike(
  target: string,
  earlier: Mp4Info,
  { width, height, frameRate }: Mp4Info,
  options: ContinueOptions,
): Promise<void> {
  const { loop, smooth } = options.earlier;
  const [numerator, denominator] = frameRate;
  const isScaled = earlier.width !== width || earlier.height !== height;
  const filter = [
    ...(loop ? [`trim=end_frame=${earlier.numFrames / 2 + 1}`] : []),
    ...(smooth > 1 ? [`select='not(mod(n,${smooth}))'`] : []),
    ...(isScaled ? [`scale=${width}:${height}:flags=lanczos+accurate_rnd`] : []),
    `setpts=N*${denominator}/(${numerator}*TB)`,
    'format=yuv420p,setsar=1',
  ].join(',');
  await run(options, {
    source: { file: options.earlier.path },
    inputOptions: [],
    filter,
    outputOptions: encoderOptions(defaultCrf, frameRate),
    target,
  });
}

async function transform(path: string, info: Mp4Info, options: ContinueOptions): Promise<void> {
  const transformation = applicable(info.numFrames, options);
  if (!transformation.loop && transformation.smooth === 1) return;
  const { candidate } = temporaryFilesOf(path);
  const [numerator, denominator] = info.frameRate;
  try {
    await run(options, {
      source: { file: path },
      inputOptions: [],
      filter: filterGraph({ ...info, ...transformation, input: 'yuv420p' }),
      outputOptions: encoderOptions(defaultCrf, [numerator * transformation.smooth, denominator]),
      target: candidate,
    });
    await writing(options.outPath, rename(candidate, path));
  } finally {
    await rm(candidate, { force: true });
  }
}

async function run(
  { outPath, ffmpegPath, signal, sharesProcessGroup, deadlineMs = defaultDeadlineMs }: ContinueOptions,
  work: Pick<FfmpegRun, 'source' | 'inputOptions' | 'filter' | 'outputOptions' | 'target'>,
): Promise<void> {
  await runFfmpeg({ ...work, outPath, ffmpegPath, signal, sharesProcessGroup, deadlineMs });
}
