/** The numbers of a draft with what the preset and the model fill in, what it costs, and what is sent. */
import { costOf } from '../../../request/cost.ts';
import { bestSize, readSize } from '../../../request/sizes.ts';
import type { Studio } from '../api/types.ts';
import type { Draft, Values } from './draft.ts';
import type { Size } from './picture.ts';

export type PresetInfo = Studio['presets'][number];

export function presetOf({ preset }: Draft, { presets, defaults }: Studio): PresetInfo | undefined {
  return presets.find(({ name }) => name === (preset ?? defaults.preset)) ?? presets[0];
}

/** Steps of a preset, with the scheduler that was chosen. */
export function stepsOf({ values }: Draft, preset: PresetInfo, { schedulers }: Studio): number {
  const scheduler = schedulers.find(({ name }) => name === values.scheduler);
  return (
    values.num_inference_steps ??
    Math.min(preset.num_inference_steps, scheduler?.most_preset_steps ?? Infinity)
  );
}

export function guidanceOf({ values }: Draft, preset: PresetInfo): number {
  return values.guidance_scale ?? preset.guidance_scale;
}

/** How much moves, as a number; undefined for a model that takes none. */
export function motionBucketOf(
  { values }: Draft,
  preset: PresetInfo,
  { motion_buckets: buckets }: Studio,
): number | undefined {
  return buckets ? (values.motion_bucket_id ?? buckets[values.motion ?? preset.motion]) : undefined;
}

/** Credits of the request, as the queue counts them. */
export function creditsOf({ values }: Draft, preset: PresetInfo): number {
  const generation = { prompt: '', preset: preset.name, seed: 0 };
  const { num_frames, num_inference_steps, size } = values;
  return costOf(
    {
      ...generation,
      ...(num_frames === undefined ? {} : { numFrames: num_frames }),
      ...(num_inference_steps === undefined ? {} : { numInferenceSteps: num_inference_steps }),
      ...(size === undefined ? {} : { size }),
    },
    preset.credits,
    { size: preset.size, numFrames: preset.num_frames, numInferenceSteps: preset.num_inference_steps },
  );
}

/** Width and height of the clip of a picture; undefined where the model is not known, or makes no such size. */
export function clipSize(
  { values }: Draft,
  preset: PresetInfo,
  studio: Studio,
  picture: Size,
): Size | undefined {
  if (!studio.size) return undefined;
  const asked = readSize(values.size ?? String(preset.size));
  if (!asked) return undefined;
  if (!asked.isSquare) return asked;
  const { multiple: sizeMultiple, side, pixels } = studio.size;
  return bestSize(picture, asked.width, { sizeMultiple, limits: { side, pixels } });
}

/** What is sent beside the picture. */
export function fieldsOf(
  { prompt, preset, model, values }: Draft,
  studio: Studio,
): Record<string, string | number | boolean> {
  const ignored: ReadonlySet<string> = new Set(studio.ignored);
  const chosen = Object.entries(values).filter(
    (entry): entry is [string, string | number | boolean] => entry[1] !== undefined && !ignored.has(entry[0]),
  );
  return {
    prompt,
    preset: preset ?? studio.defaults.preset,
    ...(model === undefined ? {} : { model }),
    ...Object.fromEntries(chosen),
  };
}

/** A remix keeps what it does not name, so it names all that could be another's. */
export function remixFieldsOf(draft: Draft, preset: PresetInfo, studio: Studio): ReturnType<typeof fieldsOf> {
  const usual: Values = {
    size: String(preset.size),
    num_frames: preset.num_frames,
    num_inference_steps: stepsOf(draft, preset, studio),
    guidance_scale: preset.guidance_scale,
    motion: preset.motion,
    negative_prompt: studio.defaults.negative_prompt ?? '',
    loop: false,
    enable_frame_interpolation: false,
    seed: randomSeed(),
    ...(studio.defaults.fps === null ? {} : { fps: studio.defaults.fps }),
    ...(studio.defaults.noise_aug_strength === null
      ? {}
      : { noise_aug_strength: studio.defaults.noise_aug_strength }),
  };
  const model = draft.model ?? studio.models[0]?.id;
  const fields = fieldsOf({ ...draft, model, values: { ...usual, ...draft.values } }, studio);
  return draft.from?.mask === 'left out' ? { ...fields, motion_mask: 'none' } : fields;
}

export function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/** Words of a chip in a prompt, whatever the case. */
export function hasWords(prompt: string, words: string): boolean {
  return prompt.toLowerCase().includes(words.toLowerCase());
}

/** Adds the words of a chip to a prompt, or takes them out with the comma that belonged to them. */
export function toggleWords(prompt: string, words: string): string {
  const at = prompt.toLowerCase().indexOf(words.toLowerCase());
  if (at < 0) return prompt.trim() === '' ? words : `${prompt.trim().replace(/[,，]$/, '')}, ${words}`;
  const before = prompt.slice(0, at).replace(/[,，\s]+$/, '');
  const after = prompt.slice(at + words.length).replace(/^[,，\s]+/, '');
  return before && after ? `${before}, ${after}` : before + after;
}
