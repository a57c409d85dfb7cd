/**
 * One job from picture to MP4. Frames go to ffmpeg while later ones are still being decoded. The one place that joins
 * inference and video; knows no messages, no processes and no model family.
 */
import { copyFile, rm } from 'node:fs/promises';
import type {
  Frame,
  GenerateRequest,
  GenerationReport,
  ImageToVideoPipeline,
  Picture,
  ProgressEvent,
  RgbImage,
  SmallerRuns,
} from '../../inference/image-to-video.ts';
import type { LatentCache } from '../../inference/latent-cache.ts';
import type { PictureDecoder } from '../../inference/pictures/decoder-process.ts';
import { openPicture } from '../../inference/pictures/known-picture.ts';
import { moveInside, openMask } from '../../inference/pictures/motion-mask.ts';
import { type ContinuedVideo, continueVideo, type EarlierPart, firstFrame } from '../../video/continue.ts';
import { type EncodedVideo, type EncodeOptions, encodeVideo } from '../../video/encode.ts';
import { temporaryFilesOf } from '../../video/output-file.ts';
import type { EngineJob, EngineResult } from '../protocol.ts';

export interface JobTools {
  readonly pipeline: ImageToVideoPipeline;
  /** Knows pictures that need not be decoded again. */
  readonly cache: LatentCache;
  readonly decoder: PictureDecoder;
  readonly ffmpegPath: string;
  /** For the result: id of the pack, and the device that it runs on. */
  readonly model: string;
  readonly device: string;
}

export interface JobHooks {
  /** Where the MP4 grows until it is complete. */
  readonly tempPath: string;
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
  /** Called every second while the job waits for ffmpeg, or for a session to open, rather than for a run. */
  readonly onAlive: () => void;
  /** As GenerateHooks.leastMemory. */
  readonly leastMemory?: boolean;
}

const aliveIntervalMs = 1000;

/**
 * Settles only when neither the pipeline nor ffmpeg nor the reading of the picture works for the job any more, so that
 * jobs never share the sessions. Throws what openPicture, the pipeline and encodeVideo throw.
 */
export async function runJob(
  job: EngineJob,
  { pipeline, cache, decoder, ffmpegPath, model, device }: JobTools,
  { tempPath, signal, onProgress, onAlive, leastMemory }: JobHooks,
): Promise<EngineResult> {
  const startedAt = performance.now();
  let framesEndedAt = startedAt;
  let report: GenerationReport | undefined;
  const work = new AbortController();
  const isOver = AbortSignal.any([signal, work.signal]);
  const decode = (bytes: Uint8Array) => decoder.decode(bytes, isOver);
  const opening = openPicture(job.imagePath, cache, decode);
  // The decoder has limits of its own; a large picture takes a while.
  const waitingForPicture = setInterval(onAlive, aliveIntervalMs);
  // The pipeline awaits it, unless the output is refused first.
  opening.catch(() => {}).finally(() => clearInterval(waitingForPicture));
  const { weights, still } = openStill(job, opening, decode, { ffmpegPath, signal: isOver, tempPath });
  let onDenoising = (): void => {};
  const framesAreComing = new Promise<void>((resolve) => {
    onDenoising = resolve;
  });
  // A mask has the picture's shape, so its clip keeps that, too.
  const asked: GenerateRequest = {
    ...job,
    image: opening,
    ...(weights ? { motionWeights: weights } : {}),
  };
  const shaped = Promise.resolve(weights ? asked : (pipeline.chooseShape?.(asked, { leastMemory }) ?? asked));
  async function* makeClip(): AsyncGenerator<Frame, void> {
    yield* pipeline.generate(await shaped, {
      signal: isOver,
      onProgress: (event) => {
        if (event.phase === 'denoising') onDenoising();
        onProgress(event);
      },
      onReport: (finished) => {
        report = finished;
      },
      leastMemory,
    });
  }

  // Ticks while ffmpeg, not the model, is at work: a model that hangs falls silent, a busy ffmpeg does not.
  let waiting: NodeJS.Timeout | undefined;
  const waitForFfmpeg = (): void => {
    clearInterval(waiting);
    if (!work.signal.aborted) waiting = setInterval(onAlive, aliveIntervalMs);
  };
  async function* takeFrames(): AsyncGenerator<Frame, void> {
    for await (const frame of weights ? moveInside(makeClip(), weights, still) : makeClip()) {
      waitForFfmpeg();
      yield frame;
      clearInterval(waiting);
    }
    framesEndedAt = performance.now();
    onProgress({ phase: 'finishing', done: 0, total: 1 });
    waitForFfmpeg();
  }

  const frames = takeFrames();
  try {
    const { width, height, pictureSize } = await shaped;
    const lateMetadata = (earlier?: EarlierPart) => describeRuns(report, job, earlier);
    const sized = { ...job, ...withSize(job, width, height) };
    const tools = { tempPath, ffmpegPath, signal, framesAreComing, lateMetadata };
    const video = await writeVideo(frames, sized, tools);
    if (!report) throw new Error('The pipeline ended without a report.');
    const endedAt = performance.now();
    const picture = await opening;
    onProgress({ phase: 'finishing', done: 1, total: 1 });
    const { fitted, earlierFrames = 0, ...file } = video;
    return {
      ...file,
      jobId: job.id,
      videoId: report.videoId,
      pictureKey: picture.key,
      outPath: job.outPath,
      seed: job.seed,
      model,
      device,
      cache: report.cache,
      timings: {
        ...report.timings,
        ...(picture.decodeMs === undefined ? {} : { decodePicture: picture.decodeMs }),
        finishing: endedAt - framesEndedAt,
        total: endedAt - startedAt,
      },
      notes: picture.notes,
      ...toldBy(report, pictureSize !== undefined, earlierFrames),
      ...(fitted ? { isCompressed: true } : {}),
    };
  } finally {
    // After a failure or a cancel the pipeline may still be inside a native run; it ends at its next step.
    work.abort();
    clearInterval(waiting);
    await frames.return();
    await Promise.allSettled([opening]);
  }
}

/** What stays still of a clip with a mask: where, and for an extension what was shown there, if the pipeline does not know. */
function openStill(
  { maskPath, earlier, ...size }: EngineJob,
  picture: Promise<Picture>,
  decode: (bytes: Uint8Array) => Promise<RgbImage>,
  tools: Parameters<typeof firstFrame>[1],
): { readonly weights?: Promise<Uint8Array>; readonly still?: Promise<Uint8Array> } {
  if (maskPath === undefined) return {};
  const weights = openMask(maskPath, picture, size, decode);
  const still = earlier && firstFrame(earlier.path, tools);
  // Awaited with the first frames.
  weights.catch(() => {});
  still?.catch(() => {});
  return { weights, ...(still ? { still } : {}) };
}

/** The size that the clip has, also in what the file says of itself. */
function withSize({ metadata }: EngineJob, width: number, height: number): Partial<EngineJob> {
  const size = { width, height };
  if (!metadata) return size;
  return { ...size, metadata: { ...metadata, width: String(width), height: String(height) } };
}

/** What is worth telling where there is any of it. */
function toldBy(
  { understood, smallerRuns = [] }: GenerationReport,
  isPassage: boolean,
  earlierFrames: number,
): Pick<EngineResult, 'understood' | 'smallerRuns' | 'isPassage'> {
  return {
    ...(understood ? { understood } : {}),
    ...(smallerRuns.length > 0 ? { smallerRuns: behind(earlierFrames, smallerRuns) } : {}),
    ...(isPassage ? { isPassage } : {}),
  };
}

/** In the frames of the whole clip. */
function behind(earlierFrames: number, runs: readonly SmallerRuns[]): SmallerRuns[] {
  return runs.map(({ fromFrame, frames }) => ({ fromFrame: earlierFrames + fromFrame, frames }));
}

/** What a file says of its decoding where that was not as asked for: the frames of such clips look a little different. */
function describeRuns(
  { smallerRuns = [] }: Pick<GenerationReport, 'smallerRuns'> = {},
  { decodeChunkSize }: EngineJob,
  { numFrames, metadata: { decodedAtOnce: before } }: EarlierPart = { numFrames: 0, metadata: {} },
): Record<string, string> {
  // What is said of the earlier frames ends where the new ones begin.
  const isUsualAgain = before !== undefined && smallerRuns[0]?.fromFrame !== 0;
  const usual = isUsualAgain ? [{ fromFrame: 0, frames: decodeChunkSize }] : [];
  const runs = behind(numFrames, [...usual, ...smallerRuns]).map(
    ({ fromFrame, frames }) => `${frames} from frame ${fromFrame} on`,
  );
  const all = before === undefined ? runs : [before, ...runs];
  return all.length === 0 ? {} : { decodedAtOnce: all.join(', ') };
}

/** The MP4 of the frames, behind those of an earlier video where there is one. */
async function writeVideo(
  frames: AsyncIterable<Frame>,
  job: EngineJob,
  {
    lateMetadata,
    ...tools
  }: Pick<EncodeOptions, 'ffmpegPath' | 'signal' | 'framesAreComing'> & {
    readonly tempPath: string;
    readonly lateMetadata: (earlier?: EarlierPart) => Record<string, string>;
  },
): Promise<EncodedVideo & Partial<ContinuedVideo>> {
  const { width, height, numFrames, fps, outPath, thumbnailPath, loop, smooth, maxBytes, metadata } = job;
  // The engine child leads a process group, so one kill ends it and its ffmpeg.
  const encoding = { ...tools, width, height, fps, sharesProcessGroup: true };
  const whole = { loop, smooth, maxBytes, metadata };
  const { earlier } = job;
  if (!earlier)
    return await encodeVideo(frames, {
      ...encoding,
      ...whole,
      ...(metadata ? { lateMetadata } : {}),
      outPath,
      numFrames,
      thumbnailPath,
    });
  const { added: addedPath, candidate } = temporaryFilesOf(tools.tempPath);
  try {
    await encodeVideo(frames, { ...encoding, outPath: addedPath, tempPath: candidate });
    // The first frame is the earlier video's.
    if (thumbnailPath !== undefined && earlier.thumbnailPath !== undefined) {
      await copyFile(earlier.thumbnailPath, thumbnailPath);
    }
    return await continueVideo({ ...encoding, ...whole, lateMetadata, outPath, earlier, addedPath });
  } finally {
    await rm(addedPath, { force: true });
  }
}
