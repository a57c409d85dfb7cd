/** Measures the time between two steps of the denoising loop. */
import type { Progress } from './worker.ts';

export class StepWatch {
  readonly #onStep: (seconds: number) => void;
  #done = 0;
  #at: number | null = null;

  constructor(onStep: (seconds: number) => void) {
    this.#onStep = onStep;
  }

  note({ phase, done }: Pick<Progress, 'phase' | 'done'>): void {
    if (phase !== 'denoising') return;
    const now = performance.now();
    const steps = done - this.#done;
    if (this.#at !== null && steps > 0) this.#onStep((now - this.#at) / 1000 / steps);
    this.#done = done;
    this.#at = now;
  }
}
