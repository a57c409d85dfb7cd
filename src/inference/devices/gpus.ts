/**
 * What NVIDIA's driver says about this machine's GPUs, by nvidia-smi: asked once, by whoever is about to use one. Its
 * memory over time is watched by gpu-memory.ts. Knows no model and no session.
 */
import { type ExecFileException, execFile } from 'node:child_process';
import { type GpuMemory, parseGpuMemory } from './gpu-memory.ts';

const answerWithinMs = 15_000;

export interface Gpu extends GpuMemory {
  readonly uuid: string;
  /** Of the driver: "580.95.05". */
  readonly driver: string;
  /** 8.6 for an RTX 3090; undefined where nvidia-smi is too old to say. */
  readonly computeCapability: number | undefined;
  /** As TensorRT and PyTorch call it: "NVIDIA GeForce RTX 3090". */
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

/** Every GPU in nvidia-smi's order, or why there is none, as a sentence. */
export async function askGpus(): Promise<readonly Gpu[] | string> {
  interface Answer {
    readonly error: ExecFileException | null;
    readonly stdout: string;
    readonly stderr: string;
  }
  const query = [`--query-gpu=${columns}`, '--format=csv,noheader,nounits'];
  const { error, stdout, stderr } = await new Promise<Answer>((resolve) => {
    execFile(
      'nvidia-smi',
      query,
      { timeout: answerWithinMs, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => resolve({ error, stdout, stderr }),
    );
  });
  if (error?.code === 'ENOENT') return 'There is no nvidia-smi, which comes with the NVIDIA driver.';
  if (error?.killed) return 'nvidia-smi does not answer: the driver hangs.';
  if (error) {
    const words = `${stdout}\n${stderr}`.trim().split('\n')[0]?.trim().replace(/\.$/, '').slice(0, 200);
    return `nvidia-smi fails: ${words || `exit code ${error.code}`}.`;
  }
  const gpus = parseGpus(stdout);
  return gpus.length > 0 ? gpus : 'The NVIDIA driver sees no GPU.';
}

/**
 * Those that CUDA may use, in its order: "cuda:1" is the second of them. CUDA_VISIBLE_DEVICES names them by number or by
 * the beginning of their UUID, and ends at the first name that fits none; the engine child counts as nvidia-smi does.
 */
export function visibleGpus(
  gpus: readonly Gpu[],
  environment: NodeJS.ProcessEnv = process.env,
): readonly Gpu[] {
  const visible = environment['CUDA_VISIBLE_DEVICES'];
  if (visible === undefined) return gpus;
  const chosen: Gpu[] = [];
  for (const name of visible.split(',').map((part) => part.trim())) {
    const gpu = gpus.find(({ gpu: index, uuid }) => index === name || (name !== '' && uuid.startsWith(name)));
    if (!gpu) break;
    chosen.push(gpu);
  }
  return chosen;
}
