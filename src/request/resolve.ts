/**
 * Turns a request into the numbers of a clip: the preset and the model's defaults fill in what is left out, and a value
 * outside the model's limits is refused with the range.
 */
import { randomInt } from 'node:crypto';
import { KinoraError } from '../errors.ts';
import type { Conditioning } from './families/family.ts';
import {
  hasShallowCore,
  heeds,
  knownMotions,
  type ModelLimits,
  optionsOf,
  schedulersOf,
  withEffect,
} from './model-limits.ts';
import { defaultPreset, motions, type PresetName, presetNames, presetOf } from './presets.ts';
import { whole, within } from './ranges.ts';
import { type GenerationOptions, optionTable } from './request.ts';
import type { SchedulerName } from './scheduler-names.ts';
import { type Passage, passageOf, workingSize } from './size.ts';
import type { WorkingSize } from './sizes.ts';

export type FeatureReuse = 1 | 2 | 3;

/** Start from the final latents of an earlier clip of the same picture and size, part-way down the schedule. */
export interface Variation {
  /** Id of the earlier clip, as reported in its GenerationReport. */
  readonly videoId: string;
  /** Share of the schedule that is run again, in (0, 1]: subtle 0.35, strong 0.7. */
  readonly strength: number;
}

/** Go on from the end of an earlier clip of the same picture and size. */
export interface Extension {
  /** Id of the earlier clip, as reported in its GenerationReport. */
  readonly videoId: string;
}

/** Everything but the picture that decides the pixels of the frames. */
export interface ClipRequest extends Conditioning {
  /** 0 … 2^53-1; the same numbers as torch.Generator("cpu").manual_seed(seed). */
  readonly seed: number;
  /** Working size; the picture is resized to cover it and centre-cropped. */
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly numInferenceSteps: number;
  /** Classifier-free guidance is on when greater than 1. */
  readonly guidanceScale: number;
  /** Share of the steps that use guidance, in [0, 1]; 1 is the exact path. */
  readonly guidanceEnd: number;
  readonly scheduler: SchedulerName;
  /**
   * 1 is the exact path; with 2 or 3 the whole UNet runs at every second or third step only, and what it computed deep
   * inside serves the steps between (needs a pack with unet_shallow).
   */
  readonly featureReuse: FeatureReuse;
  /** Frames decoded at once by the VAE. Changes pixels only where the decoder mixes frames. */
  readonly decodeChunkSize: number;
  readonly variation?: Variation;
  /** What the clip becomes if the prompt pans or tilts along a picture that is much longer than its frames. */
  readonly passage?: Passage | undefined;
  /** Then numFrames are those of the part that is made, and the frames are those that come after the earlier clip's. */
  readonly extension?: Extension;
}

/** What is done with the frames. */
export interface VideoRequest {
  /** Playing speed of the MP4. */
  readonly fps: number;
  /** Forwards, then backwards. */
  readonly loop: boolean;
  /** 1 leaves the frames alone; 2 or 3 multiplies frames and frame rate by motion-compensated interpolation. */
  readonly smooth: 1 | 2 | 3;
  readonly maxBytes?: number;
}

export interface ResolvedRequest extends ClipRequest, VideoRequest {
  readonly preset: PresetName;
}

/** DPM-Solver++ 2M needs no more: the presets' steps are cut to these. Steps that are asked for are kept. */
export const enoughDpmSteps = 25;

/**
 * Fills in and checks everything but the picture. Options that the model ignores count as left out.
 * @throws KinoraError INVALID_OPTION or INVALID_PROMPT with what is allowed
 */
export function resolveRequest(
  manifest: ModelLimits,
  chosenOptions: GenerationOptions,
  image: { readonly width: number; readonly height: number },
): ResolvedRequest {
  const options = withEffect(manifest, chosenOptions);
  const preset = oneOf('preset', options.preset ?? defaultPreset, presetNames);
  const chosen = presetOf(manifest, preset);
  const { limits, defaults } = manifest;
  const { usualChunk, conditioning } = optionsOf(manifest);

  const numFrames = whole('frames', options.numFrames ?? chosen.numFrames, limits.numFrames);
  const sizeText = options.size ?? String(chosen.size);
  const size = workingSize(manifest, sizeText, image);
  const guidanceScale = within(
    'guidance',
    options.guidanceScale ?? chosen.guidanceScale,
    limits.guidanceScale,
  );
  const motion = oneOf('motion', options.motion ?? chosen.motion ?? 'medium', motions);
  const decodeChunkSize = options.decodeChunkSize ?? usualChunk({ ...size, numFrames });
  const scheduler = oneOf('scheduler', options.scheduler ?? defaults.scheduler, schedulersOf(manifest));
  const isDpmChosen = scheduler === 'dpm++2m' && options.scheduler !== undefined;
  const presetSteps = Math.min(chosen.numInferenceSteps, isDpmChosen ? enoughDpmSteps : Infinity);
  const { variation, extension, maxBytes } = options;
  return {
    preset,
    ...conditioning(options, { motion, guidanceScale, numFrames, decodeChunkSize }),
    seed: whole('seed', options.seed ?? randomInt(2 ** 32), optionTable.seed),
    ...size,
    ...passageIn(manifest, sizeText, image),
    numFrames,
    numInferenceSteps: whole('steps', options.numInferenceSteps ?? presetSteps, limits.numInferenceSteps),
    guidanceScale,
    guidanceEnd: within('guidance end', options.guidanceEnd ?? 1, optionTable.guidanceEnd),
    scheduler,
    featureReuse: featureReuseOf(manifest, options.featureReuse ?? 1),
    decodeChunkSize: whole('decode chunk', decodeChunkSize, { min: 1, max: limits.numFrames.max }),
    fps: whole('fps', options.fps ?? defaults.fps, optionTable.fps),
    loop: options.loop ?? false,
    smooth: smoothOf(options.smooth ?? 1),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(variation ? { variation: checkVariation(variation) } : {}),
    ...(extension ? { extension: { videoId: extension.videoId } } : {}),
  };
}

/** Only a model that says which motions it knows can tell whether a prompt pans. */
function passageIn(manifest: ModelLimits, size: string, picture: WorkingSize): Pick<ClipRequest, 'passage'> {
  const passage = knownMotions(manifest)?.includes('pan-left')
    ? passageOf(manifest, size, picture)
    : undefined;
  return passage ? { passage } : {};
}

function checkVariation({ videoId, strength }: Variation): Variation {
  return { videoId, strength: within('strength', strength, { min: 0.01, max: 1 }) };
}

/** Largest first. A clip that does not fit into memory is made as the next smaller one. */
const ladder: readonly PresetName[] = ['high', 'standard', 'fast'];

/**
 * The same clip in fewer pixels and frames, largest first: as its own preset would have it, when more than that was
 * asked for, then as the smaller ones. Prompt, seed, guidance and picture stay. Empty for a variation and an
 * extension, which must have the size of their earlier clip.
 */
export function smallerRequests(manifest: ModelLimits, request: ResolvedRequest): ResolvedRequest[] {
  if (request.variation || request.extension) return [];
  const from = ladder.indexOf(request.preset);
  const smaller: ResolvedRequest[] = [];
  let volume = request.width * request.height * request.numFrames;
  for (const preset of ladder.slice(Math.max(from, 0))) {
    const { size, ...chosen } = presetOf(manifest, preset);
    const { limits } = manifest;
    const numFrames = Math.min(chosen.numFrames, request.numFrames);
    const numInferenceSteps = Math.min(chosen.numInferenceSteps, request.numInferenceSteps);
    // A pack may have presets outside its own limits; then there is no such clip.
    if (numFrames < limits.numFrames.min || numInferenceSteps < limits.numInferenceSteps.min) continue;
    let working: WorkingSize;
    try {
      // The working size stands for the picture: it has its aspect ratio, or the one that was asked for.
      working = workingSize(manifest, String(size), request);
    } catch {
      continue;
    }
    if (working.width * working.height > request.width * request.height) working = request;
    const { width, height } = working;
    if (width * height * numFrames >= volume) continue;
    volume = width * height * numFrames;
    const decodeChunkSize = Math.min(request.decodeChunkSize, numFrames);
    const { passage } = passageIn(manifest, String(size), request);
    const numbers = { width, height, numFrames, numInferenceSteps, decodeChunkSize, passage };
    smaller.push({ ...request, preset, ...numbers });
  }
  return smaller;
}

function featureReuseOf(manifest: ModelLimits, value: number): FeatureReuse {
  if (value !== 1 && value !== 2 && value !== 3) {
    throw new KinoraError('INVALID_OPTION', `The reuse of features is ${value}; expected 1 (none), 2 or 3.`);
  }
  if (value > 1 && !hasShallowCore(manifest)) {
    throw new KinoraError(
      'INVALID_OPTION',
      `The reuse of features is ${value}, but the model pack ${manifest.id} was exported without --deepcache; expected 1 (none).`,
    );
  }
  return value;
}

function smoothOf(value: number): VideoRequest['smooth'] {
  if (value === 1 || value === 2 || value === 3) return value;
  throw new KinoraError('INVALID_OPTION', `The smoothing is ${value}; expected 1, 2 or 3.`);
}

function oneOf<T extends string>(what: string, value: string, allowed: readonly T[]): T {
  const match = allowed.find((name) => name === value);
  if (match !== undefined) return match;
  const got = value.slice(0, 40);
  throw new KinoraError('INVALID_OPTION', { kind: 'notOneOf', what, allowed: [...allowed], got });
}

/** What a finished file says about itself: enough to make it again. */
export function describeRequest(request: ResolvedRequest, manifest: ModelLimits): Record<string, string> {
  const { prompt, negativePrompt, seed, preset, width, height, numFrames, motionNumbers } = request;
  const { numInferenceSteps, guidanceScale, guidanceEnd, targetFps, scheduler, featureReuse } = request;
  const numbers = {
    ...{ seed, width, height, numFrames, numInferenceSteps, guidanceScale, targetFps },
    ...motionNumbers,
    // Only where they leave the exact path.
    ...(guidanceEnd < 1 ? { guidanceEnd } : {}),
    ...(featureReuse > 1 ? { featureReuse } : {}),
    ...decodingOf(request),
  };
  return {
    software: 'Kinora',
    model: manifest.id,
    ...(heeds(manifest, 'prompt') ? { prompt, negativePrompt } : {}),
    preset,
    scheduler,
    ...Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)])),
  };
}

/** Where it decides pixels. */
function decodingOf({ decodeOverlap, decodeChunkSize }: ResolvedRequest) {
  return decodeOverlap === undefined ? {} : { decodeChunkSize, decodeOverlap };
}
