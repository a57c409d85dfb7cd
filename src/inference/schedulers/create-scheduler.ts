/** Which class computes which scheduler name. */
import type { SchedulerName } from '../../request/model-limits.ts';
import { DdimScheduler } from './ddim.ts';
import { DpmSolverMultistepScheduler } from './dpm-solver-multistep.ts';
import type { Scheduler } from './scheduler.ts';
import type { SchedulerConfig, TimestepSpacing } from './scheduler-config.ts';

interface SchedulerOptions {
  readonly config: SchedulerConfig;
  readonly numInferenceSteps: number;
  /** Instead of the configuration's. */
  readonly timestepSpacing?: TimestepSpacing;
}

/** A scheduler for one run. Throws INVALID_OPTION with the range when the steps do not fit the schedule. */
export function createScheduler(name: SchedulerName, options: SchedulerOptions): Scheduler {
  const { config, numInferenceSteps, timestepSpacing } = options;
  switch (name) {
    case 'ddim':
      return new DdimScheduler(config, numInferenceSteps, timestepSpacing);
    case 'dpm++2m':
      return new DpmSolverMultistepScheduler(config, numInferenceSteps, timestepSpacing);
  }
}
