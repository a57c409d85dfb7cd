/**
 * Checks of NVIDIA GPUs: driver, card and its memory, the runtime's provider, CUDA, cuDNN and TensorRT, each with a remedy
 * of its own. Reads files and runs nvidia-smi; model.ts tries whether the GPU runs the model.
 */

import { realpathSync } from 'node:fs';
import path from 'node:path';
import { calledAs } from '../../called-as.ts';
import {
  type CudaPlaces,
  cudaMajorOf,
  cudaPlaces,
  cudaRemedy,
  driverLibrary,
  installedCuda,
  isOfVersion,
  librariesFor,
  libraryFinder,
  otherVersions,
  providerOf,
} from '../../inference/devices/cuda-libraries.ts';
import { parseDevice } from '../../inference/devices/device.ts';
import { askGpus, type Gpu, visibleGpus } from '../../inference/devices/gpus.ts';
import { deviceAdvice, requiredDevice } from '../../inference/devices/required-device.ts';
import type { Pack } from '../../inference/packs/files.ts';
import { describeNoGpus } from '../no-gpus.ts';
import { hasNvidiaDriver } from '../packs.ts';
import { cudaVersions, usualCuda } from '../setup-cuda/versions.ts';
import type { Check } from './check.ts';

/** Weights of I2VGen-XL's fused UNet, and what a small clip needs beside them. */
const scarceBytes = 6 * 1024 ** 3;
/** A pack below this size fits any GPU. */
const largePackBytes = 1024 ** 3;

const setupRemedy = `${cudaRemedy.slice(0, 1).toUpperCase()}${cudaRemedy.slice(1)}.`;
const gibibytes = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;

/**
 * No checks where no GPU is wanted. Under "auto" a failed check is a warning, because the CPU is used instead.
 * @param device as in KINORA_DEVICE
 */
export async function examineGpu(device: string, pack: Pack, places = cudaPlaces()): Promise<Check[]> {
  const isAuto = device === 'auto' && requiredDevice(pack.manifest) === undefined;
  const wanted = device === 'auto' ? (requiredDevice(pack.manifest) ?? 'cuda') : device;
  const { kind, ordinal } = parseDevice(wanted);
  if (kind !== 'cuda' && kind !== 'tensorrt') return [];
  const provider = providerOf(kind, places);
  if (isAuto && provider === undefined && !hasNvidiaDriver()) return [];

  const find = libraryFinder(process.env, places);
  const answer = await askGpus();
  const cuda = provider === undefined ? undefined : majorOf(provider);
  const checks = [
    checkDriver(answer, cuda, find),
    ...(answer.kind === 'gpus' ? [checkGpu(visibleGpus(answer.gpus)[ordinal], wanted, cuda, pack)] : []),
    await checkProvider(provider, kind, places),
    ...(provider === undefined ? [] : checkLibraries(provider, find, installedCuda(places))),
  ];
  const advice = deviceAdvice(pack.manifest, wanted);
  if (advice !== undefined) {
    const remedy = 'Export a pack with --tensorrt-context, or set KINORA_DEVICE=cuda.';
    checks.push({ name: 'engines', state: 'warn', detail: advice, remedy });
  }
  if (!isAuto) return checks;
  return checks.map((check) => (check.state === 'fail' ? { ...check, state: 'warn' } : check));
}

function majorOf(provider: string): number | undefined {
  try {
    return cudaMajorOf(provider);
  } catch {
    return undefined;
  }
}

function checkDriver(
  answer: Awaited<ReturnType<typeof askGpus>>,
  cuda: number | undefined,
  find: (name: string) => string | undefined,
): Check {
  const name = 'driver';
  const oldest = cudaVersions[cuda ?? usualCuda]?.driver ?? 0;
  if (answer.kind !== 'gpus') {
    const detail = describeNoGpus(answer);
    const hasNoTool = answer.kind === 'noNvidiaSmi';
    const library = find(driverLibrary);
    if (hasNoTool && library !== undefined) {
      const remedy = 'Install nvidia-smi with the driver to see the GPU and its memory here.';
      return { name, state: 'warn', detail: `installed (${library}); ${detail}`, remedy };
    }
    const remedy = hasNoTool
      ? `Install NVIDIA's driver ${oldest} or newer; in a container, start it with the GPU (docker run --gpus all).`
      : "Restart this machine; if that does not help, install NVIDIA's driver again.";
    return { name, state: 'fail', detail, remedy };
  }
  const { gpus } = answer;
  const driver = gpus[0]?.driver ?? '';
  const detail = `NVIDIA ${driver}, ${gpus.length === 1 ? 'one GPU' : `${gpus.length} GPUs`}`;
  if (Number.parseInt(driver, 10) >= oldest) return { name, state: 'ok', detail };
  const remedy =
    cuda === 12
      ? `Install driver ${oldest} or newer.`
      : `Install driver ${oldest} or newer; for drivers from 525 on, "${calledAs('setup-cuda', '--cuda 12')}".`;
  return { name, state: 'fail', detail: `${detail}; too old for CUDA ${cuda ?? usualCuda}`, remedy };
}

function checkGpu(gpu: Gpu | undefined, device: string, cuda: number | undefined, pack: Pack): Check {
  const name = 'GPU';
  if (!gpu) {
    const remedy = 'Choose another number (cuda:0 is the first), or correct CUDA_VISIBLE_DEVICES.';
    return { name, state: 'fail', detail: `there is no GPU for the device ${device}`, remedy };
  }
  const free = gpu.totalBytes - gpu.usedBytes;
  const capability = gpu.computeCapability;
  const memory = `${gibibytes(free)} of ${gibibytes(gpu.totalBytes)} free`;
  const detail = `${gpu.name}${capability === undefined ? '' : `, compute capability ${capability.toFixed(1)}`}, ${memory}`;
  const oldest = cudaVersions[cuda ?? usualCuda]?.capability ?? 0;
  if (capability !== undefined && capability < oldest) {
    const remedy = `CUDA ${cuda ?? usualCuda} needs compute capability ${oldest.toFixed(1)}; use another GPU, or ${requiredDevice(pack.manifest) === undefined ? 'KINORA_DEVICE=cpu' : 'KINORA_MODEL=builtin'}.`;
    return { name, state: 'fail', detail: `${detail}; too old`, remedy };
  }
  const required = pack.manifest.requires?.gpu;
  if (required !== undefined && required !== gpu.name) {
    const remedy = 'Export the pack with --tensorrt-context on this machine.';
    return { name, state: 'fail', detail: `${detail}; the engines are for ${required}`, remedy };
  }
  const packBytes = pack.manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  if (packBytes >= largePackBytes && free < scarceBytes) {
    const remedy =
      gpu.totalBytes < scarceBytes
        ? 'Use small sizes and few frames, or another GPU.'
        : 'End other programs that use the GPU.';
    return { name, state: 'warn', detail: `${detail}; scarce for ${pack.manifest.id}`, remedy };
  }
  return { name, state: 'ok', detail };
}

async function checkProvider(
  provider: string | undefined,
  kind: 'cuda' | 'tensorrt',
  places: CudaPlaces,
): Promise<Check> {
  const name = 'provider';
  const { version } = places.runtime;
  if (provider === undefined) {
    const [other] = otherVersions(places);
    const detail = other
      ? `installed for onnxruntime-node ${other}, but ${version} is here`
      : `onnxruntime-node ${version} has no ${kind} library`;
    return { name, state: 'fail', detail, remedy: setupRemedy };
  }
  const cuda = majorOf(provider);
  if (cuda === undefined) {
    return { name, state: 'fail', detail: `${provider} is damaged`, remedy: setupRemedy };
  }
  // Of the three only CUDA's says its version; they come together.
  if (kind === 'cuda' && !(await isOfVersion(provider, version))) {
    const detail = `${realOf(provider)} is not of ONNX Runtime ${version}`;
    return { name, state: 'fail', detail, remedy: setupRemedy };
  }
  const own = installedCuda(places);
  const origin = own && realOf(provider).startsWith(own.folder) ? 'by setup:cuda' : realOf(provider);
  return { name, state: 'ok', detail: `ONNX Runtime ${version} for CUDA ${cuda} (${origin})` };
}

/** CUDA, cuDNN and, where the provider needs it, TensorRT. checkDriver looks for the driver's own library. */
function checkLibraries(
  provider: string,
  find: (name: string) => string | undefined,
  own: ReturnType<typeof installedCuda>,
): Check[] {
  let all: string[];
  try {
    all = librariesFor(provider).filter((name) => name !== driverLibrary);
  } catch {
    return [];
  }
  const isCudnn = (name: string): boolean => name.startsWith('libcudnn');
  const isTensorrt = (name: string): boolean => /^libnv(infer|onnxparser)/.test(name);
  const packages = own?.packages ?? {};
  const version = (prefix: string): string | undefined =>
    Object.entries(packages).find(([name]) => name.startsWith(prefix))?.[1];
  const groups = [
    {
      name: 'CUDA',
      libraries: all.filter((name) => !isCudnn(name) && !isTensorrt(name)),
      version: version('nvidia-cuda-runtime'),
      remedy: `${setupRemedy} Or put the folder of your CUDA's libraries into LD_LIBRARY_PATH.`,
    },
    {
      name: 'cuDNN',
      libraries: all.filter(isCudnn),
      version: version('nvidia-cudnn'),
      remedy: `${setupRemedy} Or install cuDNN 9 for your CUDA.`,
    },
    {
      name: 'TensorRT',
      libraries: all.filter(isTensorrt),
      version: undefined,
      remedy:
        'Install TensorRT 10 and put the folder of its libraries into LD_LIBRARY_PATH; or set KINORA_DEVICE=cuda.',
    },
  ];
  return groups.flatMap(({ name, libraries, version, remedy }): Check[] => {
    if (libraries.length === 0) return [];
    const missing = libraries.filter((library) => find(library) === undefined);
    if (missing.length > 0) {
      return [{ name, state: 'fail', detail: `${missing.join(', ')} not found`, remedy }];
    }
    const [file = ''] = libraries.map((library) => find(library) ?? '');
    const isOwn = own !== undefined && file.startsWith(own.folder);
    // A system's library carries its version in the name of the file that the usual name leads to.
    const found = isOwn ? version : /\.so\.([\d.]+)$/.exec(realOf(file))?.[1];
    return [
      { name, state: 'ok', detail: `${found ?? 'found'} (${isOwn ? 'by setup:cuda' : path.dirname(file)})` },
    ];
  });
}

function realOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
