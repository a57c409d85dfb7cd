/**
 * Prompts to what unet_cond reads of them. The embeddings stay in the session thread, so that the runs that need them are
 * handed over without waiting for the text's answer. Knows neither pictures nor steps. Shapes as in i2vgen-xl.ts.
 */
import type { GenerateRequest } from '../image-to-video.ts';
import type { KeptPart, KeptTensor, KeptTensors } from '../kept-tensors.ts';
import { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../model-pack.ts';
import { type FloatTensor, type IntTensor, stack } from '../tensor.ts';
import { present } from './parts.ts';
import type { Run } from './run.ts';

export interface EncodedPrompts {
  /** (B, T, D) in the session thread. The runtime has been asked for it: runs handed over from now on may read it. */
  readonly words: Promise<KeptTensor>;
  /** Settles when the runtime has nothing left to do with the prompts. */
  readonly encoded: Promise<void>;
}

/**
 * The negative prompt matters with guidance only.
 * @param fingerprint stands for the weights in cache keys
 */
export function encodePrompts(
  pack: OpenPack,
  fingerprint: string,
  { prompt, negativePrompt, guidanceScale }: GenerateRequest,
  run: Run,
  kept: KeptTensors,
): EncodedPrompts {
  const keyOf = (text: string): string => LatentCache.key('prompt', fingerprint, text);
  const { text_encoder: encoder } = pack.sessions;
  const ranBefore = encoder.runMs;

  /** (1, T, D), also written to `copy` where the runs of others find it. */
  const encode = async (text: string, copy?: KeptPart): Promise<{ promptEmbeds: FloatTensor }> => {
    const tokens = pack.tokenizer.encode(text);
    const ids: IntTensor = { data: tokens, dims: [1, tokens.length] };
    const embeds = kept.reserve();
    await encoder.run(
      { input_ids: ids },
      {
        into: { prompt_embeds: embeds },
        after: copy ? [{ target: copy, terms: [[1, embeds]] }] : [],
      },
    );
    const { data } = await kept.take(embeds);
    return { promptEmbeds: { data, dims: [1, tokens.length, data.length / tokens.length] } };
  };

  let onAsked: (words: KeptTensor) => void = () => {};
  const asked = new Promise<KeptTensor>((resolve) => {
    onAsked = resolve;
  });
  const encodeAll = async (): Promise<void> => {
    // The negative one is mostly known: nothing is left to do when the runtime has encoded the other.
    const entry =
      guidanceScale > 1
        ? await run.cached('prompt', keyOf(negativePrompt), () => encode(negativePrompt))
        : undefined;
    const negative = entry && present(entry['promptEmbeds']);
    let isKnown = true;
    const { promptEmbeds } = await run.cached('prompt', keyOf(prompt), () => {
      isKnown = false;
      const words = negative ? kept.keep(stack(negative, negative)) : kept.reserve();
      const encoding = encode(prompt, negative ? { ...words, half: 1 } : words);
      onAsked(words);
      return encoding;
    });
    if (!isKnown) return;
    const { data, dims } = present(promptEmbeds);
    onAsked(kept.keep(negative ? stack(negative, { data, dims }) : { data: data.slice(), dims }));
  };
  // Its own time: this thread may hear of it late, and other things happen beside it.
  const encoded = encodeAll().then(() => run.book('encodeText', encoder.runMs - ranBefore));
  const words = Promise.race([asked, encoded.then(() => asked)]);
  words.catch(() => {}); // whoever asks for it is told, and whoever waits for the end
  return { words, encoded };
}
