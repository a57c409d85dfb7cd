import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { fixText } from '../../src/inference/ftfy/fix-text.ts';
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

  it('equal those of transformers for 2,000 strings that ftfy mends or leaves alone', async () => {
    const tokenizer = await loadTokenizer(clipPack);
    const file = new URL('../golden/numerics/prompts-cleaned.jsonl.gz', import.meta.url);
    const lines = gunzipSync(readFileSync(file)).toString('utf8').trimEnd().split('\n');
    const golden = lines.map((line) => JSON.parse(line) as [text: string, cleaned: string, crc: number]);
    expect(new Set(golden.map(([text]) => text)).size).toBe(2000);
    // Words of the cleaned text say more than numbers when something differs.
    const different = golden
      .filter(([text]) => !text.includes('<|'))
      .map(([text, cleaned]) => [text, fixText(text).replace(/\s+/gu, ' ').trim().toLowerCase(), cleaned])
      .filter(([, ours, theirs]) => ours !== theirs);
    expect(different).toEqual([]);
    const otherIds = golden.filter(
      ([text, , crc]) => crc32(Uint16Array.from(tokenizer.encode(text), Number)) !== crc,
    );
    expect(otherIds).toEqual([]);
  });

  it.each([
    ['it’s a cat', "it's a cat"],
    ['“slow zoom in”', '"slow zoom in"'],
    ['zoom in，pan', 'zoom in,pan'],
    ['Ｚｏｏｍ　ｉｎ', 'zoom in'],
    ['ﬁne', 'fine'],
    ['cat &amp; dog', 'cat & dog'],
    ['cat &amp;amp; dog', 'cat & dog'],
    ['cat &#39;n&#x27; dog', "cat 'n' dog"],
    ['cafÃ©', 'café'],
    ['[31mred[0m', 'red'],
  ])('of %j are those of %j', async (written, meant) => {
    const tokenizer = await loadTokenizer(clipPack);
    expect(tokenizer.encode(written)).toEqual(tokenizer.encode(meant));
  });

  it('of text with a tag keep its entities, as ftfy does', async () => {
    const tokenizer = await loadTokenizer(clipPack);
    expect(tokenizer.encode('<b> &amp;')).not.toEqual(tokenizer.encode('<b> &'));
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
