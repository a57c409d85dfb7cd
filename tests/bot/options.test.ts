import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cameras,
  cameraWords,
  describeOptions,
  optionsAsWords,
  parseOptions,
  parseWords,
  toGeneration,
} from '../../src/bot/options.ts';
import { en } from '../../src/bot/sentences/en.ts';
import { zh } from '../../src/bot/sentences/zh.ts';
import type { Artifact } from '../../src/queue/jobs.ts';
import type { Generation } from '../../src/request/request.ts';

const refused = (message: RegExp, code = 'INVALID_OPTION'): unknown =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

const artifact: Artifact = {
  videoId: 'v',
  bytes: 1,
  width: 640,
  height: 384,
  numFrames: 31,
  fps: 24,
  durationSeconds: 1,
  seed: 7,
  model: 'builtin',
  device: 'cpu',
  cache: { hits: [], misses: [] },
  timings: {},
};

describe('a caption', () => {
  it('is a prompt with options anywhere in it', () => {
    const caption =
      '/animate@kinora_bot zoom in preset=fast seed=7 frames=16 guidance=9 motion=low camera=zoom-in ' +
      'negative="blurry, text" on the lake steps=20 fps=12 size=640x384 loop smooth private';
    expect(parseWords(caption)).toEqual({
      prompt: 'zoom in on the lake',
      preset: 'fast',
      seed: 7,
      frames: 16,
      guidance: 9,
      motion: 'low',
      camera: 'zoom-in',
      negative: 'blurry, text',
      steps: 20,
      fps: 12,
      size: '640x384',
      loop: true,
      smooth: true,
      isPrivate: true,
    });
  });

  it.each([
    ['', {}],
    ['  /animate  ', {}],
    ['/animate', {}],
    ['waves\nrolling', { prompt: 'waves rolling' }],
    ['/Remix@some_bot film', { prompt: 'film' }],
    ['a/b or /animate', { prompt: 'a/b or /animate' }],
    ['/动 慢慢推近', { prompt: '/动 慢慢推近' }],
    ['慢慢推近 seed=3', { prompt: '慢慢推近', seed: 3 }],
    ['SEED = 3 Preset=FAST', { seed: 3, preset: 'fast' }],
    ['negative=“a b” pan left', { negative: 'a b', prompt: 'pan left' }],
    ['negative=„a b“', { negative: 'a b' }],
    ['negative=«a b»', { negative: 'a b' }],
    ['prompt="a=b loop" seed=1', { prompt: 'a=b loop', seed: 1 }],
    ['a loop of string', { prompt: 'a loop of string' }],
    ['a loop seed=1', { prompt: 'a', loop: true, seed: 1 }],
    ['loop=no smooth=2', { loop: false, smooth: 2 }],
    ['smooth=×3 private=off', { smooth: 3, isPrivate: false }],
    // As Telegram's clients copy what we made inert.
    ['/\u2060animate zoom.\u2060in seed=5', { prompt: 'zoom.in', seed: 5 }],
    ['it says "hello"', { prompt: 'it says "hello"' }],
  ])('%j', (caption, options) => {
    expect(parseWords(caption)).toEqual(options);
  });

  it.each([
    ['sed=7', /no option "sed".*seed.*frames/],
    ['__proto__=1', /no option/],
    ['constructor=1', /no option/],
    ['seed=x', /seed.*0 to 9007199254740991/],
    ['seed=', /seed/],
    ['seed=-1', /seed.*0 to/],
    ['seed=1.5', /seed.*whole/],
    ['seed=9007199254740992', /seed/],
    ['seed=1 seed=2', /twice/],
    ['frames=0', /frames.*1 to 32/],
    ['frames=33', /frames.*1 to 32/],
    ['frames=1e1', /frames/],
    ['steps=0', /steps/],
    ['guidance=0.5', /guidance.*1 to 20/],
    ['guidance=NaN', /guidance/],
    ['fps=61', /fps.*1 to 60/],
    ['preset=best', /preset.*fast, standard, high, creative/],
    ['motion=huge', /motion.*low, medium, high/],
    ['camera=up', /camera.*zoom-in.*static/],
    ['size=big', /640x384/],
    ['size=12345678', /640x384/],
    ['loop=2', /yes or no/],
    ['smooth=4', /1, 2 or 3/],
    ['private=maybe', /yes or no/],
  ])('with %s is refused with what is allowed', (caption, message) => {
    expect(() => parseWords(caption)).toThrow(refused(message) as Error);
  });

  it('of whatever kind is read or refused with a sentence, and soon', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (caption) => {
        try {
          parseWords(caption);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_OPTION' });
        }
      }),
    );
    expect(parseWords(`${'='.repeat(100_000)}${'"'.repeat(100_000)}`).prompt).toHaveLength(200_000);
    expect(() => parseWords(`${'a'.repeat(100_000)} ${'x ='.repeat(30_000)}`)).toThrow(
      refused(/no option/) as Error,
    );
  });
});

describe('options', () => {
  it('from an adapter are checked like those of a caption', () => {
    expect(parseOptions({ seed: undefined, loop: true })).toEqual({ seed: undefined, loop: true });
    expect(() => parseOptions({ frames: 99 })).toThrow(refused(/1 to 32/) as Error);
    expect(() => parseOptions({ zoom: 1 })).toThrow(refused(/./) as Error);
  });

  it('become the part of a generation that they decide', () => {
    expect(toGeneration({})).toEqual({});
    expect(toGeneration({ seed: undefined, prompt: undefined })).toEqual({});
    expect(
      toGeneration({
        prompt: ' a \n b ',
        negative: '',
        preset: 'high',
        size: '640×384',
        smooth: true,
        loop: false,
      }),
    ).toEqual({ prompt: 'a b', negativePrompt: '', preset: 'high', size: '640x384', smooth: 3, loop: false });
    expect(
      toGeneration({ frames: 8, steps: 9, guidance: 5.5, fps: 12, motion: 'low', smooth: false }),
    ).toEqual({
      numFrames: 8,
      numInferenceSteps: 9,
      guidanceScale: 5.5,
      fps: 12,
      motion: 'low',
      smooth: 1,
    });
  });

  it('say the camera in words, after the prompt of the person or of the job that is changed', () => {
    expect(toGeneration({ camera: 'pan-left' })).toEqual({ prompt: cameraWords['pan-left'] });
    expect(toGeneration({ camera: 'static', prompt: 'waves' })).toEqual({ prompt: 'waves, static camera' });
    expect(toGeneration({ camera: 'static' }, { prompt: 'rain' })).toEqual({ prompt: 'rain, static camera' });
    expect(toGeneration({}, { prompt: 'rain' })).toEqual({});
    expect(cameras).toContain('zoom-out');
  });

  it('refuse a prompt that is too long or no text', () => {
    expect(() => toGeneration({ prompt: 'a'.repeat(1001) })).toThrow(
      refused(/1001.*1000/, 'INVALID_PROMPT') as Error,
    );
    expect(() => toGeneration({ prompt: 'a\u0000b' })).toThrow(
      refused(/plain text/, 'INVALID_PROMPT') as Error,
    );
    expect(() => toGeneration({ negative: 'a'.repeat(1001) })).toThrow(
      refused(/negative/, 'INVALID_PROMPT') as Error,
    );
  });
});

describe('settings', () => {
  const all: Generation = {
    prompt: 'waves = "big" loop',
    negativePrompt: 'blurry, "text"',
    preset: 'fast',
    seed: 7,
    numFrames: 16,
    numInferenceSteps: 20,
    guidanceScale: 9.5,
    motion: 'low',
    fps: 12,
    size: '512',
    loop: true,
    smooth: 3,
  };

  it('can be sent again and mean the same', () => {
    const again = toGeneration(parseWords(`/animate ${optionsAsWords(all)}`));
    expect(again).toEqual({ ...all, prompt: "waves = 'big' loop", negativePrompt: "blurry, 'text'" });
  });

  it('can be sent again whatever the prompt is', () => {
    const prompts = fc.oneof(
      fc.string({ unit: 'binary-ascii', maxLength: 60 }),
      fc
        .array(fc.constantFrom('loop', 'seed=3', '=', 'a', 'private', '/animate', '快', '"', ' '), {
          maxLength: 6,
        })
        .map((parts) => parts.join(' ')),
    );
    fc.assert(
      fc.property(prompts, (raw) => {
        const text = raw.replace(/[\p{Cc}\s]+/gu, ' ').trim();
        const generation: Generation = { prompt: text, preset: 'standard', seed: 1 };
        const again = toGeneration(parseWords(`/animate ${optionsAsWords(generation)}`));
        const quoted = text.replaceAll('"', "'");
        expect([text, quoted]).toContain(again.prompt ?? '');
        expect(again).toMatchObject({ preset: 'standard', seed: 1 });
        expect(Object.keys(again).filter((key) => key !== 'prompt')).toEqual(['preset', 'seed']);
      }),
      { numRuns: 500 },
    );
  });

  it('are shown line by line, with what the preset came to', () => {
    expect(describeOptions({ prompt: '', preset: 'fast', seed: 7 }, undefined, en)).toEqual([
      'Preset: fast',
      'Seed: 7',
    ]);
    const lines = describeOptions({ ...all, variation: { videoId: 'v', strength: 0.35 } }, artifact, en);
    expect(lines).toEqual([
      'Prompt: waves = "big" loop',
      'Negative prompt: blurry, "text"',
      'Preset: fast',
      'Seed: 7',
      'Motion: low',
      'Frames: 31',
      'Steps: 20',
      'Guidance: 9.5',
      'Frames per second: 24',
      'Size: 640×384',
      'Loop: yes',
      'Smooth: ×3',
      'Variation: 0.35',
      'Model: builtin',
    ]);
    expect(describeOptions(all, undefined, zh)[0]).toBe('提示词: waves = "big" loop');
  });
});
