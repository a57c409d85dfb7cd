/**
 * `npm run bench:queue`: what the queue costs, over a private Redis that syncs every write to disk, as in the product.
 *
 * 1. Requests: how many per second are taken while the queue grows to 20,000 waiting jobs, and how long a person waits
 *    for the answer; then how long "where am I in the queue?" takes, and a look at the whole queue for Prometheus.
 * 2. Start: from a request to the moment an idle worker begins with it.
 * 3. End to end: many jobs of many people through one worker with the real engine on the tiny pack, and delivered.
 * 4. Event loop: how late timers of the worker are while its engine takes steps of three seconds and more.
 *
 * Options: --only requests|start|jobs|loop · --waiting N · --jobs N · --threads N (of the engine) · --save (tables go to
 * bench/results instead of out/bench)
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DeliveryWorker } from '../src/bot/upkeep/delivery.ts';
import { createLogger } from '../src/log.ts';
import { RedisProbe } from '../src/metrics/redis-probe.ts';
import { Artifacts } from '../src/queue/artifacts.ts';
import { JobClient, type QueueTerms } from '../src/queue/client.ts';
import { recordDuration } from '../src/queue/durations.ts';
import { jobFilesIn } from '../src/queue/job-files.ts';
import type { JobRequest } from '../src/queue/jobs.ts';
import { Keys } from '../src/queue/keys.ts';
import { Ledger } from '../src/queue/ledger.ts';
import { connectRedis } from '../src/queue/redis.ts';
import type { Generation } from '../src/request/request.ts';
import { FolderStorage } from '../src/storage/folder-storage.ts';
import { type PrivateRedis, startPrivateRedis } from '../src/supervisor/private-redis.ts';
import { machineMs, type WorkerOptions } from './queue/protocol.ts';
import { WorkerHandle } from './queue/worker-handle.ts';
import { environmentLine, printTable, type Row, tablesFolder, writeCsv } from './report.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    waiting: { type: 'string', default: '20000' },
    jobs: { type: 'string', default: '1000' },
    threads: { type: 'string', default: '2' },
    save: { type: 'boolean', default: false },
  },
});
const project = fileURLToPath(new URL('..', import.meta.url));
const packs = { builtin: 'models/builtin', tiny: 'tests/fixtures/packs/tiny' } as const;
const picture = path.join(project, 'tests/fixtures/pictures/grey.jpg');
const tables = tablesFolder(values.save);
const folder = mkdtempSync(path.join(tmpdir(), 'kinora-bench-'));
const log = createLogger('bench', 'error');
const presets = ['fast', 'standard', 'high', 'creative'] as const;
const costs: Readonly<Record<string, number>> = { fast: 1, standard: 2, high: 6, creative: 2 };

const terms: QueueTerms = {
  cost: ({ generation }) => costs[generation.preset] ?? 1,
  day: () => '2026-11-21',
  cooldownMs: 0,
  limits: { queue: 1_000_000, user: 1_000_000, community: 1_000_000, credits: 1_000_000_000 },
};

/** The smallest clip that the tiny pack makes. */
const smallest = { size: '64', numFrames: 1, numInferenceSteps: 1, guidanceScale: 1 } as const;

function requestOf(id: string, userKey: string, over: Partial<Generation> = {}): JobRequest {
  const generation = { prompt: 'zoom in', preset: 'fast', seed: 1, ...over };
  return { id, userKey, generation, replyTo: { chat: 1 } };
}

/** A queue of its own, for one measurement. */
class Bench {
  readonly client: JobClient;
  readonly jobsFolder: string;
  readonly socketPath: string;
  readonly #name: string;
  readonly #server: PrivateRedis;
  readonly #asking;
  readonly #delivering;

  private constructor(name: string, server: PrivateRedis) {
    this.#name = name;
    this.#server = server;
    this.socketPath = server.socketPath;
    this.jobsFolder = path.join(folder, name, 'jobs');
    const onError = (error: Error): void => log.error({ err: error.message }, 'redis');
    this.#asking = connectRedis(server, 'fail-fast', onError);
    this.#delivering = connectRedis(server, 'patient', onError);
    this.client = new JobClient(this.#asking, terms, log);
  }

  static async start(name: string): Promise<Bench> {
    return new Bench(name, await startPrivateRedis(path.join(folder, name), log));
  }

  get redis() {
    return this.#asking;
  }

  worker(pack: keyof typeof packs): Promise<WorkerHandle> {
    const options: WorkerOptions = {
      socketPath: this.socketPath,
      packPath: path.join(project, packs[pack]),
      threads: Number(values.threads),
      jobsFolder: this.jobsFolder,
      cacheFolder: path.join(folder, this.#name, 'cache'),
    };
    return WorkerHandle.start(options);
  }

  /** A delivery that posts nothing and calls back for each answer. */
  async delivery(onAnswer: (jobId: string, kind: string) => void): Promise<DeliveryWorker> {
    const deliver = async (entry: { id: string }, answer: { kind: string }): Promise<void> =>
      onAnswer(entry.id, answer.kind);
    const delivery = new DeliveryWorker(
      this.#delivering,
      new Artifacts(new FolderStorage(this.jobsFolder)),
      deliver,
      log,
    );
    await delivery.start();
    return delivery;
  }

  /** Stores the picture as an adapter does, and submits the request. */
  async submit(request: JobRequest, image = picture): Promise<void> {
    const files = jobFilesIn(path.join(this.jobsFolder, request.id));
    mkdirSync(files.folder, { recursive: true });
    copyFileSync(image, files.image);
    await this.ask(request);
  }

  async ask(request: JobRequest): Promise<void> {
    const { decision } = await this.client.submit(request);
    if (decision !== 'accepted') throw new Error(`the bench's request was answered with ${decision}`);
  }

  /** As people who are told that the queue cannot be reached, and ask again. @returns how often they were told so, and the job */
  async askUntilAccepted(request: JobRequest): Promise<{ refusals: number; id: string }> {
    for (let refusals = 0; ; refusals++) {
      const id = refusals === 0 ? request.id : `${request.id}-${refusals}`;
      const { decision } = await this.client.submit({ ...request, id });
      if (decision === 'accepted') return { refusals, id };
      if (decision !== 'unavailable') throw new Error(`the bench's request was answered with ${decision}`);
      await sleep(1000);
    }
  }

  async stop(): Promise<void> {
    await this.client.close();
    this.#asking.disconnect();
    this.#delivering.disconnect();
    await this.#server.stop();
  }
}

/** Median, 99th percentile and maximum of milliseconds. */
function quantiles(list: readonly number[]): Row {
  const sorted = [...list].sort((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN).toFixed(1);
  return { 'p50 ms': at(0.5), 'p99 ms': at(0.99), 'max ms': at(1) };
}

/** Runs `work` for 0 … count-1, `width` at a time. Returns the milliseconds of each. */
async function timeEach(count: number, width: number, work: (index: number) => Promise<unknown>) {
  const taken: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const startedAt = performance.now();
      await work(index);
      taken.push(performance.now() - startedAt);
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: width }, lane));
  return { taken, seconds: (performance.now() - startedAt) / 1000 };
}

async function measureRequests(): Promise<void> {
  const waiting = Number(values.waiting);
  const bench = await Bench.start('requests');
  try {
    const request = (index: number): JobRequest =>
      requestOf(`b-${index}`, `bench:user${index % 997}`, { preset: presets[index % 4] ?? 'fast' });
    const rows: Row[] = [];
    let asked = 0;
    const ids: string[] = [];
    const take = async (count: number, width: number): Promise<void> => {
      const from = asked;
      asked += count;
      let unavailable = 0;
      const { taken, seconds } = await timeEach(count, width, async (index) => {
        const { refusals, id } = await bench.askUntilAccepted(request(from + index));
        unavailable += refusals;
        ids[from + index] = id;
      });
      rows.push({
        'waiting before': from,
        'at a time': width,
        requests: count,
        'requests/s': Math.round(count / seconds),
        unavailable,
        ...quantiles(taken),
      });
    };
    const few = Math.min(500, Math.floor(waiting / 10));
    await timeEach(20, 1, (index) => bench.ask(requestOf(`b-warm-${index}`, 'bench:warm'))); // code and scripts
    await take(few, 1);
    await take(few, 16);
    await take(waiting - 4 * few - 20, 256);
    await take(few, 1);
    await take(few, 16);
    printTable('Taking requests (every write synced to disk)', rows);
    writeCsv(tables, 'queue-requests', rows);

    // Durations of earlier jobs, as a running queue has.
    for (const preset of presets) {
      for (let i = 0; i < 50; i++) await recordDuration(bench.redis, new Keys(), preset, 'cpu', 5_000);
    }
    const place = async (): Promise<void> => {
      const index = Math.floor(Math.random() * asked);
      const id = ids[index] ?? '';
      const found = await bench.client.timeLeft.position({ id, preset: presets[index % 4] ?? 'fast' });
      if (!found) throw new Error(`${id} does not wait`);
    };
    const probe = new RedisProbe(bench.redis, new Keys());
    const look = async (): Promise<void> => {
      if (!(await probe.queue())) throw new Error('no reading of the queue');
    };
    const counts = (await probe.queue())?.value.waiting ?? new Map<string, number>();
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    const queries: Row[] = [];
    for (const [query, count, width, work] of [
      ['position and time left', 2_000, 1, place],
      ['position and time left', 2_000, 16, place],
      ['reading for /metrics', 200, 1, look],
    ] as const) {
      const { taken, seconds } = await timeEach(count, width, work);
      queries.push({
        query,
        waiting: total,
        'at a time': width,
        'queries/s': Math.round(count / seconds),
        ...quantiles(taken),
      });
    }
    const ledger = new Ledger(bench.redis, new Keys());
    const first = (await ledger.waiting(1_000)).entries;
    const handOver = async (index: number): Promise<void> => {
      const entry = first[index];
      if (!entry) throw new Error('too few jobs wait');
      const worker = `w${index % 16}`;
      await ledger.turnOf(worker, [undefined, 'another'], new Set());
      await ledger.transition(entry.id, 'start', undefined, { worker });
    };
    const { taken, seconds } = await timeEach(Math.min(1_000, first.length), 16, handOver);
    queries.push({
      query: 'a worker takes the next job',
      waiting: total,
      'at a time': 16,
      'queries/s': Math.round(taken.length / seconds),
      ...quantiles(taken),
    });
    printTable('Looking at a long queue', queries);
    writeCsv(tables, 'queue-position', queries);

    const info = await bench.redis.info();
    const number = (field: string): number => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1]);
    const memory = [
      {
        waiting: total,
        'Redis GB': (number('used_memory') / 1e9).toFixed(2),
        'bytes per job': Math.round(number('used_memory') / total),
        'append-only file GB': (number('aof_current_size') / 1e9).toFixed(2),
        'latest fork ms': (number('latest_fork_usec') / 1000).toFixed(0),
      },
    ];
    printTable('What a long queue takes', memory);
    writeCsv(tables, 'queue-memory', memory);
  } finally {
    await bench.stop();
  }
}

async function measureStart(): Promise<void> {
  const bench = await Bench.start('start');
  const answered = new Set<string>();
  const delivery = await bench.delivery((jobId) => answered.add(jobId));
  const worker = await bench.worker('tiny');
  const answerOf = async (jobId: string): Promise<void> => {
    while (!answered.has(jobId)) await sleep(5);
  };
  try {
    const waits: number[] = [];
    for (let index = -5; index < 200; index++) {
      const jobId = `b-start${index + 5}`;
      const askedAt = machineMs();
      await bench.submit(requestOf(jobId, 'bench:ann', { ...smallest, seed: index + 5 }));
      await answerOf(jobId);
      await sleep(20); // the worker is idle again
      if (index >= 0) waits.push((worker.startedAt.get(jobId) ?? Number.NaN) - askedAt); // the first ones warm up
    }
    const rows = [{ jobs: waits.length, ...quantiles(waits) }];
    printTable('From a request to its start by an idle worker', rows);
    writeCsv(tables, 'queue-start', rows);
  } finally {
    await Promise.all([worker.stop(), delivery.stop()]);
    await bench.stop();
  }
}

async function measureJobs(): Promise<void> {
  const count = Number(values.jobs);
  const bench = await Bench.start('jobs');
  const answers = new Map<string, string[]>();
  const delivery = await bench.delivery((jobId, kind) => {
    answers.set(jobId, [...(answers.get(jobId) ?? []), kind]);
  });
  const worker = await bench.worker('tiny');
  try {
    worker.resetLag();
    const startedAt = performance.now();
    await timeEach(count, 16, (index) =>
      bench.submit(requestOf(`b-${index}`, `bench:user${index % 50}`, { ...smallest, seed: index })),
    );
    const submittedAt = performance.now();
    while (answers.size < count) await sleep(20);
    const seconds = (performance.now() - startedAt) / 1000;
    const all = [...answers.values()];
    const engine = [...worker.made.values()].map(({ totalMs }) => totalMs);
    const engineMs = engine.reduce((sum, ms) => sum + ms, 0) / engine.length;
    const rows = [
      {
        jobs: count,
        'accepted in s': ((submittedAt - startedAt) / 1000).toFixed(1),
        'all delivered in s': seconds.toFixed(1),
        'jobs/s': (count / seconds).toFixed(2),
        'ms per job': ((seconds * 1000) / count).toFixed(0),
        'of it engine': engineMs.toFixed(0),
        videos: all.filter(([kind]) => kind === 'video').length,
        'answered twice': all.filter(({ length }) => length > 1).length,
        'made twice': worker.repetitions,
        'max lag ms': (await worker.lag()).max.toFixed(1),
      },
    ];
    printTable('End to end: tiny pack, 64x64, 1 frame, 1 step, one worker', rows);
    writeCsv(tables, 'queue-jobs', rows);
  } finally {
    await Promise.all([worker.stop(), delivery.stop()]);
    await bench.stop();
  }
}

/** The largest step that the built-in model takes. */
const heavy = { size: '1024x1024', numFrames: 96 } as const;

async function measureLoop(): Promise<void> {
  const bench = await Bench.start('loop');
  let answer = '';
  const delivery = await bench.delivery((_jobId, kind) => {
    answer = kind;
  });
  const worker = await bench.worker('builtin');
  try {
    await sleep(1_000);
    worker.resetLag();
    await bench.submit(requestOf('b-heavy', 'bench:ann', heavy), path.join(project, 'examples/cat.jpg'));
    while (answer === '') await sleep(100);
    if (answer !== 'video') throw new Error(`the heavy job ended with ${answer}`);
    const lag = await worker.lag();
    const { stepMs = 0, totalMs = 0 } = worker.made.get('b-heavy') ?? {};
    const rows = [
      {
        clip: `${heavy.size}x${heavy.numFrames}`,
        steps: 1,
        's per step': (stepMs / 1000).toFixed(1),
        'job s': (totalMs / 1000).toFixed(1),
        'lag p50 ms': lag.p50.toFixed(1),
        'lag p99 ms': lag.p99.toFixed(1),
        'lag max ms': lag.max.toFixed(1),
        goal: stepMs < 3_000 ? 'steps too short' : lag.max < 100 ? 'below 100 ms' : 'MISSED: 100 ms',
      },
    ];
    printTable('Event loop of the worker during long steps (built-in model)', rows);
    writeCsv(tables, 'queue-loop', rows);
  } finally {
    await Promise.all([worker.stop(), delivery.stop()]);
    await bench.stop();
  }
}

process.stdout.write(`${environmentLine()}\n`);
const measurements = {
  requests: measureRequests,
  start: measureStart,
  jobs: measureJobs,
  loop: measureLoop,
} as const;
try {
  for (const [name, measure] of Object.entries(measurements)) {
    if (!values.only || values.only === name) await measure();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
