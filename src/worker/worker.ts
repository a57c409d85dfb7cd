/**
 * The queue's worker: takes one job at a time, has it generated, and stores the result before it releases the job. Never
 * makes a heavy native call itself, so locks are always renewed. Knows no platform and no model.
 */

import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DelayedError, type Job } from 'bullmq';
import { isKinoraError, KinoraError, serializeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Artifacts } from '../queue/artifacts.ts';
import { NewerRecord } from '../queue/contract.ts';
import { readCostFactors } from '../queue/cost-factors.ts';
import { recordDuration, recordLoad } from '../queue/durations.ts';
import { publishProgress, type QueueEvent, subscribeEvents } from '../queue/events.ts';
import { type JobFiles, neededFiles } from '../queue/job-files.ts';
import { type Artifact, type QueueData, readQueueData } from '../queue/jobs.ts';
import { Keys } from '../queue/keys.ts';
import { leavingNewer } from '../queue/leave.ts';
import { type JobEvent, Ledger, type LedgerEntry, type Transition } from '../queue/ledger.ts';
import { LockRenewal } from '../queue/lock-renewal.ts';
import { generateQueueOf, kindName } from '../queue/models.ts';
import { OverdueDelays } from '../queue/overdue-delays.ts';
import { type Redis, untilRedisCan } from '../queue/redis.ts';
import { writeJson } from '../queue/stored-json.ts';
import { presetCredits } from '../queue/terms.ts';
import { diedHere, WorkerBeat, workerEntries } from '../queue/worker-registry.ts';
import { Losses } from './losses.ts';
import { Reclaimer } from './reclaim.ts';
import { defaultWorkerSettings, type WorkerSettings } from './settings.ts';
import { Turns, TurnWorker } from './turns.ts';

export type Progress = Omit<Extract<QueueEvent, { type: 'progress' }>, 'type' | 'jobId'>;

/** Makes the video of one job and leaves it at `files.video`. Rejects with CANCELLED when the signal is aborted. */
export type Generate = (
  entry: LedgerEntry,
  files: JobFiles,
  hooks: { readonly signal: AbortSignal; readonly onProgress: (progress: Progress) => void },
) => Promise<Artifact>;

const takeBackLooks = 100;
/** Wait of a job that another worker has. */
const madeElsewhereWaitMs = 2_000;

/** Wait before the next job is asked for after the connection broke. */
const fetchRetryMs = 1_000;

/** One of BullMQ's queues that this worker serves. */
interface Lane {
  /** Key of the queue. */
  readonly key: string;
  readonly worker: TurnWorker;
  readonly locks: LockRenewal;
  readonly reclaimer: Reclaimer;
  readonly delays: OverdueDelays;
}

interface Current {
  readonly jobId: string;
  readonly controller: AbortController;
  /** Why it was aborted: cancelled by a person, handed back because this worker ends, or no longer this worker's. */
  reason: 'cancelled' | 'handback' | 'lost' | null;
}

export class JobWorker {
  readonly id: string;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #ledger: Ledger;
  readonly #artifacts: Artifacts;
  readonly #generate: Generate;
  readonly #settings: WorkerSettings;
  readonly #log: Logger;
  readonly #turns: Turns;
  readonly #lanes: readonly Lane[];
  readonly #beat: WorkerBeat;
  readonly #losses: Losses;
  #unsubscribe: (() => void) | null = null;
  #reclaimTimer: NodeJS.Timeout | null = null;
  #current: Current | null = null;
  /** The job that this worker has, from before its start until after its release. */
  #held: string | null = null;
  #stopping = false;

  /**
   * @param redis a patient connection; the caller closes it after stop()
   * @param beat this worker's, where it was begun before
   */
  constructor(
    redis: Redis,
    artifacts: Artifacts,
    generate: Generate,
    log: Logger,
    settings: Partial<WorkerSettings> = {},
    keys = new Keys(),
    beat?: WorkerBeat,
  ) {
    this.#redis = redis;
    this.#keys = keys;
    this.#ledger = new Ledger(redis, keys);
    this.#artifacts = artifacts;
    this.#generate = generate;
    this.#settings = { ...defaultWorkerSettings, ...settings };
    this.#log = log;
    const { device, models, loaded, quietMs } = this.#settings;
    this.#beat = beat ?? new WorkerBeat(redis, keys, device, undefined, { models, loaded, quietMs });
    this.id = this.#beat.id;
    this.#losses = new Losses(redis, keys, artifacts, this.id);
    this.#turns = new Turns((waiting) => this.#chooseTurn(waiting), this.#onError, quietMs);
    this.#lanes = [undefined, ...models].map((model) => this.#openLane(model));
  }

  readonly #onError = (error: Error): void => this.#log.warn({ err: error.message }, 'worker connection');

  #openLane(model: string | undefined): Lane {
    const { lockDurationMs, stalledIntervalMs } = this.#settings;
    const queue = generateQueueOf(model);
    const key = `${this.#keys.bull}:${queue}`;
    const serve = (job: Job<QueueData>, token: string | undefined) => this.#process(job, token, locks);
    const options = {
      connection: this.#redis,
      prefix: this.#keys.bull,
      name: this.id, // BullMQ writes it beside a job in the step that hands it out; the reclaimer reads it
      runRetryDelay: fetchRetryMs,
      lockDuration: lockDurationMs,
      skipLockRenewal: true, // LockRenewal does it
      stalledInterval: stalledIntervalMs,
      // A worker that dies says nothing about the job; deaths of the engine are counted in the ledger.
      maxStalledCount: 1_000,
    };
    const worker = new TurnWorker(queue, serve, options, this.#turns, model);
    worker.on('error', this.#onError);
    const locks = new LockRenewal(worker, lockDurationMs, this.#onError);
    const reclaimer = new Reclaimer(this.#redis, this.#keys, queue, this.id, () => this.#held, this.#log);
    return { key, worker, locks, reclaimer, delays: new OverdueDelays(this.#redis, key) };
  }

  async #chooseTurn(waiting: readonly (string | undefined)[]): Promise<string | undefined> {
    const { models, loaded } = this.#settings;
    const ready = new Set<string | undefined>(loaded());
    // Jobs that name none are made with the first one.
    if (models[0] !== undefined && ready.has(models[0])) ready.add(undefined);
    return await this.#ledger.turnOf(this.id, waiting, ready);
  }

  /** Takes back what a dead predecessor held, then serves until stop(). */
  async start(): Promise<void> {
    this.#beat.serve(this.#settings.device);
    this.#unsubscribe = await subscribeEvents(this.#redis, this.#keys.events, (event) => {
      if (event.type === 'cancel') void this.#obeyCancel(event.jobId);
    });
    for (const lane of this.#lanes) await this.#takeBack(lane, await lane.reclaimer.run());
    this.#reclaimTimer = setInterval(() => void this.#reclaim(), this.#settings.reclaimEveryMs);
    for (const { worker } of this.#lanes) void worker.run();
  }

  /**
   * Takes no new job and lets the running one finish within `graceMs`; after that it stops the job and hands it back to
   * the queue.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    if (this.#reclaimTimer) clearInterval(this.#reclaimTimer);
    this.#turns.stop();
    await Promise.all(this.#lanes.map(({ worker }) => worker.pause(true)));
    const closed = Promise.all(this.#lanes.map(({ worker }) => worker.close()));
    const finished = await Promise.race([closed.then(() => true), sleep(graceMs, false, { ref: false })]);
    if (!finished) {
      this.#abort('handback');
      await closed;
    }
    for (const { locks } of this.#lanes) locks.stop();
    this.#unsubscribe?.();
    await this.#beat.stop();
  }

  async #reclaim(): Promise<void> {
    try {
      for (const { reclaimer, worker, delays } of this.#lanes) {
        const orphans = await reclaimer.run();
        if (orphans.length > 0) await worker.startStalledCheckTimer();
        await delays.run();
      }
    } catch (error) {
      this.#log.warn({ err: String(error) }, 'looking for orphaned jobs failed; will look again');
    }
  }

  /** Waits until the jobs of a dead predecessor are back in the queue, in front of all others. */
  async #takeBack({ key, worker }: Lane, orphans: readonly string[]): Promise<void> {
    if (orphans.length === 0) return;
    await worker.startStalledCheckTimer();
    const active = `${key}:active`;
    for (let look = 0; look < takeBackLooks; look++) {
      const held = await this.#redis.lrange(active, 0, -1);
      if (!orphans.some((jobId) => held.includes(jobId))) return;
      await sleep(20);
    }
  }

  #abort(reason: NonNullable<Current['reason']>): void {
    if (!this.#current || this.#current.reason) return;
    this.#current.reason = reason;
    this.#current.controller.abort();
  }

  /** Checks the ledger: a message alone does not prove that the job was cancelled. */
  async #obeyCancel(jobId: string): Promise<void> {
    if (this.#current?.jobId !== jobId) return;
    const entry = await this.#ledger.read(jobId).catch(() => null);
    if (entry === null) return; // Redis is away: nothing is known
    const loss = await this.#losses.of(jobId, entry);
    if (this.#current?.jobId !== jobId) return;
    if (loss) this.#abort('lost');
    else if (entry && (entry.cancelRequestedBy !== undefined || entry.state === 'cancelled'))
      this.#abort('cancelled');
  }

  async #process(job: Job<QueueData>, token: string | undefined, locks: LockRenewal): Promise<void> {
    const jobId = job.id ?? '';
    this.#held = jobId;
    try {
      await locks.during(jobId, token, () =>
        leavingNewer(job, token, this.#log, async () => {
          await this.#serve(job, readQueueData(job.data).jobId, token);
        }),
      );
    } finally {
      this.#held = null;
    }
  }

  async #serve(job: Job<QueueData>, jobId: string, token: string | undefined): Promise<void> {
    const entry = await untilRedisCan(() => this.#ledger.read(jobId));
    if (!entry) return; // its person deleted their data
    if (await this.#isMadeElsewhere(entry)) return await this.#putAside(job, token, madeElsewhereWaitMs);
    const started = await this.#move(jobId, 'start', { worker: this.id });
    if (!started.changed) return; // it has its final state already

    const current: Current = { jobId, controller: new AbortController(), reason: null };
    this.#current = current;
    this.#beat.setJob(jobId);
    const cancelPoll = setInterval(() => void this.#obeyCancel(jobId), this.#settings.cancelPollMs);
    const startedAt = performance.now();
    try {
      const finished = await this.#artifacts.readRecord(jobId);
      if (finished) return await this.#finish(entry, finished);
      // Answered before, without a video that is left: Redis has lost that, and the delivery puts it right.
      const isAnswered = (await this.#artifacts.answered(jobId)) !== undefined;
      if (isAnswered || entry.cancelRequestedBy !== undefined) {
        await this.#move(jobId, 'cancelled');
        return;
      }
      if (this.#stopping) this.#abort('handback');
      // The disk may have filled since, and every attempt takes as long as the video.
      if (await this.#artifacts.almostFull()) throw new KinoraError('DISK_FULL', 'The disk is full.');
      const artifact = await this.#make(entry, current.controller.signal);
      if (!artifact) return await this.#giveUp(job, token);
      await this.#finish(entry, artifact);
      this.#settings.onMade(jobId, artifact);
      await this.#recordTimes(entry, artifact, performance.now() - startedAt).catch(() => {}); // an estimate
    } catch (error) {
      await this.#fail(job, token, entry, current.reason, error);
    } finally {
      clearInterval(cancelPoll);
      this.#current = null;
      this.#beat.setJob(null);
    }
  }

  /**
   * Makes the video and stores it: at last its record, with which it counts as complete.
   * @returns undefined where the job is no longer this worker's: then nothing is stored
   */
  async #make(entry: LedgerEntry, signal: AbortSignal): Promise<Artifact | undefined> {
    const { id: jobId } = entry;
    const onProgress = (progress: Progress): void =>
      publishProgress(this.#redis, this.#keys, { type: 'progress', jobId, ...progress });
    return await this.#artifacts.with(jobId, neededFiles(entry.request), async (files, keep) => {
      const made = this.#generate(entry, files, { signal, onProgress });
      const artifact = await made.catch(async (error: unknown) => {
        if (await this.#wasLost(jobId, files)) return undefined;
        throw error;
      });
      if (!artifact || (await this.#wasLost(jobId, files, artifact))) return undefined;
      if (existsSync(files.thumbnail)) await keep('thumbnail'); // a video counts without one
      await keep('video');
      await this.#artifacts.storeRecord(jobId, artifact);
      return artifact;
    });
  }

  /** The time of loading its model is not the job's. */
  async #recordTimes(entry: LedgerEntry, { timings }: Artifact, ms: number): Promise<void> {
    const { device } = this.#settings;
    const loadMs = timings['load'] ?? 0;
    await recordDuration(this.#redis, this.#keys, kindName(entry), device, ms - loadMs);
    if (loadMs > 0 && entry.model !== undefined) {
      await recordLoad(this.#redis, this.#keys, entry.model, device, loadMs);
    }
  }

  async #finish({ id: jobId, model }: LedgerEntry, artifact: Artifact): Promise<void> {
    const credits = artifact.reducedTo === undefined ? undefined : this.#settings.costs[artifact.reducedTo];
    const factors =
      credits === undefined ? undefined : await untilRedisCan(() => readCostFactors(this.#redis, this.#keys));
    const cost = credits && presetCredits(credits, factors?.get(model ?? '') ?? 1);
    const fields = {
      artifact: writeJson(artifact),
      ...(cost === undefined ? {} : { cost: String(cost) }),
    };
    await this.#move(jobId, 'generated', fields);
  }

  /** Retries, so that a Redis that is full for a while fails no job. */
  async #move(jobId: string, event: JobEvent, fields: Record<string, string> = {}): Promise<Transition> {
    return await untilRedisCan(() => this.#ledger.transition(jobId, event, undefined, fields));
  }

  async #handBack(job: Job<QueueData>, token: string | undefined, afterMs: number): Promise<never> {
    await this.#move(job.data.jobId, 'handback');
    return await this.#putAside(job, token, afterMs);
  }

  async #putAside(job: Job<QueueData>, token: string | undefined, afterMs: number): Promise<never> {
    await untilRedisCan(() => job.moveToDelayed(Date.now() + afterMs, token));
    // "Now" of this machine may be hours ahead of that of the others.
    if (afterMs === 0) await job.promote().catch(() => {}); // another worker was faster
    throw new DelayedError();
  }

  /**
   * Lets go of a job that this worker has lost. Where BullMQ still counts it as this one's, it would take it for made; so it
   * goes back, for the case that nobody else makes it.
   */
  async #giveUp(job: Job<QueueData>, token: string | undefined): Promise<never> {
    await job.moveToDelayed(Date.now() + madeElsewhereWaitMs, token).catch(() => {}); // it is another one's
    throw new DelayedError();
  }

  /**
   * Whether another worker that lives has the job. Its lock ends early where Redis's clock jumps, as on a machine that
   * slept, and BullMQ then hands the job out again.
   */
  async #isMadeElsewhere({ id, state, worker }: LedgerEntry): Promise<boolean> {
    if (state !== 'running' || worker === undefined || worker === this.id) return false;
    const holder = (await workerEntries(this.#redis, this.#keys)).get(worker);
    if (!holder?.alive || diedHere(holder.entry)) return false;
    return holder.entry.jobId === id;
  }

  /** Whether this worker has lost the job meanwhile. Waits for as long as Redis is away. */
  async #wasLost(jobId: string, files?: JobFiles, artifact?: Artifact): Promise<boolean> {
    const loss = await this.#losses.of(jobId, await untilRedisCan(() => this.#ledger.read(jobId)));
    if (!loss) return false;
    this.#log.warn({ jobId, loss }, 'the job is no longer this worker’s; its result is dropped');
    if (loss === 'deleted' && files) await this.#losses.uncache(files, artifact);
    return true;
  }

  async #fail(
    job: Job<QueueData>,
    token: string | undefined,
    entry: LedgerEntry,
    reason: Current['reason'],
    error: unknown,
  ): Promise<void> {
    const jobId = entry.id;
    const serialized = serializeError(error);
    const { code, message } = serialized;
    if (error instanceof NewerRecord) {
      await this.#move(jobId, 'handback');
      throw error;
    }
    if (error instanceof DelayedError) throw error; // it was given up already
    if (reason === 'lost' || (await this.#wasLost(jobId))) return await this.#giveUp(job, token);
    // Delayed until now: unlike moveToWait, this wakes another worker.
    if (reason === 'handback') return await this.#handBack(job, token, 0);
    if (reason === 'cancelled') {
      await this.#move(jobId, 'cancelled');
      return;
    }
    // Another process, the kernel short of memory for example, ended the engine or its ffmpeg.
    const wasKilled = code === 'ENGINE_CRASHED' || serialized.detail?.kind === 'encoderKilled';
    if (wasKilled || code === 'ENGINE_HUNG') {
      const deaths = await untilRedisCan(() => this.#redis.hincrby(this.#keys.job(jobId), 'engineDeaths', 1));
      this.#log.warn({ jobId, code, deaths }, message);
      if (deaths < this.#settings.maxEngineDeaths) {
        await this.#move(jobId, 'handback');
        throw error; // BullMQ tries again after its back-off
      }
    }
    if (code === 'DISK_FULL' || code === 'STORAGE_FAILED') {
      this.#log.warn({ jobId, code, err: message }, 'the video cannot be stored now; the job waits');
      await this.#artifacts.removeOutput(jobId).catch(() => {}); // the next attempt removes it
      return await this.#handBack(job, token, this.#settings.fullDiskWaitMs);
    }
    // The text of an unknown error may hold anything: people get a fixed sentence, the log the text.
    const failure =
      isKinoraError(error) || code !== 'INTERNAL'
        ? serialized
        : { code: 'INTERNAL' as const, message: 'Something broke.' };
    this.#log.error({ jobId, code, err: message }, 'job failed');
    const { changed } = await this.#move(jobId, 'failed', { failure: writeJson(failure) });
    // On a disk that is almost full the next job needs the space before housekeeping runs.
    if (changed) await this.#artifacts.removeOutput(jobId).catch(() => {});
  }
}
