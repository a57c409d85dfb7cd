/**
 * Metrics of the bot process: the queue, decisions about requests, and deliveries. Only the bot has metrics of the
 * queue, so that sums over processes are right. No label holds a person or a prompt.
 */
import { collectDefaultMetrics } from 'prom-client';
import { Instruments } from '../metrics/instruments.ts';
import { RedisMetrics } from '../metrics/redis-metrics.ts';
import type { RedisProbe } from '../metrics/redis-probe.ts';
import type { HealthReport, Observed } from '../metrics/server.ts';
import type { Submission } from '../queue/client.ts';
import { type Deliver, DeliveryDelayed, DeliveryImpossible } from './upkeep/delivery.ts';

/** Of Discord, where several bots share them. */
export interface ObservedShards {
  readonly count: number;
  /** Those over which Discord sends to this bot now. */
  readonly served: () => readonly number[];
}

export class BotMetrics implements Observed {
  readonly registry = new Instruments();
  readonly #probe: RedisProbe;
  readonly #redis: RedisMetrics;
  readonly #leads: () => boolean;
  readonly #shards: ObservedShards | undefined;
  readonly #leading = this.registry.gauge(
    'kinora_bot_leading',
    '1 for the bot that leads, 0 for one that stands by: only the first tells of deliveries, repair and upkeep.',
  );
  readonly #shard = this.registry.gauge(
    'kinora_discord_shard',
    '1 for each shard of Discord over which this bot is connected, 0 for the others; absent without KINORA_DISCORD_SHARDS.',
    'shard',
  );
  readonly #waiting = this.registry.gauge('kinora_queue_waiting', 'Jobs that wait.', 'preset');
  readonly #oldest = this.registry.gauge(
    'kinora_queue_oldest_waiting_seconds',
    'Age of the oldest job that waits; 0 when none does.',
  );
  readonly #running = this.registry.gauge('kinora_queue_running', 'Jobs in the hands of workers.');
  readonly #undelivered = this.registry.gauge(
    'kinora_queue_undelivered',
    'Jobs that are over and whose answer has not arrived yet.',
  );
  readonly #workers = this.registry.gauge('kinora_workers', 'Workers whose heart beats.');
  readonly #open = this.registry.gauge(
    'kinora_queue_open',
    '1 while new requests are taken, 0 when an admin has paused or drains the queue.',
  );
  readonly #ended = this.registry.counter(
    'kinora_jobs_total',
    'Jobs that are over and answered, by how they ended; kept over restarts.',
    'state',
  );
  readonly #failures = this.registry.counter(
    'kinora_job_failures_total',
    'Jobs that failed, by error code; kept over restarts.',
    'code',
  );
  readonly #submissions = this.registry.counter(
    'kinora_submissions_total',
    'Requests by decision: accepted, duplicate, or the reason of the refusal.',
    'decision',
  );
  readonly #submissionSeconds = this.registry.histogram(
    'kinora_submission_seconds',
    'From a request to its decision.',
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  );
  readonly #attempts = this.registry.counter(
    'kinora_delivery_attempts_total',
    'Attempts to post an answer: delivered, delayed or failed (both are tried again), impossible, stopped by a cancellation.',
    'platform',
    'outcome',
  );
  readonly #deliverySeconds = this.registry.histogram(
    'kinora_delivery_seconds',
    'Duration of a successful attempt to post an answer.',
    [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
    'platform',
  );

  /**
   * @param leads whether this bot leads: sums over bots are right because only that one tells of the queue
   */
  constructor(probe: RedisProbe, leads: () => boolean, shards?: ObservedShards) {
    collectDefaultMetrics({ register: this.registry });
    this.#probe = probe;
    this.#leads = leads;
    this.#shards = shards;
    this.#redis = new RedisMetrics(probe, this.registry);
  }

  /** For QueueTerms.onDecision. */
  readonly onDecision = (decision: Submission['decision'], ms: number): void => {
    this.#submissions.inc({ decision });
    this.#submissionSeconds.observe(ms / 1000);
  };

  /** The same delivery, with its duration and outcome counted. */
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
    const leads = this.#leads();
    this.#leading.set(Number(leads));
    const { count = 0 } = this.#shards ?? {};
    const served = this.#shards?.served() ?? [];
    for (let shard = 0; shard < count; shard++) this.#shard.set({ shard }, Number(served.includes(shard)));
    const [, reading] = await Promise.all([this.#redis.refresh(), leads ? this.#probe.queue() : undefined]);
    this.#waiting.reset();
    this.#ended.reset();
    this.#failures.reset();
    if (!leads) {
      const own = [this.#oldest, this.#running, this.#undelivered, this.#workers, this.#open];
      for (const gauge of own) gauge.remove();
      return;
    }
    // Unknown numbers are absent, not zero.
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
    const state = this.#leads() ? 'leads' : 'stands by';
    const shards = this.#shards ? { shards: this.#shards.served().join(', ') } : {};
    return { redis: await this.#redis.health(), bot: { state, ...shards } };
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
