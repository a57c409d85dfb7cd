/** The real setup with a pip that copies from a folder instead of downloading, and libraries that are but their needs. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type SetupOptions, setupCuda } from '../../../src/commands/setup-cuda/setup-cuda.ts';
import {
  type CudaPlaces,
  installedCuda,
  linkProviders,
  ownCudaLibraries,
  providerOf,
  whatIsMissing,
} from '../../../src/inference/devices/cuda-libraries.ts';
import { fakeNvidiaSmi, h100, makeLibrary, writeProgram } from '../../fakes/nvidia.ts';

const version = '1.30.0';
const cudaProvider = 'libonnxruntime_providers_cuda.so';
const systemNeeds = ['libstdc++.so.6', 'libc.so.6'];
const cuda13 = ['libcublasLt.so.13', 'libcublas.so.13', 'libcurand.so.10', 'libcudart.so.13', 'libcuda.so.1'];
const opened13 = ['libcudnn.so.9', 'libcufft.so.12', 'libnvrtc.so.13'];

let root: string;
let bin: string;
let wheels: string;
let places: CudaPlaces;
let said: string[];
let freeBytes: number;

/** A wheel as pip unpacks it: name → content, relative to the target. */
function makeWheel(requirement: string, files: Readonly<Record<string, Buffer | string>>): void {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(wheels, requirement, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
}

function makeProviders(libraries: readonly string[], ofVersion = version): Record<string, Buffer> {
  return {
    'libonnxruntime_providers_shared.so': makeLibrary(systemNeeds),
    [cudaProvider]: makeLibrary([...libraries, ...systemNeeds], `ONNX Runtime ${ofVersion} providers`),
    'libonnxruntime_providers_tensorrt.so': makeLibrary(['libnvinfer.so.10', ...systemNeeds]),
  };
}

function makeRuntimeWheel(libraries: readonly string[] = cuda13, wheelVersion = version): void {
  const providers = makeProviders(libraries, wheelVersion);
  makeWheel('onnxruntime-gpu', {
    ...Object.fromEntries(
      Object.entries(providers).map(([name, bytes]) => [`onnxruntime/capi/${name}`, bytes]),
    ),
    'onnxruntime/LICENSE': 'MIT',
    [`onnxruntime_gpu-${wheelVersion}.dist-info/METADATA`]: '',
  });
}

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'kinora-setup-'));
  bin = path.join(root, 'bin');
  wheels = path.join(root, 'wheels');
  places = {
    runtime: { version, folder: path.join(root, 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64') },
    parent: path.join(root, 'cuda'),
  };
  mkdirSync(places.runtime.folder, { recursive: true });
  said = [];
  freeBytes = 1e12;

  makeRuntimeWheel();
  makeWheel('nvidia', {
    ...Object.fromEntries(
      cuda13
        .slice(0, 4)
        .map((name) => [`nvidia/cu13/lib/${name}`, makeLibrary(['libcuda.so.1', 'libc.so.6'])]),
    ),
    'nvidia/cudnn/lib/libcudnn.so.9': makeLibrary(['libcublas.so.13', 'libc.so.6']),
    'nvidia/cu13/lib/libcufft.so.12': makeLibrary(['libc.so.6']),
    'nvidia/cu13/lib/libnvrtc.so.13': makeLibrary(['libc.so.6']),
    'nvidia/cu13/include/cuda.h': 'not wanted',
    'nvidia_cudnn_cu13-9.28.0.42.dist-info/licenses/License.txt': "NVIDIA's terms",
  });
  // The last argument tells which wheels are meant; the target is what follows --target.
  writeProgram(
    bin,
    'python3',
    `echo "$*" >> ${root}/pip.log
case "$*" in *--version*) exit 0;; esac
while [ "$1" != --target ]; do shift; done
target=$2
for last; do :; done
mkdir -p "$target"
case "$last" in onnxruntime-gpu*) cp -r ${wheels}/onnxruntime-gpu/. "$target";; *) cp -r ${wheels}/nvidia/. "$target";; esac`,
  );
  vi.stubEnv('PATH', `${bin}:/usr/bin:/bin`);
  vi.stubEnv('LD_LIBRARY_PATH', '');
  fakeNvidiaSmi(bin, [h100]);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

const setup = (options: Partial<SetupOptions> = {}): Promise<void> =>
  setupCuda({ providersOnly: false, ...options }, places, {
    say: (line) => said.push(line),
    freeBytes: async () => freeBytes,
  });

const pipCalls = (): string[] => {
  const log = path.join(root, 'pip.log');
  if (!existsSync(log)) return [];
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('install'));
};

const nothingIsLeft = (): void => {
  expect(existsSync(places.parent) ? readdirSync(places.parent) : []).toEqual([]);
  expect(readdirSync(places.runtime.folder)).toEqual([]);
};

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('setup:cuda', () => {
  it('brings providers and CUDA, links them beside the runtime and leaves nothing else behind', async () => {
    await setup();
    expect(readdirSync(places.parent)).toEqual([version]);
    const folder = path.join(places.parent, version);
    expect(readdirSync(folder).sort()).toEqual(['installed.json', 'lib', 'licences', 'providers']);
    expect(readdirSync(path.join(folder, 'lib')).sort()).toEqual([...cuda13.slice(0, 4), ...opened13].sort());
    expect(readdirSync(path.join(folder, 'licences')).sort()).toEqual([
      'nvidia_cudnn_cu13-License.txt',
      'onnxruntime-LICENSE',
    ]);
    expect(installedCuda(places)).toMatchObject({
      onnxruntime: version,
      cuda: 13,
      withCuda: true,
      packages: { 'nvidia-cudnn-cu13': '9.28.0.42', 'onnxruntime-gpu': version },
    });
    expect(ownCudaLibraries(places)).toBe(path.join(folder, 'lib'));
    expect(readlinkSync(path.join(places.runtime.folder, cudaProvider))).toBe(
      path.join(folder, 'providers', cudaProvider),
    );
    expect(pipCalls()[0]).toContain(`onnxruntime-gpu==${version}`);
    expect(said.join('\n')).toMatch(
      /250 MB[\s\S]*1\.3 to 1\.7 GB[\s\S]*Installed: .*cuDNN 9\.28\.0\.42; \d+ MB/,
    );
    // All but the driver, which no package brings.
    const find = (name: string) => (name === 'libcuda.so.1' ? undefined : name);
    expect(whatIsMissing('cuda', places, find)).toMatch(/driver is not installed/);
  });

  it('does nothing the second time, but restores links that "npm ci" took away', async () => {
    await setup();
    const calls = pipCalls().length;
    rmSync(places.runtime.folder, { recursive: true });
    expect(providerOf('cuda', places)).toBe(path.join(places.parent, version, 'providers', cudaProvider));
    linkProviders(places);
    expect(lstatSync(path.join(places.runtime.folder, cudaProvider)).isSymbolicLink()).toBe(true);
    rmSync(places.runtime.folder, { recursive: true });
    await setup();
    expect(lstatSync(path.join(places.runtime.folder, cudaProvider)).isSymbolicLink()).toBe(true);
    expect(pipCalls()).toHaveLength(calls);
    expect(said.join('\n')).toContain('All is installed already');
  });

  it('an installation that lost a file is made again', async () => {
    await setup();
    rmSync(path.join(places.parent, version, 'lib', 'libcudnn.so.9'));
    expect(installedCuda(places)).toBeUndefined();
    await setup();
    expect(installedCuda(places)?.files['lib/libcudnn.so.9']).toBeGreaterThan(0);
  });

  it('brings the providers alone for people who have CUDA', async () => {
    await setup({ providersOnly: true });
    expect(pipCalls()).toHaveLength(1);
    expect(installedCuda(places)).toMatchObject({ withCuda: false });
    expect(ownCudaLibraries(places)).toBeUndefined();
    // CUDA's libraries may be added later; the providers are not downloaded again.
    await setup();
    expect(installedCuda(places)).toMatchObject({ withCuda: true });
    expect(pipCalls().filter((call) => call.includes('onnxruntime-gpu'))).toHaveLength(1);
  });

  it('replaces the libraries of an earlier runtime, which are never loaded with this one', async () => {
    const { runtime } = places;
    places = { ...places, runtime: { ...runtime, version: '1.29.0' } };
    replaceRuntimeWheel(cuda13, '1.29.0');
    await setup();
    replaceRuntimeWheel(cuda13);
    rmSync(runtime.folder, { recursive: true }); // as "npm install" of another version does
    places = { ...places, runtime };
    expect(providerOf('cuda', places)).toBeUndefined();
    expect(whatIsMissing('cuda', places)).toMatch(/for onnxruntime-node 1\.29\.0, but 1\.30\.0 is installed/);
    await setup();
    expect(readdirSync(places.parent)).toEqual([version]);
    expect(said.join('\n')).toContain('The libraries for onnxruntime-node 1.29.0 were removed.');
  });

  it("takes CUDA 12, by the runtime's own installer, where the driver is too old for 13", async () => {
    fakeNvidiaSmi(bin, [h100.replace('580.95.05', '550.54.14')]);
    const script = path.resolve(places.runtime.folder, '../../../../script/install.js');
    mkdirSync(path.dirname(script), { recursive: true });
    const cuda12 = cuda13.map((name) => name.replace('.13', '.12'));
    for (const [name, bytes] of Object.entries(makeProviders(cuda12))) {
      writeFileSync(path.join(root, name), bytes);
    }
    writeFileSync(
      script,
      `if (process.env.ONNXRUNTIME_NODE_INSTALL !== 'true') process.exit(3);
       for (const kind of ['shared', 'cuda', 'tensorrt']) {
         const name = 'libonnxruntime_providers_' + kind + '.so';
         require('node:fs').copyFileSync(${JSON.stringify(root)} + '/' + name, ${JSON.stringify(places.runtime.folder)} + '/' + name);
       }`,
    );
    await setup({ providersOnly: true });
    expect(said[0]).toMatch(/driver 550\.54\.14 is too old for CUDA 13; taking CUDA 12/);
    expect(installedCuda(places)).toMatchObject({ cuda: 12 });
    expect(lstatSync(path.join(places.runtime.folder, cudaProvider)).isSymbolicLink()).toBe(true);
    expect(pipCalls()).toEqual([]);
  });

  it("keeps what was there when the runtime's installer fails", async () => {
    await setup({ providersOnly: true });
    const script = path.resolve(places.runtime.folder, '../../../../script/install.js');
    mkdirSync(path.dirname(script), { recursive: true });
    const half = path.join(places.runtime.folder, cudaProvider);
    writeFileSync(
      script,
      `require('node:fs').writeFileSync(${JSON.stringify(half)}, 'half'); process.exit(1);`,
    );
    await expect(setup({ cuda: 12 })).rejects.toThrow(/installer failed \(exit code 1\)/);
    expect(installedCuda(places)).toMatchObject({ cuda: 13 });
    expect(lstatSync(half).isSymbolicLink()).toBe(true);
    expect(readFileSync(half, 'latin1')).not.toBe('half');
  });

  it('installs without a driver and says that it is missing', async () => {
    rmSync(path.join(bin, 'nvidia-smi'));
    vi.stubEnv('PATH', withoutNvidia());
    await setup();
    expect(said[0]).toMatch(/There is no nvidia-smi.*must be installed by you/);
  });

  it('says that pip is missing, and whether Python is there', async () => {
    writeProgram(bin, 'python3', 'echo "No module named pip" >&2; exit 1');
    writeProgram(bin, 'python', 'exit 1');
    await expect(setup()).rejects.toThrow(
      /Python is installed, but its pip is not; .*apt install python3-pip/,
    );
    nothingIsLeft();
    const empty = path.join(root, 'empty');
    mkdirSync(empty);
    vi.stubEnv('PATH', empty);
    await expect(setup()).rejects.toThrow(/Python 3 with pip is needed/);
    nothingIsLeft();
  });

  it('says that pip failed, removes what it left, and keeps what was there', async () => {
    await setup({ providersOnly: true });
    const before = readdirSync(path.join(places.parent, version));
    writeProgram(
      bin,
      'python3',
      `case "$*" in *--version*) exit 0;; esac
while [ "$1" != --target ]; do shift; done
mkdir -p "$2"; echo half > "$2/half"; exit 2`,
    );
    await expect(setup()).rejects.toThrow(/pip could not install nvidia-.*\(exit code 2\)/);
    expect(readdirSync(places.parent)).toEqual([version]);
    expect(readdirSync(path.join(places.parent, version))).toEqual(before);
    expect(installedCuda(places)).toMatchObject({ withCuda: false });
  });

  it.each<[string, () => void, RegExp]>([
    [
      'another version',
      () => replaceRuntimeWheel(cuda13, '1.29.0'),
      /onnxruntime-gpu 1\.29\.0 instead of 1\.30\.0/,
    ],
    ['another CUDA', () => replaceRuntimeWheel(['libcudart.so.14']), /are for CUDA 14, not 13/],
    [
      'a provider of another build',
      () => makeWheel('onnxruntime-gpu', { [`onnxruntime/capi/${cudaProvider}`]: makeLibrary(cuda13) }),
      /not those of ONNX Runtime 1\.30\.0/,
    ],
    [
      'a missing provider',
      () => rmSync(path.join(wheels, 'onnxruntime-gpu/onnxruntime/capi', cudaProvider)),
      /has no libonnxruntime_providers_cuda\.so/,
    ],
    [
      'a missing library',
      () => rmSync(path.join(wheels, 'nvidia/nvidia/cudnn'), { recursive: true }),
      /lack libcudnn\.so\.9/,
    ],
    [
      'a library that needs one more',
      () => makeWheel('nvidia', { 'nvidia/cu13/lib/libcufft.so.12': makeLibrary(['libnvJitLink.so.13']) }),
      /lack libnvJitLink\.so\.13/,
    ],
  ])('refuses packages with %s', async (_what, spoil, sentence) => {
    spoil();
    await expect(setup()).rejects.toThrow(sentence);
    nothingIsLeft();
  });

  it('says how much space is needed before it downloads anything', async () => {
    freeBytes = 2e9;
    await expect(setup()).rejects.toThrow(/There are 2,000 MB free in .*, and 4,600 MB are needed/);
    expect(pipCalls()).toEqual([]);
    nothingIsLeft();
    await setup({ providersOnly: true });
  });

  it('refuses a driver that no CUDA of this runtime takes', async () => {
    fakeNvidiaSmi(bin, [h100.replace('580.95.05', '470.82.01')]);
    await expect(setup()).rejects.toThrow(/driver 470\.82\.01 is too old .* install driver 580 or newer/);
    await expect(setup({ cuda: 11 })).rejects.toThrow(/CUDA 11; expected 12 or 13/);
    nothingIsLeft();
  });

  it('ends pip when it is interrupted, and leaves nothing', async () => {
    writeProgram(
      bin,
      'python3',
      `case "$*" in *--version*) exit 0;; esac
touch ${root}/running; exec sleep 60`,
    );
    const done = expect(setup()).rejects.toThrow('Interrupted; nothing was installed.');
    await vi.waitFor(() => expect(existsSync(path.join(root, 'running'))).toBe(true), 5000);
    process.emit('SIGINT');
    await done;
    nothingIsLeft();
  });

  it('says why it cannot link', async () => {
    rmSync(places.runtime.folder, { recursive: true });
    writeFileSync(places.runtime.folder, 'in the way');
    await expect(setup()).rejects.toThrow(/could not be linked into .*x64: /);
  });
});

function replaceRuntimeWheel(libraries: readonly string[], wheelVersion = version): void {
  rmSync(path.join(wheels, 'onnxruntime-gpu'), { recursive: true });
  makeRuntimeWheel(libraries, wheelVersion);
}

/** The tools that the fake pip needs, on machines that have an nvidia-smi beside them. */
function withoutNvidia(): string {
  const tools = path.join(root, 'tools');
  for (const tool of ['cp', 'mkdir']) writeProgram(tools, tool, `exec /bin/${tool} "$@"`);
  return `${bin}:${tools}`;
}
