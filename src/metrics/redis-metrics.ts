/** Whether Redis answers, and how fast: metrics that bot and worker share, each over a connection of its own. */
import type { Gauge } from 'prom-client';
import type { Instruments } from './instruments.ts';
import type { RedisProbe } from './redis-probe.ts';
import type { HealthReport } from './server.ts';

export class RedisMetrics {
  readonly #probe: Pick<RedisProbe, 'ping'>;
  readonly #up: Gauge;
  readonly #latency: Gauge;

  constructor(probe: Pick<RedisProbe, 'ping'>, registry: Instruments) {
    this.#probe = probe;
    this.#up = registry.gauge('kinora_redis_up', '1 while Redis answers in time.');
    this.#latency = registry.gauge('kinora_redis_ping_seconds', 'Round trip of a PING sent for this scrape.');
  }

  async refresh(): Promise<void> {
    const answer = await this.#probe.ping();
    this.#up.set(answer ? 1 : 0);
    this.#latency.set(answer ? answer.ms / 1000 : Number.NaN);
  }

  async health(): Promise<HealthReport> {
    const answer = await this.#probe.ping();
    if (!answer) return { problem: 'Redis does not answer.' };
    return { state: 'answers', pingMs: Number(answer.ms.toFixed(2)) };
  }
}
