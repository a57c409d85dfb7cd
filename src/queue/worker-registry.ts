/** Which workers are alive and what they do. */
import { readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Keys } from './keys.ts';
import { redisTime } from './redis.ts';
import { runScript } from './scripts.ts';
import { readJson } from './stored-json.ts';

const beatEveryMs = 2_000;
const aliveForMs = 10_000;

export const workerSchema = z.object({
  /** By Redis's clock. */
  beatAt: z.number(),
  pid: z.int(),
  /** In which space `pid` is valid; see processSpace(). */
  host: z.string(),
  jobId: z.string().nullable(),
  device: z.string(),
});
export type WorkerEntry = z.infer<typeof workerSchema>;

/**
 * Names the process number space: this host and, on Linux, this container. Containers that share the host's name each
 * number their processes from one.
 */
export function processSpace(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname(); // not Linux
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
  return [...(await workerEntries(redis, keys)).values()].filter(({ alive }) => alive).length;
}

/** One worker's line in the registry, renewed while the process lives. */
export class WorkerBeat {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #id: string;
  readonly #entry: Omit<WorkerEntry, 'beatAt'>;
  readonly #timer: NodeJS.Timeout;

  constructor(redis: Redis, keys: Keys, id: string, entry: Pick<WorkerEntry, 'pid' | 'host' | 'device'>) {
    this.#redis = redis;
    this.#keys = keys;
    this.#id = id;
    this.#entry = { ...entry, jobId: null };
    this.#timer = setInterval(() => this.#write(), beatEveryMs);
    this.#write();
  }

  /** Says at once which job runs, or null when idle. */
  setJob(jobId: string | null): void {
    this.#entry.jobId = jobId;
    this.#write();
  }

  #write(): void {
    const beat = JSON.stringify(this.#entry);
    runScript(this.#redis, 'beat', this.#keys.prefix, this.#id, beat).catch(() => {}); // the next beat tries again
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#redis.hdel(this.#keys.workers, this.#id).catch(() => {});
  }
}
