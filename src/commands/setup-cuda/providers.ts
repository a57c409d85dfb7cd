/**
 * ONNX Runtime's providers for CUDA: from the Python package onnxruntime-gpu of the same version (CUDA 13), or by
 * onnxruntime-node's own installer (CUDA 12).
 */
import { existsSync } from 'node:fs';
import { copyFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  type CudaPlaces,
  cudaMajorOf,
  isOfVersion,
  linkProviders,
  providerNames,
  type Runtime,
} from '../../inference/devices/cuda-libraries.ts';
import { keepLicences, packagesIn, pipInstall } from './pip.ts';
import { run, type Setup, SetupError } from './run-program.ts';
import { usualCuda } from './versions.ts';

/**
 * Puts the providers for this CUDA into `setup.made`.
 * @returns the packages that they come from, with versions
 */
export async function takeProviders(
  places: CudaPlaces,
  cuda: number,
  setup: Setup,
): Promise<Record<string, string>> {
  const { runtime } = places;
  const { say, signal } = setup;
  if (await takeFromRuntime(runtime, cuda, setup)) return {};
  if (cuda === usualCuda) {
    say(`ONNX Runtime's CUDA providers, version ${runtime.version} (about 250 MB to download) …`);
    return await takeFromWheel(runtime, setup);
  }
  say(`ONNX Runtime's CUDA ${cuda} providers, by the installer of onnxruntime-node ${runtime.version} …`);
  await runInstaller(places, signal);
  if (!(await takeFromRuntime(runtime, cuda, setup))) {
    throw new SetupError("onnxruntime-node's installer ended without an error, but brought no providers.");
  }
  return {};
}

async function takeFromWheel(
  runtime: Runtime,
  { made, staging, signal }: Setup,
): Promise<Record<string, string>> {
  const wheels = path.join(staging, 'providers');
  await pipInstall(wheels, ['--no-deps', `onnxruntime-gpu==${runtime.version}`], signal);
  const packages = await packagesIn(wheels);
  const version = packages['onnxruntime-gpu'];
  if (version !== runtime.version) {
    throw new SetupError(
      `pip brought onnxruntime-gpu ${version ?? 'without a version'} instead of ${runtime.version}; nothing was installed.`,
    );
  }
  for (const name of providerNames) {
    const file = path.join(wheels, 'onnxruntime', 'capi', name);
    if (!existsSync(file))
      throw new SetupError(`onnxruntime-gpu ${version} has no ${name}; nothing was installed.`);
    await rename(file, path.join(made, 'providers', name));
  }
  await keepLicences(wheels, made);
  await rm(wheels, { recursive: true });
  return packages;
}

/** Takes the providers beside the runtime, where its own installer puts them. False when they are of another version. */
async function takeFromRuntime(runtime: Runtime, cuda: number, { made, say }: Setup): Promise<boolean> {
  const main = path.join(runtime.folder, 'libonnxruntime_providers_cuda.so');
  if (!existsSync(main) || cudaMajorOf(main) !== cuda || !(await isOfVersion(main, runtime.version)))
    return false;
  say(`ONNX Runtime's CUDA ${cuda} providers are there already.`);
  for (const name of providerNames) {
    const file = path.join(runtime.folder, name);
    if (existsSync(file)) await copyFile(file, path.join(made, 'providers', name));
  }
  return true;
}

/** onnxruntime-node's own install script, which .npmrc keeps "npm ci" from running. */
async function runInstaller(places: CudaPlaces, signal: AbortSignal): Promise<void> {
  const { runtime } = places;
  // It would write through links of ours into the folder that they lead to.
  for (const name of providerNames) await rm(path.join(runtime.folder, name), { force: true });
  const script = path.resolve(runtime.folder, '../../../../script/install.js');
  const code = await run(process.execPath, [script], signal, { ONNXRUNTIME_NODE_INSTALL: 'true' });
  signal.throwIfAborted();
  if (code !== 0) {
    for (const name of providerNames) await rm(path.join(runtime.folder, name), { force: true });
    linkProviders(places); // what was there before
    throw new SetupError(
      `onnxruntime-node's installer failed (exit code ${code}); its own words are above. Nothing was installed.`,
    );
  }
}
