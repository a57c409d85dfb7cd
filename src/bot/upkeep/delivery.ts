/**
 * Delivers final answers: a queue of its own with its own retries, so that a finished video is never generated again
 * because a chat was away. The ledger records that an answer was delivered. Knows of a platform only its Deliver.
 */
import { randomUUID } from 'node:crypto';
import { type Job, UnrecoverableError, Worker } from 'bullmq';
import type { Logger } from '../../log.ts';
import type { Artifacts, OpenFiles } from '../../queue/artifacts.ts';
import { subscribeEvents } from '../../queue/events.ts';
import type { JobFiles } from '../../queue/job-files.ts';
import {
  type Artifact,
  deliverQueueName,
  type Failure,
  type Outcome,
  type QueueData,
  readQueueData,
} from '../../queue/jobs.ts';
import { Keys } from '../../queue/keys.ts';
import { leavingNewer } from '../../queue/leave.ts';
import { Ledger, type LedgerEntry } from '../../queue/ledger.ts';
import { LockRenewal } from '../../queue/lock-renewal.ts';
import { LostHandouts } from '../../queue/lost-handouts.ts';
import { OverdueDelays } from '../../queue/overdue-delays.ts';
import { type Redis, redisTime, untilRedisCan } from '../../queue/redis.ts';
import { isForeign, writeJson } from '../../queue/stored-json.ts';
import { Periodic } from './periodic.ts';

/** The one final answer of a job. */
export type Answer =
  | {
      readonly kind: 'video';
      readonly artifact: Artifact;
      /** Video and thumbnail on this machine, for as long as the answer is being posted. */
      readonly files: () => Promise<JobFiles>;
      /** Artifacts.takeCall() of the job. */
      readonly takeCall: () => Promise<boolean>;
      /** For how long its person has waited, by Redis's clock. */
      readonly waitedMs: number;
    }
  | { readonly kind: 'failure'; readonly failure: Failure }
  | { readonly kind: 'cancelled' };

/** Thrown by a platform that cannot post now: the next attempt comes after `retryAfterMs`. */
export class DeliveryDelayed extends Error {
  override readonly name = 'DeliveryDelayed';
  readonly retryAfterMs: number;
  constructor(message: string, retryAfterMs: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Thrown by a platform when the answer can never be delivered: the chat is gone, or the bot was removed. */
export class DeliveryImpossible extends Error {
  override readonly name = 'DeliveryImpossible';
}

/** Thrown by a platform that refuses the answer for a reason that hardly passes: it gets a few more attempts. */
export class DeliveryRefused extends Error {
  override readonly name = 'DeliveryRefused';
}

/**
 * Posts one answer. It may be called again for the same job after a crash, so it uses the platform's most repeatable
 * call; resolving means that the person has it.
 */
export type Deliver = (entry: LedgerEntry, answer: Answer, signal: AbortSignal) => Promise<void>;

/** Whether the person is to be called to a video that came by an edit, which notifies nobody: after a long wait, and once. */
export async function mayCall(
  { waitedMs, takeCall }: Pick<Extract<Answer, { kind: 'video' }>, 'waitedMs' | 'takeCall'>,
  notifyAfterMs: number,
): Promise<boolean> {
  return waitedMs >= notifyAfterMs && (await takeCall());
}

export interface DeliverySettings {
  readonly concurrency: number;
  readonly maxAttempts: number;
  /** Attempts that the platform may refuse. */
  readonly maxRefusals: number;
  readonly firstRetryMs: number;
  readonly longestRetryMs: number;
  /** How long the ledger keeps an answered job, and the buttons under its video work. */
  readonly retentionSeconds: number;
  /** Deadline of one attempt. */
  readonly attemptDeadlineMs: number;
  /** BullMQ's lock, renewed at a third of it: Redis may be away that long before a delivery counts as abandoned. */
  readonly lockDurationMs: number;
  /** How often to look for deliveries that BullMQ assigned to this worker in an answer that was lost, or delays too long. */
  readonly lookForLostEveryMs: number;
  /** Whether the call that submitted the job answered that the queue is not available: JobClient.wasDenied. */
  readonly wasDenied: (callId: string, entry: LedgerEntry) => Promise<boolean>;
}

const defaultDeliverySettings: DeliverySettings = {
  concurrency: 4,
  maxAttempts: 100,
  maxRefusals: 3,
  firstRetryMs: 1_000,
  longestRetryMs: 300_000,
  retentionSeconds: 30 * 86_400,
  attemptDeadlineMs: 120_000,
  lockDurationMs: 30_000,
  lookForLostEveryMs: 5_000,
  wasDenied: async () => false,
};

/** Pause before the next delivery is fetched after the connection broke. */
const fetchRetryMs = 1_000;
/** Pause before a delivery that this worker is still posting is tried again. */
const postedAlreadyMs = 2_000;

const refusedVideo: Failure = { code: 'INTERNAL', message: 'The chat does not take the video.' };

export class DeliveryWorker {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #ledger: Ledger;
  readonly #artifacts: Artifacts;
  readonly #deliver: Deliver;
  readonly #settings: DeliverySettings;
  readonly #log: Logger;
  readonly #worker: Worker<QueueData>;
  readonly #locks: LockRenewal;
  readonly #uploading = new Map<string, AbortController>();
  /** Files of the answers that are being posted. */
  readonly #opened = new Map<string, Promise<OpenFiles>>();
  /** Deliveries that this worker has fetched and not returned. */
  readonly #held = new Set<string>();
  /** Job id → attempts that its platform refused. */
  readonly #refusals = new Map<string, number>();
  readonly #lookForLost: Periodic;
  #unsubscribe: (() => void) | null = null;

  /** @param redis a patient connection; the caller closes it after stop() */
  constructor(
    redis: Redis,
    artifacts: Artifacts,
    deliver: Deliver,
    log: Logger,
    settings: Partial<DeliverySettings> = {},
    keys = new Keys(),
  ) {
    this.#redis = redis;
    this.#keys = keys;
    this.#ledger = new Ledger(redis, keys);
    this.#artifacts = artifacts;
    this.#deliver = deliver;
    this.#settings = { ...defaultDeliverySettings, ...settings };
    this.#log = log;
    const { firstRetryMs, longestRetryMs } = this.#settings;
    const id = randomUUID();
    this.#worker = new Worker<QueueData>(deliverQueueName, (job, token) => this.#process(job, token), {
      connection: redis,
      prefix: keys.bull,
      name: id,
      concurrency: this.#settings.concurrency,
      autorun: false,
      runRetryDelay: fetchRetryMs,
      lockDuration: this.#settings.lockDurationMs,
      skipLockRenewal: true, // LockRenewal does it
      stalledInterval: 5_000,
      maxStalledCount: 1_000,
      settings: {
        backoffStrategy: (attempts, _type, error) =>
          error instanceof DeliveryDelayed
            ? error.retryAfterMs
            : Math.min(firstRetryMs * 2 ** Math.min(attempts - 1, 20), longestRetryMs),
      },
    });
    const onError = (error: Error): void => log.warn({ err: error.message }, 'delivery connection');
    this.#worker.on('error', onError);
    this.#locks = new LockRenewal(this.#worker, this.#settings.lockDurationMs, onError);
    const queue = `${keys.bull}:${deliverQueueName}`;
    const lost = new LostHandouts(redis, queue, id, (jobId) => this.#held.has(jobId));
    const delays = new OverdueDelays(redis, queue);
    this.#lookForLost = new Periodic(
      async () => {
        if ((await lost.run()) > 0) await this.#worker.startStalledCheckTimer();
        await delays.run();
      },
      this.#settings.lookForLostEveryMs,
      (error) => log.warn({ err: String(error) }, 'looking for lost deliveries failed; will look again'),
    );
  }

  async start(): Promise<void> {
    this.#unsubscribe = await subscribeEvents(this.#redis, this.#keys.events, (event) => {
      if (event.type === 'cancel') this.#uploading.get(event.jobId)?.abort();
    });
    void this.#worker.run();
    this.#lookForLost.start();
  }

  /** Finishes the posts under way. */
  async stop(): Promise<void> {
    await Promise.all([this.#worker.close(), this.#lookForLost.stop()]);
    this.#locks.stop();
    this.#unsubscribe?.();
  }

  async #process(job: Job<QueueData>, token: string | undefined): Promise<void> {
    const jobId = job.id ?? '';
    // When Redis was away for longer than the lock, BullMQ assigns a delivery again that is still being posted.
    if (this.#held.has(jobId)) throw new DeliveryDelayed('It is being posted already.', postedAlreadyMs);
    this.#held.add(jobId);
    try {
      await this.#locks.during(jobId, token, () =>
        leavingNewer(job, token, this.#log, () => this.#serve(job, readQueueData(job.data).jobId)),
      );
    } finally {
      this.#held.delete(jobId);
    }
  }

  async #serve(job: Job<QueueData>, jobId: string): Promise<void> {
    const entry = await this.#ledger.read(jobId).catch((error: unknown) => {
      if (isForeign(error)) return 'foreign' as const;
      throw error;
    });
    if (entry === 'foreign') {
      this.#log.error({ jobId }, 'a job of another version cannot be read; its credits are given back');
      await untilRedisCan(() => this.#ledger.transition(jobId, 'failed'));
      return await this.#settle(jobId, 'undeliverable');
    }
    if (!entry || entry.deliveredAt !== undefined) return;
    const before = await this.#artifacts.answered(jobId);
    if (before !== undefined) return await this.#settleAgain(jobId, before);
    if (await this.#expectsNothing(entry)) {
      await untilRedisCan(() => this.#ledger.transition(jobId, 'cancelled', undefined, { silent: '1' }));
      return await this.#settle(jobId, 'undeliverable');
    }

    const answer = await this.#answer(entry);
    try {
      await this.#post(entry, answer);
    } catch (error) {
      const cancelled = answer.kind === 'video' && (await this.#cancelledMeanwhile(jobId));
      if (cancelled) return await this.#serve(job, jobId);
      await this.#ledger.transition(jobId, 'undeliver');
      const attempt = job.attemptsMade + 1;
      this.#log.warn({ jobId, attempt, err: String(error) }, 'delivery failed');
      const isRefused = this.#isRefusedForGood(jobId, error);
      if (error instanceof DeliveryImpossible || isRefused || attempt >= this.#settings.maxAttempts) {
        await this.#settle(jobId, 'undeliverable');
        // Best effort: where no video can be posted, a sentence may be.
        if (isRefused && answer.kind === 'video') {
          await this.#post(entry, { kind: 'failure', failure: refusedVideo }).catch(() => {});
        }
        throw new UnrecoverableError(String(error));
      }
      throw error;
    }
    // A lost video is answered with a failure, and its credits go back.
    await this.#settle(jobId, answer.kind === 'video' ? 'delivered' : 'undeliverable');
  }

  #isRefusedForGood(jobId: string, error: unknown): boolean {
    if (!(error instanceof DeliveryRefused)) return false;
    const refusals = (this.#refusals.get(jobId) ?? 0) + 1;
    this.#refusals.set(jobId, refusals);
    return refusals >= this.#settings.maxRefusals;
  }

  /**
   * The person was told that the queue is not available, so there is nothing to deliver. The job may have been made all
   * the same, when its withdrawal has not reached Redis yet; asked first, as it is forgotten once Redis has it.
   */
  async #expectsNothing(entry: LedgerEntry): Promise<boolean> {
    const key = this.#keys.job(entry.id);
    const callId = await this.#redis.hget(key, 'ask');
    if (callId !== null && (await this.#settings.wasDenied(callId, entry))) return true;
    return (await this.#redis.hexists(key, 'silent')) === 1;
  }

  async #post(entry: LedgerEntry, answer: Answer): Promise<void> {
    const uploading = new AbortController();
    this.#uploading.set(entry.id, uploading);
    const deadline = AbortSignal.timeout(this.#settings.attemptDeadlineMs);
    try {
      await this.#deliver(entry, answer, AbortSignal.any([uploading.signal, deadline]));
    } finally {
      this.#uploading.delete(entry.id);
      await this.#close(entry.id);
    }
  }

  /** The files of an answer, fetched when its platform first asks for them. */
  async #open(jobId: string): Promise<JobFiles> {
    const opened = this.#opened.get(jobId) ?? this.#artifacts.open(jobId, ['video', 'thumbnail']);
    this.#opened.set(jobId, opened);
    return (await opened).files;
  }

  async #close(jobId: string): Promise<void> {
    const opened = this.#opened.get(jobId);
    this.#opened.delete(jobId);
    await (await opened?.catch(() => undefined))?.close();
  }

  /** The person stopped the upload: from here on the answer is that the job was cancelled. */
  async #cancelledMeanwhile(jobId: string): Promise<boolean> {
    const entry = await this.#ledger.read(jobId);
    if (entry?.cancelRequestedBy === undefined) return false;
    return (await this.#ledger.transition(jobId, 'cancelled')).changed;
  }

  /** The answer of a job. Claims a finished video for upload, so that a cancellation knows its state. */
  async #answer(entry: LedgerEntry): Promise<Answer> {
    if (entry.state === 'cancelled') return { kind: 'cancelled' };
    const lost: Failure = { code: 'INTERNAL', message: 'The video was lost before it could be sent.' };
    if (entry.state === 'failed') return { kind: 'failure', failure: entry.failure ?? lost };
    const artifact = await this.#artifacts.readRecord(entry.id);
    if (artifact) {
      const now = await redisTime(this.#redis);
      const claim = await this.#ledger.transition(entry.id, 'deliver', now);
      if (claim.changed) {
        const waitedMs = now - entry.createdAt;
        const files = () => this.#open(entry.id);
        const takeCall = () => this.#artifacts.takeCall(entry.id);
        return { kind: 'video', artifact, files, takeCall, waitedMs };
      }
      if (claim.state === 'cancelled') return { kind: 'cancelled' };
    }
    // BullMQ gave up the generation, or its files are gone: the person still gets one final answer.
    await this.#ledger.transition(entry.id, 'failed', undefined, { failure: writeJson(lost) });
    return { kind: 'failure', failure: lost };
  }

  /** It was answered, and Redis has lost that. A job that was made again meanwhile keeps its state. */
  async #settleAgain(jobId: string, outcome: Outcome): Promise<void> {
    this.#log.warn({ jobId, outcome }, 'Redis forgot that a job was answered');
    await untilRedisCan(async () => {
      const settled = () => this.#ledger.settle(jobId, outcome, undefined, this.#settings.retentionSeconds);
      if (await settled()) return;
      await this.#ledger.transition(jobId, 'cancelled');
      await settled();
    });
  }

  async #settle(jobId: string, outcome: Outcome): Promise<void> {
    await this.#artifacts.storeAnswered(jobId, outcome).catch((error: unknown) => {
      this.#log.warn({ jobId, err: String(error) }, 'an answer is only marked in Redis');
    });
    this.#refusals.delete(jobId);
    // The answer is delivered: an error here would make BullMQ post it again.
    await untilRedisCan(() =>
      this.#ledger.settle(jobId, outcome, undefined, this.#settings.retentionSeconds),
    );
    await this.#removeDiscarded(jobId).catch((error: unknown) => {
      this.#log.warn({ jobId, err: String(error) }, 'files of a deleted job are left to housekeeping');
    });
  }

  /** Its person deleted it while it was made. */
  async #removeDiscarded(jobId: string): Promise<void> {
    const entry = await this.#ledger.read(jobId);
    if (!entry?.isDiscarded) return;
    await this.#artifacts.remove(jobId);
    await this.#ledger.remove(jobId, entry.request.userKey);
  }
}
