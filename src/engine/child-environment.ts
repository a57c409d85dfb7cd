/**
 * The environment of the engine child: only the variables that native libraries need. Bot tokens and all other variables
 * stay in the parent. The child reads no .env; its settings arrive by message.
 */
import { ownCudaLibraries } from '../inference/devices/cuda-libraries.ts';

const names = new Set([
  // finding programs, home and temporary folders
  'PATH',
  'HOME',
  'USERPROFILE',
  'TMPDIR',
  'TMP',
  'TEMP',
  'XDG_CACHE_HOME',
  // Windows cannot load libraries or open sockets without these
  'SYSTEMROOT',
  'WINDIR',
  'COMSPEC',
  'PATHEXT',
  'APPDATA',
  'LOCALAPPDATA',
  // shared libraries (CUDA, cuDNN, TensorRT)
  'LD_LIBRARY_PATH',
  'LD_PRELOAD',
  'GLIBC_TUNABLES',
  'DYLD_LIBRARY_PATH',
  // text and time
  'LANG',
  'TZ',
  // fonts are not used, but a broken fontconfig makes some ffmpeg builds complain
  'FONTCONFIG_PATH',
]);
/** CUDA_VISIBLE_DEVICES, NVIDIA_DRIVER_CAPABILITIES, OMP_NUM_THREADS, ORT_…, LC_ALL, GOMP_… */
const prefixes = ['CUDA_', 'NVIDIA_', 'ORT_', 'OMP_', 'GOMP_', 'LC_', 'VK_', 'MALLOC_'];

/**
 * Picks the child's variables from the parent's.
 * @param cudaLibraries folder of CUDA's libraries that belong to the runtime; undefined: the system's are used. The
 * loader reads LD_LIBRARY_PATH once, before a process begins: this is the only place to set it.
 */
export function childEnvironment(
  parent: NodeJS.ProcessEnv,
  cudaLibraries = ownCudaLibraries(),
): NodeJS.ProcessEnv {
  const picked = Object.entries(parent).filter(([name]) => {
    const upper = name.toUpperCase();
    return names.has(upper) || prefixes.some((prefix) => upper.startsWith(prefix));
  });
  // Ours first: cuDNN for CUDA 12 and for CUDA 13 have the same name.
  const libraryPath = [cudaLibraries, parent['LD_LIBRARY_PATH']].filter((folders) => folders).join(':');
  return {
    // "cuda:1" is the GPU that nvidia-smi calls 1; CUDA by itself counts from the fastest.
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    // Huge pages for large blocks: a tenth of the page faults, and less page-table copying in fork, so ffmpeg starts in a
    // third of the time. Other C libraries, and kernels without huge pages, ignore it.
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
    ...Object.fromEntries(picked),
    ...(libraryPath === '' ? {} : { LD_LIBRARY_PATH: libraryPath }),
  };
}
