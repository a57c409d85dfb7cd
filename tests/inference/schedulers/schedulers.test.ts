import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createScheduler } from '../../../src/inference/schedulers/create-scheduler.ts';
import { alphasCumprod } from '../../../src/inference/schedulers/noise-schedule.ts';
import {
  type Combination,
  type StepTensor,
  startIndex,
} from '../../../src/inference/schedulers/scheduler.ts';
import {
  type BetaConfig,
  parseSchedulerConfig,
  readSchedulerConfig,
  type TimestepSpacing,
} from '../../../src/inference/schedulers/scheduler-config.ts';
import { combine } from '../../../src/inference/sessions/combine.mjs';
import { isFinite32 } from '../../../src/inference/sessions/finite.mjs';
import type { SchedulerName } from '../../../src/request/scheduler-names.ts';
import { floats, maxDifference, readGolden } from '../../helpers/golden-numerics.ts';

const i2vgenXl = {
  beta_schedule: 'squaredcos_cap_v2',
  rescale_betas_zero_snr: true,
  prediction_type: 'v_prediction',
  timestep_spacing: 'leading',
  steps_offset: 1,
  clip_sample: false,
};

/** Refused, with this code and a sentence that matches. */
function refusal(code: string, message: RegExp) {
  return expect.objectContaining({ code, message: expect.stringMatching(message) });
}

/** Of a schedule of betas. */
function betaConfig(json: unknown): BetaConfig {
  const config = parseSchedulerConfig(json);
  return config.use_karras_sigmas ? expect.fail('levels of Karras') : config;
}

interface LoopInputs {
  start: string;
  pattern: string;
  original: string;
  strength: number;
}

interface Loop {
  scheduler: SchedulerName;
  config: Record<string, unknown>;
  steps: number;
  gain: number;
  isRefused?: boolean;
  final: string;
  first: number;
  noisy?: string;
  varied: string;
  alphasCumprod: string;
}

const [inputs, ...loops] = readGolden<[LoopInputs, ...Loop[]]>('scheduler-loops.json');
const start = floats(inputs.start);
const pattern = floats(inputs.pattern);
const original = floats(inputs.original);

/** Computes a step, as the session thread does. */
function compute(
  combinations: readonly Combination<StepTensor>[],
  numbers: Partial<Record<StepTensor, Float32Array>>,
): void {
  for (const { target, terms, limit } of combinations) {
    const out = numbers[target] ?? new Float32Array(start.length);
    const sources = terms.map(
      ([factor, source]) => [factor, numbers[source] ?? new Float32Array(0)] as const,
    );
    combine(sources, out, limit);
    numbers[target] = out;
  }
}

/** The deterministic stand-in of make_numerics.py. */
function modelOutput(sample: Float32Array, t: number, gain: number): Float32Array {
  const factor = gain + (0.1 * t) / 1000;
  return sample.map((x, k) => x * factor + (pattern[k] ?? 0) * 0.2);
}

/** Difference as a share of the largest value where that is above one. */
function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  return maxDifference(actual, expected) / Math.max(1, ...expected.map(Math.abs));
}

describe('timesteps', () => {
  const golden =
    readGolden<{ scheduler: SchedulerName; spacing: TimestepSpacing; offset: number; timesteps: number[] }[]>(
      'scheduler-timesteps.json',
    );

  it.each(['ddim', 'dpm++2m'] as const)('of %s equal those of diffusers', (name) => {
    const cases = golden.filter(({ scheduler }) => scheduler === name);
    expect(cases.length).toBeGreaterThan(100);
    for (const { spacing, offset, timesteps } of cases) {
      const config = parseSchedulerConfig({ ...i2vgenXl, steps_offset: offset });
      const options = { config, numInferenceSteps: timesteps.length, timestepSpacing: spacing };
      expect(createScheduler(name, options).timesteps, `${spacing} ${timesteps.length}`).toEqual(timesteps);
    }
  });

  it('never end below zero, where diffusers counts one too many', () => {
    const config = parseSchedulerConfig(i2vgenXl);
    const options = { config, numInferenceSteps: 61, timestepSpacing: 'trailing' as const };
    const { timesteps } = createScheduler('ddim', options);
    expect(timesteps).toHaveLength(61);
    expect(timesteps.at(-1)).toBe(15);
  });

  it.each([
    ['ddim', 1000, 'leading', /1000 inference steps do not fit .* from 1 to 999\./],
    ['ddim', 1001, 'trailing', /from 1 to 1000\./],
    ['dpm++2m', 999, 'leading', /from 1 to 998\./],
    ['dpm++2m', 0, 'leading', /0 inference steps .* from 1 to 998\./],
    ['ddim', 2.5, 'leading', /2\.5 inference steps/],
  ] as const)('of %s refuse %d steps of %s spacing with the range', (name, steps, spacing, message) => {
    const config = parseSchedulerConfig(i2vgenXl);
    const make = () => createScheduler(name, { config, numInferenceSteps: steps, timestepSpacing: spacing });
    expect(make).toThrow(refusal('INVALID_OPTION', message));
  });
});

describe('whole runs', () => {
  it('cover each algorithm, schedule, prediction and spacing', () => {
    expect(loops.length).toBeGreaterThan(160);
    expect(loops.filter(({ isRefused }) => isRefused).length).toBeGreaterThan(0);
  });

  it.each(loops)(
    '$scheduler, $steps steps, $config',
    ({ scheduler: name, config: json, steps, gain, ...golden }) => {
      const config = parseSchedulerConfig(json);
      const make = () => createScheduler(name, { config, numInferenceSteps: steps });
      if (golden.isRefused) {
        expect(make).toThrow(refusal('PACK_INVALID', /divides by zero/));
        return;
      }
      const run = (sample: Float32Array, first: number) => {
        const scheduler = make();
        let numbers: Partial<Record<StepTensor, Float32Array>> & { sample: Float32Array } = { sample };
        for (let i = first; i < steps; i += 1) {
          numbers.noisePred = modelOutput(numbers.sample, scheduler.timesteps[i] ?? Number.NaN, gain);
          compute(scheduler.step(i, first), numbers);
          const { prevSample = new Float32Array(0), predOriginal = prevSample } = numbers;
          numbers = { sample: prevSample, lastPredOriginal: predOriginal };
        }
        return numbers.sample;
      };
      expect(relativeDifference(run(start, 0), floats(golden.final))).toBeLessThanOrEqual(1e-5);

      expect(startIndex(steps, inputs.strength)).toBe(golden.first);
      if (golden.noisy === undefined) return;
      const [signal, noise] = make().noiseFactors(golden.first);
      const noisy = new Float32Array(original.length);
      combine(
        [
          [signal, original],
          [noise, pattern],
        ],
        noisy,
      );
      expect(relativeDifference(noisy, floats(golden.noisy))).toBeLessThanOrEqual(1e-6);
      expect(relativeDifference(run(noisy, golden.first), floats(golden.varied))).toBeLessThanOrEqual(1e-5);
    },
  );

  it('begin at noise of one, and end with the last step', () => {
    for (const name of ['ddim', 'dpm++2m'] as const) {
      const config = parseSchedulerConfig(i2vgenXl);
      const scheduler = createScheduler(name, { config, numInferenceSteps: 5 });
      expect(scheduler.initNoiseSigma).toBe(1);
      expect(() => scheduler.step(5, 0)).toThrow(RangeError);
    }
  });
});

describe('combine', () => {
  const numbers = pattern.subarray(0, 23);
  const sources = [1, 2, 3].map((n) => Float32Array.from(numbers, (value) => value * n + n));
  const factors = [0.5, -2, 3];

  it.each([1, 2, 3])('adds up %d terms, also in place', (count) => {
    const terms = sources.slice(0, count).map((source, n) => [factors[n] ?? 0, source.slice()] as const);
    const expected = Float32Array.from(numbers, (_, k) =>
      terms.reduce((sum, [factor, source]) => sum + factor * (source[k] ?? Number.NaN), 0),
    );
    for (const out of [new Float32Array(numbers.length), ...terms.map(([, source]) => source)]) {
      const kept = terms.map(
        ([factor, source]) => [factor, source === out ? source : source.slice()] as const,
      );
      const before = out.slice();
      combine(kept, out);
      expect(isFinite32(out)).toBe(true);
      expect(relativeDifference(out, expected)).toBeLessThanOrEqual(1e-6);
      out.set(before);
    }
  });

  it.each([1, 2, 3])('of %d terms hands on what is not finite', (count) => {
    for (const [at, value] of [
      [0, Number.NaN],
      [5, Infinity],
      [numbers.length - 1, -Infinity],
    ] as const) {
      const terms = sources.slice(0, count).map((source, n) => [factors[n] ?? 0, source.slice()] as const);
      const broken = terms.at(-1)?.[1];
      if (broken) broken[at] = value;
      const out = new Float32Array(numbers.length);
      combine(terms, out);
      expect(isFinite32(out)).toBe(false);
    }
  });

  it('limits results, copies with a factor of one, and refuses more than three terms', () => {
    const out = new Float32Array(numbers.length);
    combine([[100, numbers]], out, 1.5);
    expect(Math.max(...out)).toBe(1.5);
    expect(Math.min(...out)).toBe(-1.5);
    combine([[1, numbers]], out);
    expect(out).toEqual(numbers);
    expect(() =>
      combine(
        Array.from({ length: 4 }, () => [1, numbers] as const),
        out,
      ),
    ).toThrow(RangeError);
  });
});

describe('noise schedule', () => {
  it('equals torch, to the bit where hardly any noise is left', () => {
    for (const { config, alphasCumprod: golden, scheduler, isRefused } of loops) {
      if (scheduler !== 'ddim' || isRefused) continue;
      const alphas = alphasCumprod(betaConfig(config));
      const stride = alphas.length / 8;
      const picked = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => alphas[i * stride] ?? Number.NaN);
      picked.push(alphas.at(-2) ?? Number.NaN);
      expect(maxDifference(picked, floats(golden))).toBeLessThanOrEqual(5e-7);
      expect(alphas[0]).toBe(floats(golden)[0]);
    }
  });

  it('ends without any signal when rescaled', () => {
    const alphas = alphasCumprod(betaConfig(i2vgenXl));
    expect(alphas[999]).toBe(0);
    expect(alphas[981]).toBeCloseTo(7.840306e-4, 9);
    expect(alphas[1]).toBeCloseTo(0.9999127388, 9);
    expect(alphas[0]).toBeCloseTo(0.9999588729, 9);
  });
});

describe('startIndex', () => {
  it("equals diffusers' img2img", () => {
    for (const [steps, strength, first] of readGolden<[number, number, number][]>('start-indices.json')) {
      expect(startIndex(steps, strength), `${steps} steps, strength ${strength}`).toBe(first);
    }
  });
});

describe('scheduler_config.json', () => {
  it.each([
    [{ prediction_type: 'sample' }, /prediction_type = "sample".*"epsilon"\|"v_prediction"/],
    [{ beta_schedule: 'exp' }, /beta_schedule = "exp"/],
    [{ beta_start: 'x' }, /beta_start = "x"/],
    [{ timestep_spacing: 'karras' }, /timestep_spacing = "karras"/],
    [{ use_karras_sigmas: true }, /use_karras_sigmas = true/],
    [{ solver_order: 3 }, /solver_order = 3/],
    [{ thresholding: true }, /thresholding = true/],
    [{ trained_betas: [0.1] }, /trained_betas = \[0\.1\]/],
    [{ _class_name: 'HeunDiscreteScheduler' }, /_class_name = "HeunDiscreteScheduler"/],
    [[], /not an object/],
    [null, /not an object of settings but null/],
  ])('%j is refused with a sentence', (json, message) => {
    expect(() => parseSchedulerConfig(json)).toThrow(refusal('PACK_INVALID', message));
  });

  it('is read from the pack, an infinite lambda_min_clipped included', async () => {
    const pack = await mkdtemp(path.join(tmpdir(), 'kinora-scheduler-'));
    try {
      await expect(readSchedulerConfig(pack)).rejects.toEqual(refusal('PACK_INVALID', /no readable file/));
      await mkdir(path.join(pack, 'scheduler'));
      const file = path.join(pack, 'scheduler', 'scheduler_config.json');
      await writeFile(
        file,
        '{"beta_schedule": "linear", "lambda_min_clipped": -Infinity, "solver_order": 2}',
      );
      expect(await readSchedulerConfig(pack)).toMatchObject({ beta_schedule: 'linear', solver_order: 2 });
      await writeFile(file, '{');
      await expect(readSchedulerConfig(pack)).rejects.toEqual(refusal('PACK_INVALID', /not valid JSON/));
    } finally {
      await rm(pack, { recursive: true });
    }
  });
});
