import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { optionsAsWords, parseWords, readFlags, readOptions } from '../../src/request/options-text.ts';
import {
  cameras,
  cameraWords,
  type Generation,
  generationSchema,
  toGeneration,
} from '../../src/request/request.ts';
import { everyOption } from '../helpers/every-option.ts';

const refused = (message: RegExp, code = 'INVALID_OPTION'): unknown =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe('a caption', () => {
  it('is a prompt with options anywhere in it', () => {
    const caption =
      '/animate@kinora_bot zoom in preset=fast seed=7 frames=16 guidance=9 motion=low camera=zoom-in ' +
      'negative="blurry, text" on the lake steps=20 fps=12 size=640x384 loop smooth private';
    expect(parseWords(caption)).toEqual({
      prompt: 'zoom in on the lake',
      preset: 'fast',
      seed: 7,
      numFrames: 16,
      guidanceScale: 9,
      motion: 'low',
      camera: 'zoom-in',
      negativePrompt: 'blurry, text',
      numInferenceSteps: 20,
      fps: 12,
      size: '640x384',
      loop: true,
      smooth: 3,
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
    ['negative=“a b” pan left', { negativePrompt: 'a b', prompt: 'pan left' }],
    ['negative=„a b“', { negativePrompt: 'a b' }],
    ['negative=«a b»', { negativePrompt: 'a b' }],
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
    'Sale! price=50$',
    'E=mc²',
    'love = life',
    'a=b',
    'now from 9.99=>4.99 https://shop.example/?price=50&size=L',
    'x= y=',
    'price=',
    'a=b=c',
  ])('keeps words with a sign between them: %j', (caption) => {
    expect(parseWords(caption)).toEqual({ prompt: caption });
    expect(parseWords(`${caption} seed=7`)).toEqual({ prompt: caption, seed: 7 });
  });

  it.each([
    ['Sale! price=50', { prompt: 'Sale! price=50' }],
    ['T-shirt size=L frames=900 preset=best', { prompt: 'T-shirt size=L frames=900 preset=best' }],
    ['title="Sale" seed=7 seed=x', { prompt: 'title="Sale" seed=x', seed: 7 }],
    [
      '/animate waves preset=fast motion=low loop',
      { prompt: 'waves', preset: 'fast', motion: 'low', loop: true },
    ],
  ])('of others has only whole options: %j', (caption, options) => {
    expect(parseWords(caption, 'others')).toEqual(options);
  });

  it.each([
    ['sed=7', /no option "sed".*seed.*frames/],
    ['prset=fast', /no option "prset"/],
    ['smoth=yes', /no option "smoth"/],
    ['siz=640x384', /no option "siz"/],
    ['negativ="blurry"', /no option "negativ"/],
    ['price=50', /no option "price"/],
    ['__proto__=1', /no option/],
    ['constructor=1', /no option/],
    ['seed=x', /seed.*0 to 9007199254740991/],
    ['seed=', /seed/],
    ['seed=-1', /seed.*0 to/],
    ['seed=1.5', /seed.*whole/],
    ['seed=9007199254740992', /seed/],
    ['seed=1 seed=2', /twice/],
    ['frames=0', /frames.*1 to 96/],
    ['frames=97', /frames.*1 to 96/],
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
    expect(() => parseWords(`${'a'.repeat(100_000)} ${'x =1 '.repeat(30_000)}`)).toThrow(
      refused(/no option/) as Error,
    );
  });
});

describe('options', () => {
  it('from an adapter are checked like those of a caption', () => {
    expect(readOptions({ seed: undefined, loop: true })).toEqual({ seed: undefined, loop: true });
    expect(() => readOptions({ frames: 99 })).toThrow(refused(/1 to 96/) as Error);
    expect(() => readOptions({ zoom: 1 })).toThrow(refused(/./) as Error);
  });

  it('become the part of a generation that they decide', () => {
    const generationOf = (values: Record<string, unknown>) => toGeneration(readOptions(values));
    expect(generationOf({})).toEqual({});
    expect(generationOf({ seed: undefined, prompt: undefined })).toEqual({});
    expect(Object.keys(toGeneration({ seed: undefined, preset: undefined }))).toEqual([]);
    expect(
      generationOf({
        prompt: ' a \n b ',
        negative: '',
        preset: 'high',
        size: '640×384',
        smooth: true,
        loop: false,
      }),
    ).toEqual({ prompt: 'a b', negativePrompt: '', preset: 'high', size: '640x384', smooth: 3, loop: false });
    expect(
      generationOf({ frames: 8, steps: 9, guidance: 5.5, fps: 12, motion: 'low', smooth: false }),
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
    // An amount by its name takes the place of an earlier number.
    expect(toGeneration({ motion: 'low' })).toEqual({ motion: 'low', motionBucket: undefined });
    expect(toGeneration({ motion: 'low', motionBucket: 3 })).toEqual({ motion: 'low', motionBucket: 3 });
    expect(cameras).toContain('zoom-out');
  });

  it('refuse a prompt that is too long or no text', () => {
    expect(() => toGeneration({ prompt: 'a'.repeat(1001) })).toThrow(
      refused(/1001.*1000/, 'INVALID_PROMPT') as Error,
    );
    expect(() => toGeneration({ prompt: 'a\u0000b' })).toThrow(
      refused(/plain text/, 'INVALID_PROMPT') as Error,
    );
    expect(() => toGeneration({ negativePrompt: 'a'.repeat(1001) })).toThrow(
      refused(/negative/, 'INVALID_PROMPT') as Error,
    );
  });
});

describe('settings', () => {
  it('can be sent again and mean the same', () => {
    const again = toGeneration(parseWords(`/animate ${optionsAsWords(everyOption)}`));
    expect(again).toEqual({ ...everyOption, prompt: "waves = 'big' loop", negativePrompt: "blurry, 'text'" });
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
});

it('flags of the command line are read by their names, and checked by nobody yet', () => {
  expect(
    readFlags({
      frames: 99,
      guidanceEnd: 2,
      reuse: 4,
      chunk: 1,
      maxBytes: 5,
      negative: '',
      loop: true,
      out: 'x',
    }),
  ).toEqual({
    numFrames: 99,
    guidanceEnd: 2,
    featureReuse: 4,
    decodeChunkSize: 1,
    maxBytes: 5,
    negativePrompt: '',
    loop: true,
  });
});

it('a job of an earlier version that still waits is read', () => {
  const stored = {
    ...{ prompt: 'waves', negativePrompt: '', preset: 'standard', seed: 7, numFrames: 48, guidanceScale: 9 },
    ...{ motion: 'low', fps: 8, size: '640x384', loop: false, smooth: 3, maxBytes: 8_000_000 },
    variation: { videoId: 'v', strength: 0.35 },
  };
  expect(generationSchema.parse(JSON.parse(JSON.stringify(stored)))).toEqual(stored);
});
