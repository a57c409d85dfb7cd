/** The messages between parent and engine child. Plain data only: structured cloning carries it between processes. */
import path from 'node:path';
import type { SerializedError } from '../errors.ts';
import type { ClipOrigin, Phase, SmallerRuns, Timings } from '../inference/image-to-video.ts';
import type { CacheUse } from '../inference/latent-cache.ts';
import type { Shortcuts } from '../request/request.ts';
import type { ClipRequest, VideoRequest } from '../request/resolve.ts';
import type { Understood } from '../request/understood.ts';
import type { EarlierVideo } from '../video/continue.ts';

/** How a child is set up, sent once as the first message. */
export interface EngineOptions {
  /** Absolute path of the model pack. */
  readonly packPath: string;
  /** Of further packs, which are loaded when their jobs come and share the memory. */
  readonly otherPackPaths?: readonly string[] | undefined;
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
  /** Memory of the GPU that may be used; absent: what is free whenever a pack is loaded. */
  readonly memoryBudgetBytes?: number | undefined;
  /**
   * Clips whose shapes are run once before the first job, so that no job waits for the libraries' search for the best
   * kernels. Absent: the presets fast and standard on a GPU, none on a CPU.
   */
  readonly warmUp?: readonly WarmUpShape[] | undefined;
  /** The shortcuts that most jobs will use, to warm up the same graphs. Each job carries its own. */
  readonly shortcuts?: Shortcuts | undefined;
}

/** The child has another working directory. */
export function withAbsoluteFolders(options: EngineOptions): EngineOptions {
  const { packPath, otherPackPaths = [], cachePath, ffmpegPath } = options;
  return {
    ...options,
    packPath: path.resolve(packPath),
    otherPackPaths: otherPackPaths.map((other) => path.resolve(other)),
    cachePath: path.resolve(cachePath),
    // A bare name is looked up in PATH.
    ffmpegPath: /[\\/]/.test(ffmpegPath) ? path.resolve(ffmpegPath) : ffmpegPath,
  };
}

export interface WarmUpShape {
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
}

/** A job in a smaller version, for when it does not fit into memory. */
export type SmallerJob = Pick<
  EngineJob,
  'width' | 'height' | 'numFrames' | 'numInferenceSteps' | 'decodeChunkSize' | 'passage' | 'metadata'
> & {
  /** The name that users know. */
  readonly preset: string;
};

/** One clip to make. Options are already validated; the picture is a file that may be hostile. */
export interface EngineJob extends ClipRequest, VideoRequest {
  readonly id: string;
  /** Id of its pack; the first of the engine's where it is absent. */
  readonly model?: string;
  readonly imagePath: string;
  /** A picture of the same shape, white where the clip may move; may be hostile, too. */
  readonly maskPath?: string;
  /** As GenerateRequest.origin. */
  readonly origin?: ClipOrigin;
  /** The MP4 is written beside it under a temporary name and renamed when complete. */
  readonly outPath: string;
  /** JPEG beside the MP4, when wanted. */
  readonly thumbnailPath?: string;
  /** Of an extension: the video that it continues. */
  readonly earlier?: EarlierVideo & { readonly thumbnailPath?: string | undefined };
  /** Written into the file when present. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Smaller versions for when memory runs out, largest first. */
  readonly smaller?: readonly SmallerJob[];
}

export interface EngineResult {
  readonly jobId: string;
  readonly videoId: string;
  /** As Picture.key. */
  readonly pictureKey: string;
  readonly outPath: string;
  readonly bytes: number;
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly fps: number;
  readonly durationSeconds: number;
  /** It passes along its picture, so nothing of that is cut off. */
  readonly isPassage?: boolean;
  /** Quality was given up so that it fits into maxBytes. */
  readonly isCompressed?: boolean;
  /** Memory ran out, so the clip was made as this smaller preset would have it. */
  readonly reducedTo?: string;
  readonly seed: number;
  readonly model: string;
  readonly device: string;
  readonly cache: CacheUse;
  /**
   * Milliseconds: what the pipeline reports (`encodeText` beside other parts, the others one after the other), plus
   * `decodePicture` (part of `readPicture` or `encodeImage`; absent for a known picture), `finishing` (encoder after
   * the last frame), `total`, and before all that `load` where the model had to be loaded.
   */
  readonly timings: Timings;
  /** As GenerationReport.understood. */
  readonly understood?: Understood;
  /** As GenerationReport.smallerRuns, where there are any. */
  readonly smallerRuns?: readonly SmallerRuns[];
  /** What people may want to know about their picture, in sentences: "… only its first frame is used." */
  readonly notes: readonly string[];
}

export type ToEngine =
  | { readonly type: 'start'; readonly options: EngineOptions }
  | {
      readonly type: 'job';
      readonly job: EngineJob;
      /** Where the MP4 grows until it is complete. The parent removes it if the child dies. */
      readonly tempPath: string;
      /** As GenerateHooks.leastMemory. */
      readonly leastMemory: boolean;
    }
  | { readonly type: 'cancel'; readonly jobId: string }
  /** What was removed from the cache on the disk leaves its memory, too: names as forgetEntries takes them. */
  | { readonly type: 'forget'; readonly named: readonly string[] | 'all' }
  /** Cancel the job, if any, tidy up and exit. */
  | { readonly type: 'stop' };

export type FromEngine =
  | {
      readonly type: 'ready';
      readonly model: string;
      readonly loadMs: number;
      readonly rssBytes: number;
      /** Ids of the packs that are loaded. */
      readonly loaded: readonly string[];
      /** One sentence per shape: how long it took, or why it was not run. */
      readonly warmUp: readonly string[];
    }
  | { readonly type: 'failed-to-start'; readonly error: SerializedError }
  /** Sent at least once per step and per decoded chunk: doubles as the heartbeat. */
  | {
      readonly type: 'progress';
      readonly jobId: string;
      readonly phase: Phase;
      readonly done: number;
      readonly total: number;
    }
  /** The child waits for ffmpeg, which has its own deadlines, or opens a session: it is in no native run. */
  | { readonly type: 'alive'; readonly jobId: string }
  | {
      readonly type: 'result';
      readonly result: EngineResult;
      readonly rssBytes: number;
      readonly loaded: readonly string[];
    }
  | {
      readonly type: 'error';
      readonly jobId: string;
      readonly error: SerializedError;
      readonly rssBytes: number;
      readonly loaded: readonly string[];
    };
