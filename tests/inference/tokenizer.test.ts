import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/inference/tokenizer.ts';
import { readGolden } from '../helpers/golden-numerics.ts';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
const clipPack = path.join(fixtures, 'clip');
const tinyPack = path.join(fixtures, 'packs', 'tiny');
const prompts = readGolden<string[]>('prompts.json');

describe('token ids', () => {
  it('are compared on at least 200 different prompts', () => {
    expect(new Set(prompts).size).toBeGreaterThanOrEqual(200);
  });

  it.each([
    ["CLIP's own vocabulary", clipPack, 'token-ids-clip.json'],
    ['the tiny vocabulary', tinyPack, 'token-ids-tiny.json'],
  ])('equal those of transformers, with %s', async (_, pack, golden) => {
    const tokenizer = await loadTokenizer(pack);
    const expected = readGolden<number[][]>(golden);
    expect(expected).toHaveLength(prompts.length);
    const different = prompts.filter((prompt, i) => tokenizer.encode(prompt).join() !== expected[i]?.join());
    expect(different).toEqual([]);
  });

  it("are CLIP's well-known ones", async () => {
    const tokenizer = await loadTokenizer(clipPack);
    expect(tokenizer.maxTokens).toBe(77);
    const ids = tokenizer.encode('a photo of a cat');
    expect(ids).toHaveLength(77);
    expect([...ids.subarray(0, 8)]).toEqual([49406n, 320n, 1125n, 539n, 320n, 2368n, 49407n, 49407n]);
  });

  it('keep the end token of a text that is too long', async () => {
    const ids = (await loadTokenizer(clipPack)).encode('cat '.repeat(100_000));
    expect(ids.at(-1)).toBe(49407n);
    expect(ids.at(-2)).toBe(2368n);
  });

  it('accept text that is no valid Unicode', async () => {
    const tokenizer = await loadTokenizer(clipPack);
    expect(tokenizer.encode('cat \ud800 dog')).toEqual(tokenizer.encode('cat \ufffd dog'));
  });
});

describe('a broken tokenizer folder', () => {
  async function refusalAfter(file: string, change: (text: string) => string | undefined) {
    const pack = await mkdtemp(path.join(tmpdir(), 'kinora-tokenizer-'));
    try {
      await cp(path.join(tinyPack, 'tokenizer'), path.join(pack, 'tokenizer'), { recursive: true });
      const target = path.join(pack, 'tokenizer', file);
      const text = change(await readFile(target, 'utf8'));
      if (text === undefined) await rm(target);
      else await writeFile(target, text);
      return await loadTokenizer(pack).then(
        () => 'accepted',
        (error) => error,
      );
    } finally {
      await rm(pack, { recursive: true });
    }
  }

  it.each([
    ['missing', 'tokenizer.json', () => undefined, /tokenizer\.json cannot be read/],
    ['cut off', 'tokenizer.json', (text: string) => text.slice(0, 500), /tokenizer\.json is not valid JSON/],
    ['empty', 'tokenizer.json', () => '{}', /tokenizer\.json: added_tokens/],
    [
      'of another kind',
      'tokenizer.json',
      (text: string) => text.replace('"BPE"', '"WordPiece"'),
      /model\.type/,
    ],
    [
      'of an unknown normalizer',
      'tokenizer.json',
      (text: string) => text.replace('"NFC"', '"Mystery"'),
      /tokenizer\.json cannot be used/,
    ],
    ['missing', 'tokenizer_config.json', () => undefined, /tokenizer_config\.json cannot be read/],
    [
      'without padding',
      'tokenizer_config.json',
      (text: string) => text.replace('"pad_token"', '"no_token"'),
      /tokenizer_config\.json: pad_token/,
    ],
    [
      'with unknown padding',
      'tokenizer_config.json',
      (text: string) => text.replace(/"pad_token": "[^"]*"/, '"pad_token": "<none>"'),
      /names the token <none>/,
    ],
    [
      'without a length',
      'tokenizer_config.json',
      (text: string) => text.replace('"model_max_length": 77', '"model_max_length": 1e30'),
      /model_max_length/,
    ],
  ] as const)('%s: %s', async (_, file, change, message) => {
    const refusal = await refusalAfter(file, change);
    expect(refusal).toMatchObject({ code: 'PACK_INVALID', message: expect.stringMatching(message) });
  });
});
