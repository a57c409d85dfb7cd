/** The tiny pack with other graphs in place of its own. */
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PackManifest } from '../../src/inference/packs/manifest.ts';
import { tinyPackPath } from './golden.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
export const reusePackId = 'tiny-reuse';

/**
 * With the two cores of tests/fixtures/cores: the same weights, with a shallow core. Writes the pack into a new temporary
 * folder, which the caller removes.
 * @param others files to take in place of the right ones
 */
export async function makeReusePack(others: Readonly<Record<string, string>> = {}): Promise<string> {
  const names = ['unet_core/model.onnx', 'unet_shallow/model.onnx'];
  const cores = names.map((name) => [name, path.join(fixtures, 'cores', name)] as const);
  return await makePack(reusePackId, { ...Object.fromEntries(cores), ...others });
}

/** With a unet_cond that takes positions and draws, and no noise. The caller removes the folder. */
export async function makeDrawnPack(): Promise<string> {
  const name = 'unet_cond/model.onnx';
  return await makePack('tiny-drawn', { [name]: path.join(fixtures, 'drawn', name) });
}

/** @param graphs the files to take, by their names in the pack */
async function makePack(id: string, graphs: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), `kinora-${id}-`));
  await cp(tinyPackPath, folder, { recursive: true });
  const file = path.join(folder, 'kinora.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as PackManifest;
  const files = new Map(manifest.files.map((entry) => [entry.path, entry]));
  for (const [name, source] of Object.entries(graphs)) {
    await cp(source, path.join(folder, name));
    const bytes = await readFile(path.join(folder, name));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    files.set(name, { path: name, bytes: bytes.length, sha256 });
  }
  await writeFile(file, JSON.stringify({ ...manifest, id, files: [...files.values()] }));
  return folder;
}
