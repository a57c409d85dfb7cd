/** What is being asked for, before it is sent. It stays in the browser, so that a reload or a closed lid loses nothing. */
import type { CreateBody, Studio, Video } from '../api/types.ts';
import { createStore } from '../state/store.ts';
import { dropOthers, readKept, writeKept } from './keep.ts';
import type { Stroke } from './mask.ts';

/** Parts of the whole, from 0 to 1. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Edit {
  /** Quarters of a turn, clockwise. */
  readonly turns: 0 | 1 | 2 | 3;
  /** Of the turned picture; undefined for all of it. */
  readonly crop: Box | undefined;
}

export interface DraftPicture {
  readonly blob: Blob;
  readonly name: string;
  readonly edit: Edit;
  /** Over the turned and cropped picture: what may move. Without any, all of it may. */
  readonly mask: readonly Stroke[];
}

/** The options that were chosen: those that are absent are the preset's or the model's. */
export type Values = Omit<
  CreateBody,
  'prompt' | 'preset' | 'input_reference' | 'motion_mask' | 'model' | 'user' | 'seconds'
>;
export type PresetName = Studio['presets'][number]['name'];

export interface RemixedVideo {
  readonly id: string;
  /** It was made, so there is a picture of it to show. */
  readonly isShown: boolean;
  readonly isCovered: boolean;
  /** It has a mask, which the remix keeps or leaves out. */
  readonly mask: 'kept' | 'left out' | undefined;
}

export interface Draft {
  /** Absent where none was chosen yet, and where the picture is that of `from`. */
  readonly picture: DraftPicture | undefined;
  /** The video that is remixed: its picture is used. */
  readonly from: RemixedVideo | undefined;
  readonly prompt: string;
  /** Undefined for the default one. */
  readonly preset: PresetName | undefined;
  /** Undefined for the default one. */
  readonly model: string | undefined;
  readonly values: Values;
}

export const emptyDraft: Draft = {
  picture: undefined,
  from: undefined,
  prompt: '',
  preset: undefined,
  model: undefined,
  values: {},
};
export const unedited: Edit = { turns: 0, crop: undefined };

export const draft = createStore<Draft>(emptyDraft);

export function changeDraft(change: Partial<Draft>): void {
  draft.set({ ...draft.get(), ...change });
}

/** What one model takes, another one may not. */
const ofModel: ReadonlySet<string> = new Set([
  'size',
  'num_frames',
  'num_inference_steps',
  'guidance_scale',
  'scheduler',
  'feature_reuse',
  'motion_bucket_id',
  'noise_aug_strength',
]);

/** @param model undefined for the default one */
export function chooseModel(model: string | undefined): void {
  const kept = Object.entries(draft.get().values).filter(([name]) => !ofModel.has(name));
  changeDraft({ model, values: Object.fromEntries(kept) });
}

/** Of a level there is no number of one's own. */
export function chooseMotion(motion: Values['motion']): void {
  chooseValue('motion_bucket_id', undefined);
  chooseValue('motion', motion);
}

/** @param value undefined gives it back to the preset */
export function chooseValue<Name extends keyof Values>(name: Name, value: Values[Name]): void {
  const { [name]: _, ...others } = draft.get().values;
  changeDraft({ values: value === undefined ? others : { ...others, [name]: value } });
}

const pictureOf = (user: string): string => `${user} picture`;

/** @param user undefined where nobody is signed in: then none is kept */
export async function dropDraftsOfOthers(user: string | undefined): Promise<void> {
  await dropOthers(user === undefined ? [] : [user, pictureOf(user)]);
}

/**
 * Brings back what this person had begun in this browser, and keeps what they change from here on. The picture is kept
 * apart, since it is large and changes seldom.
 * @returns what stops that
 */
export async function keepDraft(user: string): Promise<() => void> {
  const [kept, picture] = await Promise.all([
    readKept<Omit<Draft, 'picture'>>(user),
    readKept<DraftPicture>(pictureOf(user)),
  ]);
  const { blob, name = '', edit = unedited, mask = [] } = picture ?? {};
  if (draft.get() === emptyDraft) {
    draft.set({ ...emptyDraft, ...kept, ...(blob ? { picture: { blob, name, edit, mask } } : {}) });
  }
  let written = draft.get();
  const write = (): void => {
    const { picture: now, ...rest } = draft.get();
    if (now !== written.picture) void writeKept(pictureOf(user), now);
    void writeKept(user, rest);
    written = draft.get();
  };
  const unsubscribe = draft.subscribe(write);
  return () => {
    unsubscribe();
    draft.set(emptyDraft);
  };
}

/** The settings of a finished video, as they can be chosen. */
export function draftOf(video: Video, { presets, models, motion_buckets, defaults }: Studio): Draft {
  const preset = presets.find(({ name }) => name === video.preset);
  const { num_frames, num_inference_steps, guidance_scale, fps, motion, scheduler, seed } = video;
  const own = <T>(value: T | null, usual: T | undefined): T | undefined =>
    value === null || value === usual ? undefined : value;
  const chosen = {
    num_frames: own(num_frames, preset?.num_frames),
    num_inference_steps: own(num_inference_steps, preset?.num_inference_steps),
    guidance_scale: own(guidance_scale, preset?.guidance_scale),
    negative_prompt: video.negative_prompt || undefined,
    fps: fps ?? undefined,
    motion: motion ?? undefined,
    motion_bucket_id: own(
      motion_buckets && video.motion_bucket_id,
      motion_buckets?.[motion ?? preset?.motion ?? 'medium'],
    ),
    noise_aug_strength: own(
      motion_buckets && video.noise_aug_strength,
      defaults.noise_aug_strength ?? undefined,
    ),
    scheduler: scheduler ?? undefined,
    guidance_end: own(video.guidance_end, 1),
    feature_reuse: own(video.feature_reuse, 1),
    loop: video.loop || undefined,
    enable_frame_interpolation: video.enable_frame_interpolation || undefined,
    size: /^\d+x\d+$/.test(video.size) ? video.size : undefined,
    seed,
  };
  return {
    picture: undefined,
    from: {
      id: video.id,
      isShown: video.variants.includes('thumbnail'),
      isCovered: video.spoiler,
      mask: video.has_motion_mask ? 'kept' : undefined,
    },
    prompt: video.prompt,
    preset: preset?.name,
    model: models.slice(1).find(({ id }) => id === video.model)?.id,
    values: Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined)),
  };
}
