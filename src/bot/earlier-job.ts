/** What a request takes over from an earlier job of which it is made. Knows no platform. */
import type { Artifact, JobRequest } from '../queue/jobs.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import type { Preset } from '../request/presets.ts';
import type { Generation } from '../request/request.ts';
import { numFramesBefore } from '../video/filters.ts';

/** How an earlier job's video goes on; undefined for one that was not made. */
export function extensionOf({ artifact, request: { generation } }: LedgerEntry): Generation['extension'] {
  if (!artifact) return undefined;
  const { loop = false, smooth = 1 } = generation;
  const transformation = { loop, smooth: smooth === 2 || smooth === 3 ? smooth : 1 } as const;
  const numFrames = numFramesBefore(artifact.numFrames, transformation);
  return { videoId: artifact.videoId, numFrames, ...transformation };
}

/** What one model takes, another one may not. */
const ofModel: ReadonlySet<string> = new Set([
  'size',
  'numFrames',
  'numInferenceSteps',
  'guidanceScale',
  'scheduler',
  'featureReuse',
  'motionBucket',
  'noiseAug',
  'decodeChunkSize',
  'decodeOverlap',
  'extension',
] satisfies (keyof Generation)[]);

/** What another model is asked for: its own presets and defaults decide the numbers, and it begins with the picture. */
export function forAnotherModel(generation: Generation): Generation {
  const kept = Object.entries(generation).filter(([name]) => !ofModel.has(name));
  // Those that are left out may be.
  return Object.fromEntries(kept) as Generation;
}

/** A variation has the size and frames of its video, also where memory made that smaller than the request. */
export function asItWasMade(
  { artifact, request: { generation } }: LedgerEntry,
  presets: Readonly<Record<string, Preset | undefined>>,
): Partial<Generation> {
  const { reducedTo: preset = '' } = artifact ?? {};
  const made = presets[preset];
  if (!artifact || !made) return {};
  const requested = presets[generation.preset];
  const least = (name: 'numFrames' | 'numInferenceSteps'): number =>
    Math.min(made[name], generation[name] ?? requested?.[name] ?? made[name]);
  return {
    preset,
    size: `${artifact.width}x${artifact.height}`,
    numFrames: least('numFrames'),
    numInferenceSteps: least('numInferenceSteps'),
  };
}

/** Time that a job took to encode prompt and picture, in ms. */
export function encodingMsOf({ timings }: Artifact): number {
  return (timings['encodeText'] ?? 0) + (timings['encodeImage'] ?? 0);
}

/**
 * What a job took for results that a later one may find in the cache. A job that found its picture there took nothing
 * itself, so the time of the job before it counts.
 */
export function timeTaken({ artifact, request }: LedgerEntry): JobRequest['earlier'] {
  if (!artifact) return undefined;
  const encodingMs = Math.max(encodingMsOf(artifact), request.earlier?.encodingMs ?? 0);
  return {
    encodingMs: Math.round(encodingMs),
    denoiseMs: Math.round(artifact.timings['denoise'] ?? 0),
  };
}
