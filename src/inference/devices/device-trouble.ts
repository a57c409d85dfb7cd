/**
 * What the runtime, CUDA, cuDNN and TensorRT say when a device cannot be used, turned into words that tell what to do.
 * Their own messages name source files and this machine's host name, or only that "a shared library" failed. Knows no
 * session.
 */
import { whatIsMissing } from './cuda-libraries.ts';

/** "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=…" */
const cudaFailure = /CUDA failure (\d+): ([^;\n]+)/;

const tooOldGpu =
  'the GPU is too old for this CUDA; it needs compute capability 7.5 (RTX 20, GTX 16, T4) or newer';

const byCudaCode: Readonly<Record<number, string>> = {
  35: "NVIDIA's driver is too old; CUDA 13 needs driver 580 or newer, CUDA 12 needs 525",
  100: "NVIDIA's driver sees no GPU, or CUDA_VISIBLE_DEVICES hides it",
  101: 'there is no GPU of this number',
  209: tooOldGpu,
  222: "NVIDIA's driver is older than the CUDA libraries; update it",
  802: "NVIDIA's driver is not ready; its fabric manager may not be running",
  803: "NVIDIA's driver and its libraries are of different versions; restart this machine",
};

const missingProvider =
  /libonnxruntime_providers|Cannot open shared object|not (?:supported|available)|no available backend|CUDA (?:failure|driver)|WebGPU/i;

/**
 * The reason why the device cannot be used, as the end of a sentence without a full stop; undefined when the message is
 * about something else.
 * @param isOpening false for a run: then only unmistakable messages count as the device's fault
 */
export function deviceTrouble(device: string, message: string, isOpening: boolean): string | undefined {
  if (device === 'cpu') return undefined;
  const kind = device.startsWith('tensorrt') ? 'tensorrt' : 'cuda';
  const isNvidia = device.startsWith(kind);
  if (/Failed to load shared library/i.test(message)) {
    const missing = isNvidia ? whatIsMissing(kind) : undefined;
    return (
      missing ??
      "the runtime's library for it could not be loaded; NVIDIA's driver may be too old for CUDA (525 at least)"
    );
  }
  const failure = cudaFailure.exec(message);
  const known = byCudaCode[Number(failure?.[1])];
  if (known) return known;
  if (/no kernel image is available|STATUS_ARCH_MISMATCH/i.test(message)) return tooOldGpu;
  if (/deserializ\w* .*engine|engine .*deserializ/i.test(message)) {
    return 'its TensorRT engines were built for another kind of GPU or another version of TensorRT; export the pack again on this machine';
  }
  if (!isOpening || !missingProvider.test(message)) return undefined;
  return failure?.[2]?.trim() ?? firstWords(message);
}

/** The runtime's message as the end of a sentence, without paths and source lines. */
export function firstWords(message: string): string {
  const line = (message.split('\n')[0] ?? '')
    .replace(/^Load model from .*? failed:/, '')
    .replace(/^\/\S+\.(?:cc|h):\d+ .*(?:\) |\bwas false\. )/, '')
    .replace(/^.*?\b(?=(?:CUDA|CUDNN|CUDNN_FE|CUBLAS|CUFFT) failure )/, '')
    .replace(/ ; GPU=.*$/, '')
    .trim();
  return line.slice(0, 300).replace(/\.$/, '');
}
