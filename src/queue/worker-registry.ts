/** Which workers are alive and what they do. */
import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { contract, contractField, firstContract } from './contract.ts';
import type { Keys } from './keys.ts';
import { type Redis, redisTime } from './redis.ts';
import { runScript } from './scripts.ts';
import { readJson, writeJson } from './stored-json.ts';

const beatEveryMs = 2_000;
const aliveForMs = 10_000;

/** What a worker tells of its machine and work. What it cannot measure is null, never a guess. */
const vitalsSchema = z.object({
  /** Of the engine; `starting`: the worker loads its model for the first time and takes no jobs yet. */
  state: z.enum(['starting', 'loading', 'idle', 'busy', 'unloaded', 'dead', 'stopped']),
  /** For how long. */
  stateMs: z.number(),
  upMs: z.number(),
  model: z.string(),
  /** Of the GPU or the processor. */
  hardware: z.string().nullable(),
  /** Engine processes started after the first, planned replacements included. */
  engineRestarts: z.int(),
  /** Code of what keeps a dead engine from starting. */
  engineError: z.string().nullable(),
  engineBytes: z.number(),
  /** Of the GPU, by anybody; absent on a CPU. */
  gpuUsedBytes: z.number().nullable(),
  /** Of the GPU, or of the machine. */
  totalBytes: z.number().nullable(),
  celsius: z.number().nullable(),
  /** Usual time of the latest denoising steps. */
  stepMs: z.number().nullable(),
  /** What jobs looked for in the latent cache since the worker was started. */
  cacheHits: z.int(),
  cacheMisses: z.int(),
  cacheBytes: z.number().nullable(),
  /** Videos since the worker was started, and those of the last hour. */
  made: z.int(),
  failed: z.int(),
  madeLastHour: z.int(),
});
export type WorkerVitals = z.infer<typeof vitalsSchema>;

export const workerSchema = z.object({
  /** By Redis's clock. */
  beatAt: z.number(),
  pid: z.int(),
  /** In which space `pid` is valid; see processSpace(). */
  host: z.string(),
  jobId: z.string().nullable(),
  device: z.string(),
  /** The latest contract that it understands: it leaves jobs of later ones to others. */
  reads: contractField,
  /** Takes jobs, and does not still load its model for the first time. */
  isServing: z.boolean().default(true),
  /** The models that it makes clips with; the first also makes those that name none. */
  models: z.array(z.string()).default([]),
  /** Those of them whose next job need not wait for their weights. */
  loaded: z.array(z.string()).default([]),
  /** Ms until it begins jobs again: it has quiet hours. */
  quietMs: z.number().default(0),
  /** Another version may tell other things. */
  vitals: vitalsSchema.optional().catch(undefined),
});
export type WorkerEntry = z.infer<typeof workerSchema>;

/**
 * Names the process number space: this host and, on Linux, this container and this start of the machine. Containers that
 * share the host's name each number their processes from one, and so do machines of one name.
 */
export function processSpace(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')} ${boot}`;
  } catch {
    return hostname(); // not Linux
  }
}

/** Whether a process of Kinora was on this machine, or in this container, and is gone. */
export function diedHere({ host, pid }: Pick<WorkerEntry, 'host' | 'pid'>): boolean {
  if (host !== processSpace()) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/**
 * All registered workers, and whether each is alive: one whose beat lies ahead died before Redis's clock was set back. A worker that ends properly removes its entry. What another version
 * wrote is left out.
 */
export async function workerEntries(
  redis: Redis,
  keys: Keys,
  now?: number,
): Promise<ReadonlyMap<string, { entry: WorkerEntry; alive: boolean }>> {
  const [all, time] = await Promise.all([redis.hgetall(keys.workers), now ?? redisTime(redis)]);
  const workers = new Map<string, { entry: WorkerEntry; alive: boolean }>();
  for (const [id, text] of Object.entries(all)) {
    const entry = readJson(text, workerSchema);
    if (entry) workers.set(id, { entry, alive: Math.abs(time - entry.beatAt) < aliveForMs });
  }
  return workers;
}

export async function countLiveWorkers(redis: Redis, keys: Keys): Promise<number> {
  return [...(await workerEntries(redis, keys)).values()].filter(isServing).length;
}

/** Whether a worker lives and takes jobs. */
export const isServing = ({ entry, alive }: { entry: WorkerEntry; alive: boolean }): boolean =>
  alive && entry.isServing;

/** What a worker needs for a job. */
export interface Needs {
  /** Absent where any model will do. */
  readonly model?: string | undefined;
  /** The first one where it is absent. */
  readonly contract?: number | undefined;
}

/** Whether its worker makes such clips. */
export function canMake(
  { models, reads }: Pick<WorkerEntry, 'models' | 'reads'>,
  { model, contract: needed = firstContract }: Needs,
): boolean {
  return needed <= reads && (model === undefined || models.includes(model));
}

/**
 * Such jobs wait until a worker comes that can make them: workers take jobs, and none of them can make these.
 * @param serving all that take jobs
 */
export function isStranded(job: Needs, serving: readonly WorkerEntry[]): boolean {
  return serving.length > 0 && !serving.some((worker) => canMake(worker, job));
}

/** What a worker tells of its models. */
export interface WorkerModels {
  readonly models: readonly string[];
  readonly loaded: () => readonly string[];
  /** As QuietHours.restMs(). */
  readonly quietMs?: () => number;
}

/** One worker's line in the registry, renewed while the process lives. */
export class WorkerBeat {
  readonly id = randomUUID();
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #vitals: (() => WorkerVitals) | undefined;
  readonly #models: WorkerModels;
  #device: string;
  #timer: NodeJS.Timeout | undefined;
  #jobId: string | null = null;
  #isServing = false;

  /** @param vitals asked at every beat */
  constructor(
    redis: Redis,
    keys: Keys,
    device: string,
    vitals?: () => WorkerVitals,
    models: WorkerModels = { models: [], loaded: () => [] },
  ) {
    this.#redis = redis;
    this.#keys = keys;
    this.#device = device;
    this.#vitals = vitals;
    this.#models = models;
  }

  /** Says from now on that this worker lives. */
  begin(): void {
    this.#timer ??= setInterval(() => this.#write(), beatEveryMs);
    this.#write();
  }

  /** Says that jobs are taken from now on, on this device. */
  serve(device: string): void {
    this.#device = device;
    this.#isServing = true;
    this.begin();
  }

  /** Says at once which job runs, or null when idle. */
  setJob(jobId: string | null): void {
    this.#jobId = jobId;
    this.#write();
  }

  #write(): void {
    const entry: Omit<WorkerEntry, 'beatAt'> = {
      pid: process.pid,
      host: processSpace(),
      jobId: this.#jobId,
      device: this.#device,
      reads: contract,
      isServing: this.#isServing,
      models: [...this.#models.models],
      loaded: [...this.#models.loaded()],
      quietMs: this.#models.quietMs?.() ?? 0,
      ...(this.#vitals ? { vitals: this.#vitals() } : {}),
    };
    const beat = writeJson(entry);
    runScript(this.#redis, 'beat', this.#keys, {}, [this.id, beat]).catch(() => {}); // the next beat tries again
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#redis.hdel(this.#keys.workers, this.id).catch(() => {});
  }
}
