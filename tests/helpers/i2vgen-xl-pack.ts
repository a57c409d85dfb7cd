/** Packs whose family a test knows. */
import { loadPack, type Pack } from '../../src/inference/packs/files.ts';
import type { I2VGenXLManifest } from '../../src/inference/packs/i2vgen-xl.ts';

export async function loadI2VGenXL(folder: string): Promise<Pack & { readonly manifest: I2VGenXLManifest }> {
  const pack = await loadPack(folder);
  const { manifest } = pack;
  if (manifest.family !== 'i2vgen-xl') throw new Error(`${manifest.id} is of the family ${manifest.family}`);
  return { ...pack, manifest };
}
