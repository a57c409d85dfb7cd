/**
 * The environment of the engine child: only the variables that native libraries need. Bot tokens and all other variables
 * stay in the parent. The child reads no .env; its settings arrive by message.
 */

import { ownCudaLibraries } from '../inference/devices/cuda-libraries.ts';
import { programEnvironment } from '../program-environment.ts';

/**
 * Picks the child's variables from the parent's.
 * @param cudaLibraries folder of CUDA's libraries that belong to the runtime; undefined: the system's are used. The
 * loader reads LD_LIBRARY_PATH once, before a process begins: this is the only place to set it.
 */
export function childEnvironment(
  parent: NodeJS.ProcessEnv,
  cudaLibraries = ownCudaLibraries(),
): NodeJS.ProcessEnv {
  // Ours first: cuDNN for CUDA 12 and for CUDA 13 have the same name.
  const libraryPath = [cudaLibraries, parent['LD_LIBRARY_PATH']].filter((folders) => folders).join(':');
  return {
    // "cuda:1" is the GPU that nvidia-smi calls 1; CUDA by itself counts from the fastest.
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    // Huge pages for large blocks: a tenth of the page faults, and less page-table copying in fork, so ffmpeg starts in a
    // third of the time. Other C libraries, and kernels without huge pages, ignore it.
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
    ...programEnvironment(parent),
    ...(libraryPath === '' ? {} : { LD_LIBRARY_PATH: libraryPath }),
  };
}
