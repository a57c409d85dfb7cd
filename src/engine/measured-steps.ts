/** How long steps took, for the watchdog of the next job. */
import type { RunningJob } from './running-job.ts';
import { scaleStepMs } from './watchdog.ts';

export class MeasuredSteps {
  /** By model: the usual step of the last job that came as far as two steps, and how much work a step was. */
  readonly #measured = new Map<string, { readonly stepMs: number; readonly work: number }>();

  /** @returns ms that a step of the job should take; null before anything is known of its model */
  expectedMs({ job, work }: RunningJob): number | null {
    const measured = this.#measured.get(job.model ?? '');
    return measured ? scaleStepMs(measured.stepMs, measured.work, work) : null;
  }

  note({ job, work, watchdog }: RunningJob): void {
    const stepMs = watchdog?.stepMs() ?? null;
    if (stepMs !== null) this.#measured.set(job.model ?? '', { stepMs, work });
  }
}
