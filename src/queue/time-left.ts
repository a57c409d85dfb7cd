/** How long jobs will still take, by what the running ones say of themselves and by what recent ones took. */
import type { Redis } from 'ioredis';
import { jobsPerMs } from './durations.ts';
import { keptProgress } from './events.ts';
import type { Keys } from './keys.ts';
import type { Ledger, LedgerEntry } from './ledger.ts';
import { redisTime } from './redis.ts';
import { isServing, workerEntries } from './worker-registry.ts';

/** Where a waiting job stands in the queue. */
export interface QueuePosition {
  /** Jobs that will be served before it, the running ones not counted. */
  readonly ahead: number;
  /** Milliseconds until its video, by what recent jobs took on the workers' devices; undefined while there is no history. */
  readonly leftMs?: number;
}

/** Of the jobs that fill somebody's share of the queue, so many are looked at. */
const lookedAt = 100;

export class TimeLeft {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #ledger: Ledger;

  constructor(redis: Redis, keys: Keys, ledger: Ledger) {
    this.#redis = redis;
    this.#keys = keys;
    this.#ledger = ledger;
  }

  /** Where a waiting job stands, or undefined when it does not wait. Cheap at any queue length. */
  async position(job: Pick<LedgerEntry, 'id' | 'preset'>): Promise<QueuePosition | undefined> {
    const ahead = await this.#ledger.ahead(job);
    return ahead && (await this.#placeOf(ahead, [job.preset])).get(job.preset);
  }

  /** Where a user's next job of each preset would stand now. */
  async forecast(userKey: string, presets: readonly string[]): Promise<ReadonlyMap<string, QueuePosition>> {
    return await this.#placeOf(await this.#ledger.aheadOfNext(userKey), presets);
  }

  /** @param ahead jobs per preset that are served before */
  async #placeOf(
    ahead: ReadonlyMap<string, number>,
    own: readonly string[],
  ): Promise<ReadonlyMap<string, QueuePosition>> {
    const total = [...ahead.values()].reduce((sum, count) => sum + count, 0);
    const { devices, jobIds } = await this.#workers();
    const rates = new Map(
      await Promise.all(
        [...new Set([...ahead.keys(), ...own])].map(
          async (preset) => [preset, await jobsPerMs(this.#redis, this.#keys, preset, devices)] as const,
        ),
      ),
    );
    const rests = await this.#rests(jobIds);
    const place = (preset: string): QueuePosition => {
      const rate = rates.get(preset);
      if (rate === undefined) return { ahead: total };
      let waitMs = 0;
      for (const rest of rests) waitMs += rest / devices.length;
      for (const [other, count] of ahead) waitMs += count / (rates.get(other) ?? rate);
      // Faster workers take more of the jobs, so this is the time of one job on average.
      return { ahead: total, leftMs: waitMs + devices.length / rate };
    };
    return new Map(own.map((preset) => [preset, place(preset)]));
  }

  /** Milliseconds until the video of a running job, or undefined where nobody can tell. */
  async ofRunning(jobId: string, entry?: LedgerEntry): Promise<number | undefined> {
    const progress = await keptProgress(this.#redis, this.#keys, jobId);
    if (progress?.latest.leftMs !== undefined) return progress.latest.leftMs;
    // It has not said so yet: as long as such jobs take, less the time since its start.
    const { preset, startedAt } = entry ?? (await this.#ledger.read(jobId)) ?? {};
    if (preset === undefined || startedAt === undefined) return undefined;
    const { devices } = await this.#workers();
    const rate = await jobsPerMs(this.#redis, this.#keys, preset, devices);
    return rate && Math.max(0, devices.length / rate - ((await redisTime(this.#redis)) - startedAt));
  }

  /**
   * Milliseconds until the first job of somebody is over, or undefined where nobody can tell.
   * @param ownerKey "all", or a user or community, as Keys.active() takes them
   */
  async untilOneEnds(ownerKey: string): Promise<number | undefined> {
    const set = this.#keys.active(ownerKey);
    const { jobIds } = await this.#workers();
    const areOwn = await Promise.all(jobIds.map((jobId) => this.#redis.sismember(set, jobId)));
    const running = await this.#rests(jobIds.filter((_, index) => areOwn[index] === 1));
    if (running.length > 0) return Math.min(...running);
    const ids = (await this.#redis.smembers(set)).slice(0, lookedAt);
    const entries = await Promise.all(ids.map((id) => this.#ledger.read(id)));
    const [first] = entries.flatMap((entry) => entry ?? []).toSorted((a, b) => a.priority - b.priority);
    return first && (await this.position(first))?.leftMs;
  }

  async #rests(jobIds: readonly string[]): Promise<number[]> {
    const rests = await Promise.all(jobIds.map((jobId) => this.ofRunning(jobId)));
    return rests.flatMap((rest) => rest ?? []);
  }

  /** The devices and jobs of living workers, a device for each; while none lives, one device of those that there were. */
  async #workers(): Promise<{ readonly devices: readonly string[]; readonly jobIds: readonly string[] }> {
    const workers = [...(await workerEntries(this.#redis, this.#keys)).values()];
    const living = workers.filter(isServing).map(({ entry }) => entry);
    const jobIds = living.flatMap(({ jobId }) => jobId ?? []);
    const devices = living.map(({ device }) => device);
    if (devices.length > 0) return { devices, jobIds };
    return { devices: (await this.#redis.smembers(this.#keys.devices)).slice(0, 1), jobIds };
  }
}
