/** Which class computes which scheduler name. */

import { KinoraError } from '../../errors.ts';
import type { SchedulerName } from '../../request/scheduler-names.ts';
import { DdimScheduler } from './ddim.ts';
import { DpmSolverMultistepScheduler } from './dpm-solver-multistep.ts';
import { EulerKarrasScheduler } from './euler-karras.ts';
import { LcmKarrasScheduler } from './lcm-karras.ts';
import type { Scheduler } from './scheduler.ts';
import type { SchedulerConfig, TimestepSpacing } from './scheduler-config.ts';

interface SchedulerOptions {
  readonly config: SchedulerConfig;
  readonly numInferenceSteps: number;
  /** Instead of the configuration's. */
  readonly timestepSpacing?: TimestepSpacing;
}

/**
 * A scheduler for one run. Throws INVALID_OPTION with the range when the steps do not fit the schedule, and for a scheduler
 * that does not go with the pack's.
 */
export function createScheduler(name: SchedulerName, options: SchedulerOptions): Scheduler {
  const { config, numInferenceSteps, timestepSpacing } = options;
  if (config.use_karras_sigmas) {
    switch (name) {
      case 'euler':
        return new EulerKarrasScheduler(config, numInferenceSteps);
      case 'lcm':
        return new LcmKarrasScheduler(config, numInferenceSteps);
      case 'dpm++2m':
        return DpmSolverMultistepScheduler.ofKarras(config, numInferenceSteps);
      case 'ddim':
        throw unknownHere(name, ['euler', 'dpm++2m', 'lcm']);
    }
  }
  switch (name) {
    case 'ddim':
      return new DdimScheduler(config, numInferenceSteps, timestepSpacing);
    case 'dpm++2m':
      return DpmSolverMultistepScheduler.ofTraining(config, numInferenceSteps, timestepSpacing);
    case 'euler':
    case 'lcm':
      throw unknownHere(name, ['ddim', 'dpm++2m']);
  }
}

function unknownHere(got: SchedulerName, allowed: SchedulerName[]): KinoraError {
  return new KinoraError('INVALID_OPTION', { kind: 'notOneOf', what: 'scheduler', allowed, got });
}
