/**
 * The memory of NVIDIA GPUs over time. nvidia-smi runs in the background, so that a scrape never waits for a driver that
 * hangs.
 */
import { queryGpus } from './nvidia-smi.ts';

const refreshEveryMs = 10_000;
const deadlineMs = 5_000;
const bytesPerMebibyte = 1024 ** 2;

export interface GpuMemory {
  /** Number of the GPU in nvidia-smi's order. */
  readonly gpu: string;
  readonly usedBytes: number;
  readonly totalBytes: number;
}

/** Parses lines such as "0, 1234, 81559"; GPUs without numbers ("[N/A]") are left out. */
export function parseGpuMemory(text: string): GpuMemory[] {
  return text.split('\n').flatMap((line) => {
    const [gpu, used, total] = line.split(',').map((cell) => cell.trim());
    if (!gpu || !/^\d+$/.test(used ?? '') || !/^\d+$/.test(total ?? '')) return [];
    return { gpu, usedBytes: Number(used) * bytesPerMebibyte, totalBytes: Number(total) * bytesPerMebibyte };
  });
}

export class GpuMemoryWatch {
  #latest: readonly GpuMemory[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    void this.#refresh();
    this.#timer = setInterval(() => void this.#refresh(), refreshEveryMs).unref();
  }

  /** At most ten seconds old; empty where there is no NVIDIA GPU. */
  get latest(): readonly GpuMemory[] {
    return this.#latest;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #refresh(): Promise<void> {
    const answer = await queryGpus('index,memory.used,memory.total', deadlineMs);
    this.#latest = answer.kind === 'rows' ? parseGpuMemory(answer.text) : [];
  }
}
