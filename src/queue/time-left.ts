/** How long jobs will still take, by what the running ones say of themselves and by what recent ones took. */
import { jobsPerMs, usualMs } from './durations.ts';
import { keptProgress } from './events.ts';
import type { Keys } from './keys.ts';
import type { Ledger, LedgerEntry, WaitingJob } from './ledger.ts';
import { type JobKind, kindName, readKind } from './models.ts';
import { type Redis, redisTime } from './redis.ts';
import {
  canMake,
  isServing,
  isStranded,
  type Needs,
  type WorkerEntry,
  workerEntries,
} from './worker-registry.ts';

/** Where a waiting job stands in the queue. */
export interface QueuePosition {
  /** Jobs that will be served before it, the running ones not counted. */
  readonly ahead: number;
  /** Milliseconds until its video, by what recent jobs took on the workers' devices; undefined while there is no history. */
  readonly leftMs?: number;
  /** Workers live, and none of them can make it: it waits until one comes that has its model and understands its contract. */
  readonly isStranded?: true;
  /** Milliseconds until one of the workers that have its model ends its quiet hours: until then none begins a job. */
  readonly quietMs?: number;
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
  async position(job: WaitingJob): Promise<QueuePosition | undefined> {
    const ahead = await this.#ledger.ahead(job);
    return ahead && (await this.#placeOf(ahead, job, await this.#living()));
  }

  /** Where a user's next job of each kind would stand now, by the names of the kinds. */
  async forecast(userKey: string, kinds: readonly JobKind[]): Promise<ReadonlyMap<string, QueuePosition>> {
    const [ahead, living] = await Promise.all([this.#ledger.aheadOfNext(userKey), this.#living()]);
    const places = kinds.map(
      async (kind) => [kindName(kind), await this.#placeOf(ahead, kind, living)] as const,
    );
    return new Map(await Promise.all(places));
  }

  /** @param all jobs that are served before, by the names of their kinds */
  async #placeOf(
    all: ReadonlyMap<string, number>,
    own: JobKind & Needs,
    living: readonly WorkerEntry[],
  ): Promise<QueuePosition> {
    const able = living.filter((worker) => canMake(worker, own));
    // Jobs for which none of these workers has the model are in nobody's way.
    const waiting = [...all].map(([name, count]) => ({ kind: readKind(name), name, count }));
    const ahead = waiting.filter(
      ({ kind, count }) => count > 0 && (able.length === 0 || able.some((worker) => canMake(worker, kind))),
    );
    const total = ahead.reduce((sum, { count }) => sum + count, 0);
    if (isStranded(own, living)) return { ahead: total, isStranded: true };
    const devices = await this.#devicesOf(able);
    const rateOf = (name: string) => jobsPerMs(this.#redis, this.#keys, name, devices);
    const rate = await rateOf(kindName(own));
    const quietMs = able.length > 0 ? Math.min(...able.map((worker) => worker.quietMs)) : 0;
    const quiet = quietMs > 0 ? { quietMs } : {};
    if (rate === undefined) return { ahead: total, ...quiet };
    let waitMs = quietMs + (await this.#loadsMs([own, ...ahead.map(({ kind }) => kind)], able));
    for (const rest of await this.#rests(able)) waitMs += rest / devices.length;
    for (const { name, count } of ahead) waitMs += count / ((await rateOf(name)) ?? rate);
    // Faster workers take more of the jobs, so this is the time of one job on average.
    return { ahead: total, leftMs: waitMs + devices.length / rate, ...quiet };
  }

  /** Until the models of these jobs are loaded that none of these workers has ready. */
  async #loadsMs(kinds: readonly JobKind[], able: readonly WorkerEntry[]): Promise<number> {
    const models = new Set(kinds.flatMap(({ model }) => model ?? []));
    let ms = 0;
    for (const model of models) {
      if (able.some(({ loaded }) => loaded.includes(model))) continue;
      const known = await Promise.all(
        able.map(({ device }) => usualMs(this.#redis, this.#keys.loads(model, device))),
      );
      const loads = known.filter((load) => load !== undefined);
      if (loads.length > 0) ms += Math.min(...loads);
    }
    return ms;
  }

  /** Milliseconds until the video of a running job, or undefined where nobody can tell. */
  async ofRunning(jobId: string, entry?: LedgerEntry): Promise<number | undefined> {
    const progress = await keptProgress(this.#redis, this.#keys, jobId);
    if (progress?.latest.leftMs !== undefined) return progress.latest.leftMs;
    // It has not said so yet: as long as such jobs take, less the time since its start.
    const known = entry ?? (await this.#ledger.readAll([jobId]))[0];
    if (known?.startedAt === undefined) return undefined;
    const living = await this.#living();
    const devices = await this.#devicesOf(living.filter((worker) => canMake(worker, known)));
    const rate = await jobsPerMs(this.#redis, this.#keys, kindName(known), devices);
    return rate && Math.max(0, devices.length / rate - ((await redisTime(this.#redis)) - known.startedAt));
  }

  /**
   * Milliseconds until the first job of somebody is over, or undefined where nobody can tell.
   * @param ownerKey "all", or a user or community, as Keys.active() takes them
   */
  async untilOneEnds(ownerKey: string): Promise<number | undefined> {
    const set = this.#keys.active(ownerKey);
    const living = await this.#living();
    const areOwn = await Promise.all(
      living.map(({ jobId }) => (jobId === null ? 0 : this.#redis.sismember(set, jobId))),
    );
    const running = await this.#rests(living.filter((_, index) => areOwn[index] === 1));
    if (running.length > 0) return Math.min(...running);
    const ids = (await this.#redis.smembers(set)).slice(0, lookedAt);
    const [first] = (await this.#ledger.readAll(ids)).toSorted((a, b) => a.priority - b.priority);
    return first && (await this.position(first))?.leftMs;
  }

  async #rests(workers: readonly WorkerEntry[]): Promise<number[]> {
    const rests = await Promise.all(workers.map(({ jobId }) => jobId && this.ofRunning(jobId)));
    return rests.flatMap((rest) => (typeof rest === 'number' ? rest : []));
  }

  async #living(): Promise<WorkerEntry[]> {
    const workers = [...(await workerEntries(this.#redis, this.#keys)).values()];
    return workers.filter(isServing).map(({ entry }) => entry);
  }

  /** One for each worker; while there is none, one of those that there were. */
  async #devicesOf(workers: readonly WorkerEntry[]): Promise<readonly string[]> {
    if (workers.length > 0) return workers.map(({ device }) => device);
    return (await this.#redis.smembers(this.#keys.devices)).slice(0, 1);
  }
}
