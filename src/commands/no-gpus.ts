/** Why nvidia-smi lists no GPU, as a sentence for the terminal. */
import type { NoGpus } from '../inference/devices/nvidia-smi.ts';

export function describeNoGpus(reason: NoGpus): string {
  switch (reason.kind) {
    case 'noNvidiaSmi':
      return 'There is no nvidia-smi, which comes with the NVIDIA driver.';
    case 'noAnswer':
      return 'nvidia-smi does not answer: the driver hangs.';
    case 'failed':
      return `nvidia-smi fails: ${reason.words}.`;
    case 'noGpu':
      return 'The NVIDIA driver sees no GPU.';
  }
}
