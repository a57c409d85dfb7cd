/**
 * The asking side of the queue, used by chat adapters: submit, watch, cancel. Answers within a bounded time whatever
 * Redis does. Knows no platform and no model.
 */
import { randomUUID } from 'node:crypto';
import { FlowProducer, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import type { Generation } from '../request/request.ts';
import { jobsPerMs } from './durations.ts';
import { publishEvent, type QueueEvent, subscribeEvents } from './events.ts';
import { deliverQueueName, generateQueueName, type JobRequest, type QueueData } from './jobs.ts';
import { Keys } from './keys.ts';
import { type AdmissionLimits, type CancelAnswer, Ledger, type LedgerEntry, type Refusal } from './ledger.ts';
import { workerEntries } from './worker-registry.ts';

export interface QueueTerms {
  /** Credits of one job, and its length in the eyes of fairness. */
  readonly cost: (generation: Generation) => number;
  /** Calendar day of the allowance, in the operator's time zone, for a time in ms. */
  readonly day: (now: number) => string;
  readonly cooldownMs: number;
  readonly limits: AdmissionLimits;
  /** True while the disk has no room for another job. Cheap: it is asked for every request. */
  readonly diskFull?: () => Promise<boolean>;
  /** Told about every decision and how long it took. */
  readonly onDecision?: (decision: Submission['decision'], ms: number) => void;
}

/** Where a waiting job stands. */
export interface Place {
  /** Jobs that will be served before it, the running ones not counted. */
  readonly ahead: number;
  /** Milliseconds until its video, by what recent jobs took on the workers' devices; undefined while there is no history. */
  readonly leftMs?: number;
}

export type Submission =
  | { readonly decision: 'accepted'; readonly place: Place; readonly cost: number; readonly left: number }
  | { readonly decision: 'duplicate'; readonly state: LedgerEntry['state'] }
  | { readonly decision: 'unavailable' }
  /** Too little space is free; taken again as soon as there is enough. */
  | { readonly decision: 'disk-full' }
  | Refusal;

/**
 * For BullMQ on a fail-fast connection: without these it asks Redis for its version before all else, and when that is
 * not answered in time, it never works again. We have looked at the version ourselves (redis.ts).
 */
export const independentOfRedis = { skipWaitingForReady: true, skipVersionCheck: true } as const;

/** A person is never left without an answer for longer than this. */
const answerDeadlineMs = 2_400;
const withdrawEveryMs = 1_000;
const withdrawAttempts = 600;
/** How long a withdrawn request is remembered: longer than any platform repeats one. */
const withdrawnForSeconds = 86_400;

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
  readonly keys: Keys;
  readonly #redis: Redis;
  readonly #terms: QueueTerms;
  readonly #log: Logger;
  readonly #flows: FlowProducer;
  readonly #generateQueue: Queue<QueueData>;
  readonly #deliverQueue: Queue<QueueData>;
  /** Requests whose person has not been told anything yet. */
  readonly #unanswered = new Map<string, Promise<Submission>>();
  /** Requests whose person was told "not available", until Redis knows it. */
  readonly #denied = new Set<string>();

  /** @param redis a fail-fast connection; the caller closes it after close() */
  constructor(redis: Redis, terms: QueueTerms, log: Logger, keys = new Keys()) {
    this.#redis = redis;
    this.#terms = terms;
    this.#log = log;
    this.keys = keys;
    this.ledger = new Ledger(redis, keys);
    const options = { connection: redis, prefix: keys.bull, ...independentOfRedis };
    this.#flows = new FlowProducer(options);
    this.#generateQueue = new Queue<QueueData>(generateQueueName, options);
    this.#deliverQueue = new Queue<QueueData>(deliverQueueName, options);
    const onError = (error: Error): void => log.warn({ err: error.message }, 'queue connection');
    this.#flows.on('error', onError);
    this.#generateQueue.on('error', onError);
    this.#deliverQueue.on('error', onError);
  }

  /**
   * Decides about a request and, when it is accepted, queues it. The picture already lies in the job's folder.
   * Calling it again with the same id changes nothing, but completes what a crash left half done.
   */
  async submit(request: JobRequest, now = Date.now()): Promise<Submission> {
    const startedAt = performance.now();
    const submission = await this.#decide(request, now);
    this.#terms.onDecision?.(submission.decision, performance.now() - startedAt);
    return submission;
  }

  async #decide(request: JobRequest, now: number): Promise<Submission> {
    const ask = randomUUID();
    const answer = this.#ask(request, ask, now);
    this.#unanswered.set(ask, answer);
    try {
      return await answer;
    } finally {
      this.#unanswered.delete(ask);
    }
  }

  async #ask(request: JobRequest, ask: string, now: number): Promise<Submission> {
    const { preset } = request.generation;
    const cost = this.#terms.cost(request.generation);
    try {
      return await withDeadline(answerDeadlineMs, async () => {
        const { day, cooldownMs, limits, diskFull } = this.#terms;
        // What was accepted before stays accepted.
        if ((await diskFull?.()) && !(await this.#redis.exists(this.keys.job(request.id)))) {
          return { decision: 'disk-full' };
        }
        const admission = await this.ledger.admit(request, {
          ask,
          cost,
          day: day(now),
          cooldownMs,
          limits,
          now,
        });
        if (admission.decision === 'duplicate') {
          if (admission.state === 'reserved') await this.#enqueue(request.id, admission.priority, now);
          return { decision: 'duplicate', state: admission.state };
        }
        if (admission.decision !== 'accepted') return admission;
        await this.#enqueue(request.id, admission.priority, now);
        const place = (await this.place({ id: request.id, preset })) ?? { ahead: 0 };
        return { decision: 'accepted', place, cost, left: admission.left + admission.granted };
      });
    } catch (error) {
      this.#log.warn({ jobId: request.id, err: String(error) }, 'submit failed; withdrawing');
      // The person hears "try again": whatever Redis may still have done must not come true behind their back.
      this.#denied.add(ask);
      void this.#withdraw(request.id, ask);
      return { decision: 'unavailable' };
    }
  }

  /**
   * Whether the person behind a request was told that it is not available. While they have not been told anything, it
   * waits until they are: a job can be done before the one who asked has heard that it was accepted. What it says holds
   * for the requests of this process alone; of others only Redis knows, as soon as their withdrawal has reached it.
   */
  async wasDenied(ask: string): Promise<boolean> {
    await this.#unanswered.get(ask);
    return this.#denied.has(ask);
  }

  /** Puts the flow of an admitted job into BullMQ; adding what is there already changes nothing. */
  async #enqueue(jobId: string, priority: number, now: number): Promise<void> {
    await this.#flows.add({
      name: 'deliver',
      queueName: deliverQueueName,
      data: { jobId } satisfies QueueData,
      opts: { jobId, ...deliverOptions },
      children: [
        {
          name: 'generate',
          queueName: generateQueueName,
          data: { jobId } satisfies QueueData,
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

  /** Re-adds the flow of a job that BullMQ has lost. The ledger knows everything that is needed. */
  async enqueueAgain(entry: LedgerEntry, now = Date.now()): Promise<void> {
    await this.#enqueue(entry.id, entry.priority, now);
  }

  /**
   * Brings the answer of a job that has its final state back on its way when BullMQ has lost it. Where there is a
   * delivery that waits for a generation that no longer exists, it is replaced.
   */
  async deliverAgain(jobId: string): Promise<void> {
    if ((await this.#deliverQueue.getJobState(jobId)) === 'waiting-children') {
      await this.#deliverQueue.remove(jobId);
    }
    await this.#deliverQueue.add('deliver', { jobId }, { jobId, ...deliverOptions });
  }

  /** Lets the answer of a job that ended while it waited go out at once, not when its turn to be generated comes. */
  async releaseAnswer(jobId: string): Promise<void> {
    await this.#removeWaiting(jobId);
  }

  /** Gives a queued job the priority that belongs to its place in virtual time. */
  async setPriority(jobId: string, priority: number): Promise<void> {
    const job = await this.#generateQueue.getJob(jobId);
    await job?.changePriority({ priority });
  }

  async #withdraw(jobId: string, ask: string): Promise<void> {
    for (let attempt = 0; attempt < withdrawAttempts; attempt++) {
      try {
        const isWithdrawn = await this.ledger.withdraw(jobId, ask, Date.now(), withdrawnForSeconds);
        this.#denied.delete(ask);
        if (!isWithdrawn) return;
        await this.#removeWaiting(jobId);
        publishEvent(this.#redis, this.keys.events, { type: 'cancel', jobId });
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, withdrawEveryMs).unref());
      }
    }
  }

  /** Cancels by exact id. Returns at once; a running job stops at its next step and then gets its final answer. */
  async cancel(jobId: string, by: string, asAdmin = false, now = Date.now()): Promise<CancelAnswer> {
    const answer = await this.ledger.cancel(jobId, by, asAdmin, now);
    if (answer === 'cancelled') await this.#removeWaiting(jobId);
    if (answer === 'cancelled' || answer === 'requested') {
      publishEvent(this.#redis, this.keys.events, { type: 'cancel', jobId });
    }
    return answer;
  }

  /** Removing the child wakes its parent, which posts the final answer. One that has just been taken is left alone. */
  async #removeWaiting(jobId: string): Promise<void> {
    await this.#generateQueue.remove(jobId);
  }

  /** Where a waiting job stands, or undefined when it does not wait. Cheap at any queue length. */
  async place(job: Pick<LedgerEntry, 'id' | 'preset'>): Promise<Place | undefined> {
    const ahead = await this.ledger.ahead(job);
    if (!ahead) return undefined;
    const total = [...ahead.values()].reduce((sum, count) => sum + count, 0);
    const presets = [...new Set([...ahead.keys(), job.preset])];
    const devices = await this.#devices();
    const rates = new Map(
      await Promise.all(
        presets.map(
          async (preset) => [preset, await jobsPerMs(this.#redis, this.keys, preset, devices)] as const,
        ),
      ),
    );
    const own = rates.get(job.preset);
    if (own === undefined) return { ahead: total };
    let waitMs = 0;
    for (const [preset, count] of ahead) waitMs += count / (rates.get(preset) ?? own);
    // Whoever is faster takes more of the jobs, so this is what one takes on average.
    return { ahead: total, leftMs: waitMs + devices.length / own };
  }

  /** One for each worker that lives; while none does, one of those that there were. */
  async #devices(): Promise<string[]> {
    const workers = [...(await workerEntries(this.#redis, this.keys)).values()];
    const living = workers.filter(({ alive }) => alive).map(({ entry }) => entry.device);
    return living.length > 0 ? living : (await this.#redis.smembers(this.keys.devices)).slice(0, 1);
  }

  /** Calls back on progress of any job until the returned function is called. */
  watch(onEvent: (event: QueueEvent) => void): Promise<() => void> {
    return subscribeEvents(this.#redis, this.keys.events, onEvent);
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#flows.close(), this.#generateQueue.close(), this.#deliverQueue.close()]);
  }
}

async function withDeadline<T>(ms: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer from Redis within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
