/**
 * Memory of NVIDIA GPUs as nvidia-smi tells it, for machines that have it. Asked in the background, so that a scrape
 * never waits for a driver that hangs. Knows nothing of who uses the memory.
 */
import { execFile } from 'node:child_process';

const askEveryMs = 10_000;
const answerWithinMs = 5_000;
const bytesPerMebibyte = 1024 ** 2;

export interface GpuMemory {
  /** Number of the GPU in nvidia-smi's order. */
  readonly gpu: string;
  readonly usedBytes: number;
  readonly totalBytes: number;
}

/** Lines such as "0, 1234, 81559"; numbers that a device does not have ("[N/A]") leave it out. */
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
    this.#ask();
    this.#timer = setInterval(() => this.#ask(), askEveryMs).unref();
  }

  /** At most ten seconds old; empty where there is no NVIDIA GPU. */
  get latest(): readonly GpuMemory[] {
    return this.#latest;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #ask(): void {
    const columns = ['--query-gpu=index,memory.used,memory.total', '--format=csv,noheader,nounits'];
    execFile('nvidia-smi', columns, { timeout: answerWithinMs, killSignal: 'SIGKILL' }, (error, text) => {
      this.#latest = error ? [] : parseGpuMemory(text);
    });
  }
}
