/**
 * A queue under random faults: people submit, repeat themselves and cancel, while workers, engines, the network and
 * Redis fail and the platform refuses answers. The engine is the real one on the tiny pack, in the worker's own child.
 * Afterwards every promise of the queue is checked. The same seed makes much the same run; timing decides the rest.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobClient } from '../../src/queue/client.ts';
import type { Progress } from '../../src/worker/worker.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually, Harness } from '../helpers/queue-harness.ts';
import { judge, type Verdict } from './judge.ts';
import { seededRandom } from './random.ts';
import { EngineWorkerHandle, engineRequest } from './worker-handle.ts';

export interface ChaosReport extends Verdict {
  readonly seed: number;
  readonly seconds: number;
  readonly faults: Readonly<Record<string, number>>;
  /** Requests that were told that Kinora is not available. */
  readonly unavailable: number;
  /** From a request to what its person was told at once, in ms. */
  readonly slowestAnswerMs: number;
  /** From the kill of a worker with work to do to the next step of an engine, in ms, sorted. */
  readonly recoveriesMs: readonly number[];
  readonly slowestModelLoadMs: number;
  /** Delay of the worker's event loop, and as much of it as the worker's own work can explain. */
  readonly maxWorkerLagMs: number;
  readonly maxWorkerOwnLagMs: number;
}

const people = Array.from({ length: 5 }, (_, i) => `test:p${i}`);
/** Enough runs for the freezes that nobody waits for in a quick test. */
const runsWithLongFreezes = 100;
const longFreezesMs = [20_000, 45_000];
/** The heartbeat rule with less patience than in the product; a step takes a tenth of a second. */
const engine = { minSilenceMs: 4_000, silenceFactor: 5, firstStepMs: 10_000 };

const moments: Readonly<Record<string, Progress['phase']>> = {
  'at the start': 'encoding',
  'in mid-job': 'denoising',
  'at completion': 'finishing',
};

class Chaos {
  readonly #harness: Harness;
  readonly #proxy: FaultyProxy;
  readonly #random: () => number;
  readonly #client: JobClient;
  #worker: EngineWorkerHandle;
  readonly accepted = new Map<string, string>();
  readonly unavailable = new Set<string>();
  /** Faults of the engine while it worked on a job. */
  readonly engineFaults = new Map<string, number>();
  readonly recoveriesMs: number[] = [];
  #currentJob: string | null = null;
  #submitted = 0;
  slowestAnswerMs = 0;
  maxLagMs = 0;
  maxOwnLagMs = 0;
  slowestLoadMs = 0;

  constructor(harness: Harness, proxy: FaultyProxy, random: () => number) {
    this.#harness = harness;
    this.#proxy = proxy;
    this.#random = random;
    this.#client = harness.client();
    this.#worker = this.#startWorker();
  }

  #between(low: number, high: number): number {
    return low + this.#random() * (high - low);
  }

  pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.#random() * values.length)] as T; // none of our lists is empty
  }

  #startWorker(): EngineWorkerHandle {
    const worker = EngineWorkerHandle.start(this.#harness, { graceMs: 300, engine });
    worker.onProgress = ({ jobId }) => {
      this.#currentJob = jobId;
    };
    return worker;
  }

  async serving(): Promise<void> {
    await this.#worker.serving();
  }

  async submit(): Promise<void> {
    const userKey = this.pick(people);
    const over = { seed: this.#submitted, numInferenceSteps: 2 + Math.floor(this.#random() * 6) };
    const request = await engineRequest(this.#harness, `c${this.#submitted++}`, userKey, over);
    const askedAt = performance.now();
    const { decision } = await this.#client.submit(request);
    this.slowestAnswerMs = Math.max(this.slowestAnswerMs, performance.now() - askedAt);
    if (decision === 'unavailable') this.unavailable.add(request.id);
    else if (decision === 'accepted') this.accepted.set(request.id, userKey);
    else throw new Error(`a new request was answered with "${decision}"`);
    if (decision !== 'accepted') return;
    if (this.#random() < 0.2) await this.#client.submit(request);
    if (this.#random() < 0.2) {
      await sleep(this.#between(0, 1_500));
      await this.#client.cancel(request.id, userKey).catch(() => {}); // Redis may be away: then it is not cancelled
    }
  }

  get #answered(): number {
    return new Set(this.#harness.posted.map(({ jobId }) => jobId)).size;
  }

  async #replaceWorker(signal: NodeJS.Signals): Promise<void> {
    const hadWork = this.accepted.size > this.#answered;
    const old = this.#worker;
    const endedAt = Date.now();
    await old.end(signal);
    this.#noteWorker(old);
    this.#currentJob = null;
    this.#worker = this.#startWorker();
    const isDone = (): boolean =>
      this.#worker.firstWorkAt !== null || (this.accepted.size === this.#answered && this.#worker.loadMs > 0);
    await eventually('the next worker works', isDone);
    if (hadWork && this.#worker.firstWorkAt !== null && signal === 'SIGKILL') {
      this.recoveriesMs.push(this.#worker.firstWorkAt - endedAt);
    }
  }

  #noteWorker(worker: EngineWorkerHandle): void {
    this.maxLagMs = Math.max(this.maxLagMs, worker.maxLagMs);
    this.maxOwnLagMs = Math.max(this.maxOwnLagMs, worker.maxOwnLagMs);
    this.slowestLoadMs = Math.max(this.slowestLoadMs, worker.loadMs);
  }

  /** Waits until a job comes to that phase; not for long, since there may be none. */
  async #comesTo(phase: Progress['phase']): Promise<void> {
    const before = this.#worker.onProgress;
    await Promise.race([
      sleep(3_000),
      new Promise<void>((resolve) => {
        this.#worker.onProgress = (heard) => {
          before(heard);
          if (heard.phase === phase) resolve();
        };
      }),
    ]);
    this.#worker.onProgress = before;
  }

  async freezeRedis(ms: number, phase?: Progress['phase']): Promise<void> {
    if (phase) await this.#comesTo(phase);
    const { process } = this.#harness.server;
    process.kill('SIGSTOP');
    await sleep(ms);
    process.kill('SIGCONT');
  }

  async #hitEngine(signal: NodeJS.Signals): Promise<void> {
    await this.#comesTo(this.pick(Object.values(moments)));
    const jobId = this.#currentJob;
    if (jobId !== null) this.engineFaults.set(jobId, (this.engineFaults.get(jobId) ?? 0) + 1);
    this.#worker.signalEngine(signal);
  }

  readonly kinds: Readonly<Record<string, () => Promise<void>>> = {
    'worker killed': () => this.#replaceWorker('SIGKILL'),
    'worker told to end': () => this.#replaceWorker('SIGTERM'),
    'engine killed': () => this.#hitEngine('SIGKILL'),
    'engine frozen': () => this.#hitEngine('SIGSTOP'),
    'Redis frozen': () =>
      this.freezeRedis(this.#between(200, 3_000), this.pick([undefined, ...Object.values(moments)])),
    'Redis killed': () => this.#harness.server.crashAndRestart(this.#between(100, 600)),
    'Redis out of memory': async () => {
      const redis = this.#harness.server.connect();
      await redis.config('SET', 'maxmemory', '1');
      await sleep(this.#between(500, 3_000));
      await redis.config('SET', 'maxmemory', '0');
    },
    'worker killed while Redis is frozen': async () => {
      await this.#comesTo(this.pick(Object.values(moments)));
      this.#harness.server.process.kill('SIGSTOP');
      await sleep(this.#between(0, 1_000));
      const replaced = this.#replaceWorker('SIGKILL');
      await sleep(this.#between(0, 2_000));
      this.#harness.server.process.kill('SIGCONT');
      await replaced;
    },
    'connections reset': async () => {
      for (let i = 0; i < 3; i++) {
        this.#proxy.reset();
        await sleep(this.#between(0, 300));
      }
    },
    'network slow': async () => {
      this.#proxy.latencyMs = this.#between(50, 2_000);
      await sleep(this.#between(500, 4_000));
      this.#proxy.latencyMs = 0;
    },
    'connections silent': async () => {
      this.#proxy.hang();
      await sleep(this.#between(0, 3_000));
    },
    'people in a hurry': async () => {
      await Promise.all([this.submit(), this.submit(), this.submit()]);
    },
  };

  /** The freezes that outlast every timeout, at every moment of a job, spread over the run. */
  longFreezes(faultCount: number): ReadonlyMap<number, { name: string; act: () => Promise<void> }> {
    const freezes = longFreezesMs.flatMap((ms) =>
      Object.entries(moments).map(([when, phase]) => ({
        name: `Redis frozen for ${ms / 1000} s ${when}`,
        act: () => this.freezeRedis(ms, phase),
      })),
    );
    if (faultCount < runsWithLongFreezes) return new Map();
    const every = Math.floor(faultCount / (freezes.length + 1));
    return new Map(freezes.map((freeze, i) => [(i + 1) * every, freeze]));
  }

  async settled(): Promise<void> {
    await eventually('an answer to everybody', () => this.#answered >= this.accepted.size, 180_000).catch(
      () => {}, // the judge says who has none
    );
    await sleep(3_000); // withdrawals and heartbeats come to rest
  }

  async end(): Promise<void> {
    this.#noteWorker(this.#worker);
    await this.#worker.end('SIGKILL');
  }
}

export async function runChaos(
  faultCount: number,
  seed: number,
  say: (line: string) => void = () => {},
): Promise<ChaosReport> {
  const startedAt = performance.now();
  const random = seededRandom(seed);
  // A generator of its own: how often the other one is asked depends on time, and a seed must name the same faults.
  const randomFault = seededRandom(seed);
  const harness = await Harness.start('--appendonly', 'yes', '--appendfsync', 'always');
  const proxy = await FaultyProxy.start(harness.server.socketPath);
  harness.server.address = { url: proxy.url };
  const chaos = new Chaos(harness, proxy, random);
  const faults: Record<string, number> = {};
  try {
    await harness.delivery({ firstRetryMs: 20 }, async () => {
      if (random() < 0.1) throw new Error('502');
    });
    await chaos.serving();
    const longFreezes = chaos.longFreezes(faultCount);
    const kinds = Object.keys(chaos.kinds);
    for (let fault = 0; fault < faultCount; fault++) {
      await Promise.all([chaos.submit(), chaos.submit()]);
      await sleep(random() * 500);
      const kind = kinds[Math.floor(randomFault() * kinds.length)] as string; // there are some
      const { name, act } = longFreezes.get(fault) ?? { name: kind, act: chaos.kinds[kind] };
      faults[name] = (faults[name] ?? 0) + 1;
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      say(`${seconds} s ${fault + 1}/${faultCount} ${name}; ${harness.posted.length}/${chaos.accepted.size}`);
      const background = chaos.submit();
      await act?.();
      await background;
    }
    await chaos.settled();
    const verdict = await judge(harness, chaos);
    return {
      seed,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      faults,
      unavailable: chaos.unavailable.size,
      slowestAnswerMs: Math.round(chaos.slowestAnswerMs),
      recoveriesMs: chaos.recoveriesMs.sort((a, b) => a - b),
      slowestModelLoadMs: Math.round(chaos.slowestLoadMs),
      maxWorkerLagMs: Math.round(chaos.maxLagMs),
      maxWorkerOwnLagMs: Math.round(chaos.maxOwnLagMs),
      ...verdict,
    };
  } finally {
    await chaos.end();
    await harness.stop();
    await proxy.stop();
  }
}
