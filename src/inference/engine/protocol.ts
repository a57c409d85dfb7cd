/**
 * What parent and engine child say to each other. Plain data only: it crosses a process border by structured
 * cloning. Knows neither side's insides.
 */
import type { SerializedError } from '../../errors.ts';
import type { Phase, SchedulerName, Timings, Variation } from '../image-to-video.ts';
import type { CacheUse } from '../latent-cache.ts';

/** How a child is set up, sent once as the first message. */
export interface EngineOptions {
  /** Absolute path of the model pack. */
  readonly packPath: string;
  /** "cpu", "cuda", "cuda:1", "tensorrt", "webgpu". Never replaced in silence. */
  readonly device: string;
  /** Threads of one ONNX session; 0 lets the runtime decide. */
  readonly threads: number;
  readonly cachePath: string;
  readonly cacheMemoryBytes: number;
  readonly cacheDiskBytes: number;
  /** As LatentCacheOptions.retentionMs. */
  readonly cacheRetentionMs?: number | undefined;
  readonly ffmpegPath: string;
}

/** One clip to make. Options are already validated; the picture is a file that may be hostile. */
export interface EngineJob {
  readonly id: string;
  readonly imagePath: string;
  /** The MP4 is written beside it under a temporary name and renamed when complete. */
  readonly outPath: string;
  /** JPEG beside the MP4, when wanted. */
  readonly thumbnailPath?: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly seed: number;
  /** Working size; the picture is resized to cover it and centre-cropped. */
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  readonly guidanceEnd: number;
  readonly targetFps: number;
  readonly scheduler: SchedulerName;
  readonly decodeChunkSize: number;
  readonly variation?: Variation;
  /** Playing speed of the MP4. */
  readonly fps: number;
  readonly loop: boolean;
  /** 1 leaves the frames alone; 2 or 3 multiplies frames and frame rate by motion-compensated interpolation. */
  readonly smooth: 1 | 2 | 3;
  readonly maxBytes?: number;
  /** Written into the file when present. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface EngineResult {
  readonly jobId: string;
  readonly videoId: string;
  readonly outPath: string;
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly fps: number;
  readonly durationSeconds: number;
  /** Quality was given up so that it fits into maxBytes. */
  readonly isCompressed?: boolean;
  readonly seed: number;
  readonly model: string;
  readonly device: string;
  readonly cache: CacheUse;
  /** Milliseconds: what the pipeline reports, plus `decodePicture`, `finishing` (encoder after the last frame), `total`. */
  readonly timings: Timings;
  /** What people may want to know about their picture, in sentences: "… only its first frame is used." */
  readonly notes: readonly string[];
}

export type ToEngine =
  | { readonly type: 'start'; readonly options: EngineOptions }
  | { readonly type: 'job'; readonly job: EngineJob }
  | { readonly type: 'cancel'; readonly jobId: string }
  /** Give up the job in hand, if any, tidy up and exit. */
  | { readonly type: 'stop' };

export type FromEngine =
  | { readonly type: 'ready'; readonly model: string; readonly loadMs: number; readonly rssBytes: number }
  | { readonly type: 'failed-to-start'; readonly error: SerializedError }
  /** Sent at least once per step and per decoded chunk: doubles as the heartbeat. */
  | {
      readonly type: 'progress';
      readonly jobId: string;
      readonly phase: Phase;
      readonly done: number;
      readonly total: number;
    }
  /** The child waits for ffmpeg, not for the model. ffmpeg's own deadlines belong to the encoder. */
  | { readonly type: 'alive'; readonly jobId: string }
  | { readonly type: 'result'; readonly result: EngineResult; readonly rssBytes: number }
  | {
      readonly type: 'error';
      readonly jobId: string;
      readonly error: SerializedError;
      readonly rssBytes: number;
    };
