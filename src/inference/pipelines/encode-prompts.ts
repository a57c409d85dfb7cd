/** Prompts to embeddings. Knows neither pictures nor steps. Shapes as in i2vgen-xl.ts. */
import type { GenerateRequest } from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import type { OpenPack } from '../packs/open.ts';
import { type FloatTensor, type IntTensor, stack } from '../sessions/tensor.ts';
import { pick, present } from './parts.ts';
import type { Run } from './run.ts';

/**
 * The negative prompt matters with guidance only.
 * @param fingerprint stands for the weights in cache keys
 * @returns (B, T, D)
 */
export async function encodePrompts(
  pack: OpenPack,
  fingerprint: string,
  { prompt, negativePrompt, guidanceScale }: GenerateRequest,
  run: Run,
): Promise<FloatTensor> {
  const encoder = present(pack.sessions.text_encoder);
  const tokenizer = present(pack.tokenizer);
  const ranBefore = encoder.runMs;
  /** (1, T, D), from the cache if it is there. */
  const embed = async (text: string): Promise<FloatTensor> => {
    const tokens = tokenizer.encode(text);
    const key = LatentCache.key('prompt', fingerprint, tokens.join());
    const tensors = await run.cached('prompt', key, async () => {
      const ids: IntTensor = { data: tokens, dims: [1, tokens.length] };
      return { promptEmbeds: pick(await encoder.run({ input_ids: ids }), 'prompt_embeds') };
    });
    return present(tensors['promptEmbeds']);
  };
  const embeds =
    guidanceScale > 1 ? stack(await embed(negativePrompt), await embed(prompt)) : stack(await embed(prompt));
  run.book('encodeText', encoder.runMs - ranBefore); // its own time: the picture is prepared beside it
  return embeds;
}
