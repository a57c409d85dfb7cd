/** The levels of Karras, and what is sampled down them: against diffusers, whose samples are not of variance 1. */
import { describe, expect, it } from 'vitest';
import { createScheduler } from '../../../src/inference/schedulers/create-scheduler.ts';
import type { Combination, Scheduler, StepTensor } from '../../../src/inference/schedulers/scheduler.ts';
import { parseSchedulerConfig } from '../../../src/inference/schedulers/scheduler-config.ts';
import { combine } from '../../../src/inference/sessions/combine.mjs';
import type { SchedulerName } from '../../../src/request/scheduler-names.ts';
import { floats, maxDifference, readGolden } from '../../helpers/golden-numerics.ts';

interface Inputs {
  config: Record<string, unknown>;
  gain: number;
  start: string;
  pattern: string;
  noises: string[];
}

interface Loop {
  scheduler: SchedulerName;
  steps: number;
  first: number;
  sigmas?: string;
  timesteps?: string;
  final: string;
}

const [inputs, ...loops] = readGolden<[Inputs, ...Loop[]]>('karras-loops.json');
const svd = {
  _class_name: 'EulerDiscreteScheduler',
  ...inputs.config,
};
const [start, pattern, noises] = [floats(inputs.start), floats(inputs.pattern), inputs.noises.map(floats)];

function schedulerOf(name: SchedulerName, numInferenceSteps: number, changes = {}): Scheduler {
  return createScheduler(name, { config: parseSchedulerConfig({ ...svd, ...changes }), numInferenceSteps });
}

/** After the stand-in of make_numerics.py. */
function predict(sample: Float32Array, timestep: number): Float32Array {
  const factor = inputs.gain + (0.1 * timestep) / 1000;
  return sample.map((y, k) => y * factor + (pattern[k] ?? 0) * 0.2);
}

function run(scheduler: Scheduler, first: number): Float32Array {
  const at = new Map<StepTensor, Float32Array>([['sample', start]]);
  for (const [i, timestep] of scheduler.timesteps.entries()) {
    if (i < first) continue;
    at.set('noisePred', predict(at.get('sample') ?? start, timestep));
    at.set('noise', noises[i] ?? new Float32Array(start.length));
    const last = at.get('predOriginal');
    if (last) at.set('lastPredOriginal', last);
    for (const { target, terms } of scheduler.step(i, first)) at.set(target, sum(terms, at));
    at.set('sample', at.get('prevSample') ?? expect.fail('no sample'));
  }
  return at.get('sample') ?? start;
}

function sum(terms: Combination<StepTensor>['terms'], at: ReadonlyMap<StepTensor, Float32Array>) {
  const out = new Float32Array(start.length);
  const read = (name: StepTensor): Float32Array => at.get(name) ?? expect.fail(`${name} is not there`);
  combine(
    terms.map(([factor, name]) => [factor, read(name)] as const),
    out,
  );
  return out;
}

describe('sampling down the levels of Karras', () => {
  it.each(loops)('$scheduler in $steps steps from $first on is that of diffusers', (loop) => {
    const scheduler = schedulerOf(loop.scheduler, loop.steps);
    expect(scheduler.initNoiseSigma).toBe(1);
    // With one or two steps diffusers itself loses the digits: it subtracts numbers of 700.
    const tolerance = loop.scheduler !== 'dpm++2m' && loop.steps <= 2 ? 1e-3 : 1e-5;
    expect(maxDifference(run(scheduler, loop.first), floats(loop.final))).toBeLessThanOrEqual(tolerance);
    if (loop.timesteps)
      expect(maxDifference(scheduler.timesteps, floats(loop.timesteps))).toBeLessThanOrEqual(1e-6);
    if (!loop.sigmas) return;
    const sigmas = scheduler.timesteps.map((_, i) => {
      const [ofOriginal, ofNoise] = scheduler.noiseFactors(i);
      return Math.fround(ofNoise / ofOriginal);
    });
    expect(maxDifference([...sigmas, 0], floats(loop.sigmas))).toBe(0);
  });

  it('has the factors of Euler that its formula has', () => {
    const factors = (steps: number, i: number): number[] => {
      const [{ terms } = expect.fail('no formula'), ...others] = schedulerOf('euler', steps).step(i, 0);
      expect(others).toEqual([]);
      return terms.map(([factor]) => factor);
    };
    const golden: [number, number, number, number][] = [
      [25, 0, 0.9999999, -0.0004038],
      [25, 23, 0.9999827, -0.0058823],
      [25, 24, 0.999998, -0.002],
      [4, 0, 0.9999188, -0.0127463],
      [4, 1, 0.9207031, -0.3902638],
      [4, 2, 0.4051047, -0.9142703],
      [4, 3, 0.999998, -0.002],
    ];
    for (const [steps, i, ofSample, ofNoisePred] of golden) {
      expect(maxDifference(factors(steps, i), [ofSample, ofNoisePred])).toBeLessThanOrEqual(1e-7);
    }
  });

  it.each([
    [4, [700, 128.564, 13.6784, 0.496878]],
    [8, [700, 315.737, 128.564, 45.8507, 13.6784, 3.16661, 0.496878, 0.0397537]],
  ])('takes every so many of the levels that LCM weights were distilled at, in %d steps', (steps, sigmas) => {
    const scheduler = schedulerOf('lcm', steps);
    for (const [i, sigma] of sigmas.entries()) {
      const [ofOriginal, ofNoise] = scheduler.noiseFactors(i);
      expect(ofNoise / ofOriginal / sigma).toBeCloseTo(1, 5);
    }
    expect(() => schedulerOf('lcm', 41)).toThrow(/steps is 41; expected .* 1 to 40/);
  });

  /**
   * For data N(0, 1/4) the best prediction is known, and so is where a noise of sigma 700 ends: the error of a sampler is
   * its own.
   */
  it('with DPM-Solver++ comes nearer to the exact end than Euler does in as many steps', () => {
    const variance = 1 / 4;
    const end = (name: SchedulerName, steps: number): number => {
      const scheduler = schedulerOf(name, steps);
      let [y, last, original] = [1, 0, 0];
      for (let i = 0; i < steps; i += 1) {
        const [a, b] = scheduler.noiseFactors(i);
        const best = (y * a * variance) / (a * a * variance + b * b);
        const values = { sample: y, noisePred: (a * y - best) / b, lastPredOriginal: last };
        const next: Record<string, number> = { ...values };
        for (const { target, terms } of scheduler.step(i, 0)) {
          next[target] = terms.reduce(
            (total, [factor, name]) => total + factor * (next[name] ?? Number.NaN),
            0,
          );
        }
        original = next['predOriginal'] ?? original;
        [y, last] = [next['prevSample'] ?? Number.NaN, original];
      }
      return y;
    };
    const exact = Math.sqrt(variance);
    const errors = (name: SchedulerName): number[] =>
      [10, 15, 25, 50].map((steps) => Math.abs(end(name, steps) - exact));
    const [euler, dpm] = [errors('euler'), errors('dpm++2m')];
    for (const [k, error] of dpm.entries()) expect(error).toBeLessThan(0.65 * (euler[k] ?? 0));
    // Of second order: twice the steps leave a quarter of the error.
    expect(dpm[3]).toBeLessThan(0.3 * (dpm[2] ?? 0));
  });
});

describe('a configuration of Karras', () => {
  it.each([
    [{ prediction_type: 'epsilon' }, /prediction_type = "epsilon"/],
    [{ use_karras_sigmas: false }, /use_karras_sigmas = false/],
    [{ timestep_type: 'discrete' }, /timestep_type = "discrete"/],
    [{ sigma_max: 0 }, /sigma_max = 0/],
    [{ sigma_min: undefined }, /sigma_min = missing/],
    [{ interpolation_type: 'log_linear' }, /interpolation_type = "log_linear"/],
    [{ final_sigmas_type: 'sigma_min' }, /final_sigmas_type = "sigma_min"/],
  ])('with %j is refused with a sentence', (change, message) => {
    expect(() => parseSchedulerConfig({ ...svd, ...change })).toThrow(message);
  });

  it('goes with no DDIM, nor one of DDIM with Euler', () => {
    expect(() => schedulerOf('ddim', 5)).toThrow(
      /scheduler is "ddim"; expected one of euler, dpm\+\+2m, lcm/,
    );
    expect(() => createScheduler('euler', { config: {}, numInferenceSteps: 5 })).toThrow(
      /scheduler is "euler"; expected one of ddim, dpm\+\+2m/,
    );
  });
});
