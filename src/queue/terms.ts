/** What a job costs and who may queue how much, as the settings say. */
import { costOf } from '../request/cost.ts';
import { type ModelLimits, withEffect } from '../request/model-limits.ts';
import { presetNames, presetOf } from '../request/presets.ts';
import type { QueueTerms } from './client.ts';
import type { AdmissionLimits } from './ledger.ts';
import { calendarDay } from './quota-day.ts';

export interface QueueSettings {
  readonly limits: AdmissionLimits;
  /** Credits per preset. */
  readonly costs: Readonly<Record<string, number>>;
  readonly cooldownMs: number;
  readonly timeZone: string;
}

/**
 * @param model its presets replace the general ones, and what it ignores costs nothing; a bot without a model pack uses
 * the general presets
 */
export function queueTerms(
  settings: QueueSettings,
  model: Pick<ModelLimits, 'presets' | 'ignoredOptions'> = {},
): QueueTerms {
  return {
    cost: (generation) => {
      const preset = presetNames.find((name) => name === generation.preset) ?? 'standard';
      return costOf(withEffect(model, generation), settings.costs[preset] ?? 1, presetOf(model, preset));
    },
    day: (now) => calendarDay(now, settings.timeZone),
    cooldownMs: settings.cooldownMs,
    limits: settings.limits,
  };
}
