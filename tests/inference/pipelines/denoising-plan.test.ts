/** The plan alone: carried out over plain arrays, it computes what diffusers computes. */
import { describe, expect, it } from 'vitest';
import {
  type DenoisingStep,
  type Guidance,
  type PlanTensor,
  planSteps,
  type Rows,
} from '../../../src/inference/pipelines/denoising-plan.ts';
import { createScheduler } from '../../../src/inference/schedulers/create-scheduler.ts';
import { startIndex } from '../../../src/inference/schedulers/scheduler.ts';
import { parseSchedulerConfig } from '../../../src/inference/schedulers/scheduler-config.ts';
import { combine } from '../../../src/inference/sessions/combine.mjs';
import type { SchedulerName } from '../../../src/request/scheduler-names.ts';
import { floats, maxDifference, readGolden } from '../../helpers/golden-numerics.ts';

interface Loop {
  scheduler: SchedulerName;
  config: Record<string, unknown>;
  steps: number;
  gain: number;
  isRefused?: boolean;
  final: string;
  noisy?: string;
  varied: string;
}

const [inputs, ...loops] =
  readGolden<[{ start: string; pattern: string; strength: number }, ...Loop[]]>('scheduler-loops.json');
const pattern = floats(inputs.pattern);
const scale = 9;

/**
 * A stand-in for the UNet, after the one of make_numerics.py. Guidance makes its output out of both rows:
 * uncond + scale · (cond − uncond).
 */
function predict(row: Rows, sample: Float32Array, timestep: number, gain: number): Float32Array {
  const factor = gain + (0.1 * timestep) / 1000;
  const share = { unconditional: -scale, conditional: 1 - scale, both: 0 }[row];
  return sample.map((x, k) => x * factor + (pattern[k] ?? 0) * (0.2 + 0.01 * share));
}

/** Carries a plan out. @param isGuided otherwise the conditional row alone is the model's output */
function carryOut(steps: readonly DenoisingStep[], start: Float32Array, gain: number, isGuided: boolean) {
  const at = new Map<PlanTensor, Float32Array>([['sample', start]]);
  const get = (name: PlanTensor): Float32Array => at.get(name) ?? expect.fail(`${name} was never written`);
  const write = (target: PlanTensor, terms: (readonly [number, Float32Array])[], limit?: number): void => {
    const out = new Float32Array(start.length);
    combine(terms, out, limit);
    at.set(target, out);
  };
  for (const { timestep, runs, after } of steps) {
    for (const { rows, factors, target } of runs) {
      const [ofSample = Number.NaN, ...ofRows] = factors.map(Number);
      const names: Rows[] = rows === 'both' ? ['unconditional', 'conditional'] : [rows];
      expect(ofRows).toHaveLength(names.length);
      const predictions = names.map((name, n) => {
        const prediction = predict(isGuided ? name : 'both', get('sample'), timestep, gain);
        return [ofRows[n] ?? Number.NaN, prediction] as const;
      });
      write(target, [[ofSample, get('sample')], ...predictions]);
    }
    for (const { target, terms, limit } of after) {
      write(
        target,
        terms.map(([factor, source]) => [factor, get(source)] as const),
        limit,
      );
    }
    at.set('sample', get('prevSample'));
    const predOriginal = at.get('predOriginal');
    if (predOriginal) at.set('lastPredOriginal', predOriginal);
    for (const name of ['prevSample', 'noisePred', 'predOriginal', 'unconditional'] as const) at.delete(name);
  }
  return get('sample');
}

function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  return maxDifference(actual, expected) / Math.max(1, ...expected.map(Math.abs));
}

describe('a plan computes what diffusers computes', () => {
  const cases = loops.filter(({ isRefused }) => !isRefused);

  it.each([
    { name: 'without guidance', guidance: { scale: 1, steps: 0, isBatched: false } },
    { name: 'with both rows at once', guidance: { scale, steps: 1000, isBatched: true } },
    { name: 'with one row after the other', guidance: { scale, steps: 1000, isBatched: false } },
  ])('$name', ({ guidance }) => {
    expect(cases.length).toBeGreaterThan(150);
    for (const { scheduler: name, config, steps: numInferenceSteps, gain, ...golden } of cases) {
      const scheduler = createScheduler(name, { config: parseSchedulerConfig(config), numInferenceSteps });
      const run = (start: Float32Array, firstStep: number): Float32Array => {
        const steps = planSteps({ scheduler, firstStep, guidance, featureReuse: 1 });
        expect(steps.map(({ timestep }) => timestep)).toEqual(scheduler.timesteps.slice(firstStep));
        return carryOut(steps, start, gain, guidance.steps > 0);
      };
      const what = `${name}, ${numInferenceSteps} steps, ${JSON.stringify(config)}`;
      expect(
        relativeDifference(run(floats(inputs.start), 0), floats(golden.final)),
        what,
      ).toBeLessThanOrEqual(1e-4);
      if (golden.noisy === undefined) continue;
      const varied = run(floats(golden.noisy), startIndex(numInferenceSteps, inputs.strength));
      expect(relativeDifference(varied, floats(golden.varied)), what).toBeLessThanOrEqual(1e-4);
    }
  });
});

describe('a plan', () => {
  const config = parseSchedulerConfig({ prediction_type: 'v_prediction', clip_sample: false });
  interface Case {
    readonly guidance?: Partial<Guidance>;
    readonly featureReuse?: number;
    readonly firstStep?: number;
  }
  /** "both kept", "conditional reused" … for each step */
  const outline = (
    numInferenceSteps: number,
    { guidance, featureReuse = 1, firstStep = 0 }: Case,
  ): string[] => {
    const scheduler = createScheduler('ddim', { config, numInferenceSteps });
    const usual = { scale: 9, steps: numInferenceSteps, isBatched: true, ...guidance };
    const steps = planSteps({ scheduler, firstStep, guidance: usual, featureReuse });
    return steps.map(({ runs, deepFeatures }) => [...runs.map(({ rows }) => rows), deepFeatures].join(' '));
  };

  it('runs the whole UNet for the guided rows at every step, unless told otherwise', () => {
    expect(outline(3, {})).toEqual(['both unused', 'both unused', 'both unused']);
    expect(outline(2, { guidance: { isBatched: false } })).toEqual([
      'unconditional conditional unused',
      'unconditional conditional unused',
    ]);
    expect(outline(2, { guidance: { steps: 0 } })).toEqual(['conditional unused', 'conditional unused']);
  });

  it('keeps deep features for the steps that reuse them, and for no other', () => {
    expect(outline(5, { featureReuse: 2 })).toEqual([
      'both kept',
      'both reused',
      'both kept',
      'both reused',
      'both unused',
    ]);
    expect(outline(4, { featureReuse: 3, guidance: { steps: 0 } })).toEqual([
      'conditional kept',
      'conditional reused',
      'conditional reused',
      'conditional unused',
    ]);
  });

  it('computes deep features anew where guidance ends', () => {
    expect(outline(5, { featureReuse: 3, guidance: { steps: 2 } })).toEqual([
      'both kept',
      'both reused',
      'conditional kept',
      'conditional reused',
      'conditional reused',
    ]);
    expect(outline(4, { featureReuse: 2, guidance: { steps: 1 } })).toEqual([
      'both unused',
      'conditional kept',
      'conditional reused',
      'conditional unused',
    ]);
  });

  it('begins a variation with the whole UNet, also after the end of guidance', () => {
    expect(outline(6, { featureReuse: 2, firstStep: 3 })).toEqual([
      'both kept',
      'both reused',
      'both unused',
    ]);
    expect(outline(6, { featureReuse: 2, firstStep: 3, guidance: { steps: 2 } })).toEqual([
      'conditional kept',
      'conditional reused',
      'conditional unused',
    ]);
  });

  it('leaves a step of DDIM to the graph, with guidance in its factors', () => {
    const scheduler = createScheduler('ddim', { config, numInferenceSteps: 2 });
    const guidance = { scale: 9, steps: 2, isBatched: true };
    for (const [i, step] of planSteps({ scheduler, firstStep: 0, guidance, featureReuse: 1 }).entries()) {
      const [formula] = scheduler.step(i, 0);
      const [[ofSample] = [], [ofNoisePred = Number.NaN] = []] = formula?.terms ?? [];
      expect(step.after).toEqual([]);
      expect(step.runs).toEqual([
        { rows: 'both', factors: [ofSample, -8 * ofNoisePred, 9 * ofNoisePred], target: 'prevSample' },
      ]);
    }
  });
});
