import { expect, it } from 'vitest';
import { takeFrames } from '../../../src/inference/pipelines/decode-frames.ts';

it('frames are cut out of latents channel by channel', () => {
  // Two channels of three frames of one cell.
  const latents = { data: Float32Array.of(1, 2, 3, 10, 20, 30), dims: [1, 2, 3, 1, 1] };
  expect(takeFrames(latents, 1, 2, 0.5)).toEqual({
    data: Float32Array.of(1, 10, 1.5, 15),
    dims: [2, 2, 1, 1],
  });
  expect(latents.data).toHaveLength(6);
});
