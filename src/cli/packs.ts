/** Which model pack and which device a command works with. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import { findPacks, loadPack, type Pack } from '../inference/model-pack.ts';

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

/** What to try, in this order. "auto" is CUDA where the runtime's library for it is installed, then the CPU. */
export function deviceCandidates(device: string, pack: Pack): readonly string[] {
  if (device !== 'auto') return [device];
  if (pack.manifest.flavour === 'cuda') return ['cuda'];
  return cudaProviderInstalled() ? ['cuda', 'cpu'] : ['cpu'];
}

export function cudaProviderInstalled(): boolean {
  const runtime = path.dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const library = path.join(
    runtime,
    'bin',
    'napi-v6',
    process.platform,
    process.arch,
    'libonnxruntime_providers_cuda.so',
  );
  return existsSync(library);
}
