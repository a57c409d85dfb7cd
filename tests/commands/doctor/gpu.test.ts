/** The GPU part of doctor, with an nvidia-smi that says what it is told to and libraries that are but their needs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Check } from '../../../src/commands/doctor/check.ts';
import { examineGpu } from '../../../src/commands/doctor/gpu.ts';
import type { CudaPlaces } from '../../../src/inference/devices/cuda-libraries.ts';
import { loadPack, type Pack } from '../../../src/inference/packs/files.ts';
import { fakeNvidiaSmi, h100, makeLibrary, rtx3060, writeProgram } from '../../fakes/nvidia.ts';
import { tinyPackPath } from '../../helpers/golden.ts';

const version = '1.30.0';
/** A version that no machine has: what is missing here must not be found in a system's folders. */
const noCuda = 99;
let root: string;
let bin: string;
let places: CudaPlaces;
let pack: Pack;

function install(cuda: number, libraries: readonly string[], ofVersion = version): void {
  const folder = path.join(places.parent, ofVersion);
  const files: Record<string, number> = {};
  const write = (name: string, bytes: Buffer): void => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), bytes);
    files[name] = bytes.length;
  };
  const cudnn = cuda === noCuda ? ['libcudnn.so.99'] : [];
  const needs = [`libcublas.so.${cuda}`, `libcudart.so.${cuda}`, ...cudnn];
  write('providers/libonnxruntime_providers_cuda.so', makeLibrary(needs, `version ${ofVersion}`));
  write(
    'providers/libonnxruntime_providers_tensorrt.so',
    makeLibrary([`libcudart.so.${cuda}`, 'libnvinfer.so.99']),
  );
  for (const name of libraries) write(`lib/${name}`, makeLibrary([]));
  const packages = { 'nvidia-cuda-runtime': '13.5.37', 'nvidia-cudnn-cu13': '9.28.0.42' };
  const installed = { onnxruntime: ofVersion, cuda, withCuda: true, packages, files };
  writeFileSync(path.join(folder, 'installed.json'), JSON.stringify(installed));
}

const cuda13 = ['libcublas.so.13', 'libcudart.so.13', 'libcudnn.so.9', 'libcufft.so.12', 'libnvrtc.so.13'];

beforeEach(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'kinora-doctor-'));
  bin = path.join(root, 'bin');
  mkdirSync(bin);
  places = { runtime: { version, folder: path.join(root, 'runtime') }, parent: path.join(root, 'cuda') };
  pack = await loadPack(tinyPackPath);
  // A real nvidia-smi of this machine must not be found.
  for (const tool of ['cat', 'sh']) writeProgram(bin, tool, `exec /bin/${tool} "$@"`);
  vi.stubEnv('PATH', bin);
  vi.stubEnv('LD_LIBRARY_PATH', '');
  vi.stubEnv('CUDA_VISIBLE_DEVICES', undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

const states = (checks: readonly Check[]) =>
  Object.fromEntries(checks.map(({ name, state }) => [name, state]));
const find = (checks: readonly Check[], name: string): Check => {
  const check = checks.find((candidate) => candidate.name === name);
  if (!check) throw new Error(`there is no line "${name}"`);
  return check;
};

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('doctor and the GPU', () => {
  it('finds a machine with everything in order, and says versions and memory', async () => {
    fakeNvidiaSmi(bin, [h100]);
    install(13, cuda13);
    const checks = await examineGpu('cuda', pack, places);
    expect(states(checks)).toEqual({ driver: 'ok', GPU: 'ok', provider: 'ok', CUDA: 'ok', cuDNN: 'ok' });
    expect(checks.every(({ remedy }) => remedy === undefined)).toBe(true);
    expect(find(checks, 'driver').detail).toBe('NVIDIA 580.95.05, one GPU');
    expect(find(checks, 'GPU').detail).toBe(
      'NVIDIA H100 80GB HBM3, compute capability 9.0, 78.6 GiB of 79.6 GiB free',
    );
    expect(find(checks, 'provider').detail).toBe('ONNX Runtime 1.30.0 for CUDA 13 (by setup:cuda)');
    expect(find(checks, 'CUDA').detail).toBe('13.5.37 (by setup:cuda)');
    expect(find(checks, 'cuDNN').detail).toBe('9.28.0.42 (by setup:cuda)');
  });

  it('says nothing of GPUs to people who want none', async () => {
    fakeNvidiaSmi(bin, [h100]);
    expect(await examineGpu('cpu', pack, places)).toEqual([]);
    expect(await examineGpu('webgpu', pack, places)).toEqual([]);
  });

  it('names whatever is missing, each with a remedy of its own', async () => {
    const checks = await examineGpu('cuda', pack, places);
    expect(states(checks)).toEqual({ driver: 'fail', provider: 'fail' });
    expect(find(checks, 'driver').remedy).toMatch(/Install NVIDIA's driver 580 or newer/);
    expect(find(checks, 'provider').remedy).toMatch(/npm run setup:cuda/);

    install(noCuda, ['libcublas.so.99']);
    const later = await examineGpu('cuda', pack, places);
    expect(find(later, 'CUDA')).toMatchObject({ state: 'fail', detail: 'libcudart.so.99 not found' });
    expect(find(later, 'CUDA').remedy).toMatch(/setup:cuda.*LD_LIBRARY_PATH/);
    expect(find(later, 'cuDNN')).toMatchObject({ state: 'fail', detail: 'libcudnn.so.99 not found' });
  });

  it('finds CUDA of the system, too', async () => {
    fakeNvidiaSmi(bin, [h100]);
    install(
      13,
      cuda13.filter((name) => !name.includes('cudnn')),
    );
    const theirs = path.join(root, 'theirs');
    mkdirSync(theirs);
    writeFileSync(path.join(theirs, 'libcudnn.so.9'), '');
    vi.stubEnv('LD_LIBRARY_PATH', theirs);
    const cudnn = find(await examineGpu('cuda', pack, places), 'cuDNN');
    expect(cudnn).toEqual({ name: 'cuDNN', state: 'ok', detail: `9 (${theirs})` });
  });

  it('under auto what is missing is no failure: the CPU does the work', async () => {
    install(noCuda, []);
    const checks = await examineGpu('auto', pack, places);
    expect(states(checks)).toEqual({ driver: 'warn', provider: 'ok', CUDA: 'warn', cuDNN: 'warn' });
    // Unless the pack runs on nothing else.
    const cudaPack = { ...pack, manifest: { ...pack.manifest, flavour: 'cuda' as const } };
    expect(states(await examineGpu('auto', cudaPack, places))).toMatchObject({ driver: 'fail' });
  });

  it('providers of another version are as good as none', async () => {
    fakeNvidiaSmi(bin, [h100]);
    install(13, cuda13, '1.29.0');
    expect(find(await examineGpu('cuda', pack, places), 'provider')).toMatchObject({
      state: 'fail',
      detail: 'installed for onnxruntime-node 1.29.0, but 1.30.0 is here',
    });
    // Also where somebody put them beside the runtime by hand.
    mkdirSync(places.runtime.folder);
    const file = path.join(places.runtime.folder, 'libonnxruntime_providers_cuda.so');
    writeFileSync(file, makeLibrary(['libcudart.so.13'], 'version 1.29.0'));
    const check = find(await examineGpu('cuda', pack, places), 'provider');
    expect(check.detail).toBe(`${file} is not of ONNX Runtime 1.30.0`);
  });

  it.each<[string, string[], string, string, RegExp]>([
    ['an old driver', [h100.replace('580.95', '535.10')], 'driver', 'cuda', /too old for CUDA 13.*--cuda 12/],
    [
      'an old GPU',
      [h100.replace('9.0,', '6.1,')],
      'GPU',
      'cuda',
      /compute capability 6\.1.*too old.*needs compute capability 7\.5/,
    ],
    ['a GPU that is not there', [h100, rtx3060], 'GPU', 'cuda:2', /no GPU for the device cuda:2/],
  ])('says what is wrong with %s', async (_what, lines, name, device, sentence) => {
    fakeNvidiaSmi(bin, lines);
    install(13, cuda13);
    const check = find(await examineGpu(device, pack, places), name);
    expect(check.state).toBe('fail');
    expect(`${check.detail} → ${check.remedy}`).toMatch(sentence);
  });

  it('says what a driver says that does not work', async () => {
    writeProgram(
      bin,
      'nvidia-smi',
      'echo "Failed to initialize NVML: Driver/library version mismatch"; exit 18',
    );
    const check = find(await examineGpu('cuda', pack, places), 'driver');
    expect(check).toMatchObject({
      state: 'fail',
      detail: 'nvidia-smi fails: Failed to initialize NVML: Driver/library version mismatch.',
    });
    expect(check.remedy).toMatch(/Restart/);
  });

  it('looks at the GPU that is meant, and at the memory that others took', async () => {
    fakeNvidiaSmi(bin, [h100, rtx3060]);
    install(13, cuda13);
    vi.stubEnv('CUDA_VISIBLE_DEVICES', '1,0');
    expect(find(await examineGpu('cuda:0', pack, places), 'GPU').detail).toMatch(
      /RTX 3060.*8\.1 GiB of 12\.0 GiB/,
    );
    const large = { path: 'unet_core/model.onnx_data', bytes: 3 * 1024 ** 3, sha256: '0'.repeat(64) };
    const largePack = { ...pack, manifest: { ...pack.manifest, files: [...pack.manifest.files, large] } };
    fakeNvidiaSmi(bin, [rtx3060.replace('1, 4000', '0, 9000')]);
    vi.stubEnv('CUDA_VISIBLE_DEVICES', undefined);
    expect(find(await examineGpu('cuda', largePack, places), 'GPU')).toMatchObject({
      state: 'warn',
      remedy: 'End other programs that use the GPU.',
    });
  });

  it('TensorRT: names its libraries, and what a pack without engines costs', async () => {
    fakeNvidiaSmi(bin, [h100]);
    install(13, cuda13);
    const checks = await examineGpu('tensorrt', pack, places);
    expect(find(checks, 'TensorRT')).toMatchObject({ state: 'fail', detail: 'libnvinfer.so.99 not found' });
    expect(find(checks, 'engines')).toMatchObject({ state: 'warn' });
    expect(find(checks, 'engines').detail).toMatch(/at every start.*float32/);
    const requires = { device: 'tensorrt' as const, gpu: 'NVIDIA GeForce RTX 4090', tensorrt: '10.14.1' };
    const enginePack = { ...pack, manifest: { ...pack.manifest, requires } };
    const gpu = find(await examineGpu('tensorrt', enginePack, places), 'GPU');
    expect(gpu).toMatchObject({ state: 'fail' });
    expect(gpu.detail).toMatch(/the engines are for NVIDIA GeForce RTX 4090/);
  });
});
