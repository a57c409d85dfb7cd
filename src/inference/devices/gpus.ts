/** The GPUs of this machine, as NVIDIA's driver lists them. gpu-memory.ts watches them over time. */
import { parseDevice } from './device.ts';
import { type GpuMemory, parseGpuMemory } from './gpu-memory.ts';
import { type NoGpus, queryGpus } from './nvidia-smi.ts';

const deadlineMs = 15_000;

export interface Gpu extends GpuMemory {
  readonly uuid: string;
  /** Version of the driver: "580.95.05". */
  readonly driver: string;
  /** 8.6 for an RTX 3090; undefined where nvidia-smi is too old to say. */
  readonly computeCapability: number | undefined;
  /** The name that TensorRT and PyTorch use, too: "NVIDIA GeForce RTX 3090". */
  readonly name: string;
}

const columns = 'index,memory.used,memory.total,uuid,driver_version,compute_cap,name';

export function parseGpus(text: string): Gpu[] {
  return text.split('\n').flatMap((line) => {
    const [memory] = parseGpuMemory(line);
    const cells = line.split(',').map((cell) => cell.trim());
    const [uuid = '', driver = '', capability = ''] = cells.slice(3);
    if (!memory || cells.length < 7) return [];
    const computeCapability = /^\d+\.\d+$/.test(capability) ? Number(capability) : undefined;
    return { ...memory, uuid, driver, computeCapability, name: cells.slice(6).join(', ') };
  });
}

/** Every GPU in nvidia-smi's order, or why there is none. */
export async function askGpus(): Promise<{ readonly kind: 'gpus'; readonly gpus: readonly Gpu[] } | NoGpus> {
  const answer = await queryGpus(columns, deadlineMs);
  if (answer.kind !== 'rows') return answer;
  const gpus = parseGpus(answer.text);
  return gpus.length > 0 ? { kind: 'gpus', gpus } : { kind: 'noGpu' };
}

/** The GPU that CUDA knows by this number; undefined where nvidia-smi does not list it. */
export async function findGpu(ordinal: number): Promise<Gpu | undefined> {
  const answer = await askGpus();
  return answer.kind === 'gpus' ? visibleGpus(answer.gpus)[ordinal] : undefined;
}

/** Bytes that nobody uses now; undefined on another device than an NVIDIA GPU, and where nvidia-smi does not say. */
export async function freeGpuBytes(device: string): Promise<number | undefined> {
  const { kind, ordinal } = parseDevice(device);
  if (kind !== 'cuda' && kind !== 'tensorrt') return undefined;
  const gpu = await findGpu(ordinal);
  return gpu && gpu.totalBytes - gpu.usedBytes;
}

/**
 * The GPUs that CUDA may use, in its order: "cuda:1" is the second of them. CUDA_VISIBLE_DEVICES names them by number or
 * by the beginning of their UUID; names after the first unknown one are ignored. The engine child counts like nvidia-smi.
 */
export function visibleGpus<T extends Pick<Gpu, 'gpu' | 'uuid'>>(
  gpus: readonly T[],
  environment: NodeJS.ProcessEnv = process.env,
): readonly T[] {
  const visible = environment['CUDA_VISIBLE_DEVICES'];
  if (visible === undefined) return gpus;
  const chosen: T[] = [];
  for (const name of visible.split(',').map((part) => part.trim())) {
    const gpu = gpus.find(({ gpu: index, uuid }) => index === name || (name !== '' && uuid.startsWith(name)));
    if (!gpu) break;
    chosen.push(gpu);
  }
  return chosen;
}
