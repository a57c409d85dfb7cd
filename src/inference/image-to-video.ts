/**
 * The seam between what is asked for (a picture, a prompt, numbers) and a model family that can make it.
 * Knows no model, no file format and no process.
 */

import type { GenerationOptions } from '../request/request.ts';
import type { ClipRequest } from '../request/resolve.ts';
import type { WorkingSize } from '../request/sizes.ts';
import type { Understood } from '../request/understood.ts';
import type { CacheUse } from './latent-cache.ts';

/** 8-bit RGB pixels, row by row, no padding: data.length === width * height * 3. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A picture, decoded and oriented, before any resizing. Its pixels may be dear, and a pipeline may know it already. */
export interface Picture {
  /** Names the pixels: equal for pictures that look the same. */
  readonly key: string;
  readonly width: number;
  readonly height: number;
  /** Throws what decodeImage throws. */
  pixels(): Promise<RgbImage>;
}

/** One frame of the clip, in playing order. Its data is gone when the next frame is asked for. */
export interface Frame extends RgbImage {
  readonly index: number;
  /** Of a clip's first frame: pixels of what stays where nothing may move, if that is not what this frame shows. */
  readonly still?: Uint8Array;
}

/** How a clip was asked for. */
export interface ClipOrigin {
  readonly imagePath: string;
  readonly maskPath?: string;
  readonly options: GenerationOptions;
  readonly seed: number;
  /** Where its video is, and the one that it continues. */
  readonly videoPath: string;
  readonly earlierPath?: string;
}

/** Everything that decides the pixels of a clip. */
export interface GenerateRequest extends ClipRequest {
  /** May still be on its way: the prompts do not wait for it. */
  readonly image: Picture | Promise<Picture>;
  /** How much each pixel of the clip may move, 0 to 255, row by row. What goes beyond that is stilled later. */
  readonly motionWeights?: Promise<Uint8Array>;
  /** Kept with the clip's latents, for whoever asks for a variation of it. */
  readonly origin?: ClipOrigin;
  /** Of a clip that passes along its picture, which is not cut to the frames' shape then; chooseShape() decides it. */
  readonly pictureSize?: WorkingSize;
}

export type Phase = 'loading' | 'encoding' | 'denoising' | 'decoding' | 'finishing';

export interface ProgressEvent {
  readonly phase: Phase;
  /** Steps of this phase that are done, and how many there are (1-based when running: 3 of 50). */
  readonly done: number;
  readonly total: number;
}

/** Milliseconds per phase. `sessions` is the part of the whole that was spent inside ONNX sessions. */
export interface Timings {
  readonly [phase: string]: number;
}

/** From a frame on, fewer frames were decoded at once than was asked for. */
export interface SmallerRuns {
  readonly fromFrame: number;
  readonly frames: number;
}

export interface GenerationReport {
  /** Names the final latents in the cache; hand it to Variation. */
  readonly videoId: string;
  readonly numFrames: number;
  readonly width: number;
  readonly height: number;
  readonly timings: Timings;
  readonly cache: CacheUse;
  /** Of the prompt, by a model that tells. */
  readonly understood?: Understood;
  /** For want of memory, and where that changes pixels; empty when all was as asked for. */
  readonly smallerRuns?: readonly SmallerRuns[];
}

export interface GenerateHooks {
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
  /** Called once, after the last frame was handed out. */
  readonly onReport: (report: GenerationReport) => void;
  /** The clip failed for want of memory before: as little of it as possible is used, whatever time that takes. */
  readonly leastMemory?: boolean | undefined;
}

/** One model family. Frames come in order, chunk by chunk, while later chunks are still being decoded. */
export interface ImageToVideoPipeline {
  /**
   * The same request with the size that its frames will have: a prompt that pans may pass along its picture. Absent where
   * all clips have the picture's shape.
   */
  chooseShape?<Request extends GenerateRequest>(
    request: Request,
    hooks: Pick<GenerateHooks, 'leastMemory'>,
  ): Promise<Request>;
  generate(request: GenerateRequest, hooks: GenerateHooks): AsyncIterable<Frame>;
}
