/** What the messages of a job say, as values: its place while it waits, and its final answer. Knows no platform. */
import type { JobClient } from '../queue/client.ts';
import type { Artifact, Failure } from '../queue/jobs.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import type { QueuePosition } from '../queue/time-left.ts';
import type { PromptTip } from '../request/prompt-tip.ts';
import type { Understood } from '../request/understood.ts';
import { encodingMsOf } from './earlier-job.ts';
import type { TrackedJob } from './requests.ts';
import type { Answer } from './upkeep/delivery.ts';

export interface Waiting {
  readonly jobId: string;
  readonly position: QueuePosition;
  readonly tip: PromptTip | undefined;
}

/** @returns undefined for a job that does not wait */
export async function waitingOf(
  job: TrackedJob,
  client: JobClient,
  tipFor: (prompt: string) => PromptTip | undefined,
): Promise<Waiting | undefined> {
  const position = await client.timeLeft.position(job);
  if (!position) return undefined;
  const { generation, earlier } = job.request;
  // A request for the same prompt again had its tip before.
  return { jobId: job.id, position, tip: earlier ? undefined : tipFor(generation.prompt) };
}

/** Results of earlier jobs that a job found in the cache. */
export interface Reused {
  /** The encoded picture. */
  readonly picture: boolean;
  /** The latents of the earlier video. */
  readonly video: boolean;
  /** Against the earlier job. */
  readonly savedMs: number;
}

export interface VideoAnswer {
  readonly kind: 'video';
  readonly jobId: string;
  readonly prompt: string;
  readonly seed: number;
  readonly preset: string;
  readonly totalMs: number;
  readonly cost: number;
  readonly reused: Reused | undefined;
  /** Of its prompt, where the model tells. */
  readonly understood: Understood | undefined;
  /** The smaller preset that was used because memory ran out. */
  readonly reducedTo: string | undefined;
  readonly isCompressed: boolean;
  /** As its picture was, or by a rule of the community at the time of the request. */
  readonly isSpoiler: boolean;
}

export type FinalAnswer =
  | VideoAnswer
  | { readonly kind: 'failure'; readonly failure: Failure }
  | { readonly kind: 'cancelled' };

export function finalAnswer(entry: LedgerEntry, answer: Answer): FinalAnswer {
  return answer.kind === 'video' ? videoAnswer(entry, answer) : answer;
}

export function videoAnswer(
  entry: LedgerEntry,
  { artifact }: Extract<Answer, { kind: 'video' }>,
): VideoAnswer {
  const { request } = entry;
  return {
    kind: 'video',
    jobId: entry.id,
    prompt: request.generation.prompt,
    seed: artifact.seed,
    preset: artifact.reducedTo ?? entry.preset,
    totalMs: artifact.timings['total'] ?? 0,
    cost: entry.cost,
    reused: reusedBy(entry, artifact),
    understood: artifact.understood,
    reducedTo: artifact.reducedTo,
    isCompressed: artifact.isCompressed ?? false,
    isSpoiler: request.isSpoiler,
  };
}

function reusedBy({ request }: LedgerEntry, artifact: Artifact): Reused | undefined {
  const { hits } = artifact.cache;
  const picture = hits.includes('image');
  const video = hits.includes('video');
  if (!picture && !video) return undefined;
  const { encodingMs = 0, denoiseMs = 0 } = request.earlier ?? {};
  const savedMs =
    (picture ? Math.max(0, encodingMs - encodingMsOf(artifact)) : 0) +
    (video ? Math.max(0, denoiseMs - (artifact.timings['denoise'] ?? 0)) : 0);
  return { picture, video, savedMs };
}
