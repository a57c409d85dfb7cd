/** What people are offered to choose, by what the models can do. */
import type { JobClient } from '../queue/client.ts';
import type { IgnorableOption } from '../request/ignorable-options.ts';
import { heeds, motionsFor } from '../request/model-limits.ts';
import { defaultPreset } from '../request/presets.ts';
import type { Models } from './models.ts';
import type { Offered } from './sentences/en.ts';

/**
 * The motions of the default model, whether any model heeds the options that it may ignore, by the words that people type,
 * and the models where there are several. Where none is known, all is heeded.
 */
export function offeredBy({ offered, default: first }: Models, client: JobClient): Offered {
  const isHeeded = (option: IgnorableOption): boolean =>
    offered.length === 0 || offered.some((model) => heeds(model, option));
  const creditsOf = (model: string): number =>
    client.costOf({ generation: { prompt: '', preset: defaultPreset, seed: 0 }, model });
  const model = offered.map((one) => {
    const { id, title, licence } = one;
    return { id, title, licence, readsWords: heeds(one, 'prompt'), credits: creditsOf(id) };
  });
  return {
    prompt: isHeeded('prompt'),
    camera: isHeeded('camera'),
    negative: isHeeded('negativePrompt'),
    guidance: isHeeded('guidanceScale'),
    motions: motionsFor(first),
    attributions: [...new Set(offered.flatMap(({ attribution }) => attribution ?? []))],
    model: model.length > 1 ? model : undefined,
  };
}
