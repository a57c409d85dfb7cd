/** The model pack and the devices that a command uses. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import { providerOf, whatIsMissing } from '../inference/devices/cuda-libraries.ts';
import { requiredDevice } from '../inference/devices/required-device.ts';
import { findPacks, loadPack, type Pack } from '../inference/packs/files.ts';
import { hasShallowCore, schedulersOf } from '../request/model-limits.ts';
import type { Shortcuts } from '../request/request.ts';

/**
 * The pack of that name, or at that path.
 * @throws KinoraError PACK_NOT_FOUND with the names that exist, PACK_INVALID
 */
export async function choosePack(config: Config, name: string): Promise<Pack> {
  if (name.includes('/') || name.includes(path.sep)) return await loadPack(name);
  const found = await findPacks(config.modelsDirs);
  const match = found.find((candidate) => candidate.name === name);
  if (!match) {
    const names = found.map((candidate) => candidate.name).join(', ') || 'none';
    throw new KinoraError('PACK_NOT_FOUND', `There is no model pack named "${name}" (installed: ${names}).`);
  }
  if (match.pack instanceof KinoraError) throw match.pack;
  return match.pack;
}

/** The first makes the jobs that name no model. */
export type PacksOfEngine = readonly [Pack, ...Pack[]];

/**
 * All packs of the settings, the default first.
 * @throws what choosePack() throws, and KinoraError INVALID_CONFIG when two of them have one id
 */
export async function choosePacks(config: Config): Promise<PacksOfEngine> {
  const [first, ...others] = config.models;
  const packs: [Pack, ...Pack[]] = [await choosePack(config, first ?? config.model)];
  for (const name of others) {
    const pack = await choosePack(config, name);
    const { id } = pack.manifest;
    if (packs.some(({ manifest }) => manifest.id === id)) {
      throw new KinoraError('INVALID_CONFIG', `KINORA_MODEL: two of its packs are the model ${id}.`);
    }
    packs.push(pack);
  }
  return packs;
}

/**
 * @throws KinoraError INVALID_CONFIG when KINORA_REUSE needs a graph that the pack does not have, and when its model does
 * not know KINORA_SCHEDULER
 */
export function assertShortcuts({ featureReuse = 1, scheduler }: Shortcuts, { manifest }: Pack): void {
  const known: readonly string[] = schedulersOf(manifest);
  if (scheduler !== undefined && !known.includes(scheduler)) {
    throw new KinoraError(
      'INVALID_CONFIG',
      `KINORA_SCHEDULER is ${scheduler}; the model pack ${manifest.id} knows ${known.join(' and ')}.`,
    );
  }
  if (featureReuse === 1 || hasShallowCore(manifest)) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    `KINORA_REUSE is ${featureReuse}, but the model pack ${manifest.id} was exported without --deepcache.`,
  );
}

/** The devices to try, in order. "auto" is CUDA where the runtime's library for it is installed, then the CPU. */
export function deviceCandidates(device: string, packs: readonly Pack[]): readonly string[] {
  if (device !== 'auto') return [device];
  const required = packs.flatMap(({ manifest }) => requiredDevice(manifest) ?? [])[0];
  if (required !== undefined) return [required];
  return providerOf('cuda') === undefined ? ['cpu'] : ['cuda', 'cpu'];
}

/** Why "auto" does not try a GPU, as the end of a sentence. */
export function whyNoGpu(): string {
  const { platform, arch } = process;
  if (platform !== 'linux' || arch !== 'x64')
    return `CUDA is for Linux on x64, and this is ${platform}-${arch}`;
  if (!hasNvidiaDriver()) return 'there is no NVIDIA driver';
  return whatIsMissing('cuda') ?? 'the pack does not ask for a GPU';
}

/** Looks for the driver's own files: nvidia-smi is slow, and not always installed. /dev/dxg is the GPU in WSL. */
export function hasNvidiaDriver(): boolean {
  return ['/proc/driver/nvidia/version', '/dev/nvidiactl', '/dev/dxg'].some((file) => existsSync(file));
}
