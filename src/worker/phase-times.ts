/**
 * How long the rest of a job will take: the present phase by how long its steps took so far, those behind it by how long
 * they took in the worker's latest jobs, in proportion to the size of the clip.
 */
import type { EngineJob } from '../engine/protocol.ts';
import type { ProgressEvent } from '../inference/image-to-video.ts';
import type { Progress } from './worker.ts';

type Phase = ProgressEvent['phase'];
type Size = Pick<EngineJob, 'width' | 'height' | 'numFrames' | 'numInferenceSteps'>;

const phases: readonly Phase[] = ['loading', 'encoding', 'denoising', 'decoding', 'finishing'];
/** Where no job has been decoded yet. */
const decodingShareOfDenoising = 0.1;

/** What the time of a phase grows with. */
function workOf(phase: Phase, { width, height, numFrames, numInferenceSteps }: Size): number {
  const pixels = width * height * numFrames;
  switch (phase) {
    case 'loading':
    case 'encoding':
      return 1;
    case 'denoising':
      return pixels * numInferenceSteps;
    default:
      return pixels;
  }
}

export class PhaseTimes {
  /** Milliseconds for a unit of work, in the latest job that went through the phase. */
  readonly #paces = new Map<Phase, number>();

  /** @returns what adds the time left to the events of one job */
  begin(size: Size): (event: ProgressEvent) => Progress {
    let phase: Phase | undefined;
    let startedAt = 0;
    let work = size;
    return (event) => {
      const now = performance.now();
      // A later run of the job begins anew, and one that continues from earlier latents has fewer steps.
      if (event.phase === 'denoising') work = { ...size, numInferenceSteps: event.total };
      if (event.phase !== phase) {
        const isNext = phase !== undefined && phases.indexOf(event.phase) > phases.indexOf(phase);
        if (isNext && phase) this.#paces.set(phase, (now - startedAt) / workOf(phase, work));
        phase = event.phase;
        startedAt = now;
      }
      const leftMs = this.#left(event, now - startedAt, work);
      return leftMs === undefined ? event : { ...event, leftMs };
    };
  }

  /** Undefined where the present phase, or the denoising that is still to come, was never seen. */
  #left({ phase, done, total }: ProgressEvent, elapsedMs: number, size: Size): number | undefined {
    const wholeMs = (of: Phase): number | undefined => {
      if (of === phase && done > 0) return (elapsedMs / done) * total;
      const pace = this.#paces.get(of);
      if (pace !== undefined) return pace * workOf(of, size);
      const denoisingMs = of === 'decoding' ? wholeMs('denoising') : undefined;
      return denoisingMs === undefined ? undefined : denoisingMs * decodingShareOfDenoising;
    };
    let leftMs = 0;
    for (const of of phases.slice(phases.indexOf(phase))) {
      const ms = wholeMs(of);
      const isShort = of === 'finishing' || (of === 'encoding' && of !== phase);
      if (ms === undefined && !isShort) return undefined;
      leftMs += of === phase ? Math.max(0, (ms ?? 0) - elapsedMs) : (ms ?? 0);
    }
    return leftMs;
  }
}
