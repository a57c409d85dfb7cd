/**
 * Compares the ledger with BullMQ and repairs the difference: Redis may have lost its last second, and a process may
 * have died between two steps. Young jobs are left alone. Every repair is idempotent, so several bots can do this at
 * once. Knows no platform and no model.
 */
import { z } from 'zod';
import type { Logger } from '../../log.ts';
import type { Artifacts } from '../../queue/artifacts.ts';
import { storedBanSchema } from '../../queue/bans.ts';
import { type JobClient, maxPriority } from '../../queue/client.ts';
import { firstContract, isNewer, NewerRecord } from '../../queue/contract.ts';
import { deliverQueueName, type Failure, type JobState, jobStates } from '../../queue/jobs.ts';
import type { Keys } from '../../queue/keys.ts';
import { tellOfNewer } from '../../queue/leave.ts';
import type { Ledger } from '../../queue/ledger.ts';
import { generateQueueOf, readKind } from '../../queue/models.ts';
import { type Redis, redisTime, replies, scanKeys } from '../../queue/redis.ts';
import { isForeign, isNewerJson, readJson, writeJson } from '../../queue/stored-json.ts';
import { workerEntries, workerSchema } from '../../queue/worker-registry.ts';
import { Periodic } from './periodic.ts';

export interface ReconcileSettings {
  readonly everyMs: number;
  /** Younger jobs may not be in BullMQ yet. */
  readonly graceMs: number;
  /** A job that has waited longer fails with EXPIRED, and its credits go back. */
  readonly expireAfterMs: number;
  /** A time in which no bot looked after the jobs, as on a machine that slept, is no waiting if it is longer. */
  readonly sleepAfterMs: number;
  /** A job that vanished this often fails. */
  readonly maxRescues: number;
  /** Virtual time that must have passed before it is moved back towards zero. */
  readonly rebaseAt: number;
  /** How often the sets of active and waiting jobs are checked. */
  readonly repairEveryMs: number;
  /** How long the ledger keeps an answered job. */
  readonly retentionSeconds: number;
}

const defaultReconcileSettings: ReconcileSettings = {
  everyMs: 15_000,
  graceMs: 30_000,
  expireAfterMs: 24 * 3_600_000,
  sleepAfterMs: 600_000,
  maxRescues: 10,
  // A quarter of BullMQ's range; the rest is for the longest backlog of one person.
  rebaseAt: Math.floor(maxPriority / 4),
  repairEveryMs: 600_000,
  retentionSeconds: 30 * 86_400,
};

/** Counts of one pass. */
export interface Reconciled {
  /** Accepted jobs that the ledger had forgotten. */
  readonly restored: number;
  /** Put back into BullMQ to be generated. */
  readonly rescued: number;
  /** Final answers whose delivery was missing. */
  readonly answers: number;
  /** Failed because they could not be generated any more. */
  readonly lost: number;
  readonly expired: number;
  /** Answered jobs, or ids without an entry, in the list of pending jobs. */
  readonly forgotten: number;
  readonly leaks: number;
  readonly priorities: number;
  /** By how much virtual time was moved. */
  readonly rebased: number;
}

const batchSize = 500;
/** Priorities that are set at a time. */
const prioritiesAtOnce = 50;
const scanCount = 1_000;
/** A worker without a heartbeat for this long is removed; a restarted one has a new name. */
const workerForgottenMs = 24 * 3_600_000;

/** One job in the ledger and in BullMQ at the same instant. */
interface Snapshot {
  readonly jobId: string;
  readonly model: string | undefined;
  readonly createdAt: number;
  /** Ledger.awake() when it was admitted. */
  readonly asleepMs: number;
  /** undefined when the ledger has no entry, or one without a state. */
  readonly state: JobState | undefined;
  /** It belongs to processes of a newer version. */
  readonly isNewer: boolean;
  readonly answered: boolean;
  readonly priority: number;
  /** BullMQ's priority of the generation; undefined when there is none. */
  readonly queuedPriority: number | undefined;
  readonly delivery: 'none' | 'waits for generation' | 'on its way';
}

type Repair = Exclude<keyof Reconciled, 'restored' | 'leaks' | 'priorities' | 'rebased'>;

export class Reconciler {
  readonly #redis: Redis;
  readonly #client: JobClient;
  readonly #artifacts: Artifacts;
  readonly #log: Logger;
  readonly #settings: ReconcileSettings;
  readonly #periodic: Periodic;
  #repairedAt = Number.NEGATIVE_INFINITY;
  /** Jobs with a folder that the ledger does not know and nobody is owed an answer for. */
  readonly #over = new Set<string>();

  /** @param redis a fail-fast connection: a pass that fails is repeated later */
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

  /** One pass over all jobs without a delivered answer. */
  async run(time?: number): Promise<Reconciled> {
    const now = time ?? (await redisTime(this.#redis));
    const asleepMs = await this.#ledger.awake(now, this.#settings.sleepAfterMs);
    const restored = await this.#restore(now);
    const rebased = await this.#ledger.rebase(this.#settings.rebaseAt);
    const repairs: Record<Repair, number> = { rescued: 0, answers: 0, lost: 0, expired: 0, forgotten: 0 };
    const running = await this.#runningNow(now);
    const wrongPriorities: Snapshot[] = [];
    const ids = await this.#redis.zrange(this.#keys.pending, 0, '-1');
    for (let at = 0; at < ids.length; at += batchSize) {
      for (const snapshot of await this.#look(ids.slice(at, at + batchSize))) {
        if (snapshot.isNewer) {
          tellOfNewer(this.#log, snapshot.jobId);
          continue;
        }
        const onItsWay = now - snapshot.createdAt < this.#settings.graceMs || running.has(snapshot.jobId);
        try {
          const repair = onItsWay ? undefined : await this.#repairJob(snapshot, now, asleepMs);
          if (repair) repairs[repair]++;
          else if (isPriorityWrong(snapshot)) wrongPriorities.push(snapshot);
        } catch (error) {
          // One entry must not keep the others from being repaired.
          this.#log.warn({ jobId: snapshot.jobId, err: String(error) }, 'reconciling a job failed');
        }
      }
    }
    await this.#setPriorities(wrongPriorities);
    const leaks = await this.#repair(now);
    const report: Reconciled = { restored, ...repairs, leaks, priorities: wrongPriorities.length, rebased };
    if (Object.values(report).some((count) => count > 0)) this.#log.info(report, 'reconciled');
    return report;
  }

  /**
   * Brings back accepted jobs that Redis has lost, by what lies in their folders. Their pictures and finished videos lie
   * there too; a job that waited too long, or whose picture is gone, then ends like any other.
   */
  async #restore(now: number): Promise<number> {
    const kept = new Set(await this.#artifacts.jobIds());
    for (const id of this.#over) if (!kept.has(id)) this.#over.delete(id);
    const ids = [...kept].filter((id) => !this.#over.has(id));
    let restored = 0;
    for (let at = 0; at < ids.length; at += batchSize) {
      const batch = ids.slice(at, at + batchSize);
      const pipeline = this.#redis.pipeline();
      for (const id of batch) pipeline.exists(this.#keys.job(id));
      const known = replies(await pipeline.exec(), z.array(z.int()));
      for (const jobId of batch.filter((_, index) => known[index] === 0)) {
        try {
          if ((await this.#artifacts.answered(jobId)) !== undefined) this.#over.add(jobId);
          const owed = await this.#artifacts.owed(jobId);
          // Without one, its request was refused or is about to be accepted. The ledger keeps an entry for the retention.
          if (!owed || now - owed.acceptedAt > this.#settings.retentionSeconds * 1000) continue;
          await this.#client.restore(owed.request, owed.acceptedAt);
          this.#log.warn({ jobId }, 'Redis had forgotten an accepted job; it is back');
          restored++;
        } catch (error) {
          if (error instanceof NewerRecord) tellOfNewer(this.#log, jobId);
          else this.#log.warn({ jobId, err: String(error) }, 'bringing a forgotten job back failed');
        }
      }
    }
    return restored;
  }

  /** Jobs that living workers generate by their own heartbeats. */
  async #runningNow(now: number): Promise<ReadonlySet<string>> {
    const running = new Set<string>();
    for (const [id, { entry, alive }] of await workerEntries(this.#redis, this.#keys, now)) {
      if (alive && entry.jobId !== null) running.add(entry.jobId);
      if (now - entry.beatAt > workerForgottenMs) await this.#redis.hdel(this.#keys.workers, id);
    }
    return running;
  }

  /** Reads ledger and BullMQ in one transaction, so that a job that is missing on one side is not just being moved. */
  async #look(ids: readonly string[]): Promise<Snapshot[]> {
    const bull = this.#keys.bull;
    // What never changes is read before: it says in which queue a job is.
    const before = this.#redis.pipeline();
    for (const id of ids) before.hmget(this.#keys.job(id), 'kind', 'preset');
    const kinds = replies(await before.exec(), z.array(z.array(z.string().nullable())));
    const models = kinds.map(([kind, preset]) => readKind(kind ?? preset ?? '').model);
    const batch = this.#redis.multi();
    for (const [index, id] of ids.entries()) {
      batch.hmget(this.#keys.job(id), 'state', 'deliveredAt', 'tag', 'createdAt', 'asleep', 'contract');
      batch.hmget(`${bull}:${generateQueueOf(models[index])}:${id}`, 'priority', 'name');
      batch.exists(`${bull}:${deliverQueueName}:${id}`);
      batch.zscore(`${bull}:${deliverQueueName}:waiting-children`, id);
    }
    const answers = (await batch.exec()) ?? [];
    return ids.map((jobId, index) => {
      const reply = (at: number): unknown => {
        const [error, value] = answers[index * 4 + at] ?? [new Error('no reply')];
        if (error) throw error;
        return value;
      };
      const [state, deliveredAt, tag, createdAt, asleep, stamp] = reply(0) as (string | null)[];
      const [queuedPriority, queuedName] = reply(1) as (string | null)[];
      const waitsForGeneration = reply(3) !== null;
      return {
        jobId,
        model: models[index],
        createdAt: Number(createdAt ?? 0),
        asleepMs: Number(asleep ?? 0),
        state: jobStates.find((known) => known === state),
        isNewer: isNewer({ contract: Number(stamp ?? firstContract) }),
        answered: typeof deliveredAt === 'string',
        priority: Math.min(Number(tag) + 1, maxPriority),
        queuedPriority: typeof queuedName === 'string' ? Number(queuedPriority ?? 0) : undefined,
        delivery: reply(2) !== 1 ? 'none' : waitsForGeneration ? 'waits for generation' : 'on its way',
      };
    });
  }

  async #repairJob(job: Snapshot, now: number, asleepMs: number): Promise<Repair | undefined> {
    const { jobId, state } = job;
    if (state === undefined || job.answered) {
      // Mostly it was answered since the pass began, and is no longer in the list.
      return (await this.#redis.zrem(this.#keys.pending, jobId)) > 0 ? 'forgotten' : undefined;
    }
    // This holds for failed generations, too: their delivery ends them with an answer.
    if (job.delivery === 'on its way') return undefined;
    if (state === 'reserved' || state === 'waiting' || state === 'running') {
      const waitedMs = now - job.createdAt - (asleepMs - job.asleepMs);
      if (state !== 'running' && waitedMs > this.#settings.expireAfterMs) {
        return await this.#expire(job, now);
      }
      if (job.queuedPriority !== undefined && job.delivery !== 'none') return undefined;
      return await this.#rescue(job, now);
    }
    return await this.#sendAnswer(job);
  }

  async #expire(job: Snapshot, now: number): Promise<Repair | undefined> {
    const hours = Math.round(this.#settings.expireAfterMs / 3_600_000);
    const failure: Failure = {
      code: 'EXPIRED',
      message: `The job waited for more than ${hours} ${hours === 1 ? 'hour' : 'hours'} and was given up.`,
    };
    const { changed } = await this.#ledger.transition(job.jobId, 'expired', now, {
      failure: writeJson(failure),
    });
    if (!changed) return undefined; // it has just been started
    await this.#sendAnswer(job);
    return 'expired';
  }

  /** Puts a vanished job back, or fails it when its files are gone or it vanished too often. */
  async #rescue({ jobId, state }: Snapshot, now: number): Promise<Repair> {
    const entry = await this.#ledger.read(jobId).catch((error: unknown) => {
      if (!isForeign(error)) throw error;
    });
    if (!entry) {
      // An entry of another version: its person cannot be told, but the credits go back.
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
      await this.#ledger.transition(jobId, 'failed', now, { failure: writeJson(failure) });
      await this.#client.deliverAgain(jobId);
      return 'lost';
    }
    if (state === 'running') await this.#ledger.transition(jobId, 'handback', now);
    await this.#client.enqueueAgain(entry, now);
    this.#log.warn({ jobId, rescues }, 'a job had vanished from the queue; it is back');
    return 'rescued';
  }

  /** A job with its final state: its answer must be in the delivery queue. */
  async #sendAnswer(job: Snapshot): Promise<Repair | undefined> {
    const { jobId } = job;
    if (job.delivery === 'waits for generation' && job.queuedPriority !== undefined) {
      // The process that ended it may have died before taking it out of the queue. An active one stays.
      if (job.state !== 'generated') await this.#client.releaseAnswer({ id: jobId, model: job.model });
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
          .map(({ jobId: id, model, priority }) => this.#client.setPriority({ id, model }, priority)),
      );
    }
  }

  /** Places in the sets that are held by jobs which are over. */
  async #repair(now: number): Promise<number> {
    if (now - this.#repairedAt < this.#settings.repairEveryMs) return 0;
    let leaks = 0;
    for (const kind of await this.#redis.smembers(this.#keys.presets)) {
      leaks += await this.#ledger.repair(this.#keys.waiting(kind));
    }
    const match = this.#keys.active('*');
    for await (const names of scanKeys(this.#redis, this.#keys, match, scanCount)) {
      for (const name of names) leaks += await this.#ledger.repair(name);
    }
    await this.#removeForeign(this.#keys.workers, workerSchema);
    await this.#removeForeign(this.#keys.bans, storedBanSchema);
    this.#repairedAt = now;
    return leaks;
  }

  /** Everybody passes over fields of a hash that an older version wrote; here they go. */
  async #removeForeign(key: string, schema: z.ZodType): Promise<void> {
    for (const [field, text] of Object.entries(await this.#redis.hgetall(key))) {
      if (isNewerJson(text) || readJson(text, schema) !== undefined) continue;
      this.#log.warn({ key, field }, 'removed what this version of Kinora cannot read');
      await this.#redis.hdel(key, field);
    }
  }
}

function isPriorityWrong({ state, queuedPriority, priority }: Snapshot): boolean {
  const counts = state === 'reserved' || state === 'waiting' || state === 'running';
  return counts && queuedPriority !== undefined && queuedPriority !== priority;
}
