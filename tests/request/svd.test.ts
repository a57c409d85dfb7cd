/** Requests to Stable Video Diffusion: what it can be told, and what it cannot. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { packManifestSchema } from '../../src/inference/packs/manifest.ts';
import { queueTerms } from '../../src/queue/terms.ts';
import {
  heedsMotion,
  ignoredOptionsOf,
  motionsFor,
  schedulersOf,
  withEffect,
  withoutEffect,
} from '../../src/request/model-limits.ts';
import { presetNames } from '../../src/request/presets.ts';
import { type GenerationOptions, optionTable } from '../../src/request/request.ts';
import { describeRequest, resolveRequest } from '../../src/request/resolve.ts';
import { schedulerNames } from '../../src/request/scheduler-names.ts';
import { svdCards, svdJson, svdManifest } from '../helpers/svd-manifest.ts';

const manifest = svdManifest();
const photo = { width: 1600, height: 900 };
const resolve = (options: GenerationOptions = {}, model = manifest) => resolveRequest(model, options, photo);

describe('a request', () => {
  it.each([
    ['fast', { numFrames: 14, numInferenceSteps: 20, guidanceScale: 3, width: 704, height: 384 }, 127],
    ['standard', { numFrames: 25, numInferenceSteps: 25, guidanceScale: 3 }, 127],
    ['high', { numFrames: 25, numInferenceSteps: 30, width: 1024, height: 576 }, 127],
    ['creative', { numFrames: 25, numInferenceSteps: 25, guidanceScale: 2.5 }, 180],
  ])('has the numbers of its preset: %s', (preset, numbers, motionBucket) => {
    expect(resolve({ preset })).toMatchObject({
      ...numbers,
      ...{ prompt: '', negativePrompt: '', fps: 7, targetFps: 7, scheduler: 'euler' },
      motionNumbers: { motionBucket, noiseAug: 0.02, minGuidance: 1 },
    });
  });

  it('has the numbers that the README names', () => {
    const readme = readFileSync(path.resolve(import.meta.dirname, '../../README.md'), 'utf8');
    const column = readme.matchAll(/^\| (\w+) +\|[^|]+\| (\d+², \d+ frames, [^|]*?) +\|/gm);
    const named = Object.fromEntries([...column].map(([, name, numbers]) => [name, numbers]));
    const { presets } = manifest;
    const words = presetNames.map((name) => {
      const { size, numFrames, numInferenceSteps, guidanceScale, motion } = presets[name];
      const numbers = `${size}², ${numFrames} frames, ${numInferenceSteps} steps, guidance ${guidanceScale}`;
      return [name, motion ? `${numbers}, motion ${motion}` : numbers];
    });
    expect(named).toEqual(Object.fromEntries(words));
  });

  it.each(Object.keys(svdCards))('differs from preset to preset with %s', (id) => {
    const presets = Object.values(svdManifest(svdCards[id]).presets);
    expect(new Set(presets.map((preset) => JSON.stringify(preset))).size).toBe(presetNames.length);
  });

  it.each([
    [{ motion: 'low' }, { motionBucket: 60 }],
    [{ motion: 'high' }, { motionBucket: 180 }],
    [{ motion: 'high', motionBucket: 33 }, { motionBucket: 33 }],
    [{ preset: 'creative', motion: 'low' }, { motionBucket: 60 }],
    [{ noiseAug: 0.1 }, { noiseAug: 0.1 }],
    // Guidance that is off has no first frame of its own.
    [{ guidanceScale: 1 }, { minGuidance: 1 }],
  ])('%j decides %j', (options, numbers) => {
    expect(resolve(options).motionNumbers).toMatchObject(numbers);
  });

  it.each([
    [{ size: '1024x576' }, 7, 2],
    [{ size: '768x448' }, 7, 2],
    [{ size: '704x384' }, 11, 2],
    [{ size: '704x384', numFrames: 14 }, 14, 2],
    // A window has no room for more.
    [{ size: '1024x576', decodeChunkSize: 3 }, 3, 1],
    [{ size: '1024x576', decodeChunkSize: 8, decodeOverlap: 0 }, 8, 0],
  ])('%j is decoded %d frames at once with %d neighbours', (options, decodeChunkSize, decodeOverlap) => {
    expect(resolve(options)).toMatchObject({ decodeChunkSize, decodeOverlap });
  });

  it.each([
    [{ scheduler: 'ddim' }, /scheduler is "ddim"; expected one of euler, dpm\+\+2m/],
    [{ scheduler: 'lcm' }, /scheduler is "lcm"; expected one of euler, dpm\+\+2m/],
    [{ motionBucket: 256 }, /motion bucket is 256; .* 1 to 255/],
    [{ noiseAug: 0.7 }, /noise on the picture is 0.7; .* 0 to 0.5/],
    [{ size: '640x360' }, /multiple/],
    [{ numFrames: 30 }, /frames is 30; .* 8 to 25/],
    [{ guidanceScale: 7 }, /guidance is 7/],
    [{ decodeChunkSize: 5, decodeOverlap: 3 }, /decode overlap is 3; .* 0 to 2/],
  ])('%j is refused with a sentence', (options, message) => {
    expect(() => resolve(options)).toThrow(message);
  });

  it('with weights that were distilled for LCM takes no other scheduler', () => {
    const lcm = svdManifest(svdCards['animatelcm-svd-xt']);
    expect(schedulersOf(lcm)).toEqual(['lcm']);
    expect(resolve({}, lcm).scheduler).toBe('lcm');
    expect(() => resolve({ scheduler: 'euler' }, lcm)).toThrow(/expected one of lcm/);
  });

  it('has every scheduler in the help of --scheduler', () => {
    const words = optionTable.scheduler.help.split(/[ ,:;]+/);
    expect(words).toEqual(expect.arrayContaining([...schedulerNames]));
  });
});

describe('what the model cannot read', () => {
  const options = { prompt: 'zoom in', camera: 'zoom-in', negativePrompt: 'blurry', motion: 'high' } as const;

  it('is left out, costs nothing, and is named', () => {
    const given = { ...options, preset: 'standard', seed: 1 };
    const { camera: _, negativePrompt: __, ...kept } = given;
    expect(withEffect(manifest, given)).toEqual({ ...kept, prompt: '' });
    expect(withoutEffect(manifest, options)).toEqual(['prompt', 'camera', 'negativePrompt']);
    expect(withoutEffect(manifest, { prompt: '' })).toEqual([]);
    expect(resolve({ ...options, seed: 1 })).toEqual(resolve({ motion: 'high', seed: 1 }));
    const settings = {
      ...{ limits: {} as never, costs: { standard: 3 } },
      ...{ cooldownMs: 0, timeZone: 'UTC' },
    };
    const { cost } = queueTerms(settings, () => manifest);
    const plain = { prompt: '', preset: 'standard', seed: 1 };
    const told = { ...plain, prompt: 'zoom in', negativePrompt: 'blurry' };
    expect(cost({ generation: told })).toBe(cost({ generation: plain }));
  });

  it('is not in the description of the file, which has what decides its pixels', () => {
    const described = describeRequest(resolve({ ...options, seed: 1, size: '1024x576' }), manifest);
    expect(described).not.toHaveProperty('prompt');
    expect(described).not.toHaveProperty('negativePrompt');
    expect(described).toMatchObject({
      ...{ motionBucket: '180', noiseAug: '0.02', minGuidance: '1', targetFps: '7' },
      ...{ decodeChunkSize: '7', decodeOverlap: '2', scheduler: 'euler' },
    });
  });

  it('is not offered', () => {
    expect(motionsFor(manifest)).toEqual([]);
    expect(heedsMotion(manifest)).toBe(true);
    expect(ignoredOptionsOf(svdManifest({ ignoredOptions: ['guidanceEnd'] }))).toContain('guidanceEnd');
  });
});

describe('a manifest', () => {
  it.each([
    ['architecture', { ...svdJson.architecture, maxTokens: 77 }],
    ['motionFps', { low: 4, medium: 8, high: 16 }],
    ['motionBuckets', { ...svdJson.motionBuckets, high: 256 }],
    ['defaults', { ...svdJson.defaults, prompt: 'waves' }],
    ['defaults', { ...svdJson.defaults, scheduler: 'ddim' }],
    ['defaults', { ...svdJson.defaults, noiseAug: 0.6 }],
    ['presets', { fast: svdJson.presets.fast }],
    ['files', svdJson.files.slice(1)],
  ])('of this family with another %s is refused', (field, value) => {
    const { error } = packManifestSchema.safeParse({ ...svdJson, [field]: value });
    expect(
      error?.issues[0]?.path.concat(error.issues[0].code === 'unrecognized_keys' ? field : []),
    ).toContain(field);
  });

  it('needs no tokenizer', () => {
    expect(svdJson.files.map(({ path }) => path).join()).not.toMatch(/token/);
    expect(packManifestSchema.safeParse(svdJson).success).toBe(true);
  });
});
