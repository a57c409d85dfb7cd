/** What a job costs and who may queue how much, as the settings say. */
import { costOf } from '../request/cost.ts';
import { type Heed, type ModelLimits, withEffect } from '../request/model-limits.ts';
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
 * @param modelOf the one that makes a job: its presets replace the general ones, and what it ignores costs nothing; where
 * it is not known, the general presets count
 * @param factorOf what its presets cost relative to the settings; see cost-factors.ts
 */
export function queueTerms(
  settings: QueueSettings,
  modelOf: (id: string | undefined) => (Heed & Pick<ModelLimits, 'presets'>) | undefined,
  factorOf: (id: string | undefined) => number = () => 1,
): QueueTerms {
  return {
    cost: ({ generation, model: id }) => {
      const model = modelOf(id) ?? {};
      const preset = presetNames.find((name) => name === generation.preset) ?? 'standard';
      return costOf(
        withEffect(model, generation),
        presetCredits(settings.costs[preset] ?? 1, factorOf(id)),
        presetOf(model, preset),
      );
    },
    day: (now) => calendarDay(now, settings.timeZone),
    cooldownMs: settings.cooldownMs,
    limits: settings.limits,
  };
}

/** Credits of a preset with a model of that factor: whole ones, and at least one. */
export function presetCredits(credits: number, factor: number): number {
  return Math.max(1, Math.round(credits * factor));
}
