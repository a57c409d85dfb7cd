/**
 * `npm run setup:cuda`: brings what a CUDA GPU needs besides the driver into a folder of ours. ONNX Runtime's providers
 * come out of the Python package onnxruntime-gpu of the same version (CUDA 13), or by onnxruntime-node's own installer
 * (CUDA 12); CUDA, cuBLAS, cuFFT, cuRAND and cuDNN are Python packages of NVIDIA's. pip downloads and unpacks them; nothing
 * of it is run, and no Python is needed afterwards. Everything is made in a folder beside the final one, checked, and
 * renamed: what is there is complete.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  type CudaPlaces,
  cudaMajorOf,
  cudaPlaces,
  driverLibrary,
  type InstalledCuda,
  installedCuda,
  installedName,
  isOfVersion,
  librariesFor,
  linkProviders,
  otherVersions,
  providerNames,
  type Runtime,
} from '../../inference/devices/cuda-libraries.ts';
import { neededLibraries } from '../../inference/devices/elf.ts';
import { askGpus } from '../../inference/devices/gpus.ts';

export interface SetupOptions {
  /** CUDA and cuDNN are there already: only the providers are wanted. */
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

/** A failure in one sentence, remedy included. */
export class SetupError extends Error {}

interface CudaChoice {
  /** Major version of the oldest driver that it runs on. */
  readonly driver: number;
  /** Needed on the disk while it works: packages, packed and unpacked. */
  readonly bytes: number;
  readonly packages: readonly string[];
}

/** What CUDA brings, by its major version. */
const cudaPackages: Readonly<Record<number, CudaChoice>> = {
  12: {
    driver: 525,
    bytes: 5e9,
    packages: [
      'nvidia-cuda-runtime-cu12~=12.0',
      'nvidia-cuda-nvrtc-cu12~=12.0',
      'nvidia-cublas-cu12~=12.0',
      'nvidia-cufft-cu12~=11.0',
      'nvidia-curand-cu12~=10.0',
      'nvidia-cudnn-cu12~=9.0',
    ],
  },
  13: {
    driver: 580,
    bytes: 3.8e9,
    packages: [
      'nvidia-cuda-runtime~=13.0',
      'nvidia-cuda-nvrtc~=13.0',
      'nvidia-cublas~=13.0',
      'nvidia-cufft~=12.0',
      'nvidia-curand~=10.0',
      'nvidia-cudnn-cu13~=9.0',
    ],
  },
};
const usualCuda = 13;

/** As bytes of CudaChoice, for the providers. */
const providersBytes = 0.8e9;
/** Wheels of these kinds run on every Linux that onnxruntime-node runs on. */
const wheelPlatforms = ['manylinux_2_28', 'manylinux_2_27', 'manylinux_2_17', 'manylinux2014'];
/** Of the Python whose wheel is taken; any will do, as only the providers are taken out of it. */
const wheelPython = '3.12';

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6).toLocaleString('en')} MB`;

/**
 * Installs, or finds that it is done. Says what it does, line by line.
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
  const wanted = cudaPackages[cuda];
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
    await mkdir(path.join(made, 'providers'), { recursive: true });
    const packages: Record<string, string> = { 'onnxruntime-node': runtime.version };
    if (!(await takeFromRuntime(runtime, cuda, made, say))) {
      if (cuda === usualCuda) {
        say(`ONNX Runtime's CUDA providers, version ${runtime.version} (about 250 MB to download) …`);
        Object.assign(packages, await takeFromWheel(await findPip(signal), runtime, made, staging, signal));
      } else {
        say(
          `ONNX Runtime's CUDA ${cuda} providers, by the installer of onnxruntime-node ${runtime.version} …`,
        );
        await runInstaller(places, signal);
        if (!(await takeFromRuntime(runtime, cuda, made, say))) {
          throw new SetupError(
            "onnxruntime-node's installer ended without an error, but brought no providers.",
          );
        }
      }
    }
    if (!options.providersOnly) {
      say(`CUDA ${cuda} and cuDNN 9 (about 1.3 to 1.7 GB to download) …`);
      Object.assign(packages, await takeCuda(await findPip(signal), wanted.packages, made, staging, signal));
    }
    const installed = await checkAndDescribe(made, runtime.version, cuda, !options.providersOnly, packages);
    await writeFile(path.join(made, installedName), `${JSON.stringify(installed, null, 2)}\n`);
    signal.throwIfAborted();

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
    say('"npm run doctor" says whether the GPU is ready.');
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

/** By what lies beside the runtime already, then by the driver. */
async function suitableCuda(runtime: Runtime, say: (line: string) => void): Promise<number> {
  const gpus = await askGpus();
  if (typeof gpus === 'string') {
    say(`${gpus} The libraries are installed all the same; the driver must be installed by you.`);
    return usualCuda;
  }
  const driver = gpus[0]?.driver ?? '';
  const major = Number(driver.split('.')[0]);
  for (const cuda of [usualCuda, 12]) {
    const oldestDriver = cudaPackages[cuda]?.driver ?? Number.POSITIVE_INFINITY;
    if (!(major < oldestDriver)) {
      if (cuda !== usualCuda)
        say(`The NVIDIA driver ${driver} is too old for CUDA ${usualCuda}; taking CUDA ${cuda}.`);
      return cuda;
    }
  }
  throw new SetupError(
    `The NVIDIA driver ${driver} is too old for ONNX Runtime ${runtime.version}; install driver ${cudaPackages[usualCuda]?.driver} or newer.`,
  );
}

function assertRoom(folder: string, free: number, bytes: number): void {
  if (free < bytes) {
    throw new SetupError(
      `There are ${megabytes(free)} free in ${folder}, and ${megabytes(bytes)} are needed for the time of the installation; free some space.`,
    );
  }
}

/** Exit code of a program whose words go to the terminal; undefined when there is no such program. */
function run(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
  environment: NodeJS.ProcessEnv = {},
  words: 'shown' | 'hidden' = 'shown',
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const output = words === 'shown' ? 'inherit' : 'ignore';
    const child = spawn(program, args, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', output, output],
      signal,
    });
    child.once('error', (error) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') resolve(undefined);
      // It was asked to end, and may be writing still: its exit is waited for.
      else if (!signal.aborted) reject(error);
    });
    child.once('exit', (code) => (signal.aborted ? reject(signal.reason) : resolve(code ?? -1)));
  });
}

/** A Python that has pip: its name. */
async function findPip(signal: AbortSignal): Promise<string> {
  let hasPython = false;
  for (const python of ['python3', 'python']) {
    const code = await run(python, ['-m', 'pip', '--version'], signal, {}, 'hidden');
    if (code === 0) return python;
    hasPython ||= code !== undefined;
  }
  throw new SetupError(
    hasPython
      ? 'Python is installed, but its pip is not; install it (on Debian and Ubuntu: apt install python3-pip).'
      : 'Python 3 with pip is needed for the download and was not found; install it (on Debian and Ubuntu: apt install python3-pip).',
  );
}

/** Unpacks wheels into `target`. */
async function pipInstall(
  python: string,
  target: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const temporary = `${target}.tmp`;
  await mkdir(temporary, { recursive: true });
  const command = [
    ...['-m', 'pip', 'install', '--target', target, '--no-cache-dir', '--no-compile', '--no-input'],
    ...['--disable-pip-version-check', '--only-binary', ':all:'],
    ...['--python-version', wheelPython, '--implementation', 'cp'],
    ...wheelPlatforms.flatMap((platform) => ['--platform', `${platform}_x86_64`]),
    ...args,
  ];
  // Settings of the user's that do not go with --target; and everything on one disk, ours.
  const environment = {
    PIP_USER: '0',
    PIP_REQUIRE_VIRTUALENV: '0',
    PIP_ROOT_USER_ACTION: 'ignore',
    TMPDIR: temporary,
  };
  const code = await run(python, command, signal, environment);
  signal.throwIfAborted();
  if (code !== 0) {
    throw new SetupError(
      `pip could not install ${args.filter((arg) => !arg.startsWith('-')).join(', ')} (exit code ${code}); its own words are above. Nothing was installed.`,
    );
  }
}

/** Names and versions of what pip put into a folder. */
async function packagesIn(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder);
  return Object.fromEntries(
    entries.flatMap((entry) => {
      const match = /^(.+)-([^-]+)\.dist-info$/.exec(entry);
      return match ? [[(match[1] ?? '').replaceAll('_', '-'), match[2] ?? '']] : [];
    }),
  );
}

/** Licences go where the libraries go. */
async function keepLicences(wheels: string, made: string): Promise<void> {
  const folders = (await readdir(wheels)).filter(
    (name) => name.endsWith('.dist-info') || name === 'onnxruntime',
  );
  for (const folder of folders) {
    const entries = await readdir(path.join(wheels, folder), { recursive: true });
    for (const entry of entries) {
      if (!/(^|\/)(licen[cs]e|thirdpartynotices)[^/]*$/i.test(entry)) continue;
      const file = path.join(wheels, folder, entry);
      if (!(await stat(file)).isFile()) continue;
      await mkdir(path.join(made, 'licences'), { recursive: true });
      const name = `${folder.replace(/-.*$/, '')}-${path.basename(entry)}`;
      await rename(file, path.join(made, 'licences', name));
    }
  }
}

async function takeFromWheel(
  pip: string,
  runtime: Runtime,
  made: string,
  staging: string,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const wheels = path.join(staging, 'providers');
  await pipInstall(pip, wheels, ['--no-deps', `onnxruntime-gpu==${runtime.version}`], signal);
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

/** Takes providers that lie beside the runtime, where its own installer puts them. False when those are not what is wanted. */
async function takeFromRuntime(
  runtime: Runtime,
  cuda: number,
  made: string,
  say: (line: string) => void,
): Promise<boolean> {
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

async function takeCuda(
  pip: string,
  wanted: readonly string[],
  made: string,
  staging: string,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const wheels = path.join(staging, 'cuda');
  await pipInstall(pip, wheels, wanted, signal);
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

/** What the C library and the compiler's runtime bring. */
const systemLibrary = /^(ld-linux.*|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|z|util)\.so.*)$/;
const tensorrtLibrary = /^libnv(infer|onnxparser)/;

/** Everything that a library of ours asks for is there: the providers' needs, and the needs of those. */
async function checkAndDescribe(
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
  const libraries = withCuda ? await readdir(path.join(made, 'lib')) : [];
  const here = new Set(libraries);
  if (withCuda) {
    const needed = new Set(librariesFor(provider));
    for (const name of libraries) {
      for (const other of neededLibraries(path.join(made, 'lib', name))) needed.add(other);
    }
    const missing = [...needed].filter(
      (name) =>
        name !== driverLibrary && !here.has(name) && !systemLibrary.test(name) && !tensorrtLibrary.test(name),
    );
    if (missing.length > 0) {
      throw new SetupError(`The packages lack ${missing.join(', ')}; nothing was installed.`);
    }
  }
  const files: Record<string, number> = {};
  for (const folder of ['providers', ...(withCuda ? ['lib'] : [])]) {
    for (const name of (await readdir(path.join(made, folder))).sort()) {
      files[`${folder}/${name}`] = (await stat(path.join(made, folder, name))).size;
    }
  }
  return { onnxruntime: version, cuda, withCuda, packages, files };
}

function summary({ onnxruntime, cuda, withCuda, packages, files }: InstalledCuda): string {
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  const cudnn = Object.entries(packages).find(([name]) => name.startsWith('nvidia-cudnn'))?.[1];
  const parts = [
    `providers of ONNX Runtime ${onnxruntime} for CUDA ${cuda}`,
    withCuda ? `CUDA's libraries, cuDNN ${cudnn ?? '9'}` : "the system's CUDA and cuDNN are used",
  ];
  return `${parts.join('; ')}; ${megabytes(bytes)}.`;
}

function link(places: CudaPlaces): void {
  try {
    linkProviders(places, true);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SetupError(`The libraries could not be linked into ${places.runtime.folder}: ${reason}.`);
  }
}
