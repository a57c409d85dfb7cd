/**
 * From what a person asked for to numbers that a model can work with: presets, the pack's own defaults, and its limits.
 * Anything outside a limit is refused with the range; nothing is repaired in silence. Knows no command line, no chat.
 */
import { randomInt } from 'node:crypto';
import { KinoraError } from '../errors.ts';
import { type ClipRequest, type FeatureReuse, schedulerNames, type VideoRequest } from './clip.ts';
import { hasShallowCore, type ModelLimits, motions, type Range } from './model-limits.ts';
import { type PresetName, presetNames, presetOf } from './presets.ts';
import { cleanPrompt } from './prompt.ts';
import { type GenerationOptions, optionTable } from './request.ts';
import { type WorkingSize, workingSize } from './size.ts';

export interface ResolvedRequest extends ClipRequest, VideoRequest {
  readonly preset: PresetName;
}

const defaultPreset: PresetName = 'standard';
/** DPM-Solver++ 2M needs no more: what a preset has beyond them is left out, unless the steps are asked for. */
const enoughDpmSteps = 25;

/**
 * Fills in and checks everything but the picture.
 * @throws KinoraError INVALID_OPTION or INVALID_PROMPT with what is allowed
 */
export function resolveRequest(
  manifest: ModelLimits,
  options: GenerationOptions,
  image: { readonly width: number; readonly height: number },
): ResolvedRequest {
  const preset = oneOf('preset', options.preset ?? defaultPreset, presetNames);
  const chosen = presetOf(manifest, preset);
  const { limits, defaults } = manifest;

  const numFrames = whole('frames', options.numFrames ?? chosen.numFrames, limits.numFrames);
  const scheduler = oneOf('scheduler', options.scheduler ?? defaults.scheduler, schedulerNames);
  const isDpmChosen = scheduler === 'dpm++2m' && options.scheduler !== undefined;
  const presetSteps = isDpmChosen
    ? Math.min(chosen.numInferenceSteps, enoughDpmSteps)
    : chosen.numInferenceSteps;
  const motion = options.motion === undefined ? 'medium' : oneOf('motion', options.motion, motions);
  const { variation } = options;
  return {
    preset,
    prompt: cleanPrompt('prompt', options.prompt) || defaults.prompt,
    negativePrompt:
      options.negativePrompt === undefined
        ? defaults.negativePrompt
        : cleanPrompt('negative prompt', options.negativePrompt),
    seed: whole('seed', options.seed ?? randomInt(2 ** 32), optionTable.seed),
    ...workingSize(manifest, options.size ?? String(chosen.size), image),
    numFrames,
    numInferenceSteps: whole('steps', options.numInferenceSteps ?? presetSteps, limits.numInferenceSteps),
    guidanceScale: within('guidance', options.guidanceScale ?? chosen.guidanceScale, limits.guidanceScale),
    guidanceEnd: within('guidance end', options.guidanceEnd ?? 1, optionTable.guidanceEnd),
    targetFps: manifest.motionFps[motion],
    scheduler,
    featureReuse: featureReuseOf(manifest, options.featureReuse ?? 1),
    decodeChunkSize: whole(
      'decode chunk',
      options.decodeChunkSize ?? Math.min(defaults.decodeChunkSize, numFrames),
      {
        min: 1,
        max: limits.numFrames.max,
      },
    ),
    fps: whole('fps', options.fps ?? defaults.fps, optionTable.fps),
    loop: options.loop ?? false,
    smooth: smoothOf(options.smooth ?? 1),
    ...(options.maxBytes === undefined ? {} : { maxBytes: options.maxBytes }),
    ...(variation
      ? {
          variation: {
            ...variation,
            strength: within('strength', variation.strength, { min: 0.01, max: 1 }),
          },
        }
      : {}),
  };
}

/**
 * Refuses what the model cannot make of this picture.
 * @throws KinoraError INVALID_OPTION or INVALID_PROMPT with what is allowed
 */
export function validateRequest(...request: Parameters<typeof resolveRequest>): void {
  resolveRequest(...request);
}

/** Largest first. A clip that does not fit into memory is made as the next of them that is smaller. */
const ladder: readonly PresetName[] = ['high', 'standard', 'fast'];

/**
 * The same clip in fewer pixels and frames, largest first: as its own preset would have it, when more than that was
 * asked for, then as the smaller ones. Prompt, seed, guidance and picture stay. Empty for a variation, which must have
 * the size of its earlier clip.
 */
export function smallerRequests(manifest: ModelLimits, request: ResolvedRequest): ResolvedRequest[] {
  if (request.variation) return [];
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
    smaller.push({ ...request, preset, width, height, numFrames, numInferenceSteps, decodeChunkSize });
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
  if (match === undefined) {
    throw new KinoraError('INVALID_OPTION', {
      kind: 'notOneOf',
      what,
      allowed: [...allowed],
      got: value.slice(0, 40),
    });
  }
  return match;
}

function within(what: string, value: number, { min, max }: Range): number {
  if (!(value >= min && value <= max)) {
    throw new KinoraError('INVALID_OPTION', {
      kind: 'outOfRange',
      what,
      min,
      max,
      isWhole: false,
      got: value,
    });
  }
  return value;
}

function whole(what: string, value: number, { min, max }: Range): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new KinoraError('INVALID_OPTION', {
      kind: 'outOfRange',
      what,
      min,
      max,
      isWhole: true,
      got: value,
    });
  }
  return value;
}

/** What a finished file says about itself: enough to make it again. */
export function describeRequest(request: ResolvedRequest, manifest: ModelLimits): Record<string, string> {
  const { prompt, negativePrompt, seed, preset, width, height, numFrames } = request;
  const { numInferenceSteps, guidanceScale, guidanceEnd, targetFps, scheduler, featureReuse } = request;
  const numbers = {
    ...{ seed, width, height, numFrames, numInferenceSteps, guidanceScale, targetFps },
    // Only where they leave the exact path.
    ...(guidanceEnd < 1 ? { guidanceEnd } : {}),
    ...(featureReuse > 1 ? { featureReuse } : {}),
  };
  return {
    software: 'Kinora',
    model: manifest.id,
    prompt,
    negativePrompt,
    preset,
    scheduler,
    ...Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, String(value)])),
  };
}
