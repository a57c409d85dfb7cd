/**
 * The side of the queue that the bot uses: submit, watch, cancel. Answers within a bounded time whatever Redis does.
 * Knows no platform and no model.
 */
import { randomUUID } from 'node:crypto';
import { FlowProducer, Queue } from 'bullmq';
import { withDeadline } from '../deadline.ts';
import type { Logger } from '../log.ts';
import type { Generation } from '../request/request.ts';
import { retry } from '../retry.ts';
import { firstContract } from './contract.ts';
import { type KeptProgress, keptProgress, publishEvent, type QueueEvent, subscribeEvents } from './events.ts';
import { History } from './history.ts';
import { deliverQueueName, type JobRequest, type QueueData } from './jobs.ts';
import { Keys } from './keys.ts';
import {
  type Admission,
  type AdmissionLimits,
  type CancelAnswer,
  Ledger,
  type LedgerEntry,
  type Refusal,
  type WaitingJob,
} from './ledger.ts';
import { generateQueueOf, generateQueues, readKind } from './models.ts';
import type { Redis } from './redis.ts';
import { RedisClock } from './redis-clock.ts';
import { type QueuePosition, TimeLeft } from './time-left.ts';
import type { Withdrawal, Withdrawals } from './withdrawals.ts';

/** What decides the cost of a job. */
export interface CostedJob {
  readonly generation: Generation;
  /** The one that makes it; absent where none is known. */
  readonly model?: string | undefined;
}

/** What says in which queue of BullMQ a job is. */
type QueuedJob = Pick<WaitingJob, 'id' | 'model' | 'contract'>;

export interface QueueTerms {
  /** Credits of one job, and its length for the fair order of the queue. */
  readonly cost: (job: CostedJob) => number;
  /** Calendar day of the allowance, in the operator's time zone, for a time in ms. */
  readonly day: (now: number) => string;
  readonly cooldownMs: number;
  readonly limits: AdmissionLimits;
  /** True while the disk has no room for another job. Cheap: called for every request. */
  readonly diskFull?: () => Promise<boolean>;
  /** Writes down that a job was accepted at a time in ms, for a Redis that forgets it: see restore(). */
  readonly onAccepted?: (request: JobRequest, acceptedAt: number) => Promise<void>;
  /** Keeps what was withdrawn until Redis has heard of it: see withdrawLeft(). */
  readonly withdrawals?: Withdrawals;
  /** Called with every decision and the time that it took. */
  readonly onDecision?: (decision: Submission['decision'], ms: number) => void;
}

export type Submission =
  | {
      readonly decision: 'accepted';
      readonly position: QueuePosition;
      readonly cost: number;
      readonly left: number;
    }
  | { readonly decision: 'duplicate'; readonly state: LedgerEntry['state'] }
  | { readonly decision: 'unavailable' }
  /** Too little space is free; taken again as soon as there is enough. */
  | { readonly decision: 'disk-full' }
  | Refusal;

/**
 * For BullMQ on a fail-fast connection: without these it first asks Redis for its version, and never works again when
 * the answer is late. redis.ts checks the version.
 */
export const independentOfRedis = { skipWaitingForReady: true, skipVersionCheck: true } as const;

/** A person is never left without an answer for longer than this. */
const answerDeadlineMs = 2_400;
const withdrawEveryMs = 1_000;
const withdrawAttempts = 600;
/** How long a withdrawn request is remembered: longer than any platform repeats one. */
const withdrawnForSeconds = 86_400;

const unlimitedCredits = Number.MAX_SAFE_INTEGER;

/** BullMQ's largest priority; a job beyond it is served last rather than refused. */
export const maxPriority = 2_097_151;
/** Deaths of whole workers, not of engines; those are counted in the ledger. */
const generateAttempts = 3;

const deliverOptions = {
  attempts: 100,
  backoff: { type: 'delivery' },
  removeOnComplete: true,
  removeOnFail: true,
} as const;

export class JobClient {
  readonly ledger: Ledger;
  readonly history: History;
  readonly keys: Keys;
  readonly timeLeft: TimeLeft;
  readonly #redis: Redis;
  readonly #terms: QueueTerms;
  readonly #log: Logger;
  readonly #clock: RedisClock;
  readonly #flows: FlowProducer;
  /** By their names, as they are needed. */
  readonly #generateQueues = new Map<string, Queue<QueueData>>();
  readonly #deliverQueue: Queue<QueueData>;
  /** Calls of submit() that have not returned. */
  readonly #unanswered = new Map<string, Promise<Submission>>();
  /** Calls of submit() that returned "unavailable", until their withdrawal has reached Redis. */
  readonly #denied = new Set<string>();

  /** @param redis a fail-fast connection; the caller closes it after close() */
  constructor(redis: Redis, terms: QueueTerms, log: Logger, keys = new Keys()) {
    this.#redis = redis;
    this.#terms = terms;
    this.#log = log;
    this.keys = keys;
    this.ledger = new Ledger(redis, keys);
    this.#clock = new RedisClock(redis);
    this.history = new History(redis, this.ledger);
    this.timeLeft = new TimeLeft(redis, keys, this.ledger);
    this.#flows = new FlowProducer(this.#bullOptions);
    this.#flows.on('error', this.#onError);
    this.#deliverQueue = this.#openQueue(deliverQueueName);
  }

  get #bullOptions() {
    return { connection: this.#redis, prefix: this.keys.bull, ...independentOfRedis };
  }

  readonly #onError = (error: Error): void => this.#log.warn({ err: error.message }, 'queue connection');

  #openQueue(name: string): Queue<QueueData> {
    const queue = new Queue<QueueData>(name, this.#bullOptions);
    queue.on('error', this.#onError);
    return queue;
  }

  /** BullMQ's queue in which a job waits for a worker. */
  #generateQueue({ model }: QueuedJob): Queue<QueueData> {
    return this.#queueNamed(generateQueueOf(model));
  }

  #queueNamed(name: string): Queue<QueueData> {
    const queue = this.#generateQueues.get(name) ?? this.#openQueue(name);
    this.#generateQueues.set(name, queue);
    return queue;
  }

  /**
   * Decides about a request and, when it is accepted, queues it. The picture already lies in the job's folder.
   * Calling it again with the same id changes nothing, but completes what a crash left half done.
   * @param now Redis's own time where it is left out
   * @param isFree neither credits nor pauses between requests hold, as for the owner's own folder
   */
  async submit(request: JobRequest, now?: number, isFree = false): Promise<Submission> {
    const startedAt = performance.now();
    const callId = randomUUID();
    let acceptedAt = now;
    const decide = async (): Promise<Submission> => {
      acceptedAt ??= await this.time();
      return await this.#decide(request, callId, acceptedAt, isFree);
    };
    const deciding = withDeadline(answerDeadlineMs, decide(), () => {
      throw new Error(`no answer from Redis within ${answerDeadlineMs} ms`);
    }).catch((error: unknown): Submission => {
      this.#log.warn({ jobId: request.id, err: String(error) }, 'submit failed; withdrawing');
      // The person reads "try again": the job must not be made although Redis may have taken it.
      this.#denied.add(callId);
      void this.#withdraw({ jobId: request.id, callId });
      return { decision: 'unavailable' };
    });
    this.#unanswered.set(callId, deciding);
    const submission = await deciding;
    this.#unanswered.delete(callId);
    if (submission.decision === 'accepted' && acceptedAt !== undefined) {
      await this.#terms.onAccepted?.(request, acceptedAt).catch((error: unknown) => {
        this.#log.warn({ jobId: request.id, err: String(error) }, 'an accepted request is only in Redis');
      });
    }
    this.#terms.onDecision?.(submission.decision, performance.now() - startedAt);
    return submission;
  }

  /**
   * Why submit() would not take a request now, or undefined when nothing speaks against it. Reserves nothing: asked
   * before its picture is fetched, so that whoever is refused costs nothing.
   */
  async look(
    request: JobRequest,
    now?: number,
  ): Promise<Exclude<Submission, { decision: 'accepted' }> | undefined> {
    const startedAt = performance.now();
    const look = async () =>
      await this.#admit(request, now ?? (await this.time()), { callId: randomUUID(), isLook: true });
    const answer = await withDeadline(answerDeadlineMs, look(), () => {
      throw new Error(`no answer from Redis within ${answerDeadlineMs} ms`);
    }).catch((error: unknown) => {
      this.#log.warn({ jobId: request.id, err: String(error) }, 'the queue cannot be asked');
      return { decision: 'unavailable' } as const;
    });
    if (answer.decision === 'accepted') return undefined;
    // A duplicate is submitted all the same, and counted there.
    if (answer.decision !== 'duplicate') {
      this.#terms.onDecision?.(answer.decision, performance.now() - startedAt);
    }
    return answer;
  }

  async #admit(
    request: JobRequest,
    now: number,
    { isFree, ...call }: { readonly callId: string; readonly isLook?: true; readonly isFree?: boolean },
  ): Promise<Admission | { readonly decision: 'disk-full' }> {
    const { cost, day, diskFull } = this.#terms;
    const cooldownMs = isFree ? 0 : this.#terms.cooldownMs;
    const limits = isFree ? { ...this.#terms.limits, credits: unlimitedCredits } : this.#terms.limits;
    // A job that was accepted before stays accepted.
    if ((await diskFull?.()) && !(await this.#redis.exists(this.keys.job(request.id)))) {
      return { decision: 'disk-full' };
    }
    const terms = { cost: cost(request), day: day(now), cooldownMs, limits, now };
    return await this.ledger.admit(request, { ...terms, ...call });
  }

  async #decide(request: JobRequest, callId: string, now: number, isFree: boolean): Promise<Submission> {
    const { generation } = request;
    const admission = await this.#admit(request, now, { callId, isFree });
    if (admission.decision === 'duplicate') {
      if (admission.state === 'reserved') await this.#enqueue(request, admission.priority, now);
      return { decision: 'duplicate', state: admission.state };
    }
    if (admission.decision !== 'accepted') return admission;
    await this.#enqueue(request, admission.priority, now);
    const { id, model, contract } = request;
    const job = { id, preset: generation.preset, model, contract };
    const position = (await this.timeLeft.position(job)) ?? { ahead: 0 };
    const cost = this.#terms.cost(request);
    return { decision: 'accepted', position, cost, left: admission.left + admission.granted };
  }

  /**
   * Whether submit() answered "unavailable" in this call, and Redis may not have heard of it yet. Waits for an answer that
   * is not given yet: a job can be done before its person has read that it was accepted. Another process may have given
   * it, and have ended since.
   * @throws KinoraError STORAGE_FAILED
   */
  async wasDenied(call: Withdrawal): Promise<boolean> {
    await this.#unanswered.get(call.callId);
    if (this.#denied.has(call.callId)) return true;
    return (await this.#terms.withdrawals?.has(call)) ?? false;
  }

  /** Puts the flow of an admitted job into BullMQ; adding what is there already changes nothing. */
  async #enqueue(job: QueuedJob, priority: number, now?: number): Promise<void> {
    const { id: jobId, model, contract = firstContract } = job;
    const data: QueueData = { jobId, contract };
    await this.#flows.add({
      name: 'deliver',
      queueName: deliverQueueName,
      data,
      opts: { jobId, ...deliverOptions },
      children: [
        {
          name: 'generate',
          queueName: generateQueueOf(model),
          data,
          opts: {
            jobId,
            priority: Math.min(priority, maxPriority),
            attempts: generateAttempts,
            backoff: { type: 'fixed', delay: 500 },
            continueParentOnFailure: true,
            removeOnComplete: true,
            removeOnFail: true,
          },
        },
      ],
    });
    await this.ledger.transition(jobId, 'confirm', now);
  }

  /** Brings back a job that was accepted before and that Redis has forgotten, with its charge. */
  async restore(request: JobRequest, acceptedAt: number): Promise<void> {
    const { cost, day, limits } = this.#terms;
    const admission = await this.ledger.admit(request, {
      cost: cost(request),
      day: day(acceptedAt),
      cooldownMs: 0,
      limits,
      now: acceptedAt,
      isRestored: true,
    });
    if ('priority' in admission) await this.#enqueue(request, admission.priority, acceptedAt);
  }

  /** Re-adds the flow of a job that BullMQ has lost. The ledger knows everything that is needed. */
  async enqueueAgain(entry: LedgerEntry, now?: number): Promise<void> {
    await this.#enqueue(entry, entry.priority, now);
  }

  /**
   * Brings the answer of a job that has its final state back on its way when BullMQ has lost it. Where there is a
   * delivery that waits for a generation that no longer exists, it is replaced.
   */
  async deliverAgain(jobId: string): Promise<void> {
    if ((await this.#deliverQueue.getJobState(jobId)) === 'waiting-children') {
      await this.#deliverQueue.remove(jobId);
    }
    await this.#deliverQueue.add('deliver', { jobId, contract: firstContract }, { jobId, ...deliverOptions });
  }

  /** Lets the answer of a job that ended while it waited go out at once, not when its turn to be generated comes. */
  async releaseAnswer(job: QueuedJob): Promise<void> {
    await this.#removeWaiting(job);
  }

  /** Gives a queued job the priority that belongs to its place in virtual time. */
  async setPriority(job: QueuedJob, priority: number): Promise<void> {
    const queued = await this.#generateQueue(job).getJob(job.id);
    await queued?.changePriority({ priority });
  }

  async #withdraw(withdrawal: Withdrawal): Promise<void> {
    const { withdrawals } = this.#terms;
    const pauseMs = (_error: unknown, attempt: number) =>
      attempt < withdrawAttempts ? withdrawEveryMs : undefined;
    const withdrawing = retry(() => this.#tryToWithdraw(withdrawal), pauseMs);
    await (withdrawals?.keepDuring(withdrawal, withdrawing) ?? withdrawing).catch(() => {}); // withdrawLeft() does it
  }

  /** @returns false where there is no such job, or its answer was given already */
  async #tryToWithdraw({ jobId, callId }: Withdrawal): Promise<boolean> {
    const isWithdrawn = await this.ledger.withdraw(jobId, callId, undefined, withdrawnForSeconds);
    this.#denied.delete(callId);
    if (!isWithdrawn) return false;
    await this.#removeWaiting(await this.#queuedJob(jobId));
    publishEvent(this.#redis, this.keys.events, { type: 'cancel', jobId });
    return true;
  }

  /** Withdraws what another process could not, as Redis was away until it ended. */
  async withdrawLeft(): Promise<void> {
    await this.#terms.withdrawals?.makeLeft((each) => this.#tryToWithdraw(each), this.#log);
  }

  /** Cancels by exact id. Returns at once; a running job stops at its next step and then gets its final answer. */
  async cancel(jobId: string, by: string, asAdmin = false, now?: number): Promise<CancelAnswer> {
    return await this.#cancelled(jobId, await this.ledger.cancel(jobId, by, asAdmin, now));
  }

  /**
   * Cancels a job if it is not over, and hides it. Where the answer is "finished", the caller removes its files and
   * its entry; else the delivery does, when it has been answered.
   */
  async discard(jobId: string, by: string, now?: number): Promise<CancelAnswer> {
    return await this.#cancelled(jobId, await this.ledger.cancel(jobId, by, false, now, true));
  }

  async #cancelled(jobId: string, answer: CancelAnswer): Promise<CancelAnswer> {
    if (answer === 'cancelled') await this.#removeWaiting(await this.#queuedJob(jobId));
    if (answer === 'cancelled' || answer === 'requested') {
      publishEvent(this.#redis, this.keys.events, { type: 'cancel', jobId });
    }
    return answer;
  }

  /** Removing the child wakes its parent, which posts the final answer. One that has just been taken is left alone. */
  async #removeWaiting(job: QueuedJob): Promise<void> {
    await this.#generateQueue(job).remove(job.id);
  }

  async #queuedJob(jobId: string): Promise<QueuedJob> {
    const [kind, preset] = await this.#redis.hmget(this.keys.job(jobId), 'kind', 'preset');
    return { id: jobId, model: readKind(kind ?? preset ?? '').model };
  }

  /** Takes a job that is over out of BullMQ. False while its generation or delivery is still at work. */
  async drop(jobId: string): Promise<boolean> {
    const removed = [await this.#deliverQueue.remove(jobId)];
    // The ledger may have forgotten in which one it is.
    for (const name of await generateQueues(this.#redis, this.keys)) {
      removed.push(await this.#queueNamed(name).remove(jobId));
    }
    return removed.every((count) => count > 0);
  }

  /** What a request would cost, in credits. */
  costOf(job: CostedJob): number {
    return this.#terms.cost(job);
  }

  /** Milliseconds since 1970 by Redis's clock. */
  time(): Promise<number> {
    return this.#clock.now();
  }

  /** How far a job came; undefined where it has not said so yet. */
  progress(jobId: string): Promise<KeptProgress | undefined> {
    return keptProgress(this.#redis, this.keys, jobId);
  }

  /** Tells the bot that leads of a job that this one took. */
  tellShown(jobId: string): void {
    publishEvent(this.#redis, this.keys.events, { type: 'shown', jobId });
  }

  /** Calls back on progress of any job until the returned function is called. */
  watch(onEvent: (event: QueueEvent) => void): Promise<() => void> {
    return subscribeEvents(this.#redis, this.keys.events, onEvent);
  }

  async close(): Promise<void> {
    const all = [this.#flows, this.#deliverQueue, ...this.#generateQueues.values()];
    await Promise.allSettled(all.map((each) => each.close()));
  }
}
