/**
 * `npm run setup:cuda`: installs the libraries that a CUDA GPU needs besides its driver, into a folder of Kinora's: ONNX
 * Runtime's providers, CUDA, cuBLAS, cuFFT, cuRAND and cuDNN. pip downloads and unpacks them; no Python is needed
 * afterwards. Everything is made in a folder beside the final one, checked, and renamed: an installed folder is complete.
 */

import { mkdir, rename, rm, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { calledAs } from '../../called-as.ts';
import {
  type CudaPlaces,
  cudaPlaces,
  type InstalledCuda,
  installedCuda,
  installedName,
  linkProviders,
  otherVersions,
  type Runtime,
} from '../../inference/devices/cuda-libraries.ts';
import { askGpus } from '../../inference/devices/gpus.ts';
import { describeNoGpus } from '../no-gpus.ts';
import { checkAndDescribe, megabytes, summary, takeCuda } from './libraries.ts';
import { takeProviders } from './providers.ts';
import { type Setup, SetupError } from './run-program.ts';
import { cudaVersions, usualCuda } from './versions.ts';

export interface SetupOptions {
  /** Installs the providers only, for systems with CUDA and cuDNN of their own. */
  readonly providersOnly: boolean;
  /** Major version of CUDA; undefined: 13, or 12 where the driver is too old for it. */
  readonly cuda?: number | undefined;
}

export interface SetupHooks {
  readonly say: (line: string) => void;
  /** Of the disk that a folder is on. */
  readonly freeBytes: (folder: string) => Promise<number>;
}

const usualHooks: SetupHooks = {
  say: (line) => process.stdout.write(`${line}\n`),
  freeBytes: async (folder) => {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  },
};

/** As CudaVersion.bytes, for the providers. */
const providersBytes = 0.8e9;

/**
 * Installs, or finds that it is done. Prints its steps line by line.
 * @throws SetupError
 */
export async function setupCuda(
  options: SetupOptions,
  places: CudaPlaces = cudaPlaces(),
  { say, freeBytes }: SetupHooks = usualHooks,
): Promise<void> {
  const { parent, runtime } = places;
  assertPlatform();
  const cuda = options.cuda ?? (await suitableCuda(runtime, say));
  const wanted = cudaVersions[cuda];
  if (!wanted) throw new SetupError(`There is no setup for CUDA ${cuda}; expected 12 or 13.`);
  const present = installedCuda(places);
  if (present && present.cuda === cuda && present.withCuda === !options.providersOnly) {
    link(places);
    say(`All is installed already: ${summary(present)}`);
    say(`It lies in ${present.folder}; delete that folder to remove it.`);
    return;
  }

  await mkdir(parent, { recursive: true });
  const staging = path.join(parent, 'partial');
  await rm(staging, { recursive: true, force: true });
  assertRoom(parent, await freeBytes(parent), providersBytes + (options.providersOnly ? 0 : wanted.bytes));
  const interrupted = new AbortController();
  const onSignal = (): void => interrupted.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  const { signal } = interrupted;
  try {
    const made = path.join(staging, 'made');
    const setup: Setup = { staging, made, say, signal };
    await mkdir(path.join(made, 'providers'), { recursive: true });
    const packages: Record<string, string> = { 'onnxruntime-node': runtime.version };
    Object.assign(packages, await takeProviders(places, cuda, setup));
    if (!options.providersOnly) {
      say(`CUDA ${cuda} and cuDNN 9 (about 1.3 to 1.7 GB to download) …`);
      Object.assign(packages, await takeCuda(wanted.packages, setup));
    }
    const installed = await checkAndDescribe(made, runtime.version, cuda, !options.providersOnly, packages);
    await writeFile(path.join(made, installedName), `${JSON.stringify(installed, null, 2)}\n`);
    signal.throwIfAborted();
    await moveIntoPlace(made, installed, places, say);
  } catch (error) {
    if (signal.aborted) throw new SetupError('Interrupted; nothing was installed.');
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') {
      throw new SetupError(`The disk of ${parent} is full; nothing was installed.`);
    }
    throw error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, onSignal);
    await rm(staging, { recursive: true, force: true });
  }
}

async function moveIntoPlace(
  made: string,
  installed: InstalledCuda,
  places: CudaPlaces,
  say: (line: string) => void,
): Promise<void> {
  const { parent, runtime } = places;
  const final = path.join(parent, runtime.version);
  await rm(final, { recursive: true, force: true });
  await rename(made, final);
  link(places);
  for (const old of otherVersions(places)) {
    await rm(path.join(parent, old), { recursive: true, force: true });
    say(`The libraries for onnxruntime-node ${old} were removed.`);
  }
  say(`Installed: ${summary(installed)}`);
  say(`It lies in ${final}; delete that folder to remove it.`);
  say(`"${calledAs('doctor')}" says whether the GPU is ready.`);
}

function assertPlatform(): void {
  const { platform, arch } = process;
  if (platform !== 'linux' || arch !== 'x64') {
    throw new SetupError(
      `CUDA is for Linux on x64 only, and this is ${platform}-${arch}; use KINORA_DEVICE=webgpu or cpu.`,
    );
  }
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const [, minor = 0] = (header?.glibcVersionRuntime ?? '').split('.').map(Number);
  if (minor < 28) {
    throw new SetupError(
      `CUDA's libraries need glibc 2.28 or newer, and this system has ${header?.glibcVersionRuntime ?? 'none'}; use a newer Linux.`,
    );
  }
}

/** The newest version that the driver can run. */
async function suitableCuda(runtime: Runtime, say: (line: string) => void): Promise<number> {
  const answer = await askGpus();
  if (answer.kind !== 'gpus') {
    const reason = describeNoGpus(answer);
    say(`${reason} The libraries are installed all the same; the driver must be installed by you.`);
    return usualCuda;
  }
  const driver = answer.gpus[0]?.driver ?? '';
  const major = Number(driver.split('.')[0]);
  for (const cuda of [usualCuda, 12]) {
    const oldestDriver = cudaVersions[cuda]?.driver ?? Number.POSITIVE_INFINITY;
    if (!(major < oldestDriver)) {
      if (cuda !== usualCuda)
        say(`The NVIDIA driver ${driver} is too old for CUDA ${usualCuda}; taking CUDA ${cuda}.`);
      return cuda;
    }
  }
  throw new SetupError(
    `The NVIDIA driver ${driver} is too old for ONNX Runtime ${runtime.version}; install driver ${cudaVersions[usualCuda]?.driver} or newer.`,
  );
}

function assertRoom(folder: string, free: number, bytes: number): void {
  if (free < bytes) {
    throw new SetupError(
      `There are ${megabytes(free)} free in ${folder}, and ${megabytes(bytes)} are needed for the time of the installation; free some space.`,
    );
  }
}

function link(places: CudaPlaces): void {
  try {
    linkProviders(places, true);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SetupError(`The libraries could not be linked into ${places.runtime.folder}: ${reason}.`);
  }
}
