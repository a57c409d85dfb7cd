/** What `kinora animate` tells of a video that it made: a few lines, or the object of --json. */
import { motions } from '../bot/sentences/motions-en.ts';
import { sayUnderstood } from '../bot/sentences/understood.ts';
import type { EngineResult } from '../engine/protocol.ts';
import type { ImageHeader } from '../inference/pictures/header.ts';
import { type IgnorableOption, readsNoText, withoutTexts } from '../request/ignorable-options.ts';
import { flagOf } from '../request/options-text.ts';
import type { ResolvedRequest } from '../request/resolve.ts';
import { type Cut, cutOf } from '../request/sizes.ts';

export interface Asked {
  readonly picture: ImageHeader;
  readonly request: ResolvedRequest;
  /** Options that were given in vain: the model ignores them. */
  readonly ignored: readonly IgnorableOption[];
}

/** The object of --json. */
export function describe(
  { request, picture, ignored }: Asked,
  result: EngineResult,
): Record<string, unknown> {
  const { outPath, videoId, bytes, seed, width, height, numFrames, fps, durationSeconds } = result;
  const cut = result.isPassage ? undefined : cutOf(picture, result);
  return {
    out: outPath,
    videoId,
    seed,
    prompt: request.prompt,
    preset: result.reducedTo ?? request.preset,
    ...(result.reducedTo === undefined ? {} : { reducedTo: result.reducedTo }),
    width,
    height,
    numFrames,
    fps,
    durationSeconds,
    scheduler: request.scheduler,
    guidanceEnd: request.guidanceEnd,
    featureReuse: request.featureReuse,
    bytes,
    model: result.model,
    device: result.device,
    cache: result.cache,
    timings: Object.fromEntries(Object.entries(result.timings).map(([name, ms]) => [name, Math.round(ms)])),
    notes: result.notes,
    ...(result.understood === undefined ? {} : { understood: result.understood }),
    ...(ignored.length === 0 ? {} : { ignored }),
    ...(result.smallerRuns === undefined ? {} : { smallerRuns: result.smallerRuns }),
    ...(cut === undefined ? {} : { cut }),
  };
}

const reusable: Readonly<Record<string, string>> = {
  image: 'what the model saw in the picture',
  prompt: 'what it understood of the prompt',
  video: 'the earlier video',
};

function describeCut({ of, percent }: Cut): string {
  const ends = of === 'width' ? 'left and right' : 'above and below';
  return `${percent} % of the picture's ${of} is cut off, ${ends}.`;
}

function describeUnderstood({ understood }: EngineResult): string[] {
  if (!understood) return [];
  const { motions: named, note } = sayUnderstood(understood, motions);
  return [...(named ? [`  understood: ${named}`] : []), ...(note ? [`  note: ${note}`] : [])];
}

function describeIgnored(ignored: readonly IgnorableOption[], model: string): string[] {
  const others = readsNoText(ignored) ? withoutTexts(ignored) : ignored;
  return [
    ...(readsNoText(ignored)
      ? [
          `  note: ${model} looks only at your picture; it does not read descriptions. --motion low, medium or high decides how much moves.`,
        ]
      : []),
    ...others.map((name) => `  note: ${flagOf(name)} has no effect with ${model}.`),
  ];
}

function describeSmallerRuns({ smallerRuns = [] }: EngineResult): string[] {
  return smallerRuns.map(
    ({ fromFrame, frames }) =>
      `  note: Memory was short, so from frame ${fromFrame} on ${frames} were decoded at once; neighbours may flicker a little.`,
  );
}

/** @param seconds that it took in all */
export function summarize({ picture, ignored }: Asked, result: EngineResult, seconds: number): string {
  const { outPath, width, height, numFrames, fps, durationSeconds, bytes, seed, videoId, cache, notes } =
    result;
  const { reducedTo } = result;
  const cut = result.isPassage ? undefined : cutOf(picture, result);
  const size = bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const reused = cache.hits.map((kind) => reusable[kind] ?? kind);
  return [
    outPath,
    `  ${width}×${height}, ${numFrames} frames at ${fps} fps (${durationSeconds.toFixed(1)} s), ${size}, made in ${seconds.toFixed(1)} s on ${result.device}`,
    ...describeUnderstood(result),
    `  seed ${seed} · video id ${videoId}`,
    ...(reused.length > 0 ? [`  reused: ${reused.join(', ')}`] : []),
    ...(reducedTo === undefined
      ? []
      : [`  note: Memory ran out, so it was made smaller, as the preset ${reducedTo} would have it.`]),
    ...notes.map((note) => `  note: ${note}`),
    ...describeSmallerRuns(result),
    ...describeIgnored(ignored, result.model),
    ...(cut === undefined ? [] : [`  note: ${describeCut(cut)}`]),
    '',
  ].join('\n');
}
