/** A model that the main memory cannot hold is not loaded on the CPU. */
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkMainMemory } from '../../../src/commands/doctor/model.ts';
import { loadConfig } from '../../../src/config.ts';
import { loadEngine } from '../../../src/engine/child/load.ts';
import { describeError, serializeError } from '../../../src/errors.ts';
import { assertMainMemory, freeMainMemory } from '../../../src/inference/devices/main-memory.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { tinyPackPath } from '../../helpers/golden.ts';

let root: string;
let folder: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'kinora-memory-'));
  folder = path.join(root, 'pack');
  cpSync(tinyPackPath, folder, { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** As many weights as a pack may say it has, in a file that takes no room on the disk. */
function addWeights(bytes: number): void {
  const file = path.join(folder, 'unet_core', 'model.onnx_data');
  writeFileSync(file, '');
  truncateSync(file, bytes);
  const manifestFile = path.join(folder, 'kinora.json');
  const manifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
  manifest.files.push({ path: 'unet_core/model.onnx_data', bytes, sha256: '0'.repeat(64) });
  writeFileSync(manifestFile, JSON.stringify(manifest));
}

const options = (device: string) => ({
  packPath: folder,
  device,
  threads: 1,
  cachePath: path.join(root, 'cache'),
  cacheMemoryBytes: 0,
  cacheDiskBytes: 0,
  ffmpegPath: 'ffmpeg',
  warmUp: [],
});
const sentenceOf = async (loading: Promise<unknown>): Promise<string> =>
  await loading.then(
    () => 'loaded',
    (error) => describeError(serializeError(error)),
  );

describe('a model on the CPU', () => {
  it('is refused before anything is loaded when no machine has the memory', async () => {
    addWeights(4e12);
    const sentence = await sentenceOf(loadEngine(options('cpu')));
    expect(sentence).toMatch(
      /takes about 5200 GB of memory on the CPU, and [\d.]+ GB are free\. Close other/,
    );
    expect(sentence).not.toContain('--device cpu');
  });

  it('of the size of I2VGen-XL takes 13 to 17 GB, and the doctor says so', async () => {
    addWeights(9.96e9);
    const { manifest } = await loadPack(folder);
    await expect(assertMainMemory(manifest, async () => 11e9)).rejects.toThrow(
      'takes about 13 GB of memory on the CPU, and 11 GB are free.',
    );
    await expect(assertMainMemory(manifest, async () => 13.5e9)).resolves.toBeUndefined();
    const config = loadConfig({
      KINORA_ENV_FILE: '/dev/null',
      KINORA_DATA_DIR: root,
      KINORA_MODEL: folder,
      KINORA_DEVICE: 'cpu',
    });
    const states = [8e9, 15e9, 20e9].map(async (free) => {
      const [check] = await checkMainMemory(config, async () => free);
      expect(check?.detail).toContain('takes 13 to 17 GB on the CPU');
      return check?.state;
    });
    expect(await Promise.all(states)).toEqual(['fail', 'warn', 'ok']);
  });

  it('that is small is not asked about', async () => {
    const { manifest } = await loadPack(tinyPackPath);
    await expect(assertMainMemory(manifest)).resolves.toBeUndefined();
    const free = await freeMainMemory();
    expect(free).toBeGreaterThan(1e6);
    expect(free).toBeLessThan(1e15);
  });
});

describe('a pack for CUDA alone', () => {
  beforeEach(() => {
    const file = path.join(folder, 'kinora.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...manifest, flavour: 'cuda', requires: { device: 'cuda' } }));
  });

  it.each(['cpu', 'webgpu', 'cuda:99'])('on %s is not sent to the CPU', async (device) => {
    const sentence = await sentenceOf(loadEngine(options(device)));
    expect(sentence).not.toContain('--device cpu');
    expect(sentence).toContain('--model builtin');
  });
});
