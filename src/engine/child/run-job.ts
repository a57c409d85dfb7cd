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
} from '../../inference/image-to-video.ts';
import type { LatentCache } from '../../inference/latent-cache.ts';
import { openPicture } from '../../inference/pictures/known-picture.ts';
import { encodeVideo } from '../../video/encode.ts';
import { temporaryVideo } from '../job-files.ts';
import type { EngineJob, EngineResult } from '../protocol.ts';

export interface JobTools {
  readonly pipeline: ImageToVideoPipeline;
  /** Knows pictures that need not be decoded again. */
  readonly cache: LatentCache;
  readonly ffmpegPath: string;
  /** For the result: id of the pack, and the device that it runs on. */
  readonly model: string;
  readonly device: string;
}

export interface JobHooks {
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
  /** Called every second while the job waits for ffmpeg, or for a session to open, rather than for a run. */
  readonly onAlive: () => void;
  /** As GenerateHooks.leanest. */
  readonly leanest?: boolean;
}

const aliveIntervalMs = 1000;
/** The model's thread has what it needs for a step by then. */
const stepBegunMs = 10;

/**
 * Settles only when nobody reads the picture for the job, and neither the pipeline nor ffmpeg works for it any more, so
 * that the next job never shares the sessions with it. Throws what openPicture, the pipeline and encodeVideo throw.
 */
export async function runJob(
  job: EngineJob,
  { pipeline, cache, ffmpegPath, model, device }: JobTools,
  { signal, onProgress, onAlive, leanest }: JobHooks,
): Promise<EngineResult> {
  const startedAt = performance.now();
  let framesEndedAt = startedAt;
  const opening = openPicture(job.imagePath, cache);
  opening.catch(() => {}); // the pipeline awaits it, unless something else fails first
  let report: GenerationReport | undefined;
  // Runs while ffmpeg, not the model, is at work: a model that hangs falls silent, a busy ffmpeg does not.
  let waiting: NodeJS.Timeout | undefined;
  const waitForFfmpeg = (): void => {
    clearInterval(waiting);
    waiting = setInterval(onAlive, aliveIntervalMs);
  };

  // The encoder starts while the first step is computed, and not before the model's thread has begun with it: starting
  // a process stops all threads that want memory.
  let startEncoder = (): void => {};
  const startAt = new Promise<void>((resolve) => {
    startEncoder = resolve;
  });
  const onPipelineProgress = (event: ProgressEvent): void => {
    if (event.phase === 'denoising' && event.done === 0) setTimeout(startEncoder, stepBegunMs);
    onProgress(event);
  };

  // The model's work begins before the places for the files are looked at; if they are no good, it ends again.
  const work = new AbortController();
  const onReport = (finished: GenerationReport): void => {
    report = finished;
  };
  const hooks = {
    signal: AbortSignal.any([signal, work.signal]),
    onProgress: onPipelineProgress,
    onReport,
    leanest,
  };
  const request: GenerateRequest = { ...job, image: opening };
  const clip = pipeline.generate(request, hooks)[Symbol.asyncIterator]();
  const first = clip.next();
  first.catch(() => {}); // awaited below, unless a place is no good

  async function* takeFrames(): AsyncGenerator<Frame, void> {
    for (let next = await first; next.done !== true; next = await clip.next()) {
      waitForFfmpeg();
      yield next.value;
      clearInterval(waiting);
    }
    framesEndedAt = performance.now();
    onProgress({ phase: 'finishing', done: 0, total: 1 });
    waitForFfmpeg();
  }

  const frames = takeFrames();
  try {
    const video = await encodeVideo(frames, {
      width: job.width,
      height: job.height,
      numFrames: job.numFrames,
      fps: job.fps,
      outPath: job.outPath,
      tempPath: temporaryVideo(job),
      thumbnailPath: job.thumbnailPath,
      ffmpegPath,
      startAt,
      signal,
      loop: job.loop,
      smooth: job.smooth,
      maxBytes: job.maxBytes,
      metadata: job.metadata,
      // The engine child leads a process group of its own; whoever ends it ends ffmpeg by the same call.
      sharesProcessGroup: true,
    });
    if (!report) throw new Error('The pipeline ended without a report.');
    const endedAt = performance.now();
    const image = await opening;
    onProgress({ phase: 'finishing', done: 1, total: 1 });
    return {
      jobId: job.id,
      videoId: report.videoId,
      pictureKey: image.key,
      outPath: job.outPath,
      bytes: video.bytes,
      width: video.width,
      height: video.height,
      numFrames: video.numFrames,
      fps: video.fps,
      durationSeconds: video.durationSeconds,
      seed: job.seed,
      model,
      device,
      cache: report.cache,
      timings: {
        ...report.timings,
        ...(image.decodeMs === undefined ? {} : { decodePicture: image.decodeMs }),
        finishing: endedAt - framesEndedAt,
        total: endedAt - startedAt,
      },
      notes: image.notes,
      ...(video.fitted ? { isCompressed: true } : {}),
    };
  } finally {
    clearInterval(waiting);
    // After a failure or a cancel the pipeline may still be inside a native run; it ends at its next step.
    work.abort();
    await clip.return?.();
    await frames.return();
    await Promise.allSettled([opening]);
    clearInterval(waiting);
  }
}
