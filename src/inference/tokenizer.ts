/**
 * Prompts to token ids. For CLIP's own tokenizer they equal those of transformers' CLIPTokenizer with ftfy, which is
 * what diffusers' pipeline reads prompts with; tokenizer.json alone describes the fast one, which does not clean. The
 * byte-pair encoding is @huggingface/tokenizers'. Knows no model.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { Tokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { fixText } from './ftfy/fix-text.ts';

export interface ClipTokenizer {
  /** Tokens per prompt, start and end included. */
  readonly maxTokens: number;
  /**
   * `maxTokens` ids: start, the text, end, padding. A text that is too long is cut; the end token always stays.
   * Any string is fine, an empty one too.
   */
  encode(text: string): BigInt64Array;
}

const preTokenizerSchema = z.looseObject({
  type: z.string(),
  pretokenizers: z.array(z.looseObject({ type: z.string() })).optional(),
});

type Definition = z.infer<typeof tokenizerSchema>;

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string() })),
  normalizer: z.looseObject({}),
  pre_tokenizer: preTokenizerSchema,
  post_processor: z.looseObject({}),
  decoder: z.looseObject({}),
  model: z.looseObject({
    type: z.literal('BPE'),
    vocab: z.record(z.string(), z.int().nonnegative()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

const specialToken = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .transform((token) => (typeof token === 'string' ? token : token.content));

const tokenizerConfigSchema = z.looseObject({
  tokenizer_class: z.string().optional(),
  model_max_length: z.int().min(3).max(4096),
  bos_token: specialToken,
  eos_token: specialToken,
  pad_token: specialToken,
});

/** Reads `<packDir>/tokenizer`. Throws PACK_INVALID, naming the file and what is wrong with it. */
export async function loadTokenizer(packDir: string): Promise<ClipTokenizer> {
  const folder = path.join(packDir, 'tokenizer');
  const definition = await readJson(path.join(folder, 'tokenizer.json'), tokenizerSchema);
  const config = await readJson(path.join(folder, 'tokenizer_config.json'), tokenizerConfigSchema);

  const { added_tokens, model } = definition;
  const specials = new Map(added_tokens.map(({ content, id }) => [content, id]));
  const idOf = (token: string) => {
    const id = specials.get(token) ?? model.vocab[token];
    if (id !== undefined) return BigInt(id);
    throw new KinoraError(
      'PACK_INVALID',
      `${path.join(folder, 'tokenizer_config.json')} names the token ${token}, which tokenizer.json does not have.`,
    );
  };
  let tokenize: (text: string) => number[];
  try {
    tokenize = isClips(definition, config.tokenizer_class)
      ? asClip(definition, config, specials)
      : asDefined(definition, config);
  } catch (cause) {
    throw new KinoraError('PACK_INVALID', `${path.join(folder, 'tokenizer.json')} cannot be used.`, {
      cause,
    });
  }
  const start = idOf(config.bos_token);
  const end = idOf(config.eos_token);
  const padding = idOf(config.pad_token);
  const maxTokens = config.model_max_length;

  return {
    maxTokens,
    encode(text) {
      const tokens = tokenize(text)
        .slice(0, maxTokens - 2)
        .map(BigInt);
      const padded = new BigInt64Array(maxTokens).fill(padding);
      padded.set([start, ...tokens, end]);
      return padded;
    },
  };
}

async function readJson<T>(file: string, schema: z.ZodType<T>): Promise<T> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    const what = cause instanceof SyntaxError ? 'is not valid JSON' : 'cannot be read';
    throw new KinoraError('PACK_INVALID', `${file} ${what}.`, { cause });
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new KinoraError('PACK_INVALID', `${file}: ${issue?.path.join('.')}: ${issue?.message}.`, {
    cause: result.error,
  });
}

/** What transformers writes for CLIPTokenizer. Any other normalizer is meant as it stands. */
function isClips({ normalizer }: Definition, tokenizerClass: string | undefined): boolean {
  const steps = [
    { type: 'NFC' },
    { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
    { type: 'Lowercase' },
  ];
  return (
    tokenizerClass === 'CLIPTokenizer' &&
    isDeepStrictEqual(normalizer, { type: 'Sequence', normalizers: steps })
  );
}

/** transformers ignores case here: a long s counts as one, and U+0345, which has the case of a letter, as nothing. */
const clipWord =
  /<\|[sſ]tartoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|(?:(?!\u0345)[^\s\p{L}\p{N}])+/gu;

/** As CLIPTokenizer: what stands between special tokens is cleaned, then split into words. */
function asClip(
  definition: Definition,
  config: object,
  specials: ReadonlyMap<string, number>,
): (text: string) => number[] {
  const words = new Tokenizer(
    {
      ...definition,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    },
    config,
  );
  return (text) => {
    const parts: string[] = [];
    let from = 0;
    for (const { 0: special, index } of text.matchAll(/<\|(?:startoftext|endoftext)\|>/g)) {
      parts.push(...(cleanClipText(text.slice(from, index)).match(clipWord) ?? []), special);
      from = index + special.length;
    }
    parts.push(...(cleanClipText(text.slice(from)).match(clipWord) ?? []));
    return parts.flatMap(
      (word) => specials.get(word) ?? words.encode(word, { add_special_tokens: false }).ids,
    );
  };
}

/** As CLIPTokenizer cleans a text without special tokens. */
function cleanClipText(text: string): string {
  return fixText(text).replace(/\s+/gu, ' ').trim().toLowerCase();
}

/** As tokenizer.json says. */
function asDefined(definition: Definition, config: object): (text: string) => number[] {
  const tokenizer = new Tokenizer(
    { ...definition, pre_tokenizer: withoutSecondSplit(definition.pre_tokenizer) },
    config,
  );
  return (text) => tokenizer.encode(lowercaseSigma(text), { add_special_tokens: false }).ids;
}

/**
 * CLIP splits by its own pattern, then maps bytes. The byte step would split once more, which changes nothing in
 * transformers, but the library does it with JavaScript's `\s`, which takes a byte order mark for a space.
 */
function withoutSecondSplit(preTokenizer: z.infer<typeof preTokenizerSchema>): object {
  const steps = preTokenizer.pretokenizers;
  if (steps?.[0]?.type !== 'Split') return preTokenizer;
  return {
    ...preTokenizer,
    pretokenizers: steps.map((step) => (step.type === 'ByteLevel' ? { ...step, use_regex: false } : step)),
  };
}

/** JavaScript writes a capital sigma at the end of a word as ς; transformers lowercases letter by letter. */
function lowercaseSigma(text: string): string {
  return text.replaceAll('Σ', 'σ');
}
