/**
 * What a worker process knows of its machine and its work, for the registry and for the metrics. Slow answers are
 * fetched in the background, so reading never waits.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { EngineStatus } from '../engine/status.ts';
import { cpuCelsius } from '../inference/devices/cpu-temperature.ts';
import { parseDevice } from '../inference/devices/device.ts';
import { type GpuReading, GpuWatch } from '../inference/devices/gpu-memory.ts';
import { visibleGpus } from '../inference/devices/gpus.ts';
import type { WorkerVitals } from '../queue/worker-registry.ts';
import { StepWatch } from './step-watch.ts';
import type { Generate } from './worker.ts';

/** The folder may hold thousands of files. */
const cacheMeasuredEveryMs = 30_000;
const lookEveryMs = 2_000;
const hourMs = 3_600_000;
/** Steps whose median is told. */
const keptSteps = 20;

export interface VitalsOptions {
  /** On which the engine is tried first. */
  readonly device: string;
  /** Told while none is loaded. */
  readonly model: string;
  /** Undefined until the engine is started. */
  readonly engineStatus: () => EngineStatus | undefined;
  /** Disk tier of the latent cache. */
  readonly cacheFolder: string;
}

export class Vitals {
  readonly #options: VitalsOptions;
  #device: string;
  #gpus: GpuWatch | null;
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  #state: { readonly name: WorkerVitals['state']; readonly since: number } = {
    name: 'starting',
    since: performance.now(),
  };
  #wasReady = false;
  #engineBytes = 0;
  #cacheBytes: number | null = null;
  #cacheMeasuredAt = Number.NEGATIVE_INFINITY;
  #cpuCelsius: number | null = null;
  readonly #steps: number[] = [];
  #cacheHits = 0;
  #cacheMisses = 0;
  /** When each video of the last hour was made. */
  readonly #madeAt: number[] = [];
  #made = 0;
  #failed = 0;

  constructor(options: VitalsOptions) {
    this.#options = options;
    this.#device = options.device;
    this.#gpus = isNvidia(options.device) ? new GpuWatch() : null;
    this.#timer = setInterval(() => void this.refresh(), lookEveryMs).unref();
    void this.refresh();
  }

  /** The engine has been started, on another device perhaps. */
  runsOn(device: string): void {
    this.#device = device;
    if (isNvidia(device)) return;
    this.#gpus?.stop();
    this.#gpus = null;
  }

  /** Wraps a Generate function to learn from it. */
  measured(generate: Generate): Generate {
    return async (entry, files, { signal, onProgress }) => {
      const steps = new StepWatch((seconds) => this.#noteStep(seconds * 1000));
      try {
        const artifact = await generate(entry, files, {
          signal,
          onProgress: (progress) => {
            steps.note(progress);
            onProgress(progress);
          },
        });
        this.#made++;
        this.#madeAt.push(performance.now());
        this.#cacheHits += artifact.cache.hits.length;
        this.#cacheMisses += artifact.cache.misses.length;
        return artifact;
      } catch (error) {
        if (!signal.aborted) this.#failed++;
        throw error;
      }
    };
  }

  #noteStep(ms: number): void {
    this.#steps.push(ms);
    if (this.#steps.length > keptSteps) this.#steps.shift();
  }

  /** All GPUs that the driver lists; empty on another device. */
  get gpus(): readonly GpuReading[] {
    return this.#gpus?.latest ?? [];
  }

  /** Of the disk tier, at most half a minute old; null until it was measured. */
  get cacheBytes(): number | null {
    return this.#cacheBytes;
  }

  get engineBytes(): number {
    return this.#engineBytes;
  }

  read(): WorkerVitals {
    const { model, engineStatus } = this.#options;
    const now = performance.now();
    const status = engineStatus();
    const gpu = this.#gpus && visibleGpus(this.gpus)[parseDevice(this.#device).ordinal];
    while (now - (this.#madeAt[0] ?? now) > hourMs) this.#madeAt.shift();
    return {
      ...this.#stateAt(status, now),
      upMs: Math.round(now - this.#startedAt),
      model: status?.loaded.join(', ') || model,
      hardware: this.#gpus ? (gpu?.name ?? null) : (os.cpus()[0]?.model.trim() ?? null) || null,
      engineRestarts: Math.max(0, (status?.starts ?? 0) - 1),
      engineError: status?.error?.code ?? null,
      engineBytes: this.#engineBytes,
      gpuUsedBytes: gpu?.usedBytes ?? null,
      totalBytes: this.#gpus ? (gpu?.totalBytes ?? null) : os.totalmem(),
      celsius: this.#gpus ? (gpu?.celsius ?? null) : this.#cpuCelsius,
      stepMs: median(this.#steps),
      cacheHits: this.#cacheHits,
      cacheMisses: this.#cacheMisses,
      cacheBytes: this.#cacheBytes,
      made: this.#made,
      failed: this.#failed,
      madeLastHour: this.#madeAt.length,
    };
  }

  #stateAt(status: EngineStatus | undefined, now: number): Pick<WorkerVitals, 'state' | 'stateMs'> {
    this.#wasReady ||= status?.state === 'idle' || status?.state === 'busy';
    const isFirst = !this.#wasReady && (status === undefined || status.state === 'loading');
    const name = isFirst ? 'starting' : (status?.state ?? 'starting');
    if (name !== this.#state.name) this.#state = { name, since: now };
    return { state: name, stateMs: Math.round(now - this.#state.since) };
  }

  /** Never rejects. */
  async refresh(): Promise<void> {
    const now = performance.now();
    if (now - this.#cacheMeasuredAt >= cacheMeasuredEveryMs) {
      this.#cacheMeasuredAt = now;
      void folderBytes(this.#options.cacheFolder).then((bytes) => {
        this.#cacheBytes = bytes;
      });
    }
    if (!this.#gpus) {
      void cpuCelsius().then((celsius) => {
        this.#cpuCelsius = celsius;
      });
    }
    this.#engineBytes = await residentBytes(this.#options.engineStatus());
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#gpus?.stop();
  }
}

function isNvidia(device: string): boolean {
  const { kind } = parseDevice(device);
  return kind === 'cuda' || kind === 'tensorrt';
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

/** The present value from /proc, else the one that the engine reported with its last answer. */
async function residentBytes(status: EngineStatus | undefined): Promise<number> {
  if (!status?.pid) return 0;
  const text = await readFile(`/proc/${status.pid}/status`, 'utf8').catch(() => '');
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1];
  return kibibytes === undefined ? status.rssBytes : Number(kibibytes) * 1024;
}

async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    const found = await stat(path.join(folder, name)).catch(() => undefined); // may have just been removed
    if (found?.isFile()) bytes += found.size;
  }
  return bytes;
}
