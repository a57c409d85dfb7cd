/** What the bench knows of each family of models, beside the presets of the pack. */
import type { PackManifest } from '../../src/inference/packs/manifest.ts';
import type { WorkingSize } from '../../src/request/sizes.ts';

/** Times of a step with guidance that a change must not lose, as shares of those of diffusers. */
export interface Goal {
  readonly ofEager: number;
  readonly ofCompiled: number;
}

export interface BenchedFamily {
  /** Of the shape that clips are measured in; absent: squares. */
  readonly picture?: WorkingSize;
  /** As many as the smaller model of the family makes, measured beside those of the preset high. */
  readonly fewerFrames?: number;
  /** Windows that the family decodes by default, beside those that show what a window costs. */
  readonly windows: readonly number[];
  /** By the clip: that of a preset, or the one with fewer frames. */
  readonly stepGoals: { readonly [Clip in 'fewer' | 'standard' | 'high']?: Goal };
  /** What a clip of Kinora's gets without options, in the words of the family's pipeline. */
  readonly diffusersRequest: Readonly<Record<string, string | number>>;
}

export function benchedFamily(manifest: PackManifest): BenchedFamily {
  switch (manifest.family) {
    case 'i2vgen-xl': {
      const { defaults, motionFps } = manifest;
      return {
        windows: [],
        stepGoals: {
          standard: { ofEager: 0.56, ofCompiled: 0.85 },
          high: { ofEager: 0.62, ofCompiled: 0.85 },
        },
        diffusersRequest: { negative_prompt: defaults.negativePrompt, target_fps: motionFps.medium },
      };
    }
    case 'svd': {
      const { defaults, motionBuckets } = manifest;
      const goal = { ofEager: 0.62, ofCompiled: 0.95 };
      return {
        picture: { width: 16, height: 9 },
        fewerFrames: 14,
        windows: [7, 14],
        stepGoals: { fewer: goal, high: goal },
        diffusersRequest: {
          fps: defaults.targetFps,
          motion_bucket_id: motionBuckets.medium,
          noise_aug_strength: defaults.noiseAug,
          min_guidance_scale: defaults.minGuidance,
          decode_chunk_size: defaults.decodeChunkSize,
        },
      };
    }
  }
}
