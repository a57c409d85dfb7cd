/**
 * Tells when the engine child hangs. A native run cannot be asked whether it still works, so silence is measured: the
 * child hangs when it reported nothing for max(15 s, 5 × the usual step). The usual step is measured, in this job or in
 * an earlier one; where features are reused, it is a step of the whole UNet. Knows no process.
 */
import { KinoraError } from '../errors.ts';
import type { Phase, ProgressEvent } from '../inference/image-to-video.ts';

export interface SilenceSettings {
  /** The limit is never shorter than this. */
  readonly minSilenceMs: number;
  /** How many usual steps a silence may last. */
  readonly silenceFactor: number;
  /** Limit while no step has been measured yet: a large model's first step on a slow device takes minutes. */
  readonly firstStepMs: number;
}

/**
 * Outside denoising the unit of work is another: one session of an encoder, one chunk of frames. With any model of this
 * kind it takes less than two steps. If it takes longer, the longest one so far counts: the frames of a chunk are
 * reported one by one, so their usual interval would mislead.
 */
const otherPhaseAllowance = 2;

/**
 * The two-thirds quantile. Where features are reused, at least every third step runs the whole UNet and the others take a
 * fraction of it, so a median would call the next whole step hung.
 */
function usual(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((2 * sorted.length) / 3)] ?? 0;
}

/** The limit for one job. Callers hand in the times. */
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
 * Milliseconds that a step may take, judged from a measured step of another job. `work` is any measure proportional to
 * the work of a step (pixels × frames). Attention grows with the square of the size, so a larger job is allowed the
 * square; a smaller one is allowed as much as the measured one.
 */
export function scaleStepMs(stepMs: number, measuredWork: number, work: number): number {
  const ratio = work / measuredWork;
  return stepMs * Math.max(1, ratio * ratio);
}

export interface WatchdogSettings extends SilenceSettings {
  /** How long a cancelled job may go on before the child is killed, even in the middle of a step that takes longer. */
  readonly cancelGraceMs: number;
}

/** Watches one job of the child. */
export class Watchdog {
  readonly #limit: SilenceLimit;
  readonly #timer: NodeJS.Timeout;
  #silentMs = 0;
  /** Milliseconds since the cancellation, or null. */
  #cancelledForMs: number | null = null;
  #last: ProgressEvent | null = null;

  /**
   * @param onHung called when the child must be killed, with the reason; without one when it ignored a cancellation
   */
  constructor(
    settings: WatchdogSettings,
    expectedStepMs: number | null,
    onHung: (reason?: KinoraError) => void,
  ) {
    const { minSilenceMs, cancelGraceMs } = settings;
    this.#limit = new SilenceLimit(settings, expectedStepMs);
    const tickMs = Math.max(20, Math.min(1000, minSilenceMs / 8, cancelGraceMs / 8));
    let lastTick = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      // At most two ticks: a laptop that slept or a busy parent does not count as the child's silence.
      const elapsed = Math.min(now - lastTick, 2 * tickMs);
      lastTick = now;
      this.#silentMs += elapsed;
      if (this.#cancelledForMs !== null) {
        this.#cancelledForMs += elapsed;
        if (this.#cancelledForMs > cancelGraceMs) onHung();
        return;
      }
      const limitMs = this.#limit.limitMs();
      if (this.#silentMs <= limitMs) return;
      const seconds = Math.max(1, Math.round(limitMs / 1000));
      onHung(
        new KinoraError('ENGINE_HUNG', `The engine gave no sign of life for ${seconds} s${this.during}.`),
      );
    }, tickMs);
  }

  /** The child reported a step. */
  note(event: ProgressEvent): void {
    this.#limit.note(event, performance.now());
    this.#silentMs = 0;
    this.#last = event;
  }

  /** The child is not in a native run: it waits for ffmpeg or opens a session. */
  noteAlive(): void {
    this.#silentMs = 0;
  }

  /** From now on only the grace period of a cancellation counts. */
  noteCancelled(): void {
    this.#cancelledForMs ??= 0;
  }

  get isCancelled(): boolean {
    return this.#cancelledForMs !== null;
  }

  /** Whether the child has reported anything. */
  get hasBegun(): boolean {
    return this.#last !== null;
  }

  /** Where the job was last, as the end of a sentence: " during denoising (3 of 50)". */
  get during(): string {
    return this.#last ? ` during ${this.#last.phase} (${this.#last.done} of ${this.#last.total})` : '';
  }

  /** Usual milliseconds of the job's denoising steps, or null before the second one. */
  stepMs(): number | null {
    return this.#limit.stepMs();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
