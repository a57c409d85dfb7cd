/** What Create decides without a browser: frames of a crop, words of chips, costs, and what is sent. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { motions as zh } from '../../src/bot/sentences/motions-zh.ts';
import { costOf } from '../../src/request/cost.ts';
import { motionWords } from '../../src/request/motions.ts';
import type { Studio, Video } from '../../src/web/page/api/types.ts';
import { grips, move, ofShape, resize } from '../../src/web/page/create/crop.ts';
import {
  chooseModel,
  chooseMotion,
  chooseValue,
  type Draft,
  draft,
  draftOf,
  emptyDraft,
} from '../../src/web/page/create/draft.ts';
import {
  clipSize,
  creditsOf,
  fieldsOf,
  hasWords,
  motionBucketOf,
  presetOf,
  remixFieldsOf,
  stepsOf,
  toggleWords,
} from '../../src/web/page/create/options.ts';

const studio: Studio = {
  object: 'studio',
  models: [],
  model: { id: 'test-1', title: 'Test' },
  mode: 'running',
  motions: [],
  tells_understood: false,
  presets: [
    {
      name: 'standard',
      credits: 2,
      seconds_now: 20,
      size: 512,
      num_frames: 16,
      num_inference_steps: 50,
      guidance_scale: 9,
      motion: 'medium',
    },
    {
      name: 'high',
      credits: 6,
      seconds_now: null,
      size: 768,
      num_frames: 24,
      num_inference_steps: 80,
      guidance_scale: 10,
      motion: 'high',
    },
  ],
  queue_position: 0,
  ranges: {
    num_frames: { min: 1, max: 32 },
    num_inference_steps: { min: 1, max: 100 },
    guidance_scale: { min: 1, max: 20 },
    guidance_end: { min: 0, max: 1 },
    motion_bucket_id: { min: 1, max: 255 },
    noise_aug_strength: { min: 0, max: 0.5 },
    fps: { min: 1, max: 60 },
    seed: { min: 0, max: Number.MAX_SAFE_INTEGER },
  },
  size: { multiple: 64, side: { min: 256, max: 1024 }, pixels: { min: 65_536, max: 589_824 } },
  schedulers: [
    { name: 'ddim', most_preset_steps: null },
    { name: 'dpm++2m', most_preset_steps: 25 },
  ],
  motion_levels: ['low', 'medium', 'high'],
  motion_buckets: null,
  defaults: {
    preset: 'standard',
    fps: 8,
    noise_aug_strength: null,
    negative_prompt: 'blurry',
    scheduler: 'ddim',
    guidance_end: 1,
    feature_reuse: 1,
  },
  ignored: ['feature_reuse'],
  upload: { bytes: 1, min_side: 8, pixels: 1, types: [] },
};
const [standard] = studio.presets;
if (!standard) throw new Error('there is a preset');
const drafted = (change: Partial<Draft>): Draft => ({ ...emptyDraft, ...change });

describe('the frame of a crop', () => {
  const part = fc.double({ min: 0.1, max: 0.6, noNaN: true });
  const box = fc.record({
    x: fc.double({ min: 0, max: 0.4, noNaN: true }),
    y: part,
    width: part,
    height: part,
  });
  const inside = box.map((any) => ({ ...any, y: Math.min(any.y, 0.4) }));
  const by = fc.double({ min: -2, max: 2, noNaN: true });
  const shape = fc.option(fc.double({ min: 0.3, max: 3, noNaN: true }), { nil: undefined });

  it('stays inside the picture, however it is moved, resized and shaped', () => {
    fc.assert(
      fc.property(inside, by, by, shape, fc.constantFrom(...grips), (from, byX, byY, wanted, grip) => {
        const shaped = ofShape(from, wanted);
        for (const one of [move(from, byX, byY), shaped, resize(shaped, grip, byX, byY, wanted)]) {
          expect(one.x).toBeGreaterThanOrEqual(-1e-9);
          expect(one.y).toBeGreaterThanOrEqual(-1e-9);
          expect(one.x + one.width).toBeLessThanOrEqual(1 + 1e-9);
          expect(one.y + one.height).toBeLessThanOrEqual(1 + 1e-9);
          expect(Math.min(one.width, one.height)).toBeGreaterThan(0);
        }
      }),
    );
  });

  it('keeps a fixed shape and the corner opposite to the one that is drawn', () => {
    const from = ofShape({ x: 0, y: 0, width: 1, height: 1 }, 16 / 9);
    const narrower = resize(from, { x: 1, y: 1 }, -0.2, 0, 16 / 9);
    expect(narrower.width / narrower.height).toBeCloseTo(16 / 9);
    expect(narrower).toMatchObject({ x: from.x, y: from.y, width: 0.8 });
    const lower = resize(from, { x: -1, y: -1 }, 0, 0.1, 16 / 9);
    expect(lower.x + lower.width).toBeCloseTo(from.x + from.width);
    expect(lower.y + lower.height).toBeCloseTo(from.y + from.height);
    expect(lower.height).toBeCloseTo(from.height - 0.1);
  });
});

describe.each([
  ['English', motionWords],
  ['Chinese', zh.words],
])('chips in %s', (_language, words) => {
  const chips = Object.values(words);

  it('put their words into the prompt and take them out again', () => {
    for (const words of chips) {
      expect(toggleWords('', words)).toBe(words);
      const both = toggleWords('a cat looks up,', words);
      expect(both).toBe(`a cat looks up, ${words}`);
      expect(hasWords(both, words)).toBe(true);
      expect(toggleWords(both, words)).toBe('a cat looks up');
      expect(toggleWords(`Slowly, ${words.toUpperCase()}, at dusk`, words)).toBe('Slowly, at dusk');
    }
  });

  it('come and go in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...chips], { minLength: 1 }), (chosen) => {
        const all = chosen.reduce(toggleWords, 'my prompt');
        expect(chosen.every((words) => hasWords(all, words))).toBe(true);
        expect(chosen.toReversed().reduce(toggleWords, all)).toBe('my prompt');
      }),
    );
  });
});

describe('a draft', () => {
  it('costs what the queue will charge', () => {
    const asked = { num_frames: 32, num_inference_steps: 100, size: '640x512' };
    const generation = {
      prompt: '',
      preset: 'standard',
      seed: 0,
      numFrames: 32,
      numInferenceSteps: 100,
      size: '640x512',
    };
    const { size, num_frames: numFrames, num_inference_steps: numInferenceSteps } = standard;
    expect(creditsOf(drafted({ values: asked }), standard)).toBe(
      costOf(generation, standard.credits, { size, numFrames, numInferenceSteps }),
    );
    expect(creditsOf(drafted({}), standard)).toBe(2);
  });

  it('sends what was chosen and no more, and nothing that the model ignores', () => {
    const chosen = drafted({ prompt: 'zoom in', values: { fps: 12, feature_reuse: 2, loop: true } });
    expect(fieldsOf(chosen, studio)).toEqual({ prompt: 'zoom in', preset: 'standard', fps: 12, loop: true });
  });

  it('of a remix names everything that the earlier video could have had', () => {
    const remix = drafted({ prompt: 'pan left', preset: 'high', values: { num_frames: 8, seed: 5 } });
    const high = presetOf(remix, studio);
    if (!high) throw new Error('there is a preset');
    expect(remixFieldsOf(remix, high, studio)).toEqual({
      prompt: 'pan left',
      preset: 'high',
      size: '768',
      num_frames: 8,
      num_inference_steps: 80,
      guidance_scale: 10,
      motion: 'high',
      negative_prompt: 'blurry',
      loop: false,
      enable_frame_interpolation: false,
      fps: 8,
      seed: 5,
    });
  });

  it('gives a model that is told how much moves as a number that of the level, or one of its own', () => {
    const svd: Studio = {
      ...studio,
      motion_buckets: { low: 60, medium: 127, high: 180 },
      defaults: { ...studio.defaults, noise_aug_strength: 0.02 },
      ignored: ['prompt', 'negative_prompt', 'feature_reuse'],
    };
    const [, high] = svd.presets;
    if (!high) throw new Error('there is a preset');
    expect(motionBucketOf(drafted({}), standard, studio)).toBeUndefined();
    expect(motionBucketOf(drafted({}), high, svd)).toBe(180);
    expect(motionBucketOf(drafted({ values: { motion: 'low' } }), high, svd)).toBe(60);
    draft.set(drafted({ values: { motion: 'low', noise_aug_strength: 0.1 } }));
    chooseValue('motion_bucket_id', 33);
    expect(motionBucketOf(draft.get(), high, svd)).toBe(33);
    expect(fieldsOf(draft.get(), svd)).toMatchObject({ motion_bucket_id: 33, noise_aug_strength: 0.1 });
    chooseMotion('high');
    expect(draft.get().values).toEqual({ motion: 'high', noise_aug_strength: 0.1 });
    // A model that takes none is not sent what was chosen for another one.
    chooseValue('motion_bucket_id', 33);
    chooseModel('test-1');
    expect(draft.get().values).toEqual({ motion: 'high' });
    draft.set(emptyDraft);

    // A remix names what the earlier video may have had, and takes over what differs from the level.
    expect(remixFieldsOf(drafted({}), high, svd)).toMatchObject({ motion: 'high', noise_aug_strength: 0.02 });
    const numbers = (motion_bucket_id: number, noise_aug_strength: number, motion: string | null = null) =>
      draftOf({ variants: [], motion, motion_bucket_id, noise_aug_strength } as unknown as Video, svd).values;
    expect(numbers(60, 0.02, 'low')).toMatchObject({ motion: 'low' });
    expect(numbers(60, 0.02, 'low').motion_bucket_id).toBeUndefined();
    expect(numbers(61, 0.1)).toMatchObject({ motion_bucket_id: 61, noise_aug_strength: 0.1 });
  });

  it('has the steps of a scheduler that needs fewer, unless others were chosen', () => {
    expect(stepsOf(drafted({}), standard, studio)).toBe(50);
    expect(stepsOf(drafted({ values: { scheduler: 'dpm++2m' } }), standard, studio)).toBe(25);
    expect(
      stepsOf(drafted({ values: { scheduler: 'dpm++2m', num_inference_steps: 40 } }), standard, studio),
    ).toBe(40);
  });

  it('tells the size of the clip, in the shape of the picture', () => {
    const clip = clipSize(drafted({}), standard, studio, { width: 1600, height: 900 });
    expect(clip).toEqual({ width: 704, height: 384 });
    expect(
      clipSize(drafted({ values: { size: '640x384' } }), standard, studio, { width: 1, height: 1 }),
    ).toMatchObject({ width: 640, height: 384 });
  });

  it('takes the settings of a video, and leaves to the preset what is the preset’s', () => {
    const video = {
      id: 'video-1',
      prompt: 'waves',
      preset: 'standard',
      size: '640x384',
      num_frames: 16,
      num_inference_steps: 30,
      guidance_scale: 9,
      negative_prompt: '',
      fps: 8,
      motion: 'high',
      scheduler: 'ddim',
      guidance_end: 1,
      feature_reuse: 1,
      loop: true,
      enable_frame_interpolation: false,
      seed: 7,
      variants: ['video', 'thumbnail'],
      spoiler: false,
    } as unknown as Video; // the fields that count
    expect(draftOf(video, studio)).toEqual({
      picture: undefined,
      from: { id: 'video-1', isShown: true, isCovered: false },
      prompt: 'waves',
      preset: 'standard',
      values: {
        num_inference_steps: 30,
        fps: 8,
        motion: 'high',
        scheduler: 'ddim',
        loop: true,
        size: '640x384',
        seed: 7,
      },
    });
  });
});
