/**
 * Packs that run on one kind of device only: fused graphs for CUDA, TensorRT engines for one GPU model. Decides where such
 * a pack may be opened and which of its graphs TensorRT runs. Opens nothing.
 */

import { open } from 'node:fs/promises';
import path from 'node:path';
import { calledAs } from '../../called-as.ts';
import { isKinoraError, KinoraError } from '../../errors.ts';
import type { PackManifest } from '../packs/manifest.ts';

/** The only kind of device that can run the pack; undefined: any can. */
export function requiredDevice({ flavour, requires }: PackManifest): 'cuda' | 'tensorrt' | undefined {
  return requires?.device ?? (flavour === 'cuda' ? 'cuda' : undefined);
}

/** @throws KinoraError DEVICE_UNAVAILABLE */
export function assertDevice(manifest: PackManifest, device: string): void {
  const required = requiredDevice(manifest);
  if (required === undefined || device.split(':')[0] === required) return;
  const [what, name] =
    required === 'cuda' ? ['graphs for CUDA only', 'cuda'] : ['engines for TensorRT only', 'tensorrt'];
  throw new KinoraError(
    'DEVICE_UNAVAILABLE',
    `The model pack ${manifest.id} holds ${what} and cannot run on ${device}; its device is ${name}.`,
    { remedy: `Choose --device ${name}, or a model that runs on every device: --model builtin.` },
  );
}

/** A failure of the only device that can run the pack, with a remedy that does not name another device. */
export function withDeviceRemedy(error: unknown, manifest: PackManifest): unknown {
  if (!isKinoraError(error) || error.code !== 'DEVICE_UNAVAILABLE' || error.remedy !== undefined)
    return error;
  if (requiredDevice(manifest) === undefined) return error;
  const remedy = `What is missing is named by "${calledAs('doctor')}"; or choose a model that runs on the CPU: --model builtin.`;
  return new KinoraError(error.code, error.detail ?? error.message, { cause: error, remedy });
}

/**
 * A TensorRT engine runs only on the GPU model that it was compiled on.
 * @param gpu name of the GPU, by nvidia-smi; undefined where it is unknown: TensorRT itself will refuse
 * @throws KinoraError DEVICE_UNAVAILABLE
 */
export function assertGpu({ id, requires }: PackManifest, gpu: string | undefined): void {
  if (requires?.gpu === undefined || gpu === undefined || gpu === requires.gpu) return;
  throw new KinoraError(
    'DEVICE_UNAVAILABLE',
    `The model pack ${id} holds engines for the GPU ${requires.gpu}, and this one is ${gpu}; export it again on this machine.`,
  );
}

/** A graph with an engine in a file of its own is small; a plain graph may have gigabytes. */
const largestContextBytes = 1 << 20;

/**
 * The device that runs one graph. In a pack of engines, graphs without an engine run on CUDA, because TensorRT would
 * compile them at every start, in float32.
 */
export async function deviceOfGraph(
  folder: string,
  manifest: PackManifest,
  graph: string,
  device: string,
): Promise<string> {
  if (requiredDevice(manifest) !== 'tensorrt') return device;
  return (await holdsEngine(path.join(folder, graph, 'model.onnx')))
    ? device
    : device.replace(/^tensorrt/, 'cuda');
}

/** True for an EP-context model, whose only nodes are of the type EPContext (and casts). */
async function holdsEngine(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    // With the engine embedded (embed mode 1) the node's type is before or after it.
    const head = Buffer.alloc(Math.min(size, largestContextBytes));
    await handle.read(head, 0, head.length, 0);
    const tail = Buffer.alloc(Math.min(size, largestContextBytes));
    await handle.read(tail, 0, tail.length, size - tail.length);
    return head.includes('EPContext') || tail.includes('EPContext');
  } finally {
    await handle.close();
  }
}

/**
 * A warning about slow combinations of pack and device, if this is one. onnxruntime-node passes TensorRT nothing but the
 * number of the GPU: neither FP16 nor a folder for its engines.
 */
export function deviceAdvice(manifest: PackManifest, device: string): string | undefined {
  if (!device.startsWith('tensorrt') || requiredDevice(manifest) === 'tensorrt') return undefined;
  return `${manifest.id} has no TensorRT engines: they are compiled at every start and for every new size, which takes minutes, and compute in float32. Export a pack with --tensorrt-context (models/README.md), or use cuda.`;
}
