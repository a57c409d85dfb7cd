/** bench:gpu: what it makes of measurements, and that its half without Python runs from end to end on the tiny pack. */
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { benchedFamily } from '../../bench/gpu/families.ts';
import { Measurements } from '../../bench/gpu/measurements.ts';
import { makePlan, type Plan } from '../../bench/gpu/plan.ts';
import { makeTables } from '../../bench/gpu/tables.ts';
import { parseSample, VramMeter } from '../../bench/gpu/vram.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { loadI2VGenXL } from '../helpers/i2vgen-xl-pack.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const tinyPack = path.join(project, 'tests/fixtures/packs/tiny');
const run = promisify(execFile);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'kinora-bench-gpu-'));
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function tinyPlan(): Promise<Plan> {
  return makePlan((await loadPack(tinyPack)).manifest, { stepsScale: 1, repeats: 3 });
}

function rowsOf(measurements: Measurements, plan: Plan, name: string) {
  return makeTables(measurements, plan).find((table) => table.name === name)?.rows ?? [];
}

describe('the plan', () => {
  it('has the sizes of the full model as the goals name them', async () => {
    const { manifest } = await loadI2VGenXL(tinyPack);
    const full = {
      ...manifest,
      presets: undefined,
      sizeMultiple: 64,
      limits: { ...manifest.limits, side: { min: 256, max: 1280 }, numFrames: { min: 8, max: 32 } },
    };
    const plan = makePlan(full, { stepsScale: 1, repeats: 3 });
    expect(
      plan.jobs.map(({ key, width, numFrames, numInferenceSteps }) => [
        key,
        width,
        numFrames,
        numInferenceSteps,
      ]),
    ).toEqual([
      ['fast', 512, 8, 30],
      ['standard', 512, 16, 50],
      ['high', 768, 24, 80],
    ]);
    expect(plan.steps.map(({ key }) => key).slice(0, 4)).toEqual([
      '256x256x16, batch 2',
      '512x512x8, batch 2',
      '512x512x16, batch 2',
      '768x768x24, batch 2',
    ]);
    expect(plan.vae.map(({ chunks }) => chunks)).toEqual([
      [1, 2, 4, 8, 16],
      [1, 2, 4, 8],
    ]);
    expect(plan.large).toMatchObject({ width: 1024, height: 1024, numFrames: 32 });
  });
});

describe('the plan of Stable Video Diffusion', () => {
  it('has clips of 16:9, with the frames of both models', async () => {
    const { manifest } = await loadPack(path.join(project, 'tests/fixtures/packs/tiny-svd'));
    if (manifest.family !== 'svd') throw new Error('another pack');
    const high = { size: 768, numFrames: 25, numInferenceSteps: 30, guidanceScale: 3 };
    const full = {
      ...manifest,
      presets: { ...manifest.presets, high },
      limits: {
        ...manifest.limits,
        side: { min: 256, max: 1024 },
        pixels: { min: 256 * 256, max: 1024 * 576 },
      },
    };
    const plan = makePlan(full, { stepsScale: 1, repeats: 3 });
    expect(plan.steps.map(({ key }) => key)).toEqual(
      expect.arrayContaining(['1024x576x14, batch 2', '1024x576x25, batch 2', '1024x576x25, batch 1']),
    );
    expect(plan.stepGoals).toEqual(
      [14, 25].map((frames) => ({ key: `1024x576x${frames}, batch 2`, ofEager: 0.62, ofCompiled: 0.95 })),
    );
    // Those windows are measured.
    const chunks = plan.vae.flatMap(({ key, chunks: all }) => all.map((chunk) => `${key} chunk ${chunk}`));
    expect(chunks).toEqual(expect.arrayContaining(plan.decodeGoals.map(({ key }) => key)));
    expect(benchedFamily(manifest).diffusersRequest).toMatchObject({
      fps: 7,
      motion_bucket_id: 127,
      min_guidance_scale: 1,
    });
  });
});

describe('goals and tables', () => {
  it('says reached, missed or not measured', async () => {
    const plan = await tinyPlan();
    const measurements = new Measurements(folder, 'a card', false);
    measurements.add('diffusers', 'steps', '64x64x5, batch 2', { ms: 200 });
    measurements.add('kinora', 'steps', '64x64x5, batch 2', { ms: 110 });
    measurements.add('diffusers', 'compiled', '64x64x5, batch 2', { ms: 100 });
    measurements.add('kinora', 'budgets', 'high', { peakGiB: 12.5 });
    expect(rowsOf(measurements, plan, 'gpu-goals').slice(0, 3)).toEqual([
      {
        goal: 'step 64x64x5, batch 2, of diffusers',
        'at most': '0.56',
        measured: '0.55',
        verdict: 'reached',
      },
      {
        goal: 'step 64x64x5, batch 2, of torch.compile',
        'at most': '0.85',
        measured: '1.1',
        verdict: 'missed',
      },
      {
        goal: 'step 128x128x6, batch 2, of diffusers',
        'at most': '0.62',
        measured: '–',
        verdict: 'not measured',
      },
    ]);
    expect(rowsOf(measurements, plan, 'gpu-goals')).toContainEqual({
      goal: 'high, 128x128x6, peak of GPU memory',
      'at most': '12 GiB',
      measured: '12.5 GiB',
      verdict: 'missed',
    });
  });

  it('compares whole clips only when both sides took the same number of steps', async () => {
    const plan = await tinyPlan();
    const measurements = new Measurements(folder, 'a card', false);
    measurements.add('diffusers', 'jobs', 'standard', { seconds: 10, steps: 50 });
    measurements.add('kinora', 'jobs', 'standard', { seconds: 4, steps: 20 });
    expect(rowsOf(measurements, plan, 'gpu-clips')[0]).toMatchObject({ ratio: '–', steps: '50 and 20' });
    measurements.add('kinora', 'jobs', 'standard', { seconds: 7, steps: 50 });
    expect(rowsOf(measurements, plan, 'gpu-clips')[0]).toMatchObject({ ratio: 0.7, steps: '50' });
  });

  it('has columns for torch.compile where it was asked for', async () => {
    const plan = await tinyPlan();
    const measurements = new Measurements(folder, 'a card', false);
    measurements.add('kinora', 'steps', '64x64x5, batch 2', { ms: 90 });
    expect(plan.compiled.map(({ key }) => key)).toEqual(['64x64x5, batch 2', '128x128x6, batch 2']);
    expect(rowsOf(measurements, plan, 'gpu-steps')[0]).not.toHaveProperty('ratio to compiled');
    measurements.add('diffusers', 'compiled', '64x64x5, batch 2', { ms: 100, compileSeconds: 180.4 });
    expect(rowsOf(measurements, plan, 'gpu-steps')[0]).toMatchObject({
      'diffusers with torch.compile ms': 100,
      'ratio to compiled': 0.9,
      'compiling s': 180,
    });
  });

  it('names what failed beside what did not', async () => {
    const plan = await tinyPlan();
    const measurements = new Measurements(folder, 'a card', false);
    measurements.add('diffusers', 'decode', '64x64x5 chunk 5', { error: 'out of memory' });
    measurements.add('kinora', 'decode', '64x64x5 chunk 5', { ms: 12 });
    expect(rowsOf(measurements, plan, 'gpu-vae')[0]).toMatchObject({
      'Kinora ms': 12,
      'diffusers ms': '–',
      note: 'diffusers: out of memory',
    });
  });

  it('goes on from an earlier run, on the same card only', () => {
    new Measurements(folder, 'a card', false).add('kinora', 'steps', 'x', { ms: 5, firstMs: Number.NaN });
    expect(new Measurements(folder, 'a card', true).number('kinora', 'steps', 'x', 'ms')).toBe(5);
    expect(new Measurements(folder, 'a card', false).number('kinora', 'steps', 'x', 'ms')).toBeUndefined();
    expect(() => new Measurements(folder, 'another', true)).toThrow('was measured on another card');
  });
});

describe('memory of the card', () => {
  it('reads what nvidia-smi prints', () => {
    expect(parseSample('2026/11/21 08:31:46.123, 1024')).toEqual({
      atMs: new Date(2026, 10, 21, 8, 31, 46, 123).getTime(),
      mib: 1024,
    });
    expect(parseSample('2026/11/21 08:31:46.123, [N/A]')).toBeUndefined();
  });

  it.skipIf(process.platform === 'win32')(
    'finds the peak between two moments although lines come late',
    async () => {
      const file = path.join(folder, 'nvidia-smi');
      // Times in the past and the future, so that only what lies inside counts, and a pause before the lines come.
      writeFileSync(
        file,
        `#!/usr/bin/env node
if (!process.argv.join(' ').includes('timestamp')) process.stdout.write('512\\n');
else {
  const two = (value) => String(value).padStart(2, '0');
  const line = (atMs, mib) => {
    const at = new Date(atMs);
    const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('/');
    const time = [two(at.getHours()), two(at.getMinutes()), two(at.getSeconds())].join(':');
    return day + ' ' + time + '.' + String(at.getMilliseconds()).padStart(3, '0') + ', ' + mib + '\\n';
  };
  const start = Number(process.env.BENCH_TEST_START);
  process.stdout.write(line(start - 2000, 9000));
  setTimeout(() => process.stdout.write([[0, 600], [400, 2048], [800, 700], [3000, 8000]].map(([ms, mib]) => line(start + ms, mib)).join('')), 300);
  setInterval(() => {}, 1000);
}
`,
      );
      chmodSync(file, 0o755);
      const startMs = Date.now() - 5000;
      vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
      vi.stubEnv('BENCH_TEST_START', String(startMs));
      const meter = await VramMeter.start(0);
      try {
        expect(meter.now()).toBe(0.5);
        expect(await meter.peak(startMs, startMs + 1000)).toBe(2);
      } finally {
        meter.stop();
      }
    },
  );

  it('has no numbers for a device that nvidia-smi does not know', async () => {
    const meter = await VramMeter.start(undefined);
    expect([meter.works, meter.now(), await meter.peak(0, Date.now())]).toEqual([
      false,
      undefined,
      undefined,
    ]);
  });
});

describe('from end to end', () => {
  it('measures a part through the engine and saves its tables', async () => {
    const args = ['--pack', tinyPack, '--device', 'cpu', '--threads', '1', '--side', 'kinora', '--quick'];
    const script = path.join(project, 'bench/gpu.ts');
    const { stdout } = await run(
      process.execPath,
      ['--import', 'tsx', script, ...args, '--only', 'remix,vae', '--out', folder, '--commit', 'abc1234'],
      { cwd: project },
    );
    expect(stdout).toContain('remix of a known picture');
    const csv = readFileSync(path.join(folder, 'gpu-remix.csv'), 'utf8').split('\n');
    expect(csv[0]).toMatch(/^# cpu, .*onnxruntime-node .*, abc1234, \d{4}-\d\d-\d\d$/);
    expect(csv[2]).toMatch(/^"64x64x5, new prompt and seed",[\d.]+,[\d.]+,/);
    expect(csv[3]).toMatch(/^"64x64x5, new seed",[\d.]+,0,/);
    const vae = readFileSync(path.join(folder, 'gpu-vae.csv'), 'utf8').split('\n');
    expect(vae.filter((line) => /^decode 128x128x6 chunk \d,–,[\d.]+,/.test(line))).toHaveLength(4);
  });
});
