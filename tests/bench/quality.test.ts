/**
 * The measure of quality itself, and a short version of it: the whole is `npm run bench:quality`.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readCamera } from '../../bench/quality/camera.ts';
import { Generator, originalPicture } from '../../bench/quality/generate.ts';
import { psnr, resample } from '../../bench/quality/pixels.ts';
import { fitSimilarity, identity, type Similarity, warpOf } from '../../bench/quality/similarity.ts';
import type { RgbImage } from '../../src/inference/image-to-video.ts';
import { TorchGenerator } from '../../src/inference/random.ts';
import { motionWords } from '../../src/request/motions.ts';

const side = 128;
const size = { width: side, height: side };
const coffee = fileURLToPath(new URL('../../examples/coffee.jpg', import.meta.url));
const cat = fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url));
const pack = fileURLToPath(new URL('../../models/builtin', import.meta.url));

let generator: Generator;
let picture: RgbImage;
beforeAll(async () => {
  generator = await Generator.open(pack, 2);
  picture = await originalPicture(coffee, side, side);
});
afterAll(() => generator.close());

/** Which part of the picture each frame shows, each found from the one before. */
function follow(of: RgbImage, frames: readonly Uint8Array[]): Similarity[] {
  let last = identity;
  return frames.map((data) => {
    last = fitSimilarity(of, { width: of.width, height: of.height, data }, last);
    return last;
  });
}

/** A magnification and a turn in degrees. */
const part = (m: number, degrees: number, x: number, y: number): Similarity => {
  const angle = (degrees * Math.PI) / 180;
  return { a: Math.cos(angle) / m, b: -Math.sin(angle) / m, x, y };
};

it.each([
  ['zoom-in fast', part(1.1, 0, 0, 0), part(1.1 * Math.exp(0.36), 0, 0.05, 0.02)],
  ['zoom-out slow', part(1.2 * Math.exp(0.126), 0, 0, 0), part(1.2, 0, 0, 0)],
  ['pan-left normal', part(1.25, 0, 0.13, 0), part(1.25, 0, -0.13, 0.01)],
  ['tilt-down slow', part(1.25, 0, 0, -0.07), part(1.25, 0, 0, 0.07)],
  ['rotate-ccw fast', part(1.3, 0, 0, 0), part(1.3, -13, 0, 0)],
  ['', part(1, 0, 0, 0), part(1, 0.3, 0.01, 0)],
])('the measure finds a camera move that is known, from noisy frames: "%s"', (name, from, to) => {
  const noise = new TorchGenerator(1).randn(side * side * 3);
  const frames = Array.from({ length: 8 }, (_, k) => {
    const at = (key: keyof Similarity): number => from[key] + ((to[key] - from[key]) * k) / 7;
    const warp = warpOf({ a: at('a'), b: at('b'), x: at('x'), y: at('y') }, side, side);
    return resample(picture, warp).data.map((value, i) =>
      Math.max(0, Math.min(255, value + 4 * (noise[i] ?? 0))),
    );
  });
  const seen = follow(picture, frames);
  for (const key of ['a', 'b', 'x', 'y'] as const) {
    expect(Math.abs((seen.at(-1)?.[key] ?? 9) - to[key])).toBeLessThan(0.004);
  }
  const read = readCamera(seen[0] ?? identity, seen.at(-1) ?? identity, size);
  expect(read.map(({ motion, speed }) => `${motion} ${speed}`).join()).toBe(name);
});

it.each([
  ['camera slowly zooming in', 'zoom-in slow'],
  ['quickly pull back from the scene', 'zoom-out fast'],
  ['pan to the left', 'pan-left normal'],
  ['the camera glides slowly to the right', 'pan-right slow'],
  ['tilt up fast', 'tilt-up fast'],
  ['the view tilts down', 'tilt-down normal'],
  ['rotate slowly clockwise', 'rotate-cw slow'],
  ['spin counterclockwise', 'rotate-ccw normal'],
  ['a static shot', ''],
  ['镜头缓慢推近', 'zoom-in slow'],
  ['a cup of coffee on a table', 'zoom-in slow'],
  // No water is found in it.
  ['waves rolling', 'zoom-in slow'],
])('the built-in model obeys "%s", whatever the seed', async (prompt, expected) => {
  for (const seed of [1, 2]) {
    const options = { prompt, size: `${side}x${side}`, numFrames: 8, seed };
    const seen = follow(picture, await generator.frames(coffee, options));
    const read = readCamera(seen[0] ?? identity, seen.at(-1) ?? identity, size);
    expect(read.map(({ motion, speed }) => `${motion} ${speed}`).join()).toBe(expected);
  }
});

it.each(['waves', 'sway', 'clouds'] as const)(
  '%s move where somebody painted them, whatever is there',
  async (kind) => {
    const options = { prompt: motionWords[kind], size: `${side}x${side}`, numFrames: 5 };
    const painted = new Uint8Array(side * side).fill(255, (side * side) / 2);
    const { frames, understood, videoId } = await generator.clip(coffee, options, painted);
    expect(understood.done.map(({ motion }) => motion)).toEqual([kind]);
    const [first = picture.data, ...others] = frames;
    const [upper, lower] = [(3 * side * side) / 2 - 24 * side, (3 * side * side) / 2];
    expect(
      Math.min(...others.map((frame) => psnr(frame.subarray(lower), first.subarray(lower)))),
    ).toBeLessThan(40);
    for (const frame of others) {
      expect(psnr(frame.subarray(0, upper), first.subarray(0, upper))).toBeGreaterThan(45);
    }
    expect((await generator.clip(coffee, options)).videoId).not.toBe(videoId);
  },
);

it('its frames are the picture, moved: 38 dB and better for another photograph at 256', async () => {
  const photograph = await originalPicture(cat, 256, 256);
  const options = { prompt: 'fast zoom out', size: '256x256', numFrames: 4 };
  const frames = await generator.frames(cat, options);
  const seen = follow(photograph, frames);
  const scores = frames.map((frame, index) =>
    psnr(frame, resample(photograph, warpOf(seen[index] ?? identity, 256, 256)).data),
  );
  expect(Math.min(...scores)).toBeGreaterThan(38);
});

it('another seed is another clip', async () => {
  const options = { prompt: 'zoom in', size: '256x256', numFrames: 6 };
  const [one, other] = [
    await generator.frames(cat, { ...options, seed: 1 }),
    await generator.frames(cat, { ...options, seed: 2 }),
  ];
  const scores = one.map((frame, index) => psnr(frame, other[index] ?? new Uint8Array()));
  expect(scores.reduce((sum, score) => sum + score, 0) / scores.length).toBeLessThan(34);
});
