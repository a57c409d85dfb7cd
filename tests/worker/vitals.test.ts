/** What a worker tells of itself: measured, or not known. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { EngineStatus } from '../../src/engine/status.ts';
import { cpuCelsius } from '../../src/inference/devices/cpu-temperature.ts';
import { parseGpuReadings } from '../../src/inference/devices/gpu-memory.ts';
import { Vitals } from '../../src/worker/vitals.ts';
import { fakeNvidiaSmi } from '../fakes/nvidia.ts';
import { eventually } from '../helpers/queue-harness.ts';

const gpus = [
  '0, 1024, 81559, GPU-11111111-aaaa, 41, NVIDIA H100 80GB HBM3',
  '1, 4000, 12288, GPU-22222222-aaaa, [N/A], NVIDIA GeForce RTX 3060',
];
const loading: EngineStatus = {
  state: 'loading',
  pid: null,
  jobsServed: 0,
  starts: 1,
  rssBytes: 0,
  loadMs: null,
  loaded: [],
  error: null,
};

let folder: string;
let vitals: Vitals | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-vitals-'));
});
afterEach(() => {
  vitals?.stop();
  vi.unstubAllEnvs();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function start(device: string, status: () => EngineStatus | undefined = () => undefined): Vitals {
  vitals = new Vitals({ device, model: 'tiny', engineStatus: status, cacheFolder: join(folder, 'cache') });
  return vitals;
}

it('tells memory, name and temperature of its own GPU', async () => {
  fakeNvidiaSmi(join(folder, 'bin'), gpus);
  vi.stubEnv('PATH', `${join(folder, 'bin')}:${process.env['PATH']}`);
  const first = start('cuda');
  await eventually('the GPU', () => first.read().hardware !== null);
  expect(first.read()).toMatchObject({
    hardware: 'NVIDIA H100 80GB HBM3',
    gpuUsedBytes: 2 ** 30,
    totalBytes: 81_559 * 2 ** 20,
    celsius: 41,
  });
  first.stop();
  const second = start('tensorrt:1');
  await eventually('the GPU', () => second.read().hardware !== null);
  expect(second.read()).toMatchObject({ hardware: 'NVIDIA GeForce RTX 3060', celsius: null });
  // Where CUDA does not see the first, "cuda:0" is the second.
  vi.stubEnv('CUDA_VISIBLE_DEVICES', '1');
  expect(start('cuda').read().gpuUsedBytes).toBeNull();
  second.stop();
  const seen = start('cuda:0');
  await eventually('the GPU', () => seen.read().hardware === 'NVIDIA GeForce RTX 3060');
  // It fell back to the processor.
  seen.runsOn('cpu');
  expect(seen.read()).toMatchObject({ gpuUsedBytes: null });
});

it('guesses nothing where the driver says nothing', async () => {
  fakeNvidiaSmi(join(folder, 'silent'), ['No devices were found']);
  vi.stubEnv('PATH', `${join(folder, 'silent')}:${process.env['PATH']}`);
  const { hardware, gpuUsedBytes, totalBytes, celsius, stepMs } = start('cuda').read();
  expect([hardware, gpuUsedBytes, totalBytes, celsius, stepMs]).toEqual([null, null, null, null, null]);
  expect(parseGpuReadings('0, [N/A], [N/A], GPU-1, 30, A\n0, 1, 2')).toEqual([]);
});

it("takes the processor's own sensor for its temperature, and no other", async () => {
  const sensors = join(folder, 'hwmon');
  for (const [name, driver, file, value] of [
    ['hwmon0', 'nvme', 'temp1_input', '99000'],
    ['hwmon1', 'coretemp', 'temp1_input', '51000'],
    ['hwmon1', 'coretemp', 'temp2_input', '54500'],
    ['hwmon1', 'coretemp', 'temp2_crit', '100000'],
  ] as const) {
    await mkdir(join(sensors, name), { recursive: true });
    await writeFile(join(sensors, name, 'name'), `${driver}\n`);
    await writeFile(join(sensors, name, file), `${value}\n`);
  }
  expect(await cpuCelsius(sensors)).toBe(54.5);
  expect(await cpuCelsius(join(folder, 'none'))).toBeNull();
});

it('tells starting from loading again, and since when', () => {
  let status: EngineStatus | undefined;
  const all = start('cpu', () => status);
  expect(all.read().state).toBe('starting');
  status = loading;
  expect(all.read().state).toBe('starting');
  status = { ...loading, state: 'idle' };
  expect(all.read()).toMatchObject({ state: 'idle', engineRestarts: 0 });
  status = { ...loading, starts: 2 };
  expect(all.read()).toMatchObject({ state: 'loading', engineRestarts: 1 });
  const error = { code: 'PACK_INVALID', message: '' } as const;
  status = { ...loading, state: 'dead', error };
  expect(all.read()).toMatchObject({ state: 'dead', engineError: 'PACK_INVALID' });
  expect(all.read().stateMs).toBeLessThanOrEqual(all.read().upMs);
});
