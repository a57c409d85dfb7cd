/**
 * What the bot process can tell: the queue as everybody sees it, what requests were answered, and how deliveries go.
 * Only the bot shows the queue, so that sums over processes stay right. No label ever holds a person or a prompt.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { RedisMetrics } from '../metrics/redis-metrics.ts';
import type { RedisProbe } from '../metrics/redis-probe.ts';
import type { HealthReport, Observed } from '../metrics/server.ts';
import type { Submission } from '../queue/client.ts';
import { type Deliver, DeliveryDelayed, DeliveryImpossible } from './upkeep/delivery.ts';

export class BotMetrics implements Observed {
  readonly registry = new Registry();
  readonly #probe: RedisProbe;
  readonly #redis: RedisMetrics;
  readonly #waiting: Gauge<'preset'>;
  readonly #oldest: Gauge;
  readonly #running: Gauge;
  readonly #undelivered: Gauge;
  readonly #workers: Gauge;
  readonly #open: Gauge;
  readonly #ended: Counter<'state'>;
  readonly #failures: Counter<'code'>;
  readonly #submissions: Counter<'decision'>;
  readonly #submissionSeconds: Histogram;
  readonly #attempts: Counter<'platform' | 'outcome'>;
  readonly #deliverySeconds: Histogram<'platform'>;

  constructor(probe: RedisProbe) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#probe = probe;
    this.#redis = new RedisMetrics(probe, this.registry);
    this.#waiting = new Gauge({
      name: 'kinora_queue_waiting',
      help: 'Jobs that wait.',
      labelNames: ['preset'],
      registers,
    });
    this.#oldest = new Gauge({
      name: 'kinora_queue_oldest_waiting_seconds',
      help: 'Age of the oldest job that waits; 0 when none does.',
      registers,
    });
    this.#running = new Gauge({
      name: 'kinora_queue_running',
      help: 'Jobs in the hands of workers.',
      registers,
    });
    this.#undelivered = new Gauge({
      name: 'kinora_queue_undelivered',
      help: 'Jobs that are over and whose answer has not arrived yet.',
      registers,
    });
    this.#workers = new Gauge({
      name: 'kinora_workers',
      help: 'Workers whose heart beats.',
      registers,
    });
    this.#open = new Gauge({
      name: 'kinora_queue_open',
      help: '1 while new requests are taken, 0 when an admin has paused or drains the queue.',
      registers,
    });
    this.#ended = new Counter({
      name: 'kinora_jobs_total',
      help: 'Jobs that are over and answered, by how they ended; kept over restarts.',
      labelNames: ['state'],
      registers,
    });
    this.#failures = new Counter({
      name: 'kinora_job_failures_total',
      help: 'Jobs that failed, by error code; kept over restarts.',
      labelNames: ['code'],
      registers,
    });
    this.#submissions = new Counter({
      name: 'kinora_submissions_total',
      help: 'Requests by decision: accepted, duplicate, or the reason of the refusal.',
      labelNames: ['decision'],
      registers,
    });
    this.#submissionSeconds = new Histogram({
      name: 'kinora_submission_seconds',
      help: 'From a request to its decision.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    });
    this.#attempts = new Counter({
      name: 'kinora_delivery_attempts_total',
      help: 'Attempts to post an answer: delivered, delayed or failed (both are tried again), impossible, stopped by a cancellation.',
      labelNames: ['platform', 'outcome'],
      registers,
    });
    this.#deliverySeconds = new Histogram({
      name: 'kinora_delivery_seconds',
      help: 'Duration of a successful attempt to post an answer.',
      labelNames: ['platform'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
      registers,
    });
  }

  /** For QueueTerms.onDecision. */
  readonly onDecision = (decision: Submission['decision'], ms: number): void => {
    this.#submissions.inc({ decision });
    this.#submissionSeconds.observe(ms / 1000);
  };

  /** The same delivery, watched. */
  measured(deliver: Deliver): Deliver {
    return async (entry, answer, signal) => {
      const platform = entry.request.userKey.split(':')[0] ?? '';
      const startedAt = performance.now();
      try {
        await deliver(entry, answer, signal);
      } catch (error) {
        this.#attempts.inc({ platform, outcome: outcomeOf(error, signal) });
        throw error;
      }
      this.#attempts.inc({ platform, outcome: 'delivered' });
      this.#deliverySeconds.observe({ platform }, (performance.now() - startedAt) / 1000);
    };
  }

  async refresh(): Promise<void> {
    const [, reading] = await Promise.all([this.#redis.refresh(), this.#probe.queue()]);
    this.#waiting.reset();
    this.#ended.reset();
    this.#failures.reset();
    // What is unknown is not shown as zero.
    const { waiting, oldestWaitingMs, running, undelivered, liveWorkers, takesRequests, endings, failures } =
      reading?.value ?? unknown;
    for (const [preset, count] of waiting) this.#waiting.set({ preset }, count);
    this.#oldest.set(oldestWaitingMs / 1000);
    this.#running.set(running);
    this.#undelivered.set(undelivered);
    this.#workers.set(liveWorkers);
    this.#open.set(Number(takesRequests));
    for (const [state, count] of Object.entries(endings)) this.#ended.inc({ state }, count);
    for (const [code, count] of Object.entries(failures)) this.#failures.inc({ code }, count);
  }

  async health(): Promise<Record<string, HealthReport>> {
    return { redis: await this.#redis.health() };
  }

  close(): void {
    this.registry.clear();
    this.#probe.close();
  }
}

const unknown = {
  waiting: new Map<string, number>(),
  oldestWaitingMs: Number.NaN,
  running: Number.NaN,
  undelivered: Number.NaN,
  liveWorkers: Number.NaN,
  takesRequests: Number.NaN,
  endings: {},
  failures: {},
} as const;

function outcomeOf(error: unknown, signal: AbortSignal): string {
  if (error instanceof DeliveryImpossible) return 'impossible';
  if (error instanceof DeliveryDelayed) return 'delayed';
  const isCancelled = signal.aborted && (signal.reason as Error | undefined)?.name === 'AbortError';
  return isCancelled ? 'stopped' : 'failed';
}
