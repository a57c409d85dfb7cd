/**
 * The measure of quality itself, and a short version of it: the whole is `npm run bench:quality`.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Fitter, fitFrames, sameMotions } from '../../bench/quality/fit.ts';
import { Generator, originalPicture } from '../../bench/quality/generate.ts';
import { Clip, kinds, type Motion, psnr, resample, speeds } from '../../bench/quality/motion.ts';
import { TorchGenerator } from '../../src/inference/random.ts';

const side = 128;
const coffee = fileURLToPath(new URL('../../examples/coffee.jpg', import.meta.url));
const cat = fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url));
const pack = fileURLToPath(new URL('../../models/builtin', import.meta.url));

let generator: Generator;
let fitter: Fitter;
beforeAll(async () => {
  generator = await Generator.open(pack, 2);
  fitter = new Fitter(await originalPicture(coffee, side, side));
});
afterAll(() => generator.close());

it('the fitter recovers motions that are known, from noisy frames', async () => {
  const picture = await originalPicture(coffee, side, side);
  const noise = new TorchGenerator(1).randn(side * side * 3);
  const known: Motion[][] = [
    ...kinds.map((kind, index): Motion[] => [{ kind, speed: speeds[index % 3] ?? 'normal' }]),
    [
      { kind: 'zoom-in', speed: 'slow' },
      { kind: 'waves', speed: 'fast' },
    ],
    [
      { kind: 'pan-left', speed: 'normal' },
      { kind: 'rotate-ccw', speed: 'slow' },
    ],
  ];
  for (const motions of known) {
    const clip = new Clip(motions, side, side);
    const frames = Array.from({ length: fitFrames }, (_, index) =>
      resample(picture, clip.warp(index / (fitFrames - 1))).data.map((value, i) =>
        Math.max(0, Math.min(255, value + 4 * (noise[i] ?? 0))),
      ),
    );
    const fit = fitter.fit(frames);
    expect(sameMotions(fit.motions, motions), JSON.stringify(fit.motions)).toBe(true);
  }
});

const prompts: readonly (readonly [string, readonly Motion[]])[] = [
  ['camera slowly zooming in', [{ kind: 'zoom-in', speed: 'slow' }]],
  ['quickly pull back from the scene', [{ kind: 'zoom-out', speed: 'fast' }]],
  ['pan to the left', [{ kind: 'pan-left', speed: 'normal' }]],
  ['the camera glides slowly to the right', [{ kind: 'pan-right', speed: 'slow' }]],
  ['tilt up fast', [{ kind: 'tilt-up', speed: 'fast' }]],
  ['the view tilts down', [{ kind: 'tilt-down', speed: 'normal' }]],
  ['rotate slowly clockwise', [{ kind: 'rotate-cw', speed: 'slow' }]],
  ['spin counterclockwise', [{ kind: 'rotate-ccw', speed: 'normal' }]],
  ['a static shot', [{ kind: 'static', speed: 'normal' }]],
  ['waves rolling', [{ kind: 'waves', speed: 'normal' }]],
  ['swaying gently in the wind', [{ kind: 'sway', speed: 'slow' }]],
  ['镜头缓慢推近', [{ kind: 'zoom-in', speed: 'slow' }]],
  ['a cup of coffee on a table', [{ kind: 'zoom-in', speed: 'slow' }]],
  [
    'pan right, waves rolling',
    [
      { kind: 'pan-right', speed: 'normal' },
      { kind: 'waves', speed: 'normal' },
    ],
  ],
];

it.each(prompts)('the built-in model obeys "%s"', async (prompt, motions) => {
  const options = { prompt, size: `${side}x${side}`, numFrames: fitFrames, numInferenceSteps: 2 };
  const fit = fitter.fit(await generator.frames(coffee, options));
  expect(sameMotions(fit.motions, motions), JSON.stringify(fit.motions)).toBe(true);
  expect(fit.psnr).toBeGreaterThan(30);
});

it('its frames are the picture, moved: 35 dB and better for another photograph at 256', async () => {
  const motion: Motion = { kind: 'zoom-out', speed: 'fast' };
  const numFrames = 4;
  const frames = await generator.frames(cat, { prompt: 'fast zoom out', size: '256x256', numFrames });
  const picture = await originalPicture(cat, 256, 256);
  const clip = new Clip([motion], 256, 256);
  const scores = frames.map((frame, index) =>
    psnr(frame, resample(picture, clip.warp(index / (numFrames - 1))).data),
  );
  expect(Math.min(...scores)).toBeGreaterThan(35);
  expect(scores[0]).toBeGreaterThan(37);
});
