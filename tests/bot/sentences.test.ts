import { describe, expect, it } from 'vitest';
import { locales, messagesFor } from '../../src/bot/sentences/catalogue.ts';
import { en } from '../../src/bot/sentences/en.ts';
import { describeOptions } from '../../src/bot/sentences/render.ts';
import { zh } from '../../src/bot/sentences/zh.ts';
import { type ErrorDetail, englishDetails } from '../../src/error-details.ts';
import { type ErrorCode, errorCatalogue, KinoraError, serializeError } from '../../src/errors.ts';
import { type Artifact, failureSchema } from '../../src/queue/jobs.ts';
import { everyOption } from '../helpers/every-option.ts';

const han = /\p{Script=Han}/u;

/** "status.next" → its sentence, or the function that makes it. */
function sentences(tree: object, path = ''): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(tree)) {
    const inner =
      typeof value === 'object' && value !== null
        ? sentences(value, `${path}${name}.`)
        : new Map([[`${path}${name}`, value]]);
    for (const [key, sentence] of inner) found.set(key, sentence);
  }
  return found;
}

/** Takes any property as a number that is also a text. */
const anything: unknown = new Proxy(
  {},
  { get: (_, name) => (name === Symbol.toPrimitive ? () => 90_000 : 90_000) },
);
const arity = (value: unknown): number => (typeof value === 'function' ? value.length : 0);

const english = sentences(en);
const chinese = sentences(zh);

describe.each(Object.entries(locales))('the catalogue %s', (_name, catalogue) => {
  it('has every sentence of the English one, and no more', () => {
    const own = sentences(catalogue);
    expect([...own.keys()].sort()).toEqual([...english.keys()].sort());
    for (const [key, value] of own) {
      expect(typeof value, key).toBe(typeof english.get(key));
      expect(arity(value), key).toBeLessThanOrEqual(Math.max(arity(english.get(key)), 2));
      if (typeof value === 'string') expect(value.trim(), key).not.toBe('');
    }
  });

  it('has a sentence for every failure, with what to do', () => {
    for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
      const sentence = catalogue.failure({ code, message: 'The seed is 5.' });
      expect(sentence.length, code).toBeGreaterThan(3);
      expect(sentence, code).not.toMatch(/undefined|\.env|kinora doctor|npm/);
    }
  });

  it('tells nobody what the machine says about itself', () => {
    const secret = 'connect ECONNREFUSED /srv/redis.sock';
    const codes: ErrorCode[] = [
      'INTERNAL',
      'ENGINE_CRASHED',
      'PACK_INVALID',
      'OUTPUT_UNWRITABLE',
      'ENCODE_FAILED',
    ];
    for (const code of [...codes, 'INVALID_CONFIG', 'IMAGE_NOT_FOUND', 'DISK_FULL'] as const) {
      expect(catalogue.failure({ code, message: secret })).not.toContain('srv');
    }
  });
});

it('what only Discord says is in Chinese, too', () => {
  for (const [key, value] of sentences(messagesFor('zh-CN').discord)) {
    const sentence = typeof value === 'function' ? String(value('x')) : String(value);
    expect(sentence, key).toMatch(han);
  }
  expect(messagesFor('fr').discord).toBe(messagesFor('en-US').discord);
});

const range = { min: 1, max: 32 };
/** The message that each had before it was made of data, and the data. */
const details: readonly [readonly [string, ErrorDetail], ...(readonly [string, ErrorDetail])[]] = [
  [
    'The frames must be a whole number from 1 to 32.',
    { kind: 'range', what: 'frames', ...range, isWhole: true },
  ],
  [
    'The guidance must be a number from 1 to 20.',
    { kind: 'range', what: 'guidance', min: 1, max: 20, isWhole: false },
  ],
  [
    'The credits must be a whole number from 1 to 32, not 33.',
    { kind: 'range', what: 'credits', ...range, isWhole: true, got: 33 },
  ],
  ['The motion must be one of low, high.', { kind: 'oneOf', what: 'motion', allowed: ['low', 'high'] }],
  ['The option "loop" must be yes or no.', { kind: 'yesOrNo', what: 'loop' }],
  [
    'The option "smooth" must be yes, no, 1, 2 or 3.',
    { kind: 'yesOrNo', what: 'smooth', factors: [1, 2, 3] },
  ],
  [
    'There is no option "sed"; known are prompt, seed.',
    { kind: 'unknownOption', got: 'sed', known: ['prompt', 'seed'] },
  ],
  [
    'The model must be a name in small letters, digits, dots, hyphens or underscores.',
    { kind: 'nameForm', what: 'model' },
  ],
  [
    'No worker has the model "gone" now; there are one, two.',
    { kind: 'noSuchModel', got: 'gone', models: ['one', 'two'] },
  ],
  [
    'No worker has the model "gone" now; there is one.',
    { kind: 'noSuchModel', got: 'gone', models: ['one'] },
  ],
  [
    'No worker has the model "gone" now, and none has another.',
    { kind: 'noSuchModel', got: 'gone', models: [] },
  ],
  ['The option "seed" is given twice.', { kind: 'givenTwice', what: 'seed' }],
  ['The size must look like 512 or 640x384.', { kind: 'sizeForm' }],
  [
    'The size is "big"; expected one number such as 512, or width x height such as 640x384.',
    { kind: 'sizeForm', got: 'big' },
  ],
  [
    'The number of frames is 33; expected a whole number from 1 to 32.',
    { kind: 'outOfRange', what: 'frames', ...range, isWhole: true, got: 33 },
  ],
  [
    'The strength is 2; expected a number from 1 to 32.',
    { kind: 'outOfRange', what: 'strength', ...range, isWhole: false, got: 2 },
  ],
  [
    'The preset is "best"; expected one of fast, high.',
    { kind: 'notOneOf', what: 'preset', allowed: ['fast', 'high'], got: 'best' },
  ],
  [
    'The size is 65x64; expected multiples of 64 from 1 to 32, and 1 to 32 pixels in all.',
    { kind: 'sizeLimits', width: 65, height: 64, multiple: 64, side: range, pixels: range },
  ],
  [
    'The video v was made from another picture; a variation needs the same one.',
    { kind: 'otherPicture', videoId: 'v' },
  ],
  [
    'The video v has 8 frames of 64x32; a variation must have the same.',
    { kind: 'otherShape', videoId: 'v', numFrames: 8, width: 64, height: 32 },
  ],
  [
    'The extended video would be 72 s long; expected at most 60 s.',
    { kind: 'tooLong', seconds: 72, max: 60 },
  ],
  [
    'This clip cannot be made smaller than 9 bytes; maxBytes is 8.',
    { kind: 'cannotFit', smallestBytes: 9, maxBytes: 8 },
  ],
  [
    'The negative prompt has 1001 characters; at most 1000 are allowed.',
    { kind: 'promptLength', what: 'negative prompt', got: 1001, max: 1000 },
  ],
  [
    'The prompt is not plain text (it contains U+0000).',
    { kind: 'promptText', what: 'prompt', character: 'U+0000' },
  ],
  [
    'The picture is in the format BMP; expected JPEG, PNG or WebP, or GIF or TIFF.',
    { kind: 'pictureFormat', name: 'BMP' },
  ],
  [
    'The picture is in a format that Kinora does not know; expected JPEG, PNG or WebP, or GIF or TIFF.',
    { kind: 'pictureFormat' },
  ],
  [
    'The picture has 64.5 MB; expected at most 64 MB.',
    { kind: 'pictureFile', megabytes: 64.5, maxMegabytes: 64 },
  ],
  [
    'The picture has 4 x 5 pixels; expected at least 8 x 8 and at most 40 megapixels.',
    { kind: 'pictureSize', width: 4, height: 5, minSide: 8, maxPixels: 40e6 },
  ],
  ['ffmpeg was killed by SIGKILL.', { kind: 'encoderKilled', by: 'SIGKILL' }],
  ['"ten" is not a number.', { kind: 'notANumber', got: 'ten' }],
  [
    '"x" is no target; they are written like "user:discord:123", "role:…" or "community:…".',
    { kind: 'target', got: 'x' },
  ],
  ['"x" is no user or community; they are written like "discord:123".', { kind: 'owner', got: 'x' }],
  ['The reason has 501 characters; at most 500.', { kind: 'reasonLength', got: 501, max: 500 }],
  ['A ban ends between 1 millisecond and 10 years from now, or never.', { kind: 'banEnd' }],
  [
    'A ban lasts 0.01 to 87600 hours, or for good when no hours are given.',
    { kind: 'banHours', min: 0.01, max: 87_600 },
  ],
  ['The weight is between 1 and 32, not 33.', { kind: 'weight', ...range, got: 33 }],
  ['That is not the id of an audit entry.', { kind: 'auditId' }],
  ['The page is a number from 1 to 3.', { kind: 'page', max: 3 }],
  ['The highest preset is one of fast, any.', { kind: 'highestPreset', allowed: ['fast', 'any'] }],
  ['There can be 0 to 50 roles, not 51.', { kind: 'tooManyNamed', what: 'roles', max: 50, got: 51 }],
  [
    '"x" is none of the channels; name them by their number, or "here".',
    { kind: 'notNamed', what: 'channels', got: 'x' },
  ],
  ['"x" is none of the roles; name them by their number.', { kind: 'notNamed', what: 'roles', got: 'x' }],
  [
    'A pattern stands between two slashes with nothing after them, like /colou?r/; a slash in it is written \\/.',
    { kind: 'patternForm' },
  ],
  ['A pattern is not understood: missing ).', { kind: 'pattern', why: 'missing )' }],
  ['A pattern fits every prompt, even an empty one.', { kind: 'patternFitsAll' }],
  [
    'All patterns together may have 9 steps, and these have 10; use fewer or smaller repetitions.',
    { kind: 'patternSize', max: 9, got: 10 },
  ],
  [
    'A blocked word has 1 to 32 characters, not 33.',
    { kind: 'blockedLength', what: 'word', ...range, got: 33 },
  ],
  ['There can be 1 to 32 blocked words, not 33.', { kind: 'blockedCount', ...range, got: 33 }],
  [
    'The mask has 64 x 64 pixels and its picture 96 x 64; expected the same shape.',
    { kind: 'maskShape', width: 64, height: 64, pictureWidth: 96, pictureHeight: 64 },
  ],
  [
    'The mask is black everywhere, so nothing would move; expected white where it may.',
    { kind: 'maskEmpty' },
  ],
  [
    'The mask cannot be read; expected a picture as PNG or JPEG, white where it may move and black elsewhere.',
    { kind: 'maskUnreadable' },
  ],
];

/** What to do, where something else fits better than to correct it. */
const remedies: Readonly<Record<string, string>> = {
  range: 'Choose a value inside the range and try again.',
  outOfRange: 'Choose a value inside the range and try again.',
  sizeLimits: 'Choose a size inside these limits and try again.',
  oneOf: 'Choose one of these and try again.',
  notOneOf: 'Choose one of these and try again.',
  nameForm: 'Correct it, or leave it out.',
  noSuchModel: 'Name one of these, or none for the first of them.',
  unknownOption: 'Correct its name, or leave it out.',
  givenTwice: 'Give it once and try again.',
  otherPicture: 'Give the picture that the video was made of.',
  otherShape: 'Leave out the size and the number of frames.',
  encoderKilled: 'Try again; if it happens twice, see whether this machine has enough memory.',
  tooLong: 'Start anew from its picture, or extend an earlier part.',
  cannotFit: 'Allow more bytes, or choose fewer frames or a smaller size.',
  promptLength: 'Shorten it and try again.',
  promptText: 'Write it in plain text and try again.',
  maskShape: 'Paint the mask over the whole picture, and try again.',
  maskEmpty: 'Paint what should move, or leave the mask out.',
  maskUnreadable: 'Save the mask as PNG and try again.',
};

describe('what exactly is wrong', () => {
  it.each(details)('%s', (message, detail) => {
    const error = new KinoraError('INVALID_OPTION', detail);
    expect(error.message).toBe(message);
    expect(en.failure(error)).toBe(`${message} ${remedies[detail.kind] ?? 'Correct that and try again.'}`);
    const chinese = zh.failure(error);
    expect(chinese).toMatch(/。请改正后再试。$/);
    // Words that people type, proper names and examples, but no English sentence.
    expect(chinese).not.toMatch(/[a-z]+ [a-z]+/i);
    // Kept with a failed job, it says the same weeks later.
    const kept = failureSchema.parse(JSON.parse(JSON.stringify(serializeError(error))));
    expect(zh.failure(kept)).toBe(chinese);
  });

  it('is told apart by its kind, and left out where it is not understood', () => {
    expect(new Set(details.map(([, { kind }]) => kind)).size).toBe(Object.keys(englishDetails).length);
    const kept = { code: 'INVALID_OPTION', message: 'x', detail: { kind: 'of the future' } };
    expect(failureSchema.parse(kept)).toEqual({ code: 'INVALID_OPTION', message: 'x', detail: undefined });
    expect(failureSchema.parse({ code: 'INTERNAL', message: 'x' })).toEqual({
      code: 'INTERNAL',
      message: 'x',
    });
  });
});

describe('Chinese', () => {
  /** Made of others alone, or the bare names of commands, which are the same in every language. */
  const composed = [
    'me.job',
    'motions.and',
    'motions.leftOut',
    'motions.withStrength',
    ...['pause', 'resume', 'drain', 'stats', 'audit'].map((name) => `admin.commands.${name}`),
  ];

  it('says everything in Chinese', () => {
    for (const [key, value] of chinese) {
      if (composed.includes(key)) continue;
      // biome-ignore lint/suspicious/noExplicitAny: each sentence takes other arguments; here all take the same thing
      const say = value as string | ((...parts: any[]) => string);
      const offered = {
        ...{ motions: ['waves'], attributions: [] },
        ...{ prompt: true, camera: true, negative: true, guidance: true },
      };
      const parts =
        key === 'result.reused'
          ? [['甲'], '1.0']
          : [key.startsWith('helpText.') ? offered : anything, anything, anything];
      const text =
        typeof say === 'string'
          ? say
          : key === 'failure'
            ? say({ code: 'INTERNAL', message: '' })
            : say(...parts);
      expect(text, key).toMatch(han);
      if (typeof say === 'string') expect(text, key).not.toBe(english.get(key));
    }
  });

  it('says what exactly is wrong from the data of the error, and never its English message', () => {
    const [, detail] = details[0];
    const { message } = new KinoraError('INVALID_OPTION', detail);
    expect(zh.failure({ code: 'INVALID_OPTION', message, detail })).toBe(
      '帧数必须是 1 到 32 之间的整数。请改正后再试。',
    );
    expect(zh.failure({ code: 'INVALID_OPTION', message })).toBe('有一个选项不对，请改正后再试。');
    expect(zh.failure({ code: 'IMAGE_TOO_LARGE', message })).toBe('图片太大，请缩小后再发送。');
    const size = { kind: 'pictureSize', width: 9000, height: 8000, minSide: 8, maxPixels: 40e6 } as const;
    expect(zh.failure({ code: 'IMAGE_TOO_LARGE', message, detail: size })).toBe(
      '图片是 9000×8000 像素，至少要有 8×8 像素，最多 4000 万像素。请缩小后再发送。',
    );
    expect(zh.failure({ code: 'INTERNAL', message, detail })).toBe(zh.failure({ code: 'INTERNAL', message }));
  });

  it('is chosen by any Chinese locale, English by all others', () => {
    for (const locale of ['zh', 'zh-CN', 'zh-TW', 'zh-hans', 'ZH']) expect(messagesFor(locale)).toBe(zh);
    for (const locale of ['en-US', 'de', '', undefined, 'xzh']) expect(messagesFor(locale)).toBe(en);
  });
});

it('tells time like people do', () => {
  expect([0, 1_000, 59_000, 60_000, 90_000, 3_600_000, 5_400_000].map(en.duration)).toEqual([
    '1 s',
    '1 s',
    '59 s',
    '1 min',
    '1 min 30 s',
    '1 h',
    '1 h 30 min',
  ]);
  expect([0, 59_000, 60_000, 90_000, 3_600_000, 5_400_000].map(zh.duration)).toEqual([
    '1 秒',
    '59 秒',
    '1 分钟',
    '1 分 30 秒',
    '1 小时',
    '1 小时 30 分',
  ]);
});

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

it('settings are shown line by line, with what the preset came to', () => {
  expect(describeOptions({ prompt: '', preset: 'fast', seed: 7 }, undefined, en)).toEqual([
    'Preset: fast',
    'Seed: 7',
  ]);
  const lines = describeOptions(
    { ...everyOption, variation: { videoId: 'v', strength: 0.35 } },
    artifact,
    en,
  );
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
  expect(describeOptions(everyOption, undefined, zh)[0]).toBe('提示词: waves = "big" loop');
});
