/**
 * Prompts to what the UNet reads of them. A copy stays in the session thread, so that the runs that need it are handed
 * over without waiting for the answer. Knows neither pictures nor steps. Shapes as in i2vgen-xl.ts.
 */
import type { GenerateRequest } from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../packs/open.ts';
import { type FloatTensor, type IntTensor, stack } from '../sessions/tensor.ts';
import type { KeptPart, KeptTensor, KeptTensors } from '../sessions/thread-tensors.ts';
import { pick, present } from './parts.ts';
import type { Run } from './run.ts';

export interface EncodedPrompts {
  /** (B, T, D) in the session thread. The runtime has been asked for it: runs that are handed over now may read it. */
  readonly promptEmbeds: Promise<KeptTensor>;
  /** Settles when the runtime has encoded both. */
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
  const { text_encoder: encoder } = pack.sessions;
  const ranBefore = encoder.runMs;

  /** (1, T, D), from the cache if it is there. */
  const embed = async (text: string, encode: () => Promise<FloatTensor>): Promise<FloatTensor> => {
    const key = LatentCache.key('prompt', fingerprint, text);
    const entry = await run.cached('prompt', key, async () => ({ promptEmbeds: await encode() }));
    return present(entry['promptEmbeds']);
  };
  const encode = async (text: string, copy?: KeptPart): Promise<FloatTensor> => {
    const tokens = pack.tokenizer.encode(text);
    const ids: IntTensor = { data: tokens, dims: [1, tokens.length] };
    const output = await encoder.run({ input_ids: ids }, { copies: copy ? { prompt_embeds: copy } : {} });
    return pick(output, 'prompt_embeds');
  };

  let onAsked: (promptEmbeds: KeptTensor) => void = () => {};
  const asked = new Promise<KeptTensor>((resolve) => {
    onAsked = resolve;
  });
  const encodeBoth = async (): Promise<void> => {
    // The negative one is mostly known: nothing is left to do when the runtime has encoded the other.
    const negative =
      guidanceScale > 1 ? await embed(negativePrompt, () => encode(negativePrompt)) : undefined;
    let isKnown = true;
    const embeds = await embed(prompt, () => {
      isKnown = false;
      // The second half is written over.
      const place = negative ? kept.keep(stack(negative, negative)) : kept.reserve();
      const encoding = encode(prompt, negative ? { ...place, half: 1 } : place);
      onAsked(place);
      return encoding;
    });
    if (!isKnown) return;
    // The cache's own memory must not go to the thread.
    const copy = negative ? stack(negative, embeds) : { ...embeds, data: embeds.data.slice() };
    onAsked(kept.keep(copy));
  };
  // The encoder's own time: other things happen beside it.
  const encoded = encodeBoth().then(() => run.book('encodeText', encoder.runMs - ranBefore));
  // What fails before the runtime is asked fails here, too.
  const promptEmbeds = Promise.race([asked, encoded.then(() => asked)]);
  promptEmbeds.catch(() => {}); // whoever asks for it is told
  return { promptEmbeds, encoded };
}
