/**
 * Finds the shared libraries that a GPU needs besides onnxruntime-node: ONNX Runtime's providers, and CUDA with cuDNN.
 * `kinora setup-cuda` installs them into cuda/VERSION of Kinora's folder, because "npm ci" empties node_modules. The
 * providers are linked beside the runtime, which loads them from nowhere else; CUDA's libraries are in the
 * LD_LIBRARY_PATH of the engine child. Loads no library itself.
 */

import { execFileSync } from 'node:child_process';
import {
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { z } from 'zod';
import { calledAs } from '../../called-as.ts';
import { homeFolder, place } from '../../home.ts';
import { programEnvironment } from '../../program-environment.ts';
import { neededLibraries } from './elf.ts';

/** One folder per version of the runtime. */
const cudaFolder = path.join(homeFolder, 'cuda');

export const providerNames = [
  'libonnxruntime_providers_shared.so',
  'libonnxruntime_providers_cuda.so',
  'libonnxruntime_providers_tensorrt.so',
] as const;

/** Loaded by name while the model runs, so no library lists them as needed. By CUDA's major version. */
const openedLater: Readonly<Record<number, readonly string[]>> = {
  12: ['libcudnn.so.9', 'libcufft.so.11', 'libnvrtc.so.12'],
  13: ['libcudnn.so.9', 'libcufft.so.12', 'libnvrtc.so.13'],
};

/** Part of NVIDIA's driver only. */
export const driverLibrary = 'libcuda.so.1';

/** What to do where something of CUDA is missing: the image without it cannot be added to. */
export const cudaRemedy =
  place === 'image'
    ? 'use the image for GPUs: docker compose --profile gpu up -d'
    : `run "${calledAs('setup-cuda')}"`;

const installedSchema = z.object({
  /** Version of onnxruntime-node that the providers belong to. */
  onnxruntime: z.string(),
  /** Major version of CUDA. */
  cuda: z.int(),
  /** False after --providers-only. */
  withCuda: z.boolean(),
  /** Installed packages with their versions, for display. */
  packages: z.record(z.string(), z.string()),
  /** Every library, relative to the folder, with its size. */
  files: z.record(z.string(), z.int()),
});
export type InstalledCuda = z.infer<typeof installedSchema>;
export const installedName = 'installed.json';

export interface Runtime {
  readonly version: string;
  /** The folder of libonnxruntime, in which it looks for its providers. */
  readonly folder: string;
}

export function installedRuntime(): Runtime {
  const file = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
  return { version, folder: path.join(path.dirname(file), 'bin', 'napi-v6', process.platform, process.arch) };
}

/** The folders of this checkout, or of a test. */
export interface CudaPlaces {
  readonly runtime: Runtime;
  /** Holds one folder per version of the runtime. */
  readonly parent: string;
}

export function cudaPlaces(): CudaPlaces {
  return { runtime: installedRuntime(), parent: cudaFolder };
}

/** The complete installation by setup-cuda for this version of the runtime, if there is one. */
export function installedCuda(
  { runtime: { version }, parent }: CudaPlaces = cudaPlaces(),
): (InstalledCuda & { readonly folder: string }) | undefined {
  const folder = path.join(parent, version);
  try {
    const installed = installedSchema.parse(
      JSON.parse(readFileSync(path.join(folder, installedName), 'utf8')),
    );
    const isWhole = Object.entries(installed.files).every(
      ([name, bytes]) => lstatSync(path.join(folder, name)).size === bytes,
    );
    return isWhole && installed.onnxruntime === version ? { ...installed, folder } : undefined;
  } catch {
    return undefined;
  }
}

/** Other versions of the runtime that libraries were installed for: left over from before an update. */
export function otherVersions({ runtime: { version }, parent }: CudaPlaces = cudaPlaces()): string[] {
  if (!existsSync(parent)) return [];
  return readdirSync(parent).filter(
    (name) => name !== version && existsSync(path.join(parent, name, installedName)),
  );
}

/**
 * Links the providers beside the runtime where they are missing. Regular files there stay, unless `replace`.
 * @throws Error of the file system, for example when node_modules is not writable
 */
export function linkProviders(places = cudaPlaces(), replace = false): void {
  const { runtime } = places;
  const installed = installedCuda(places);
  if (!installed) return;
  for (const name of providerNames) {
    const target = path.join(installed.folder, 'providers', name);
    const link = path.join(runtime.folder, name);
    if (!existsSync(target)) continue;
    const isLink = lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
    if (existsSync(link) && ((!isLink && !replace) || realpathSync(link) === realpathSync(target))) continue;
    // Atomic, because another process may be linking or loading the library at the same time.
    const temporary = path.join(runtime.folder, `.${name}.${process.pid}`);
    mkdirSync(runtime.folder, { recursive: true });
    rmSync(temporary, { force: true });
    symlinkSync(target, temporary);
    renameSync(temporary, link);
  }
}

/** The provider library of a device: linked, or installed and ready to be linked. */
export function providerOf(device: 'cuda' | 'tensorrt', places = cudaPlaces()): string | undefined {
  const name = `libonnxruntime_providers_${device}.so`;
  const linked = path.join(places.runtime.folder, name);
  if (existsSync(linked)) return linked;
  const installed = installedCuda(places);
  const own = installed && path.join(installed.folder, 'providers', name);
  return own && existsSync(own) ? own : undefined;
}

/** The folder of the CUDA libraries that setup-cuda installed; undefined where the system's are used. */
export function ownCudaLibraries(places = cudaPlaces()): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const installed = installedCuda(places);
  return installed?.withCuda ? path.join(installed.folder, 'lib') : undefined;
}

/** Major version of CUDA that a provider was built for, by the libraries that it needs. */
export function cudaMajorOf(provider: string): number | undefined {
  const match = neededLibraries(provider)
    .map((name) => /^libcudart\.so\.(\d+)/.exec(name))
    .find((found) => found !== null);
  return match ? Number(match[1]) : undefined;
}

/** Whether a CUDA provider belongs to this version of the runtime: the file contains the version as text. */
export async function isOfVersion(file: string, version: string): Promise<boolean> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 22 })) {
    const piece: Buffer = Buffer.concat([rest, chunk as Buffer]);
    if (piece.includes(version, 0, 'latin1')) return true;
    rest = piece.subarray(-version.length);
  }
  return false;
}

/** The libraries of CUDA, cuDNN and TensorRT that a provider needs, those loaded later included. */
export function librariesFor(provider: string): string[] {
  const major = cudaMajorOf(provider);
  const named = neededLibraries(provider).filter((name) => /^lib(cu|nv)/.test(name));
  return [...new Set([...named, ...(openedLater[major ?? 0] ?? [])])];
}

const systemFolders = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/usr/lib',
  '/usr/local/lib',
];

/** Searches like the dynamic loader of the engine child: installed libraries, LD_LIBRARY_PATH, the system's folders. */
export function libraryFinder(
  environment: NodeJS.ProcessEnv = process.env,
  places = cudaPlaces(),
): (name: string) => string | undefined {
  const named = (environment['LD_LIBRARY_PATH'] ?? '').split(':').filter((folder) => folder !== '');
  const own = ownCudaLibraries(places);
  const first = [...(own ? [own] : []), ...named];
  const cached = loaderCache();
  const inFolder = (folders: readonly string[], name: string): string | undefined =>
    folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
  return (name) => inFolder(first, name) ?? cached.get(name) ?? inFolder(systemFolders, name);
}

/** The libraries that ldconfig lists, in lines such as "\tlibcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1". */
function loaderCache(): Map<string, string> {
  const files = new Map<string, string>();
  for (const program of ['/sbin/ldconfig', '/usr/sbin/ldconfig']) {
    if (!existsSync(program)) continue;
    try {
      const text = execFileSync(program, ['-p'], {
        env: programEnvironment(),
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      for (const [, name = '', file = ''] of text.matchAll(/^\s+(\S+) \(.*x86-64.*\) => (\S+)$/gm)) {
        if (!files.has(name) && existsSync(file)) files.set(name, file);
      }
      return files;
    } catch {
      // On some minimal systems ldconfig does not work; systemFolders are searched anyway.
    }
  }
  return files;
}

/** The reason why a GPU cannot be used, as the end of a sentence; undefined when every library is there. */
export function whatIsMissing(
  device: 'cuda' | 'tensorrt',
  places = cudaPlaces(),
  find = libraryFinder(process.env, places),
): string | undefined {
  const provider = providerOf(device, places);
  if (!provider) {
    const [other] = otherVersions(places);
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      return `onnxruntime-node has no ${device} for ${process.platform}-${process.arch}`;
    }
    return other
      ? `its libraries are for onnxruntime-node ${other}, but ${places.runtime.version} is installed; ${cudaRemedy}`
      : `the runtime's CUDA library is not installed; ${cudaRemedy}`;
  }
  let missing: string[];
  try {
    // TensorRT falls back to CUDA for operators that it does not support.
    const providers = new Set([providerOf('cuda', places) ?? provider, provider]);
    const needed = new Set([...providers].flatMap(librariesFor));
    missing = [...needed].filter((name) => find(name) === undefined);
  } catch {
    return `${provider} cannot be read`;
  }
  if (missing.length === 0) return undefined;
  if (missing.includes(driverLibrary))
    return `NVIDIA's driver is not installed (there is no ${driverLibrary})`;
  const names = missing.join(', ');
  return missing.every((name) => /^libnv(infer|onnxparser)/.test(name))
    ? `TensorRT is not installed (there is no ${names})`
    : `CUDA is not complete (there is no ${names}); ${cudaRemedy}`;
}
