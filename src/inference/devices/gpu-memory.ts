/**
 * The memory and temperature of NVIDIA GPUs over time. nvidia-smi runs in the background, so that a scrape never waits for a driver that
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

/** What a GPU is, has and does now. */
export interface GpuReading extends GpuMemory {
  readonly uuid: string;
  /** Degrees Celsius; null where the driver does not say. */
  readonly celsius: number | null;
  readonly name: string;
}

const columns = 'index,memory.used,memory.total,uuid,temperature.gpu,name';

export function parseGpuReadings(text: string): GpuReading[] {
  return text.split('\n').flatMap((line) => {
    const [memory] = parseGpuMemory(line);
    const [uuid = '', celsius = '', ...name] = line
      .split(',')
      .slice(3)
      .map((cell) => cell.trim());
    if (!memory || name.length === 0) return [];
    const isKnown = /^\d+$/.test(celsius);
    return { ...memory, uuid, celsius: isKnown ? Number(celsius) : null, name: name.join(', ') };
  });
}

export class GpuWatch {
  #latest: readonly GpuReading[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor() {
    void this.#refresh();
    this.#timer = setInterval(() => void this.#refresh(), refreshEveryMs).unref();
  }

  /** At most ten seconds old; empty where there is no NVIDIA GPU. */
  get latest(): readonly GpuReading[] {
    return this.#latest;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #refresh(): Promise<void> {
    const answer = await queryGpus(columns, deadlineMs);
    this.#latest = answer.kind === 'rows' ? parseGpuReadings(answer.text) : [];
  }
}
