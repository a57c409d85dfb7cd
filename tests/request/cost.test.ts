import { expect, it } from 'vitest';
import { queueTerms } from '../../src/queue/terms.ts';
import { costOf } from '../../src/request/cost.ts';
import type { Generation } from '../../src/request/request.ts';

const preset = { size: 512, numFrames: 16, numInferenceSteps: 50 };
const generation = { prompt: '', preset: 'standard', seed: 1 };

it.each([
  ['nothing said', {}, 2],
  ['what the preset has', { numFrames: 16, numInferenceSteps: 50, size: '512' }, 2],
  ['less of everything', { numFrames: 8, numInferenceSteps: 10, size: '256' }, 2],
  ['a frame more', { numFrames: 17 }, 3],
  ['twice the frames', { numFrames: 32 }, 4],
  ['twice the steps', { numInferenceSteps: 100 }, 4],
  ['four times the pixels', { size: '1024' }, 8],
  ['other proportions, same area', { size: '1024x256' }, 2],
  ['more of one, less of another', { numFrames: 32, numInferenceSteps: 25 }, 2],
  ['everything', { numFrames: 32, numInferenceSteps: 100, size: '1024x1024' }, 32],
  ['a size that the engine will refuse', { size: 'huge' }, 2],
])('%s', (_what, options, expected) => {
  expect(costOf({ ...generation, ...options }, 2, preset)).toBe(expected);
});

it('nothing is charged for what the model ignores', () => {
  const settings = {
    limits: { queue: 10, user: 5, community: 5, credits: 10 },
    costs: { standard: 2 },
    cooldownMs: 0,
    timeZone: 'UTC',
  };
  const costWith = (some: ReturnType<Parameters<typeof queueTerms>[1]>, asked: Generation): number =>
    queueTerms(settings, () => some).cost({ generation: asked });
  const model = { presets: { standard: { ...preset, guidanceScale: 9 } } };
  const manySteps = { ...generation, numInferenceSteps: 100 };
  expect(costWith(model, manySteps)).toBe(4);
  const deaf = { ...model, ignoredOptions: ['numInferenceSteps'] as const };
  expect(costWith(deaf, manySteps)).toBe(2);
  expect(costWith(deaf, { ...manySteps, numFrames: 32 })).toBe(4);
});
