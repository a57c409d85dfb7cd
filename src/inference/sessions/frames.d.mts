import type { FloatTensor } from './tensor.ts';
import type { FrameRange } from './thread-tensors.ts';

/** The frames from `first` on out of a volume (1, C, F, h, w), times `factor`, as (count, C, h, w). */
export function takeFrames(volume: Float32Array, dims: readonly number[], range: FrameRange): FloatTensor;

/** Writes a frame (C, h, w) into a volume (1, C, F, h, w). */
export function setFrame(
  volume: Float32Array,
  dims: readonly number[],
  index: number,
  frame: Float32Array,
): void;
