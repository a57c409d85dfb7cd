import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startEngine } from '../../src/commands/engines.ts';
import { deviceCandidates, whyNoGpu } from '../../src/commands/packs.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { loadPack, type Pack } from '../../src/inference/packs/files.ts';
import { createLogger } from '../../src/log.ts';
import { tinyPackPath } from '../helpers/golden.ts';

const log = createLogger('test', 'silent');
let folder: string;
let config: Config;
let pack: Pack;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-engines-'));
  config = loadConfig({ KINORA_ENV_FILE: '/dev/null', KINORA_DATA_DIR: folder, KINORA_THREADS: '1' });
  pack = await loadPack(tinyPackPath);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

// Device 99 is on no machine.
it('auto goes on to the next device and says why', async () => {
  const { engine, device, choice } = await startEngine(config, [pack], 'auto', log, ['cuda:99', 'cpu']);
  await engine.ready();
  await engine.stop();
  expect(device).toBe('cpu');
  expect(choice).toMatch(/^cpu: The device cuda:99 /);
});

it('auto that has the CPU alone says why there is no GPU', async () => {
  const { engine, choice } = await startEngine(config, [pack], 'auto', log, ['cpu']);
  await engine.stop();
  expect(choice).toBe(`cpu: ${whyNoGpu()}`);
  expect(whyNoGpu()).toMatch(/there is no NVIDIA driver|CUDA|GPU/);
});

it('a device asked for by name is never replaced', async () => {
  const { engine } = await startEngine(config, [pack], 'cuda:99', log);
  await expect(engine.ready()).rejects.toMatchObject({ code: 'DEVICE_UNAVAILABLE' });
  await engine.stop();
});

it('a pack for CUDA alone is never tried on the CPU', () => {
  const cudaPack = { ...pack, manifest: { ...pack.manifest, flavour: 'cuda' as const } };
  expect(deviceCandidates('auto', [cudaPack])).toEqual(['cuda']);
  expect(deviceCandidates('auto', [pack]).at(-1)).toBe('cpu');
});
