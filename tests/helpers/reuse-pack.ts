/** The tiny pack with the two cores of tests/fixtures/cores in place of its own: the same weights, with a shallow core. */
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PackManifest } from '../../src/inference/packs/manifest.ts';
import { tinyPackPath } from './golden.ts';

const cores = fileURLToPath(new URL('../fixtures/cores', import.meta.url));
export const reusePackId = 'tiny-reuse';

/**
 * Writes it into a new temporary folder, which the caller removes.
 * @param others files to take in place of the right ones
 */
export async function makeReusePack(others: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'kinora-reuse-'));
  await cp(tinyPackPath, folder, { recursive: true });
  const file = path.join(folder, 'kinora.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as PackManifest;
  const files = new Map(manifest.files.map((entry) => [entry.path, entry]));
  for (const name of ['unet_core/model.onnx', 'unet_shallow/model.onnx']) {
    await cp(others[name] ?? path.join(cores, name), path.join(folder, name));
    const bytes = await readFile(path.join(folder, name));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    files.set(name, { path: name, bytes: bytes.length, sha256 });
  }
  await writeFile(file, JSON.stringify({ ...manifest, id: reusePackId, files: [...files.values()] }));
  return folder;
}
