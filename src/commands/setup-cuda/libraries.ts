/** The libraries of CUDA and cuDNN, from Python packages of NVIDIA's; and the check that all libraries are there. */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  cudaMajorOf,
  driverLibrary,
  type InstalledCuda,
  isOfVersion,
  librariesFor,
} from '../../inference/devices/cuda-libraries.ts';
import { neededLibraries } from '../../inference/devices/elf.ts';
import { keepLicences, packagesIn, pipInstall } from './pip.ts';
import { type Setup, SetupError } from './run-program.ts';

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6).toLocaleString('en')} MB`;

/**
 * Puts the libraries of CUDA and cuDNN into `setup.made`.
 * @returns their packages, with versions
 */
export async function takeCuda(
  wanted: readonly string[],
  { made, staging, signal }: Setup,
): Promise<Record<string, string>> {
  const wheels = path.join(staging, 'cuda');
  await pipInstall(wheels, wanted, signal);
  const lib = path.join(made, 'lib');
  await mkdir(lib);
  // Some packages have a folder "lib" of their own, others share one.
  for (const entry of await readdir(path.join(wheels, 'nvidia'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.so(\.\d+)*$/.test(entry.name)) continue;
    await rename(path.join(entry.parentPath, entry.name), path.join(lib, entry.name));
  }
  await keepLicences(wheels, made);
  const packages = await packagesIn(wheels);
  await rm(wheels, { recursive: true });
  return packages;
}

/** Libraries of the C library and the compiler's runtime. */
const systemLibrary = /^(ld-linux.*|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|z|util)\.so.*)$/;
const tensorrtLibrary = /^libnv(infer|onnxparser)/;

/**
 * Checks that every library is there that the providers and the installed libraries need.
 * @returns the content of installed.json
 */
export async function checkAndDescribe(
  made: string,
  version: string,
  cuda: number,
  withCuda: boolean,
  packages: Record<string, string>,
): Promise<InstalledCuda> {
  const provider = path.join(made, 'providers', 'libonnxruntime_providers_cuda.so');
  const actual = cudaMajorOf(provider);
  if (actual !== cuda) {
    throw new SetupError(
      `The providers of ONNX Runtime ${version} are for CUDA ${actual ?? 'of an unknown version'}, not ${cuda}; nothing was installed.`,
    );
  }
  if (!(await isOfVersion(provider, version))) {
    throw new SetupError(`The providers are not those of ONNX Runtime ${version}; nothing was installed.`);
  }
  if (withCuda) await assertComplete(made, provider);
  const files: Record<string, number> = {};
  for (const folder of ['providers', ...(withCuda ? ['lib'] : [])]) {
    for (const name of (await readdir(path.join(made, folder))).sort()) {
      files[`${folder}/${name}`] = (await stat(path.join(made, folder, name))).size;
    }
  }
  return { onnxruntime: version, cuda, withCuda, packages, files };
}

/** Every library that the provider and the installed libraries need is installed, or comes with the system or driver. */
async function assertComplete(made: string, provider: string): Promise<void> {
  const libraries = new Set(await readdir(path.join(made, 'lib')));
  const needed = new Set(librariesFor(provider));
  for (const name of libraries) {
    for (const other of neededLibraries(path.join(made, 'lib', name))) needed.add(other);
  }
  const missing = [...needed].filter(
    (name) =>
      name !== driverLibrary &&
      !libraries.has(name) &&
      !systemLibrary.test(name) &&
      !tensorrtLibrary.test(name),
  );
  if (missing.length > 0) {
    throw new SetupError(`The packages lack ${missing.join(', ')}; nothing was installed.`);
  }
}

export function summary({ onnxruntime, cuda, withCuda, packages, files }: InstalledCuda): string {
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  const cudnn = Object.entries(packages).find(([name]) => name.startsWith('nvidia-cudnn'))?.[1];
  const parts = [
    `providers of ONNX Runtime ${onnxruntime} for CUDA ${cuda}`,
    withCuda ? `CUDA's libraries, cuDNN ${cudnn ?? '9'}` : "the system's CUDA and cuDNN are used",
  ];
  return `${parts.join('; ')}; ${megabytes(bytes)}.`;
}
