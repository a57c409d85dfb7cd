/** Whether Redis answers, and how fast: metrics that bot and worker share, each over a connection of its own. */
import { Gauge, type Registry } from 'prom-client';
import type { RedisProbe } from './redis-probe.ts';
import type { HealthReport } from './server.ts';

export class RedisMetrics {
  readonly #probe: Pick<RedisProbe, 'ping'>;
  readonly #up: Gauge;
  readonly #latency: Gauge;

  constructor(probe: Pick<RedisProbe, 'ping'>, registry: Registry) {
    this.#probe = probe;
    this.#up = new Gauge({
      name: 'kinora_redis_up',
      help: '1 while Redis answers in time.',
      registers: [registry],
    });
    this.#latency = new Gauge({
      name: 'kinora_redis_ping_seconds',
      help: 'Round trip of a PING sent for this scrape.',
      registers: [registry],
    });
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
