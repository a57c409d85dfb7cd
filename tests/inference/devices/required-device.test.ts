import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeNoGpus } from '../../../src/commands/no-gpus.ts';
import { deviceCandidates } from '../../../src/commands/packs.ts';
import { loadEngine } from '../../../src/engine/child/load.ts';
import { askGpus, parseGpus, visibleGpus } from '../../../src/inference/devices/gpus.ts';
import {
  assertGpu,
  deviceAdvice,
  deviceOfGraph,
  requiredDevice,
} from '../../../src/inference/devices/required-device.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { packManifestSchema } from '../../../src/inference/packs/manifest.ts';
import { openPack } from '../../../src/inference/packs/open.ts';
import { fakeNvidiaSmi, h100, rtx3060, writeProgram } from '../../fakes/nvidia.ts';
import { tinyPackPath } from '../../helpers/golden.ts';

let root: string;
let folder: string;
let bin: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'kinora-required-'));
  folder = path.join(root, 'pack');
  bin = path.join(root, 'bin');
  cpSync(tinyPackPath, folder, { recursive: true });
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

/** The tiny pack as models/export would write it after compiling it on an H100: only what decides is real. */
function makeEnginePack(): void {
  const file = path.join(folder, 'kinora.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  manifest.requires = { device: 'tensorrt', gpu: 'NVIDIA H100 80GB HBM3', tensorrt: '10.14.1' };
  for (const graph of ['unet_core', 'vae_decoder']) {
    const bytes = Buffer.from('\b\t a node of the type EPContext of com.microsoft, its engine beside it');
    writeFileSync(path.join(folder, graph, 'model.onnx'), bytes);
    const entry = manifest.files.find(
      (candidate: { path: string }) => candidate.path === `${graph}/model.onnx`,
    );
    entry.bytes = bytes.length;
    entry.sha256 = createHash('sha256').update(bytes).digest('hex');
  }
  writeFileSync(file, JSON.stringify(manifest));
}

const engineOptions = (device: string) => ({
  packPath: folder,
  device,
  threads: 1,
  cachePath: path.join(root, 'cache'),
  cacheMemoryBytes: 0,
  cacheDiskBytes: 0,
  ffmpegPath: 'ffmpeg',
  warmUp: [],
});

describe('packs of TensorRT engines', () => {
  beforeEach(makeEnginePack);

  it.each(['cpu', 'cuda', 'cuda:1', 'webgpu'])(
    'are refused on %s, before anything is opened',
    async (device) => {
      const pack = await loadPack(folder);
      await expect(openPack(pack, { device, threads: 1 })).rejects.toMatchObject({
        code: 'DEVICE_UNAVAILABLE',
        message: expect.stringMatching(
          new RegExp(
            `holds engines for TensorRT only and cannot run on ${device}; its device is tensorrt\\.$`,
          ),
        ),
      });
    },
  );

  it('are refused on another kind of GPU, and taken on their own', async () => {
    vi.stubEnv('PATH', `${bin}:/usr/bin:/bin`);
    vi.stubEnv('CUDA_VISIBLE_DEVICES', undefined);
    fakeNvidiaSmi(bin, [h100, rtx3060]);
    await expect(loadEngine(engineOptions('tensorrt:1'))).rejects.toMatchObject({
      code: 'DEVICE_UNAVAILABLE',
      message: expect.stringMatching(
        /holds engines for the GPU NVIDIA H100 80GB HBM3, and this one is NVIDIA GeForce RTX 3060; export it again/,
      ),
    });
    const { manifest } = await loadPack(folder);
    expect(() => assertGpu(manifest, 'NVIDIA H100 80GB HBM3')).not.toThrow();
    // Where nobody can say which GPU it is, TensorRT decides.
    expect(() => assertGpu(manifest, undefined)).not.toThrow();
  });

  it('run their engines on TensorRT and everything else on CUDA, on the same GPU', async () => {
    const { manifest } = await loadPack(folder);
    expect(requiredDevice(manifest)).toBe('tensorrt');
    const deviceOf = (graph: string) => deviceOfGraph(folder, manifest, graph, 'tensorrt:1');
    expect(await deviceOf('unet_core')).toBe('tensorrt:1');
    expect(await deviceOf('vae_decoder')).toBe('tensorrt:1');
    for (const graph of ['text_encoder', 'image_encoder', 'vae_encoder', 'unet_cond']) {
      expect(await deviceOf(graph)).toBe('cuda:1');
    }
    expect(deviceAdvice(manifest, 'tensorrt:1')).toBeUndefined();
  });

  it('are what auto takes them to', async () => {
    expect(deviceCandidates('auto', [await loadPack(folder)])).toEqual(['tensorrt']);
  });
});

it('a plain pack may run on TensorRT, all of it, but people are told what it costs', async () => {
  const { manifest } = await loadPack(folder);
  expect(await deviceOfGraph(folder, manifest, 'text_encoder', 'tensorrt')).toBe('tensorrt');
  expect(deviceAdvice(manifest, 'tensorrt')).toMatch(
    /compiled at every start.*in float32.*--tensorrt-context/,
  );
  expect(deviceAdvice(manifest, 'cuda')).toBeUndefined();
});

it('a manifest may not ask for a device that does not exist', () => {
  const manifest = JSON.parse(readFileSync(path.join(folder, 'kinora.json'), 'utf8'));
  expect(packManifestSchema.safeParse({ ...manifest, requires: { device: 'tpu' } }).success).toBe(false);
  expect(packManifestSchema.safeParse({ ...manifest, requires: { device: 'cuda' } }).success).toBe(true);
});

describe('GPUs as nvidia-smi tells them', () => {
  const gpus = parseGpus(`${h100}\n${rtx3060}\n`);

  it('are read with name, driver, memory and capability', () => {
    expect(gpus[1]).toEqual({
      gpu: '1',
      uuid: 'GPU-22222222-aaaa-bbbb-cccc-000000000000',
      driver: '580.95.05',
      computeCapability: 8.6,
      name: 'NVIDIA GeForce RTX 3060',
      usedBytes: 4000 * 1024 ** 2,
      totalBytes: 12288 * 1024 ** 2,
    });
    expect(parseGpus('0, 1, 2, GPU-a, 470.1, [N/A], Tesla K80')[0]?.computeCapability).toBeUndefined();
    expect(parseGpus('No devices were found\n\n0, [N/A], [N/A], a, b, c, d')).toEqual([]);
  });

  it('are chosen and ordered by CUDA_VISIBLE_DEVICES as CUDA does', () => {
    const names = (visible?: string) =>
      visibleGpus(gpus, visible === undefined ? {} : { CUDA_VISIBLE_DEVICES: visible }).map(({ gpu }) => gpu);
    expect(names()).toEqual(['0', '1']);
    expect(names('1')).toEqual(['1']);
    expect(names('1, 0')).toEqual(['1', '0']);
    expect(names('GPU-2222')).toEqual(['1']);
    expect(names('0,7,1')).toEqual(['0']);
    expect(names('')).toEqual([]);
    expect(names('-1')).toEqual([]);
  });

  it('that cannot be asked give the reason instead, and a sentence for it', async () => {
    const reason = async (): Promise<string> => {
      const answer = await askGpus();
      return answer.kind === 'gpus' ? 'none' : describeNoGpus(answer);
    };
    vi.stubEnv('PATH', bin);
    expect(await askGpus()).toEqual({ kind: 'noNvidiaSmi' });
    expect(await reason()).toMatch(/There is no nvidia-smi/);
    mkdirSync(bin, { recursive: true });
    vi.stubEnv('PATH', `${bin}:/usr/bin:/bin`);
    writeProgram(bin, 'nvidia-smi', 'exit 9');
    expect(await reason()).toBe('nvidia-smi fails: exit code 9.');
    vi.stubEnv('DISCORD_TOKEN', 'secret');
    writeProgram(bin, 'nvidia-smi', 'echo "tokens: $DISCORD_TOKEN"; exit 9');
    expect(await reason()).toBe('nvidia-smi fails: tokens:.');
    fakeNvidiaSmi(bin, []);
    expect(await reason()).toBe('The NVIDIA driver sees no GPU.');
  });
});
