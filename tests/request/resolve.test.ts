import { beforeAll, describe, expect, it } from 'vitest';
import type { I2VGenXLManifest } from '../../src/inference/packs/i2vgen-xl.ts';
import { ignorableOptions } from '../../src/request/ignorable-options.ts';
import { presetNames, presetOf } from '../../src/request/presets.ts';
import { cleanPrompt } from '../../src/request/prompt.ts';
import type { GenerationOptions } from '../../src/request/request.ts';
import { describeRequest, resolveRequest, smallerRequests } from '../../src/request/resolve.ts';
import { builtinPackPath, tinyPackPath } from '../helpers/golden.ts';
import { loadI2VGenXL } from '../helpers/i2vgen-xl-pack.ts';

/** The tiny pack with the limits of the published I2VGen-XL. */
let manifest: I2VGenXLManifest;
beforeAll(async () => {
  const { presets: _tiny, ...tiny } = (await loadI2VGenXL(tinyPackPath)).manifest;
  manifest = {
    ...tiny,
    limits: {
      side: { min: 256, max: 1280 },
      pixels: { min: 256 * 256, max: 1024 * 1024 },
      numFrames: { min: 8, max: 32 },
      numInferenceSteps: { min: 1, max: 100 },
      guidanceScale: { min: 1, max: 20 },
      targetFps: { min: 1, max: 60 },
    },
  };
});

const photo = { width: 1200, height: 900 };
const resolve = (options: GenerationOptions = {}) => resolveRequest(manifest, options, photo);

it('tells how a clip passes along a panorama, of a model that knows what a pan is', async () => {
  const panorama = { width: 4000, height: 1000 };
  expect(resolveRequest(manifest, {}, panorama).passage).toBeUndefined();
  const { manifest: builtin } = await loadI2VGenXL(builtinPackPath);
  expect(resolveRequest(builtin, {}, photo).passage).toBeUndefined();
  const request = resolveRequest(builtin, { preset: 'high' }, panorama);
  expect(request).toMatchObject({ width: 1664, height: 416 });
  expect(request.passage?.frame).toEqual({ width: 1120, height: 624 });
  // Where memory runs out, the smaller clips pass along it, too.
  const [smaller] = smallerRequests(builtin, request);
  expect(smaller?.passage?.frame).toEqual({ width: 768, height: 432 });
});

describe('presets', () => {
  it.each([
    ['fast', { numFrames: 8, numInferenceSteps: 30, guidanceScale: 9 }, 512],
    ['standard', { numFrames: 16, numInferenceSteps: 50, guidanceScale: 9 }, 512],
    ['high', { numFrames: 24, numInferenceSteps: 80, guidanceScale: 10 }, 768],
    ['creative', { numFrames: 16, numInferenceSteps: 50, guidanceScale: 6.5 }, 512],
  ])('%s', (preset, numbers, size) => {
    const request = resolve({ preset });
    expect(request).toMatchObject({ preset, ...numbers });
    expect(Math.sqrt(request.width * request.height)).toBeGreaterThan(size * 0.9);
    expect(Math.sqrt(request.width * request.height)).toBeLessThan(size * 1.1);
    expect(request.width / request.height).toBeCloseTo(4 / 3, 0.5);
  });

  it('a pack may replace them, one by one', () => {
    const fast = { size: 256, numFrames: 10, numInferenceSteps: 4, guidanceScale: 1 };
    const other = { ...manifest, presets: { fast } };
    expect(presetOf(other, 'fast')).toEqual(fast);
    expect(resolveRequest(other, { preset: 'fast', size: '256x256' }, photo)).toMatchObject({
      width: 256,
      height: 256,
      numFrames: 10,
      numInferenceSteps: 4,
      guidanceScale: 1,
    });
    expect(presetOf(other, 'standard')).toEqual(presetOf(manifest, 'standard'));
  });

  it('a preset that a pack cannot run is refused with the range, not squeezed', () => {
    const short = { ...manifest, limits: { ...manifest.limits, numFrames: { min: 8, max: 16 } } };
    expect(() => resolveRequest(short, { preset: 'high' }, photo)).toThrow(/frames is 24; .* from 8 to 16/);
    expect(resolveRequest(short, { preset: 'high', numFrames: 16 }, photo).numFrames).toBe(16);
  });

  it('every preset of the shipped packs lies within their limits', async () => {
    for (const folder of [tinyPackPath, builtinPackPath]) {
      const { manifest: shipped } = await loadI2VGenXL(folder);
      for (const preset of presetNames) {
        for (const image of [photo, { width: 900, height: 1200 }, { width: 4000, height: 500 }]) {
          expect(() => resolveRequest(shipped, { preset }, image)).not.toThrow();
        }
      }
    }
  });
});

describe('what the model ignores', () => {
  const chosen = {
    negativePrompt: 'rain',
    numInferenceSteps: 90,
    guidanceScale: 99,
    guidanceEnd: 0.5,
    scheduler: 'dpm++2m',
  };

  it('counts as left out, also beyond its range', () => {
    const deaf = { ...manifest, ignoredOptions: ignorableOptions };
    const { seed: _, ...plain } = resolveRequest(deaf, { size: '256' }, photo);
    expect(resolveRequest(deaf, { ...chosen, size: '256' }, photo)).toMatchObject(plain);
  });

  it('is decided option by option', () => {
    const deaf = { ...manifest, ignoredOptions: ['numInferenceSteps'] as const };
    const request = resolveRequest(deaf, { ...chosen, guidanceScale: 3 }, photo);
    expect(request).toMatchObject({ numInferenceSteps: 25, guidanceScale: 3, negativePrompt: 'rain' });
  });
});

describe('what is left out', () => {
  it('comes from the preset "standard" and from the pack', () => {
    expect(resolve()).toEqual({
      preset: 'standard',
      prompt: manifest.defaults.prompt,
      negativePrompt: manifest.defaults.negativePrompt,
      seed: expect.any(Number),
      width: 576,
      height: 448,
      numFrames: 16,
      numInferenceSteps: 50,
      guidanceScale: 9,
      guidanceEnd: 1,
      targetFps: 16,
      fps: 8,
      loop: false,
      smooth: 1,
      scheduler: 'ddim',
      featureReuse: 1,
      decodeChunkSize: 2,
    });
  });

  it('draws a new seed each time, one that torch tells apart', () => {
    const seeds = Array.from({ length: 50 }, () => resolve().seed);
    expect(new Set(seeds).size).toBe(50);
    for (const seed of seeds) {
      expect(Number.isInteger(seed)).toBe(true);
      expect(seed).toBeGreaterThanOrEqual(0);
      expect(seed).toBeLessThan(2 ** 32);
    }
  });
});

describe('speed for a little quality', () => {
  let reusing: I2VGenXLManifest;
  beforeAll(() => {
    const shallow = { path: 'unet_shallow/model.onnx', bytes: 1, sha256: '0'.repeat(64) };
    reusing = { ...manifest, files: [...manifest.files, shallow] };
  });

  it('is asked for by name: features are reused by packs that can, and refused by others', () => {
    expect(resolveRequest(reusing, { featureReuse: 3 }, photo).featureReuse).toBe(3);
    expect(resolve({ featureReuse: 1 }).featureReuse).toBe(1);
    for (const featureReuse of [2, 3]) {
      expect(() => resolve({ featureReuse })).toThrow(
        expect.objectContaining({
          code: 'INVALID_OPTION',
          message: expect.stringMatching(/model pack .* was exported without --deepcache; expected 1/),
        }),
      );
    }
  });

  it.each([0, 4, 1.5, -2, Number.NaN])('a reuse of %d is refused', (featureReuse) => {
    expect(() => resolveRequest(reusing, { featureReuse }, photo)).toThrow(/expected 1 \(none\), 2 or 3/);
  });

  it('DPM-Solver++ makes at most 25 steps of a preset, and as many as asked for', () => {
    const steps = (options: GenerationOptions): number =>
      resolve({ scheduler: 'dpm++2m', ...options }).numInferenceSteps;
    expect(steps({})).toBe(25);
    expect(steps({ preset: 'high' })).toBe(25);
    expect(steps({ numInferenceSteps: 40 })).toBe(40);
    expect(resolve({ scheduler: 'ddim' }).numInferenceSteps).toBe(50);
    const few = { size: 512, numFrames: 8, numInferenceSteps: 4, guidanceScale: 9 };
    const quick = { ...manifest, presets: { standard: few } };
    expect(resolveRequest(quick, { scheduler: 'dpm++2m' }, photo).numInferenceSteps).toBe(4);
    // A pack that is made for it has presets for it.
    const own = { ...manifest, defaults: { ...manifest.defaults, scheduler: 'dpm++2m' as const } };
    expect(resolveRequest(own, {}, photo).numInferenceSteps).toBe(50);
  });

  it('is written into the file, the exact path is not', () => {
    const quick = resolveRequest(reusing, { featureReuse: 2, guidanceEnd: 0.5 }, photo);
    expect(describeRequest(quick, reusing)).toMatchObject({ featureReuse: '2', guidanceEnd: '0.5' });
    const exact = describeRequest(resolve(), manifest);
    expect(Object.keys(exact)).not.toContain('featureReuse');
    expect(Object.keys(exact)).not.toContain('guidanceEnd');
  });
});

describe('what is given', () => {
  it('is kept as it is', () => {
    const given = {
      preset: 'fast',
      prompt: 'waves',
      negativePrompt: '',
      seed: Number.MAX_SAFE_INTEGER,
      size: '640x384',
      numFrames: 32,
      numInferenceSteps: 1,
      guidanceScale: 1,
      guidanceEnd: 0,
      motion: 'high',
      scheduler: 'dpm++2m',
      featureReuse: 1,
      decodeChunkSize: 32,
      fps: 60,
      loop: true,
      smooth: 3,
      maxBytes: 1_000_000,
      variation: { videoId: 'abc', strength: 0.35 },
    };
    const { size: _size, motion: _motion, ...rest } = given;
    expect(resolve(given)).toEqual({ ...rest, width: 640, height: 384, targetFps: 8 });
  });

  it.each([
    ['low', 24],
    ['medium', 16],
    ['high', 8],
  ])('motion %s conditions on %d frames per second', (motion, targetFps) => {
    expect(resolve({ motion }).targetFps).toBe(targetFps);
  });

  const refused: readonly (readonly [GenerationOptions, RegExp])[] = [
    [{ preset: 'turbo' }, /preset is "turbo"; expected one of fast, standard, high, creative/],
    [{ preset: 'toString' }, /preset is "toString"/],
    [{ motion: 'wild' }, /motion is "wild"; expected one of low, medium, high/],
    [{ scheduler: 'euler' }, /scheduler is "euler"; expected one of ddim, dpm\+\+2m/],
    [{ numFrames: 7 }, /frames is 7; expected a whole number from 8 to 32/],
    [{ numFrames: 33 }, /frames is 33; .* from 8 to 32/],
    [{ numFrames: 16.5 }, /frames is 16.5; expected a whole number/],
    [{ numFrames: Number.NaN }, /frames is NaN/],
    [{ numFrames: Infinity }, /frames is Infinity/],
    [{ numInferenceSteps: 0 }, /steps is 0; .* from 1 to 100/],
    [{ numInferenceSteps: 101 }, /steps is 101/],
    [{ guidanceScale: 0.9 }, /guidance is 0.9; .* from 1 to 20/],
    [{ guidanceScale: 20.1 }, /guidance is 20.1/],
    [{ guidanceScale: Number.NaN }, /guidance is NaN/],
    [{ guidanceEnd: -0.1 }, /guidance end is -0.1; .* from 0 to 1/],
    [{ guidanceEnd: 1.01 }, /guidance end is 1.01/],
    [{ seed: -1 }, /seed is -1; .* from 0 to 9007199254740991/],
    [{ seed: 2 ** 53 }, /seed is 9007199254740992/],
    [{ seed: 1.5 }, /seed is 1.5/],
    [{ smooth: 4 }, /smoothing is 4; expected 1, 2 or 3/],
    [{ fps: 0 }, /frame rate is 0; .* from 1 to 60/],
    [{ fps: 61 }, /frame rate is 61/],
    [{ decodeChunkSize: 0 }, /decode chunk is 0; .* from 1 to 32/],
    [{ size: '128' }, /size is 128; .* from 256 to 1024/],
    [{ size: '4096' }, /size is 4096; .* from 256 to 1024/],
    [{ size: '650x384' }, /650x384; expected multiples of 64 from 256 to 1280/],
    [{ size: '1280x1280' }, /1280x1280; .* 65536 to 1048576 pixels/],
    [{ size: 'large' }, /size is "large"/],
    [{ variation: { videoId: 'a', strength: 0 } }, /strength is 0; .* to 1/],
    [{ variation: { videoId: 'a', strength: 1.1 } }, /strength is 1.1/],
    [{ variation: { videoId: 'a', strength: Number.NaN } }, /strength is NaN/],
  ];
  it.each(refused)('%j is refused with what is possible', (options, words) => {
    expect(() => resolve(options)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(words) }),
    );
  });
});

describe('prompts', () => {
  it.each([
    ['  camera   slowly\n\tzooming in ', 'camera slowly zooming in'],
    ['Cafe\u0301', 'Café'],
    ['镜头慢慢推近', '镜头慢慢推近'],
    ['family 👨‍👩‍👧 and 🇩🇪', 'family 👨‍👩‍👧 and 🇩🇪'],
    ['שלום \u200fעולם', 'שלום \u200fעולם'],
    ['"quotes", <tags> & {braces} 100%', '"quotes", <tags> & {braces} 100%'],
    ['\ufeffwith a byte order mark', 'with a byte order mark'],
  ])('%j becomes %j', (text, clean) => {
    expect(cleanPrompt('prompt', text)).toBe(clean);
  });

  it('blank ones become the pack’s own, but a blank negative prompt means none', () => {
    for (const blank of [
      '',
      '   ',
      '\n\t\u00a0',
      '\u200b\u2060',
      ' \u3164 \u2800',
      '\u{E0041}'.repeat(2_000),
    ]) {
      expect(resolve({ prompt: blank }).prompt).toBe('gentle natural motion');
      expect(resolve({ negativePrompt: blank }).negativePrompt).toBe('');
    }
  });

  it('may have a thousand characters, counted as people count them', () => {
    expect(cleanPrompt('prompt', '😀'.repeat(1000))).toHaveLength(2000);
    expect(() => cleanPrompt('prompt', '😀'.repeat(1001))).toThrow(/has 1001 characters; at most 1000/);
    expect(cleanPrompt('prompt', 'e\u0301'.repeat(1000))).toHaveLength(1000);
    expect(cleanPrompt('prompt', `a${' '.repeat(5000)}b`)).toBe('a b');
  });

  it.each([
    ['zeros', 'a\0b', 'U+0000'],
    ['an escape sequence', '\u001b[31mred', 'U+001B'],
    [
      'a picture',
      Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0]).toString('latin1'),
      'U+0089',
    ],
    ['a badly decoded file', Buffer.from([0xff, 0xd8, 0xff, 0xe0]).toString('utf8'), 'U+FFFD'],
    ['half a surrogate pair', 'a\ud83d', 'U+D83D'],
    ['a noncharacter', 'a\uffff', 'U+FFFF'],
  ])('%s is not plain text', (_name, text, code) => {
    for (const option of ['prompt', 'negativePrompt'] as const) {
      expect(() => resolve({ [option]: text })).toThrow(
        expect.objectContaining({ code: 'INVALID_PROMPT', message: expect.stringContaining(code) }),
      );
    }
  });

  it('of many megabytes are refused at once', () => {
    expect(() => resolve({ prompt: 'word '.repeat(10_000_000) })).toThrow(
      expect.objectContaining({ code: 'INVALID_PROMPT' }),
    );
  });
});

describe('what a clip becomes when memory runs out', () => {
  const smaller = (options: GenerationOptions) =>
    smallerRequests(manifest, resolve(options)).map(
      ({ preset, width, height, numFrames, numInferenceSteps }) => ({
        preset,
        area: Math.round(Math.sqrt(width * height) / 64) * 64,
        aspect: Number((width / height).toFixed(1)),
        numFrames,
        numInferenceSteps,
      }),
    );
  const standard = { preset: 'standard', area: 512, numFrames: 16, numInferenceSteps: 50 };
  const fast = { preset: 'fast', area: 512, numFrames: 8, numInferenceSteps: 30 };

  it('is the next smaller presets, with the same prompt, seed, guidance and aspect ratio', () => {
    expect(smaller({ preset: 'high' })).toMatchObject([standard, fast]);
    expect(smaller({ preset: 'standard' })).toMatchObject([fast]);
    expect(smaller({ preset: 'creative' })).toMatchObject([fast]);
    expect(smaller({ preset: 'fast' })).toEqual([]);
    expect(smaller({ preset: 'high', size: '1280x640' })[0]?.aspect).toBe(2);

    const request = resolve({ preset: 'high', prompt: 'waves', seed: 7, guidanceScale: 5, featureReuse: 1 });
    const { width: _w, height: _h, numFrames: _f, numInferenceSteps: _s, ...kept } = request;
    const { decodeChunkSize: _d, ...same } = { ...kept, preset: 'standard' };
    expect(smallerRequests(manifest, request)[0]).toMatchObject(same);
  });

  it('is first its own preset, where more than that was asked for', () => {
    expect(smaller({ preset: 'standard', size: '1024', numFrames: 32 })).toMatchObject([standard, fast]);
    expect(smaller({ preset: 'fast', size: '1024' })).toMatchObject([fast]);
  });

  it('never has more of anything than was asked for', () => {
    const asked = { preset: 'high', size: '320', numFrames: 12, numInferenceSteps: 20 };
    for (const request of smaller(asked)) {
      expect(request.numFrames).toBeLessThanOrEqual(12);
      expect(request.numInferenceSteps).toBeLessThanOrEqual(20);
      expect(request.area).toBeLessThanOrEqual(320);
    }
    expect(smaller(asked)).toMatchObject([{ preset: 'fast', numFrames: 8, numInferenceSteps: 20 }]);
  });

  it('is nothing for a variation, which must have the size of its video', () => {
    expect(smaller({ preset: 'high', variation: { videoId: 'a', strength: 0.5 } })).toEqual([]);
  });
});
