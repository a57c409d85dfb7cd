/**
 * One Kinora queue for a test: a real Redis, the real client, worker and delivery, a platform that records all posts, and
 * a generator whose behaviour the test decides.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Answer, type DeliverySettings, DeliveryWorker } from '../../src/bot/upkeep/delivery.ts';
import { createLogger } from '../../src/log.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { JobClient, type QueueTerms } from '../../src/queue/client.ts';
import type { Artifact, JobRequest } from '../../src/queue/jobs.ts';
import { Keys } from '../../src/queue/keys.ts';
import type { LedgerEntry } from '../../src/queue/ledger.ts';
import type { Withdrawal } from '../../src/queue/withdrawals.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import type { WorkerSettings } from '../../src/worker/settings.ts';
import { type Generate, JobWorker } from '../../src/worker/worker.ts';
import { cancelledError } from './cancelled.ts';
import { TestRedis } from './redis-server.ts';

export const log = createLogger('test', process.env['TEST_LOG'] ?? 'silent');

const ownRoot = fileURLToPath(new URL('../..', import.meta.url));

export const openTerms: QueueTerms = {
  cost: () => 1,
  day: () => '2026-11-21',
  cooldownMs: 0,
  limits: { queue: 10_000, user: 1_000, community: 1_000, credits: 100_000 },
};

export interface Generation {
  readonly jobId: string;
  readonly userKey: string;
}

/** Writes a small file after `ms`, in abortable slices, and records that it ran. */
export function timedGenerator(ms: number, runs: Generation[] = []): Generate {
  return async (entry, files, { signal, onProgress }) => {
    runs.push({ jobId: entry.id, userKey: entry.request.userKey });
    const steps = 10;
    for (let step = 1; step <= steps; step++) {
      await sleep(ms / steps);
      if (signal.aborted) throw cancelledError();
      onProgress({ phase: 'denoising', done: step, total: steps });
    }
    const video = `video of ${entry.id}`;
    await writeFile(files.video, video);
    return artifactOf(entry, video.length);
  };
}

export function artifactOf(entry: LedgerEntry, bytes: number): Artifact {
  return {
    videoId: `v-${entry.id}`,
    bytes,
    width: 64,
    height: 64,
    numFrames: 8,
    fps: 8,
    durationSeconds: 1,
    seed: entry.request.generation.seed,
    model: 'test',
    device: 'cpu',
    cache: { hits: [], misses: [] },
    timings: {},
  };
}

export interface Posted {
  readonly jobId: string;
  readonly kind: Answer['kind'];
}

export class Harness {
  readonly keys = new Keys('t');
  readonly artifacts: Artifacts;
  readonly server: TestRedis;
  readonly folder: string;
  /** Every post as the platform saw it, repeats included. */
  readonly posted: Posted[] = [];
  readonly #cleanups: (() => Promise<unknown>)[] = [];
  readonly #clients: JobClient[] = [];

  private constructor(server: TestRedis, folder: string) {
    this.server = server;
    this.folder = folder;
    this.artifacts = new Artifacts(new FolderStorage(join(folder, 'jobs')));
  }

  static async start(...redisArguments: string[]): Promise<Harness> {
    return await Harness.over(await TestRedis.start(...redisArguments));
  }

  /** Takes the server over, and stops it. */
  static async over(server: TestRedis): Promise<Harness> {
    return new Harness(server, await mkdtemp(join(tmpdir(), 'kinora-queue-')));
  }

  client(terms: Partial<QueueTerms> = {}): JobClient {
    const onAccepted = this.artifacts.storeAccepted.bind(this.artifacts);
    const { withdrawals } = this.artifacts;
    const client = new JobClient(
      this.server.failFast(),
      { ...openTerms, onAccepted, withdrawals, ...terms },
      log,
      this.keys,
    );
    this.#clients.push(client);
    this.#cleanups.push(() => client.close());
    return client;
  }

  async worker(
    generate: Generate,
    settings: Partial<WorkerSettings> = {},
    artifacts = this.artifacts,
  ): Promise<JobWorker> {
    const worker = new JobWorker(this.server.patient(), artifacts, generate, log, settings, this.keys);
    await worker.start();
    this.#cleanups.push(() => worker.stop(0));
    return worker;
  }

  /**
   * A worker in its own process; killed at the end of the test if it still lives.
   * @param clockMs by how much the clock of its machine is ahead
   * @param root of another version, as other-version.ts makes one
   */
  async workerProcess(jobMs: number, graceMs = 0, clockMs = 0, root = ownRoot): Promise<ChildProcess> {
    const clock = `const { now } = Date; Date.now = () => now() + ${clockMs};`;
    const child = spawn(
      process.execPath,
      [
        '--import',
        createRequire(import.meta.url).resolve('tsx'),
        '--import',
        `data:text/javascript,${encodeURIComponent(clock)}`,
        join(root, 'tests/helpers/worker-process.ts'),
        JSON.stringify(this.server.address),
        join(this.folder, 'jobs'),
        String(jobMs),
        this.runLog,
        String(graceMs),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.#cleanups.push(async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    });
    await once(child.stdout, 'data');
    return child;
  }

  get runLog(): string {
    return join(this.folder, 'runs.log');
  }

  /** Ids of all runs by worker processes, in order. */
  async runs(): Promise<string[]> {
    const text = await readFile(this.runLog, 'utf8').catch(() => '');
    return text.split('\n').flatMap((line) => line.split(' ')[0] || []);
  }

  /** The same with the time at which each run began. */
  async timedRuns(): Promise<{ jobId: string; startedAt: number }[]> {
    const text = await readFile(this.runLog, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const [jobId = '', , startedAt] = line.split(' ');
        return { jobId, startedAt: Number(startedAt) };
      });
  }

  async delivery(
    settings: Partial<DeliverySettings> = {},
    fault: (posted: Posted, attempt: number, signal: AbortSignal) => Promise<void> = async () => {},
  ): Promise<DeliveryWorker> {
    const attempts = new Map<string, number>();
    const deliver = async (entry: LedgerEntry, answer: Answer, signal: AbortSignal): Promise<void> => {
      const attempt = (attempts.get(entry.id) ?? 0) + 1;
      attempts.set(entry.id, attempt);
      const posted = { jobId: entry.id, kind: answer.kind };
      await fault(posted, attempt, signal);
      this.posted.push(posted);
    };
    const delivery = new DeliveryWorker(
      this.server.patient(),
      this.artifacts,
      deliver,
      log,
      {
        firstRetryMs: 20,
        wasDenied: (callId, { id }) => this.#wasDenied({ jobId: id, callId }),
        ...settings,
      },
      this.keys,
    );
    await delivery.start();
    this.#cleanups.push(() => delivery.stop());
    return delivery;
  }

  async #wasDenied(call: Withdrawal): Promise<boolean> {
    const answers = await Promise.all(this.#clients.map((client) => client.wasDenied(call)));
    return answers.includes(true);
  }

  /** Stores a picture and returns a request for it. */
  async request(id: string, userKey = 'test:ann', over: Partial<JobRequest> = {}): Promise<JobRequest> {
    await this.artifacts.storeImage(`t-${id}`, Buffer.from('picture'), 0);
    return {
      id: `t-${id}`,
      userKey,
      generation: { prompt: 'zoom in', preset: 'standard', seed: 1 },
      replyTo: { chat: 1 },
      ...over,
    };
  }

  async creditsUsed(userKey = 'test:ann'): Promise<number> {
    return Number((await this.server.connect().hget(this.keys.used('2026-11-21'), userKey)) ?? 0);
  }

  async stop(): Promise<void> {
    await Promise.race([Promise.allSettled(this.#cleanups.map((cleanup) => cleanup())), sleep(10_000)]);
    await this.server.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Waits until `condition` holds; fails with `what` after `timeoutMs`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 120_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await sleep(20);
  }
}
