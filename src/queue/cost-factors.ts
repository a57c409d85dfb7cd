/**
 * What the clips of a model cost relative to those of the default one: by how long the same presets took with both, on
 * the same device. What people are shown before they ask is what they pay, so a factor is kept, and changes only when
 * what is measured is clearly something else.
 */
import { defaultPreset, presetNames } from '../request/presets.ts';
import { measuredMs } from './durations.ts';
import type { Keys } from './keys.ts';
import { kindName } from './models.ts';
import type { Redis } from './redis.ts';

/** No model is cheaper or dearer than that, whatever is measured. */
export const costFactorRange = { min: 0.25, max: 10 } as const;
/** Clips of each model; fewer say little. */
const leastMeasured = 3;
/** A factor stays while what is measured differs by less than this share of it. */
const tolerance = 0.25;

const presets = [defaultPreset, ...presetNames.filter((name) => name !== defaultPreset)];
/** The field that names the model that the others are measured against. */
const standardField = '';

/** By model; those that are absent cost what the default costs. */
export async function readCostFactors(redis: Redis, keys: Keys): Promise<ReadonlyMap<string, number>> {
  const { [standardField]: _, ...stored } = await redis.hgetall(keys.costFactors);
  return new Map(Object.entries(stored).map(([model, factor]) => [model, inRange(Number(factor))]));
}

/** @param models the default first */
export async function measureCostFactors(redis: Redis, keys: Keys, models: readonly string[]): Promise<void> {
  const [standard, ...others] = models;
  if (standard === undefined) return;
  // Another default is another measure.
  if ((await redis.hget(keys.costFactors, standardField)) !== standard) await redis.del(keys.costFactors);
  await redis.hset(keys.costFactors, standardField, standard);
  const before = await readCostFactors(redis, keys);
  for (const model of others) {
    const ratio = await ratioOf(redis, keys, model, standard);
    if (ratio === undefined) continue;
    const factor = inRange(Math.round(ratio * 4) / 4);
    const kept = before.get(model);
    if (kept !== undefined && Math.abs(ratio - kept) <= tolerance * kept) continue;
    await redis.hset(keys.costFactors, model, factor);
  }
}

const inRange = (factor: number): number =>
  Number.isFinite(factor) ? Math.min(costFactorRange.max, Math.max(costFactorRange.min, factor)) : 1;

/** Of the times of two models, by the preset that most people take if both were measured with it. */
async function ratioOf(
  redis: Redis,
  keys: Keys,
  model: string,
  standard: string,
): Promise<number | undefined> {
  const devices = await redis.smembers(keys.devices);
  for (const preset of presets) {
    const ratios: number[] = [];
    for (const device of devices) {
      const [own, usual] = await Promise.all(
        [model, standard].map((one) =>
          measuredMs(redis, keys.durations(kindName({ preset, model: one }), device), leastMeasured),
        ),
      );
      if (own !== undefined && usual !== undefined) ratios.push(own / usual);
    }
    // Of several devices the one on which it is dearest: nobody knows which one a job will get.
    if (ratios.length > 0) return Math.max(...ratios);
  }
  return undefined;
}
