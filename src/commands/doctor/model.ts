/** Checks of the model pack and of the device that runs it. */
import type { Config } from '../../config.ts';
import { isKinoraError, KinoraError } from '../../errors.ts';
import { freeMainMemory, gigabytes, mainMemoryOf, moreMemory } from '../../inference/devices/main-memory.ts';
import { findPacks, verifyPack } from '../../inference/packs/files.ts';
import { createLogger } from '../../log.ts';
import { startEngine } from '../engines.ts';
import { assertShortcuts, choosePack, deviceCandidates } from '../packs.ts';
import { type Check, failedCheck } from './check.ts';
import { examineGpu } from './gpu.ts';

/** Every machine has the memory for it. */
const smallModelBytes = 1e9;

export async function checkPacks(config: Config): Promise<Check> {
  try {
    const pack = await choosePack(config, config.model);
    assertShortcuts(config.shortcuts, pack);
    const [problem] = await verifyPack(pack);
    if (problem) throw new KinoraError('PACK_INVALID', problem);
    const others = (await findPacks(config.modelsDirs)).filter(({ folder }) => folder !== pack.folder);
    const broken = others.filter((found) => found.pack instanceof KinoraError).map((found) => found.name);
    const detail = `${pack.manifest.id} is intact${others.length > 0 ? `; ${others.length} more installed` : ''}`;
    if (broken.length === 0) return { name: 'model', state: 'ok', detail };
    return { name: 'model', state: 'warn', detail, remedy: `Remove or reinstall: ${broken.join(', ')}.` };
  } catch (error) {
    return failedCheck('model', error);
  }
}

export async function checkGpu(config: Config): Promise<Check[]> {
  try {
    return await examineGpu(config.device, await choosePack(config, config.model));
  } catch {
    return []; // checkPacks reports the problem
  }
}

/** Opens the model as a job does, in a child process: a broken driver may end that process. */
export async function checkDevice(config: Config): Promise<Check> {
  const name = 'device';
  try {
    const pack = await choosePack(config, config.model);
    const candidates = deviceCandidates(config.device, [pack]);
    // A warm-up takes long and finds nothing more.
    const settings = { ...config, warmUp: [] };
    const { engine, device, choice } = await startEngine(
      settings,
      [pack],
      config.device,
      createLogger('engine', 'silent'),
    );
    try {
      await engine.ready();
    } finally {
      await engine.stop();
    }
    const detail = `${pack.manifest.id} opens on ${choice}`;
    if (device === candidates[0]) return { name, state: 'ok', detail };
    const remedy = 'Install what the better device lacks, or set KINORA_DEVICE=cpu.';
    return { name, state: 'warn', detail, remedy };
  } catch (error) {
    const check = failedCheck(name, error);
    const isDevice = isKinoraError(error) && error.code === 'DEVICE_UNAVAILABLE' && !error.remedy;
    // The catalogue's remedy is to run this.
    return isDevice ? { ...check, remedy: 'See the lines above, or set KINORA_DEVICE=cpu.' } : check;
  }
}

/** Nothing where a GPU is tried first, or where the model is small. */
export async function checkMainMemory(config: Config, free = freeMainMemory): Promise<Check[]> {
  const pack = await choosePack(config, config.model).catch(() => undefined); // checkPacks reports the problem
  if (!pack || deviceCandidates(config.device, [pack])[0] !== 'cpu') return [];
  const { loadedBytes, clipBytes } = mainMemoryOf(pack.manifest);
  if (clipBytes < smallModelBytes) return [];
  const bytes = await free();
  const name = 'memory';
  const detail = `${pack.manifest.id} takes ${gigabytes(loadedBytes)} to ${gigabytes(clipBytes)} GB on the CPU; ${gigabytes(bytes)} GB are free`;
  if (bytes >= clipBytes) return [{ name, state: 'ok', detail }];
  return [{ name, state: bytes < loadedBytes ? 'fail' : 'warn', detail, remedy: moreMemory }];
}
