/**
 * How long the child may say nothing before it counts as hung: max(15 s, 5 × the usual step), where the usual step
 * is measured, in this job or in an earlier one. Where features are reused, that is a step of the whole UNet.
 * A native run cannot be asked whether it is still alive.
 * Knows no process and no clock; callers hand in the times.
 */
import type { Phase, ProgressEvent } from '../inference/image-to-video.ts';

export interface SilenceSettings {
  /** No silence shorter than this is ever held against the child. */
  readonly minSilenceMs: number;
  /** How many usual steps a silence may last. */
  readonly silenceFactor: number;
  /** Limit while no step has been measured yet: a large model's first step on a slow device takes minutes. */
  readonly firstStepMs: number;
}

/**
 * Outside denoising the unit of work differs: one session of an encoder, one chunk of frames. It costs less than two
 * steps of any model of this kind; where it does not, the longest one so far counts (frames of a chunk are reported
 * one by one, so their usual interval would say nothing).
 */
const otherPhaseAllowance = 2;

/**
 * Two thirds are quicker, or as quick. Where features are reused, at least every third step runs the whole UNet and the
 * others take a fraction of it, so a median would call the next whole one hung.
 */
function usual(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((2 * sorted.length) / 3)] ?? 0;
}

/** The limit for one job. `workSize` is any measure proportional to the work of a step (pixels × frames). */
export class SilenceLimit {
  readonly #settings: SilenceSettings;
  readonly #expectedStepMs: number | null;
  readonly #intervals = new Map<Phase, number[]>();
  #phase: Phase | null = null;
  #lastAt = 0;

  constructor(settings: SilenceSettings, expectedStepMs: number | null) {
    this.#settings = settings;
    this.#expectedStepMs = expectedStepMs;
  }

  /** Records that a step ended at `nowMs`. The first event of a phase only opens it. */
  note(event: ProgressEvent, nowMs: number): void {
    if (event.phase === this.#phase) {
      const intervals = this.#intervals.get(event.phase) ?? [];
      intervals.push(nowMs - this.#lastAt);
      this.#intervals.set(event.phase, intervals);
    }
    this.#phase = event.phase;
    this.#lastAt = nowMs;
  }

  /** Usual milliseconds of this job's denoising steps, or null before the second one. */
  stepMs(): number | null {
    const steps = this.#intervals.get('denoising');
    return steps ? usual(steps) : null;
  }

  /** Milliseconds of silence that are allowed now. */
  limitMs(): number {
    const { minSilenceMs, silenceFactor, firstStepMs } = this.#settings;
    const step = this.stepMs() ?? this.#expectedStepMs;
    if (step === null) return Math.max(minSilenceMs, firstStepMs);
    if (this.#phase === 'denoising') return Math.max(minSilenceMs, silenceFactor * step);
    const own = this.#phase === null ? [] : (this.#intervals.get(this.#phase) ?? []);
    return Math.max(minSilenceMs, silenceFactor * Math.max(step * otherPhaseAllowance, ...own));
  }
}

/**
 * What a step of the next job will take, judged from an earlier job's. Attention grows with the square of the size,
 * so a larger job is allowed the square; a smaller one is allowed as much as the measured one.
 */
export function scaleStepMs(stepMs: number, measuredWork: number, work: number): number {
  const ratio = work / measuredWork;
  return stepMs * Math.max(1, ratio * ratio);
}
