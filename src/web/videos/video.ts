/** Jobs of the ledger as video objects of the API, with states that are true. */
import type { Models } from '../../bot/models.ts';
import type { Messages } from '../../bot/sentences/catalogue.ts';
import type { Artifacts } from '../../queue/artifacts.ts';
import type { JobClient } from '../../queue/client.ts';
import type { ProgressEvent } from '../../queue/events.ts';
import { surfaceOf } from '../../queue/jobs.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { framesAdded } from '../../request/extension.ts';
import type { ModelLimits } from '../../request/model-limits.ts';
import type { Shortcuts } from '../../request/request.ts';
import { type ResolvedRequest, resolveRequest } from '../../request/resolve.ts';
import { numFramesBefore } from '../../video/filters.ts';
import type { PictureHeaders } from './picture-headers.ts';
import type { Video } from './schemas.ts';

export interface VideoTools {
  readonly client: JobClient;
  readonly artifacts: Artifacts;
  readonly pictures: PictureHeaders;
  readonly models: Models;
  /** What the operator gives up for speed. */
  readonly shortcuts: Shortcuts;
  /** How long the files of an answered job are kept. */
  readonly retentionMs: number;
}

/** Where a job is: its state as the API names it, and how far it is. */
export interface Standing {
  readonly status: Video['status'];
  readonly progress: number;
  /** Jobs before it; absent where it does not wait. */
  readonly ahead: number | undefined;
  /** Workers live, and none of them has its model. */
  readonly isStranded?: boolean | undefined;
  /** Until it is made, as far as that can be told: its wait, and all phases of its making. */
  readonly leftMs: number | undefined;
  /** Absent where it does not run. */
  readonly running: Pick<ProgressEvent, 'phase' | 'done' | 'total'> | undefined;
}

/** Shares of the bar that a phase begins and ends with. Decoding takes about as long as a tenth of the steps. */
const shares = {
  loading: [0, 0],
  encoding: [0, 0],
  denoising: [0, 90],
  decoding: [90, 99],
  finishing: [99, 99],
} as const;
/** A video that is made and has not been handed over yet. */
const madeProgress = 99;

export async function standingOf(entry: LedgerEntry, client: JobClient): Promise<Standing> {
  const nowhere = { ahead: undefined, leftMs: undefined, running: undefined };
  const { state } = entry;
  if (state === 'failed' || state === 'cancelled') return { ...nowhere, status: 'failed', progress: 0 };
  if (state === 'generated' || state === 'delivering') {
    const isOver = entry.deliveredAt !== undefined;
    return {
      ...nowhere,
      status: isOver ? 'completed' : 'in_progress',
      progress: isOver ? 100 : madeProgress,
      leftMs: isOver ? undefined : 0,
    };
  }
  // A job whose worker died waits again, and has been begun all the same: its state never goes back.
  const { latest, isBegun = false } = (await client.progress(entry.id)) ?? {};
  const at = {
    status: isBegun ? 'in_progress' : 'queued',
    progress: latest ? percentOf(latest) : 0,
  } as const;
  if (state === 'running') {
    return { ...nowhere, ...at, leftMs: await client.timeLeft.ofRunning(entry.id, entry), running: latest };
  }
  const position = await client.timeLeft.position(entry);
  const { ahead, leftMs, isStranded } = position ?? {};
  return { ...nowhere, ...at, ahead, leftMs, isStranded };
}

function percentOf({ phase, done, total }: ProgressEvent): number {
  const [from, to] = shares[phase];
  return Math.floor(from + (to - from) * (total > 0 ? Math.min(1, done / total) : 0));
}

export async function videoOf(
  entry: LedgerEntry,
  standing: Standing,
  tools: VideoTools,
  say: Messages,
): Promise<Video> {
  const { generation, madeFrom } = entry.request;
  const { artifact, deliveredAt } = entry;
  const isCompleted = standing.status === 'completed';
  const resolved = await resolvedOf(entry, tools);
  const made = artifact ?? resolved;
  const fps = resolved?.fps ?? artifact?.fps ?? null;
  const numFrames = framesOf(entry, resolved, tools.models.of(artifact?.model ?? entry.model));
  const planned = resolved && numFrames !== null ? numFrames / resolved.fps : undefined;
  return {
    id: entry.id,
    object: 'video',
    model: artifact?.model ?? entry.model ?? tools.models.default?.id ?? 'kinora',
    status: standing.status,
    progress: standing.progress,
    prompt: generation.prompt,
    seconds: secondsText(artifact?.durationSeconds ?? planned),
    size: made ? `${made.width}x${made.height}` : (generation.size ?? ''),
    created_at: unixSeconds(entry.createdAt),
    completed_at: isCompleted && deliveredAt !== undefined ? unixSeconds(entry.endedAt ?? deliveredAt) : null,
    expires_at:
      isCompleted && deliveredAt !== undefined ? unixSeconds(deliveredAt + tools.retentionMs) : null,
    remixed_from_video_id: madeFrom?.jobId ?? null,
    remixed_by: madeFrom?.by ?? null,
    error: errorOf(entry, say),
    queue_position: standing.status === 'queued' ? (standing.ahead ?? null) : null,
    waits_for_model: standing.isStranded ?? false,
    seconds_left: standing.leftMs === undefined ? null : Math.ceil(standing.leftMs / 1000),
    phase: standing.running?.phase ?? null,
    step: standing.running?.done ?? null,
    steps: standing.running?.total ?? null,
    preset: artifact?.reducedTo ?? entry.preset,
    seed: artifact?.seed ?? generation.seed,
    num_frames: numFrames,
    fps,
    num_inference_steps: resolved?.numInferenceSteps ?? generation.numInferenceSteps ?? null,
    guidance_scale: resolved?.guidanceScale ?? generation.guidanceScale ?? null,
    negative_prompt: resolved?.negativePrompt ?? generation.negativePrompt ?? null,
    motion: generation.motion ?? null,
    motion_bucket_id: (resolved ? resolved.motionNumbers : generation)?.motionBucket ?? null,
    noise_aug_strength: (resolved ? resolved.motionNumbers : generation)?.noiseAug ?? null,
    has_motion_mask: entry.request.hasMask,
    loop: generation.loop ?? false,
    enable_frame_interpolation: (generation.smooth ?? 1) > 1,
    interpolation_factor: generation.smooth ?? 1,
    scheduler: resolved?.scheduler ?? generation.scheduler ?? null,
    guidance_end: resolved?.guidanceEnd ?? generation.guidanceEnd ?? null,
    feature_reuse: resolved?.featureReuse ?? generation.featureReuse ?? null,
    variation_strength: generation.variation?.strength ?? null,
    credits: entry.cost,
    surface: surfaceOf(entry.request),
    spoiler: entry.request.isSpoiler,
    favourite: entry.isFavourite ?? false,
    variants: isCompleted ? await tools.artifacts.kept(entry.id) : [],
    device: artifact?.device ?? null,
    timings: artifact?.timings ?? null,
    understood: artifact?.understood ?? null,
  };
}

/** Before they are looped or smoothed. */
function framesOf(
  { artifact, request: { generation } }: LedgerEntry,
  resolved: ResolvedRequest | undefined,
  model: ModelLimits | undefined,
): number | null {
  const { extension } = generation;
  if (!extension) return resolved?.numFrames ?? artifact?.numFrames ?? null;
  if (artifact) {
    const { loop, smooth } = resolved ?? extension;
    return numFramesBefore(artifact.numFrames, { loop, smooth });
  }
  return resolved && model ? extension.numFrames + framesAdded(model, resolved.numFrames) : null;
}

/** The numbers of a request, while its picture is kept and the model is known. */
async function resolvedOf(
  { id, artifact, model, request: { generation } }: LedgerEntry,
  { pictures, models, shortcuts }: VideoTools,
): Promise<ResolvedRequest | undefined> {
  // What was made smaller than it was asked for has other numbers.
  const manifest = models.of(artifact?.model ?? model);
  if (!manifest || artifact?.reducedTo !== undefined) return undefined;
  try {
    // A preset of another version is refused, too.
    const options = { ...shortcuts, ...generation, preset: generation.preset as ResolvedRequest['preset'] };
    return resolveRequest(manifest, options, await pictures.of(id));
  } catch {
    return undefined;
  }
}

function errorOf({ state, failure }: LedgerEntry, say: Messages): Video['error'] {
  if (state === 'cancelled') return { code: 'CANCELLED', message: say.result.cancelled };
  if (state !== 'failed') return null;
  const known = failure ?? { code: 'INTERNAL' as const, message: '' };
  return { code: known.code, message: `${say.failure(known)} ${say.result.refunded}` };
}

const unixSeconds = (ms: number): number => Math.floor(ms / 1000);

/** "2", "1.5"; empty where nobody knows. */
function secondsText(seconds: number | undefined): string {
  return seconds === undefined ? '' : String(Number(seconds.toFixed(3)));
}
