import { describe, expect, it } from 'vitest';
import { locales, messagesFor } from '../../src/bot/sentences/catalogue.ts';
import { en } from '../../src/bot/sentences/en.ts';
import { zh } from '../../src/bot/sentences/zh.ts';
import { type ErrorCode, errorCatalogue } from '../../src/errors.ts';

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
      const sentence = catalogue.failure(code, 'The seed is 5.');
      expect(sentence.length, code).toBeGreaterThan(3);
      expect(sentence, code).not.toMatch(/undefined|\.env|kinora doctor|npm/);
    }
    expect(catalogue.failure('INVALID_OPTION', 'The seed is 5.')).toContain('The seed is 5.');
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
      expect(catalogue.failure(code, secret)).not.toContain('srv');
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

describe('Chinese', () => {
  /** Made of others alone. */
  const composed = ['me.job'];

  it('says everything in Chinese', () => {
    for (const [key, value] of chinese) {
      if (composed.includes(key)) continue;
      // biome-ignore lint/suspicious/noExplicitAny: each sentence takes other arguments; here all take the same thing
      const say = value as string | ((...parts: any[]) => string);
      const parts = key === 'result.reused' ? [['甲'], '1.0'] : [anything, anything, anything];
      const text = typeof say === 'string' ? say : key === 'failure' ? say('INTERNAL', '') : say(...parts);
      expect(text, key).toMatch(han);
      if (typeof say === 'string') expect(text, key).not.toBe(english.get(key));
    }
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
