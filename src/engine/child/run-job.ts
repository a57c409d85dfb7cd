/**
 * One job from picture to MP4. Frames go to ffmpeg while later ones are still being decoded. The one place that joins
 * inference and video; knows no messages, no processes and no model family.
 */

import type {
  Frame,
  GenerateRequest,
  GenerationReport,
  ImageToVideoPipeline,
  ProgressEvent,
  SmallerRuns,
} from '../../inference/image-to-video.ts';
import type { LatentCache } from '../../inference/latent-cache.ts';
import type { PictureDecoder } from '../../inference/pictures/decoder-process.ts';
import { openPicture } from '../../inference/pictures/known-picture.ts';
import { moveInside, openMask } from '../../inference/pictures/motion-mask.ts';
import { type EncodeOptions, encodeVideo } from '../../video/encode.ts';
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
  const opening = openPicture(job.imagePath, cache, (bytes) => decoder.decode(bytes, isOver));
  // The decoder has limits of its own; a large picture takes a while.
  const waitingForPicture = setInterval(onAlive, aliveIntervalMs);
  // The pipeline awaits it, unless the output is refused first.
  opening.catch(() => {}).finally(() => clearInterval(waitingForPicture));
  const weights =
    job.maskPath === undefined
      ? undefined
      : openMask(job.maskPath, opening, job, (bytes) => decoder.decode(bytes, isOver));
  weights?.catch(() => {}); // awaited with the second frame
  let onDenoising = (): void => {};
  const framesAreComing = new Promise<void>((resolve) => {
    onDenoising = resolve;
  });
  // A mask has the picture's shape, so its clip keeps that, too.
  const asked: GenerateRequest = { ...job, image: opening };
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
    for await (const frame of weights ? moveInside(makeClip(), weights) : makeClip()) {
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
    const video = await encodeVideo(frames, {
      ...encodeOptions({ ...job, ...withSize(job, width, height) }),
      ...{ tempPath, ffmpegPath, signal, framesAreComing },
      ...(job.metadata ? { lateMetadata: () => describeRuns(report?.smallerRuns) } : {}),
    });
    if (!report) throw new Error('The pipeline ended without a report.');
    const endedAt = performance.now();
    const picture = await opening;
    onProgress({ phase: 'finishing', done: 1, total: 1 });
    const { fitted, ...file } = video;
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
      ...toldBy(report, pictureSize !== undefined),
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
): Pick<EngineResult, 'understood' | 'smallerRuns' | 'isPassage'> {
  return {
    ...(understood ? { understood } : {}),
    ...(smallerRuns.length > 0 ? { smallerRuns } : {}),
    ...(isPassage ? { isPassage } : {}),
  };
}

/** What a file says of its decoding where that was not as asked for: the frames of such clips look a little different. */
function describeRuns(smallerRuns: readonly SmallerRuns[] = []): Record<string, string> {
  const runs = smallerRuns.map(({ fromFrame, frames }) => `${frames} from frame ${fromFrame} on`);
  return runs.length === 0 ? {} : { decodedAtOnce: runs.join(', ') };
}

function encodeOptions(job: EngineJob): Omit<EncodeOptions, 'ffmpegPath'> {
  const { width, height, numFrames, fps, outPath, thumbnailPath, loop, smooth, maxBytes, metadata } = job;
  return {
    ...{ width, height, numFrames, fps, outPath, thumbnailPath, loop, smooth, maxBytes, metadata },
    // The engine child leads a process group, so one kill ends it and its ffmpeg.
    sharesProcessGroup: true,
  };
}
