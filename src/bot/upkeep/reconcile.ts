/**
 * Compares what the ledger promises with what BullMQ holds, and mends the difference: Redis may have lost its last
 * second, and a process may have died between two steps. Nothing that is merely in flight is touched. Every mend is
 * one that may be made twice, so any number of bots can do this at once. Knows no platform and no model.
 */
import type { Redis } from 'ioredis';
import type { Logger } from '../../log.ts';
import type { Artifacts } from '../../queue/artifacts.ts';
import { type JobClient, maxPriority } from '../../queue/client.ts';
import {
  deliverQueueName,
  type Failure,
  generateQueueName,
  type JobState,
  jobStates,
} from '../../queue/jobs.ts';
import type { Keys } from '../../queue/keys.ts';
import type { Ledger } from '../../queue/ledger.ts';
import { workerEntries } from '../../queue/worker-registry.ts';
import { Periodic } from './periodic.ts';

export interface ReconcileSettings {
  readonly everyMs: number;
  /** Younger jobs may still be on their way into BullMQ. */
  readonly graceMs: number;
  /** A job that has waited longer is ended with a sentence, and its credits go back. */
  readonly expireAfterMs: number;
  /** A job that vanished this often is not put back again but failed. */
  readonly maxRescues: number;
  /** Virtual time that must have passed before it is moved back towards zero. */
  readonly rebaseAt: number;
  /** How often all caps are gone through. */
  readonly repairEveryMs: number;
  /** How long an answered job is remembered. */
  readonly retentionSeconds: number;
}

export const defaultReconcileSettings: ReconcileSettings = {
  everyMs: 15_000,
  graceMs: 30_000,
  expireAfterMs: 24 * 3_600_000,
  maxRescues: 10,
  // A quarter: the other three are for the backlog of whoever has the longest.
  rebaseAt: Math.floor(maxPriority / 4),
  repairEveryMs: 600_000,
  retentionSeconds: 30 * 86_400,
};

/** What one pass mended. */
export interface Reconciled {
  /** Put back into BullMQ to be generated. */
  readonly rescued: number;
  /** Final answers that had lost their way. */
  readonly answers: number;
  /** Ended because nothing could save them. */
  readonly lost: number;
  readonly expired: number;
  /** Entries that nobody waits for any more. */
  readonly forgotten: number;
  readonly leaks: number;
  readonly priorities: number;
  /** By how much virtual time was moved. */
  readonly rebased: number;
}

const batchSize = 500;
/** Priorities that are on their way to Redis at a time. */
const prioritiesAtOnce = 50;
const scanCount = 1_000;
/** A worker that has been silent this long will not come back under its old name. */
const workerForgottenMs = 24 * 3_600_000;

/** One job as the ledger and BullMQ saw it at the same instant. */
interface Snapshot {
  readonly jobId: string;
  readonly createdAt: number;
  /** undefined when the ledger has no entry, or one without a state. */
  readonly state: JobState | undefined;
  readonly answered: boolean;
  readonly priority: number;
  /** BullMQ's priority of the generation; undefined when there is none. */
  readonly queuedPriority: number | undefined;
  readonly delivery: 'none' | 'waits for generation' | 'on its way';
}

type Mend = Exclude<keyof Reconciled, 'leaks' | 'priorities' | 'rebased'>;

export class Reconciler {
  readonly #redis: Redis;
  readonly #client: JobClient;
  readonly #artifacts: Artifacts;
  readonly #log: Logger;
  readonly #settings: ReconcileSettings;
  readonly #periodic: Periodic;
  #repairedAt = Number.NEGATIVE_INFINITY;

  /** @param redis a fail-fast connection: a pass that meets a dead Redis is simply repeated later */
  constructor(
    redis: Redis,
    client: JobClient,
    artifacts: Artifacts,
    log: Logger,
    settings: Partial<ReconcileSettings> = {},
  ) {
    this.#redis = redis;
    this.#client = client;
    this.#artifacts = artifacts;
    this.#log = log;
    this.#settings = { ...defaultReconcileSettings, ...settings };
    this.#periodic = new Periodic(
      () => this.run(),
      this.#settings.everyMs,
      (error) => log.warn({ err: String(error) }, 'reconciling failed; will try again'),
    );
  }

  get #keys(): Keys {
    return this.#client.keys;
  }

  get #ledger(): Ledger {
    return this.#client.ledger;
  }

  /** Looks at once, then periodically until stop(). */
  start(): void {
    this.#periodic.start();
  }

  async stop(): Promise<void> {
    await this.#periodic.stop();
  }

  /** One pass over everything that still waits for its answer. */
  async run(now = Date.now()): Promise<Reconciled> {
    const rebased = await this.#ledger.rebase(this.#settings.rebaseAt);
    const mends: Record<Mend, number> = { rescued: 0, answers: 0, lost: 0, expired: 0, forgotten: 0 };
    const running = await this.#runningNow(now);
    const wrongPriorities: Snapshot[] = [];
    const ids = await this.#redis.zrange(this.#keys.pending, 0, '-1');
    for (let at = 0; at < ids.length; at += batchSize) {
      for (const snapshot of await this.#look(ids.slice(at, at + batchSize))) {
        const onItsWay = now - snapshot.createdAt < this.#settings.graceMs || running.has(snapshot.jobId);
        try {
          const mend = onItsWay ? undefined : await this.#mend(snapshot, now);
          if (mend) mends[mend]++;
          else if (isPriorityWrong(snapshot)) wrongPriorities.push(snapshot);
        } catch (error) {
          // One entry must not keep the others from being mended.
          this.#log.warn({ jobId: snapshot.jobId, err: String(error) }, 'reconciling a job failed');
        }
      }
    }
    await this.#setPriorities(wrongPriorities);
    const leaks = await this.#repair(now);
    const report: Reconciled = { ...mends, leaks, priorities: wrongPriorities.length, rebased };
    if (Object.values(report).some((count) => count > 0)) this.#log.info(report, 'reconciled');
    return report;
  }

  /** What living workers say that they are generating, whatever the queue thinks. */
  async #runningNow(now: number): Promise<ReadonlySet<string>> {
    const running = new Set<string>();
    for (const [id, { entry, alive }] of await workerEntries(this.#redis, this.#keys, now)) {
      if (alive && entry.jobId !== null) running.add(entry.jobId);
      if (now - entry.beatAt > workerForgottenMs) await this.#redis.hdel(this.#keys.workers, id);
    }
    return running;
  }

  /** Ledger and BullMQ in one transaction: what is missing on one side then is not just on its way. */
  async #look(ids: readonly string[]): Promise<Snapshot[]> {
    const bull = this.#keys.bull;
    const batch = this.#redis.multi();
    for (const id of ids) {
      batch.hmget(this.#keys.job(id), 'state', 'deliveredAt', 'tag', 'createdAt');
      batch.hmget(`${bull}:${generateQueueName}:${id}`, 'priority', 'name');
      batch.exists(`${bull}:${deliverQueueName}:${id}`);
      batch.zscore(`${bull}:${deliverQueueName}:waiting-children`, id);
    }
    const replies = (await batch.exec()) ?? [];
    return ids.map((jobId, index) => {
      const reply = (at: number): unknown => {
        const [error, value] = replies[index * 4 + at] ?? [new Error('no reply')];
        if (error) throw error;
        return value;
      };
      const [state, deliveredAt, tag, createdAt] = reply(0) as (string | null)[];
      const [queuedPriority, queuedName] = reply(1) as (string | null)[];
      const waitsForGeneration = reply(3) !== null;
      return {
        jobId,
        createdAt: Number(createdAt ?? 0),
        state: jobStates.find((known) => known === state),
        answered: typeof deliveredAt === 'string',
        priority: Math.min(Number(tag) + 1, maxPriority),
        queuedPriority: typeof queuedName === 'string' ? Number(queuedPriority ?? 0) : undefined,
        delivery: reply(2) !== 1 ? 'none' : waitsForGeneration ? 'waits for generation' : 'on its way',
      };
    });
  }

  async #mend(job: Snapshot, now: number): Promise<Mend | undefined> {
    const { jobId, state } = job;
    if (state === undefined || job.answered) {
      // Most often it has been answered since we began, and is gone from the list already.
      return (await this.#redis.zrem(this.#keys.pending, jobId)) > 0 ? 'forgotten' : undefined;
    }
    // BullMQ's failed generations too: their delivery ends them with an answer.
    if (job.delivery === 'on its way') return undefined;
    if (state === 'reserved' || state === 'waiting' || state === 'running') {
      if (state !== 'running' && now - job.createdAt > this.#settings.expireAfterMs) {
        return await this.#expire(job, now);
      }
      if (job.queuedPriority !== undefined && job.delivery !== 'none') return undefined;
      return await this.#rescue(job, now);
    }
    return await this.#sendAnswer(job);
  }

  async #expire(job: Snapshot, now: number): Promise<Mend | undefined> {
    const hours = Math.round(this.#settings.expireAfterMs / 3_600_000);
    const failure: Failure = {
      code: 'EXPIRED',
      message: `The job waited for more than ${hours} ${hours === 1 ? 'hour' : 'hours'} and was given up.`,
    };
    const { changed } = await this.#ledger.transition(job.jobId, 'expired', now, {
      failure: JSON.stringify(failure),
    });
    if (!changed) return undefined; // it has just been started
    await this.#sendAnswer(job);
    return 'expired';
  }

  /** Puts a vanished job back, or ends it when that would be in vain. */
  async #rescue({ jobId, state }: Snapshot, now: number): Promise<Mend> {
    const entry = await this.#ledger.read(jobId).catch(() => undefined);
    if (!entry) {
      // Written by a version that we do not understand: nobody can be told, but the credits go back.
      await this.#ledger.transition(jobId, 'failed', now);
      await this.#ledger.settle(jobId, 'undeliverable', now, this.#settings.retentionSeconds);
      this.#log.error({ jobId }, 'a job cannot be read; its credits were given back');
      return 'lost';
    }
    const rescues = await this.#redis.hincrby(this.#keys.job(jobId), 'rescues', 1);
    const makeable =
      (await this.#artifacts.hasImage(jobId)) || (await this.#artifacts.readRecord(jobId)) !== undefined;
    if (rescues > this.#settings.maxRescues || !makeable) {
      const failure: Failure = {
        code: 'INTERNAL',
        message: 'The job was lost and could not be started again.',
      };
      await this.#ledger.transition(jobId, 'failed', now, { failure: JSON.stringify(failure) });
      await this.#client.deliverAgain(jobId);
      return 'lost';
    }
    if (state === 'running') await this.#ledger.transition(jobId, 'handback', now);
    await this.#client.enqueueAgain(entry, now);
    this.#log.warn({ jobId, rescues }, 'a job had vanished from the queue; it is back');
    return 'rescued';
  }

  /** A job with its final state: its answer must be on its way. */
  async #sendAnswer(job: Snapshot): Promise<Mend | undefined> {
    const { jobId } = job;
    if (job.delivery === 'waits for generation' && job.queuedPriority !== undefined) {
      // Somebody who ended it may have died before taking it out of the queue. One that is active stays where it is.
      if (job.state !== 'generated') await this.#client.releaseAnswer(jobId);
      return undefined;
    }
    await this.#client.deliverAgain(jobId);
    return 'answers';
  }

  /** In serving order, since BullMQ appends a job to the others of its new priority. */
  async #setPriorities(jobs: readonly Snapshot[]): Promise<void> {
    const ordered = [...jobs].sort((a, b) => a.priority - b.priority || a.createdAt - b.createdAt);
    for (let at = 0; at < ordered.length; at += prioritiesAtOnce) {
      await Promise.all(
        ordered
          .slice(at, at + prioritiesAtOnce)
          .map(({ jobId, priority }) => this.#client.setPriority(jobId, priority)),
      );
    }
  }

  /** Places that are held by jobs which are over. */
  async #repair(now: number): Promise<number> {
    if (now - this.#repairedAt < this.#settings.repairEveryMs) return 0;
    let leaks = 0;
    for (const preset of await this.#redis.smembers(this.#keys.presets)) {
      leaks += await this.#ledger.repair(this.#keys.waiting(preset));
    }
    const match = `${this.#keys.prefix}:active:*`;
    for await (const names of this.#redis.scanStream({ match, count: scanCount })) {
      for (const name of names as string[]) leaks += await this.#ledger.repair(name);
    }
    this.#repairedAt = now;
    return leaks;
  }
}

function isPriorityWrong({ state, queuedPriority, priority }: Snapshot): boolean {
  const counts = state === 'reserved' || state === 'waiting' || state === 'running';
  return counts && queuedPriority !== undefined && queuedPriority !== priority;
}
