/**
 * Metrics of a worker process: waits and runs per phase, steps, cache, engine and memory. No label holds a person or a
 * prompt. Knows no platform, and only the status of the engine.
 */
import { collectDefaultMetrics } from 'prom-client';
import type { EngineStatus } from '../engine/status.ts';
import { serializeError } from '../errors.ts';
import { Instruments } from '../metrics/instruments.ts';
import { RedisMetrics } from '../metrics/redis-metrics.ts';
import type { RedisProbe } from '../metrics/redis-probe.ts';
import type { HealthReport, Observed } from '../metrics/server.ts';
import type { Artifact } from '../queue/jobs.ts';
import { StepWatch } from './step-watch.ts';
import type { Vitals } from './vitals.ts';
import type { Generate } from './worker.ts';

const waitBuckets = [1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400];
const runBuckets = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 3_600];
const phaseBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const stepBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 120];

/** Parts of Artifact.timings that contain others, or lie within them. */
const spanning: ReadonlySet<string> = new Set(['total', 'generate', 'sessions', 'decodePicture']);
const engineStates = [
  'loading',
  'idle',
  'busy',
  'unloaded',
  'dead',
  'stopped',
] as const satisfies EngineStatus['state'][];
export interface WorkerMetricsOptions {
  readonly probe: RedisProbe;
  /** Undefined until the engine is started. */
  readonly engineStatus: () => EngineStatus | undefined;
  readonly vitals: Vitals;
}

export class WorkerMetrics implements Observed {
  readonly registry = new Instruments();
  readonly #options: WorkerMetricsOptions;
  readonly #redis: RedisMetrics;
  readonly #wait = this.registry.histogram(
    'kinora_job_wait_seconds',
    'From acceptance to the first start.',
    waitBuckets,
    'preset',
  );
  readonly #run = this.registry.histogram(
    'kinora_job_run_seconds',
    'From start to finished video.',
    runBuckets,
    'preset',
  );
  readonly #phase = this.registry.histogram(
    'kinora_job_phase_seconds',
    'Parts of a run, as the engine reports them with its result.',
    phaseBuckets,
    'phase',
  );
  readonly #step = this.registry.histogram(
    'kinora_step_seconds',
    'One denoising step.',
    stepBuckets,
    'preset',
  );
  readonly #runs = this.registry.counter(
    'kinora_runs_total',
    'Runs of the engine by outcome: "done" or an error code. A job may take several.',
    'outcome',
  );
  readonly #lookups = this.registry.counter(
    'kinora_cache_lookups_total',
    'What jobs looked for in the latent cache.',
    'kind',
    'result',
  );
  readonly #cacheBytes = this.registry.gauge(
    'kinora_cache_disk_bytes',
    'Size of the latent cache on disk, at most 30 s old.',
  );
  readonly #engineState = this.registry.gauge(
    'kinora_engine_state',
    '1 for the state that the engine is in.',
    'state',
  );
  readonly #engineStarts = this.registry.counter(
    'kinora_engine_restarts_total',
    'Engine processes started after the first, planned replacements included.',
  );
  readonly #engineBytes = this.registry.gauge(
    'kinora_engine_resident_memory_bytes',
    'Resident memory of the engine process.',
  );
  readonly #gpuUsed = this.registry.gauge(
    'kinora_gpu_memory_used_bytes',
    'Memory in use on the GPU, by anybody.',
    'gpu',
  );
  readonly #gpuTotal = this.registry.gauge('kinora_gpu_memory_total_bytes', 'Memory of the GPU.', 'gpu');

  constructor(options: WorkerMetricsOptions) {
    collectDefaultMetrics({ register: this.registry });
    this.#options = options;
    this.#redis = new RedisMetrics(options.probe, this.registry);
  }

  /** Wraps a Generate function to measure it. */
  measured(generate: Generate): Generate {
    return async (entry, files, { signal, onProgress }) => {
      const preset = labelOf(entry.preset);
      const steps = new StepWatch((seconds) => this.#step.observe({ preset }, seconds));
      // The entry was read before this start was counted, so later starts are repetitions.
      if (entry.starts === 0)
        this.#wait.observe({ preset }, Math.max(0, Date.now() - entry.createdAt) / 1000);
      const startedAt = performance.now();
      try {
        const artifact = await generate(entry, files, {
          signal,
          onProgress: (progress) => {
            steps.note(progress);
            onProgress(progress);
          },
        });
        this.#run.observe({ preset }, (performance.now() - startedAt) / 1000);
        this.#runs.inc({ outcome: 'done' });
        this.#noteArtifact(artifact);
        return artifact;
      } catch (error) {
        this.#runs.inc({ outcome: signal.aborted ? 'CANCELLED' : serializeError(error).code });
        throw error;
      }
    };
  }

  #noteArtifact({ timings, cache }: Artifact): void {
    for (const [phase, ms] of Object.entries(timings)) {
      if (!spanning.has(phase)) this.#phase.observe({ phase }, ms / 1000);
    }
    for (const kind of cache.hits) this.#lookups.inc({ kind, result: 'hit' });
    for (const kind of cache.misses) this.#lookups.inc({ kind, result: 'miss' });
  }

  async refresh(): Promise<void> {
    const { vitals, engineStatus } = this.#options;
    await Promise.all([vitals.refresh(), this.#redis.refresh()]);
    const status = engineStatus();
    for (const state of engineStates) this.#engineState.set({ state }, status?.state === state ? 1 : 0);
    this.#engineStarts.reset();
    this.#engineStarts.inc(Math.max(0, (status?.starts ?? 0) - 1));
    for (const { gpu, usedBytes, totalBytes } of vitals.gpus) {
      this.#gpuUsed.set({ gpu }, usedBytes);
      this.#gpuTotal.set({ gpu }, totalBytes);
    }
    this.#engineBytes.set(vitals.engineBytes);
    if (vitals.cacheBytes !== null) this.#cacheBytes.set(vitals.cacheBytes);
  }

  async health(): Promise<Record<string, HealthReport>> {
    return { redis: await this.#redis.health(), engine: engineHealth(this.#options.engineStatus()) };
  }

  close(): void {
    this.registry.clear();
    this.#options.probe.close();
  }
}

/** Presets are the model pack's, but the ledger takes any short text: only what looks like a name becomes a label. */
const labelOf = (preset: string): string => (/^[a-z][a-z0-9-]{0,31}$/.test(preset) ? preset : 'other');

function engineHealth(status: EngineStatus | undefined): HealthReport {
  if (!status) return { state: 'loading' };
  const { state, pid, error } = status;
  const details = { state, ...(pid === null ? {} : { pid }) };
  if (state === 'dead') return { ...details, problem: error?.message ?? 'The engine is dead.' };
  if (state === 'stopped') return { ...details, problem: 'The engine was stopped.' };
  return details;
}
