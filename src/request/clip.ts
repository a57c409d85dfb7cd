/** The numbers of one clip, checked against the model's limits: what a pipeline and the video's encoder work with. */

/** DDIM takes the pack's own timesteps, DPM-Solver++ 2M trailing ones. */
export const schedulerNames = ['ddim', 'dpm++2m'] as const;
export type SchedulerName = (typeof schedulerNames)[number];

export type FeatureReuse = 1 | 2 | 3;

/** Start from the final latents of an earlier clip of the same picture and size, part-way down the schedule. */
export interface Variation {
  /** Id of the earlier clip, as reported in its GenerationReport. */
  readonly videoId: string;
  /** Share of the schedule that is run again, in (0, 1]: subtle 0.35, strong 0.7. */
  readonly strength: number;
}

/** Everything but the picture that decides the pixels of the frames. */
export interface ClipRequest {
  readonly prompt: string;
  readonly negativePrompt: string;
  /** 0 … 2^53-1; the same numbers as torch.Generator("cpu").manual_seed(seed). */
  readonly seed: number;
  /** Working size; the picture is resized to cover it and centre-cropped. */
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly numInferenceSteps: number;
  /** Classifier-free guidance is on when greater than 1. */
  readonly guidanceScale: number;
  /** Share of the steps that use guidance, in [0, 1]; 1 is the exact path. */
  readonly guidanceEnd: number;
  /** The frame rate that the model is conditioned on: lower means more motion between frames. */
  readonly targetFps: number;
  readonly scheduler: SchedulerName;
  /**
   * 1 is the exact path; with 2 or 3 the whole UNet runs at every second or third step only, and what it computed deep
   * inside serves the steps between (needs a pack with unet_shallow).
   */
  readonly featureReuse: FeatureReuse;
  /** Frames decoded at once by the VAE. Does not change a pixel. */
  readonly decodeChunkSize: number;
  readonly variation?: Variation;
}

/** What is done with the frames. */
export interface VideoRequest {
  /** Playing speed of the MP4. */
  readonly fps: number;
  /** Forwards, then backwards. */
  readonly loop: boolean;
  /** 1 leaves the frames alone; 2 or 3 multiplies frames and frame rate by motion-compensated interpolation. */
  readonly smooth: 1 | 2 | 3;
  readonly maxBytes?: number;
}
