/**
 * Takes back jobs that a dead worker still holds, at once instead of after BullMQ's lock and two stalled checks.
 * A worker counts as dead when its process is gone from this machine, or when its heartbeat has been missing twice.
 */
import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import { generateQueueName } from './jobs.ts';
import type { Keys } from './keys.ts';
import { type WorkerEntry, workerEntries } from './worker-registry.ts';

export class Reclaimer {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #ownId: string;
  readonly #log: Logger;
  /** Jobs whose worker was missing at the last look; Redis may just have been frozen. */
  #suspects = new Set<string>();

  constructor(redis: Redis, keys: Keys, ownId: string, log: Logger) {
    this.#redis = redis;
    this.#keys = keys;
    this.#ownId = ownId;
    this.#log = log;
  }

  /** One look. Returns the ids that were handed back to the queue. */
  async run(): Promise<string[]> {
    const queue = `${this.#keys.bull}:${generateQueueName}`;
    const active = await this.#redis.lrange(`${queue}:active`, 0, -1);
    const workers = await workerEntries(this.#redis, this.#keys);
    const orphans: string[] = [];
    const suspects = new Set<string>();
    for (const jobId of active) {
      const workerId = await this.#redis.hget(this.#keys.job(jobId), 'worker');
      if (workerId === null || workerId === this.#ownId) continue; // being started, or ours
      const worker = workers.get(workerId);
      if (worker && diedHere(worker.entry)) orphans.push(jobId);
      else if (worker?.alive) continue;
      else if (this.#suspects.has(jobId)) orphans.push(jobId);
      else suspects.add(jobId);
    }
    this.#suspects = suspects;
    if (orphans.length === 0) return [];
    this.#log.warn({ orphans }, 'taking back jobs of a worker that died');
    const batch = this.#redis.multi();
    for (const jobId of orphans) batch.del(`${queue}:${jobId}:lock`);
    // BullMQ moves what is in this set and has no lock back to the front of the queue at its next check.
    batch.sadd(`${queue}:stalled`, ...orphans).del(`${queue}:stalled-check`);
    await batch.exec();
    return orphans;
  }
}

function diedHere(worker: WorkerEntry): boolean {
  if (worker.host !== hostname()) return false;
  // In containers every process is number 1: whoever has our number and is not us is gone.
  if (worker.pid === process.pid) return true;
  try {
    process.kill(worker.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
