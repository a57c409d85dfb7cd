import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BotMetrics } from '../../src/bot/metrics.ts';
import { DeliveryDelayed, DeliveryImpossible, DeliveryWorker } from '../../src/bot/upkeep/delivery.ts';
import { Engine } from '../../src/engine/supervisor.ts';
import { parseGpuMemory } from '../../src/inference/devices/gpu-memory.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { RedisProbe } from '../../src/metrics/redis-probe.ts';
import { type MetricsServer, startMetricsServer } from '../../src/metrics/server.ts';
import type { JobClient } from '../../src/queue/client.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { WorkerMetrics } from '../../src/worker/metrics.ts';
import { Vitals } from '../../src/worker/vitals.ts';
import { engineRequest } from '../chaos/worker-handle.ts';
import { tinyPackPath } from '../helpers/golden.ts';
import { filesOf } from '../helpers/job-files.ts';
import { eventually, Harness, log, openTerms } from '../helpers/queue-harness.ts';
import { isCluster } from '../helpers/redis-server.ts';

/** Page of a metrics server: status, text, and how long it took. */
async function fetchPage(server: MetricsServer, path: string) {
  const startedAt = performance.now();
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
  return { status: response.status, text: await response.text(), ms: performance.now() - startedAt };
}

/** The samples whose name and labels, as Prometheus writes them, match; NaN where there is none. */
async function scrape(server: MetricsServer): Promise<(sample: string) => number> {
  const { status, text } = await fetchPage(server, '/metrics');
  expect(status).toBe(200);
  const samples = new Map(
    text
      .split('\n')
      .filter((line) => line && !line.startsWith('#'))
      .map((line) => {
        const space = line.lastIndexOf(' ');
        return [line.slice(0, space), Number(line.slice(space + 1))];
      }),
  );
  return (sample) => samples.get(sample) ?? Number.NaN;
}

/** So many that their time, which two processes measure, is long beside the time a message between them takes. */
const steps = 12;
const people = ['test:ann', 'test:bob', 'test:cid'];
const prompt = 'a very private wish';

let harness: Harness;
let client: JobClient;
let engine: Engine;
let bot: { metrics: BotMetrics; server: MetricsServer };
let worker: { metrics: WorkerMetrics; server: MetricsServer };
let vitals: Vitals;
let delivery: DeliveryWorker;

const probe = (): RedisProbe => new RedisProbe(harness.server.failFast(), harness.keys);

async function startEngine(packPath: string): Promise<Engine> {
  const { path: ffmpegPath } = await findFfmpeg();
  const options = {
    packPath,
    device: 'cpu',
    threads: 1,
    cachePath: join(harness.folder, 'cache'),
    cacheMemoryBytes: 1e7,
    cacheDiskBytes: 1e7,
    ffmpegPath,
  };
  return Engine.start(options, { restartDelayMs: 50 }, log);
}

beforeAll(async () => {
  harness = await Harness.start();
  engine = await startEngine(tinyPackPath);
  const botMetrics = new BotMetrics(probe(), () => true);
  bot = { metrics: botMetrics, server: await startMetricsServer(0, botMetrics) };
  const engineStatus = () => engine.status();
  vitals = new Vitals({
    device: 'cpu',
    model: 'tiny',
    engineStatus,
    cacheFolder: join(harness.folder, 'cache'),
  });
  const workerMetrics = new WorkerMetrics({ probe: probe(), vitals, engineStatus });
  worker = { metrics: workerMetrics, server: await startMetricsServer(0, workerMetrics) };
  client = harness.client({
    onDecision: bot.metrics.onDecision,
    limits: { ...openTerms.limits, user: 3 },
  });

  const attempts = new Map<string, number>();
  const faults = [new Error('the chat is away'), new DeliveryDelayed('too many posts', 20)];
  const deliver = bot.metrics.measured(async (entry) => {
    const attempt = attempts.get(entry.id) ?? 0;
    attempts.set(entry.id, attempt + 1);
    if (entry.id === 't-thrown-out') throw new DeliveryImpossible('thrown out');
    const fault = entry.id === 't-first' ? faults[attempt] : undefined;
    if (fault) throw fault;
    harness.posted.push({ jobId: entry.id, kind: 'video' });
  });
  delivery = new DeliveryWorker(
    harness.server.patient(),
    harness.artifacts,
    deliver,
    log,
    { firstRetryMs: 20 },
    harness.keys,
  );
  await delivery.start();
});
afterAll(async () => {
  await Promise.all([bot.server.close(), worker.server.close()]);
  bot.metrics.close();
  worker.metrics.close();
  vitals.stop();
  await Promise.all([engine.stop(), delivery.stop()]);
  await harness.stop();
});

const request = (id: string, userKey = 'test:ann') =>
  engineRequest(harness, id, userKey, { size: '128', prompt, numInferenceSteps: steps });

describe('the metrics', () => {
  it('show what waits, for how long, and why requests were refused', async () => {
    const ids = ['first', 'second', 'third'];
    for (const id of ids) await client.submit(await request(id));
    await client.submit(await request('one-too-many'));
    await client.submit(await request('first'));
    await client.submit(await request('other-person', 'test:bob'));
    const sample = await scrape(bot.server);
    expect(sample('kinora_queue_waiting{preset="fast"}')).toBe(4);
    expect(sample('kinora_queue_oldest_waiting_seconds')).toBeGreaterThan(0);
    expect(sample('kinora_queue_oldest_waiting_seconds')).toBeLessThan(30);
    expect(sample('kinora_queue_running')).toBe(0);
    expect(sample('kinora_workers')).toBe(0);
    expect(sample('kinora_queue_open')).toBe(1);
    expect(sample('kinora_submissions_total{decision="accepted"}')).toBe(4);
    expect(sample('kinora_submissions_total{decision="user-full"}')).toBe(1);
    expect(sample('kinora_submissions_total{decision="duplicate"}')).toBe(1);
    expect(sample('kinora_submission_seconds_count')).toBe(6);
  });

  it('count how jobs end, why they fail, and every attempt to deliver', async () => {
    await client.cancel('t-third', 'test:ann');
    await client.submit(await request('damaged', 'test:cid'));
    await writeFile(filesOf(harness.artifacts, 't-damaged').image, 'no picture');
    await client.submit(await request('thrown-out', 'test:cid'));
    await harness.worker(
      worker.metrics.measured(engineGenerate(engine, [await loadPack(tinyPackPath)], false)),
    );
    await eventually('everything is over', async () => {
      const sample = await scrape(bot.server);
      return sample('kinora_jobs_total{state="undeliverable"}') === 1 && harness.posted.length === 5;
    });
    await eventually(
      'nothing is pending',
      async () => (await scrape(bot.server))('kinora_queue_undelivered') === 0,
    );
    const sample = await scrape(bot.server);
    expect(sample('kinora_jobs_total{state="delivered"}')).toBe(3);
    expect(sample('kinora_jobs_total{state="cancelled"}')).toBe(1);
    expect(sample('kinora_jobs_total{state="failed"}')).toBe(1);
    expect(sample('kinora_job_failures_total{code="IMAGE_UNSUPPORTED"}')).toBe(1);
    expect(sample('kinora_queue_waiting{preset="fast"}')).toBe(0);
    expect(sample('kinora_queue_oldest_waiting_seconds')).toBe(0);
    expect(sample('kinora_workers')).toBe(1);
    const attempts = (outcome: string) =>
      sample(`kinora_delivery_attempts_total{platform="test",outcome="${outcome}"}`);
    expect(attempts('delivered')).toBe(5);
    expect(attempts('failed')).toBe(1);
    expect(attempts('delayed')).toBe(1);
    expect(attempts('impossible')).toBe(1);
    expect(sample('kinora_delivery_seconds_count{platform="test"}')).toBe(5);
    expect(sample('kinora_redis_up')).toBe(1);
    expect(sample('kinora_redis_ping_seconds')).toBeGreaterThan(0);
  });

  it('show runs, their phases and steps, the cache and the engine', async () => {
    const sample = await scrape(worker.server);
    const videos = 4;
    expect(sample('kinora_runs_total{outcome="done"}')).toBe(videos);
    expect(sample('kinora_runs_total{outcome="IMAGE_UNSUPPORTED"}')).toBe(1);
    expect(sample('kinora_job_wait_seconds_count{preset="fast"}')).toBe(videos + 1);
    expect(sample('kinora_job_run_seconds_count{preset="fast"}')).toBe(videos);
    const phases = ['readPicture', 'encodeText', 'encodeImage', 'denoise', 'decode', 'finishing'];
    for (const phase of phases) {
      expect(sample(`kinora_job_phase_seconds_count{phase="${phase}"}`), phase).toBe(videos);
    }
    expect(sample('kinora_job_phase_seconds_count{phase="total"}')).toBeNaN();
    expect(sample('kinora_step_seconds_count{preset="fast"}')).toBe(videos * steps);
    // The parts add up to the whole.
    const denoise = sample('kinora_job_phase_seconds_sum{phase="denoise"}');
    const stepped = sample('kinora_step_seconds_sum{preset="fast"}');
    expect(stepped).toBeGreaterThan(0.5 * denoise);
    expect(stepped).toBeLessThan(1.5 * denoise);
    expect(sample('kinora_cache_lookups_total{kind="image",result="miss"}')).toBe(1);
    expect(sample('kinora_cache_lookups_total{kind="image",result="hit"}')).toBe(videos - 1);
    expect(sample('kinora_engine_state{state="idle"}')).toBe(1);
    expect(sample('kinora_engine_state{state="busy"}')).toBe(0);
    expect(sample('kinora_engine_restarts_total')).toBe(0);
    expect(sample('kinora_engine_resident_memory_bytes')).toBeGreaterThan(30e6);
    expect(sample('process_resident_memory_bytes')).toBeGreaterThan(30e6);
    expect(sample('kinora_redis_up')).toBe(1);
  });

  it('count an engine that died', async () => {
    const { pid } = engine.status();
    process.kill(Number(pid), 'SIGKILL');
    await eventually('a new engine', async () => {
      const sample = await scrape(worker.server);
      return (
        sample('kinora_engine_restarts_total') === 1 && sample('kinora_engine_state{state="idle"}') === 1
      );
    });
  });

  it('name no person, no prompt and no job', async () => {
    for (const { server } of [bot, worker]) {
      const { text } = await fetchPage(server, '/metrics');
      for (const secret of [...people, 'ann', 'bob', 'cid', prompt, 't-first', harness.folder]) {
        expect(text).not.toMatch(new RegExp(`"[^"]*\\b${secret}\\b`));
      }
    }
  });

  it('say that an admin has paused the queue', async () => {
    await harness.server.connect().set(harness.keys.mode, 'paused');
    await client.submit(await request('while-paused', 'test:bob'));
    const sample = await scrape(bot.server);
    expect(sample('kinora_queue_open')).toBe(0);
    expect(sample('kinora_submissions_total{decision="paused"}')).toBe(1);
    await harness.server.connect().del(harness.keys.mode);
  });
});

describe('/healthz', () => {
  it('is well while Redis answers and the engine lives', async () => {
    for (const { server } of [bot, worker]) {
      const { status, text } = await fetchPage(server, '/healthz');
      expect(JSON.parse(text)).toMatchObject({ status: 'ok', problems: [], redis: { state: 'answers' } });
      expect(status).toBe(200);
    }
    const { text } = await fetchPage(worker.server, '/healthz');
    expect(JSON.parse(text)).toMatchObject({ engine: { state: 'idle', pid: engine.status().pid } });
  });

  it('says within 1.5 s that Redis is frozen, and no scrape hangs', async () => {
    harness.server.process.kill('SIGSTOP');
    try {
      // Again and again: questions that Redis owes must not pile up in front of new ones.
      for (let round = 0; round < 3; round++) {
        const pages = [bot, worker].map(async ({ server }) => {
          const [health, metrics] = await Promise.all([
            fetchPage(server, '/healthz'),
            fetchPage(server, '/metrics'),
          ]);
          expect(health.status).toBe(503);
          expect(JSON.parse(health.text)).toMatchObject({
            status: 'failing',
            problems: ['Redis does not answer.'],
          });
          expect(health.ms).toBeLessThan(1_500);
          expect(metrics.status).toBe(200);
          expect(metrics.text).toMatch(/^kinora_redis_up 0$/m);
          expect(metrics.ms).toBeLessThan(1_500);
        });
        await Promise.all(pages);
      }
      const sample = await scrape(bot.server);
      // Unknown is not zero.
      expect(sample('kinora_queue_running')).toBeNaN();
      expect(sample('kinora_queue_waiting{preset="fast"}')).toBeNaN();
      expect(sample('kinora_submissions_total{decision="accepted"}')).toBe(6);
    } finally {
      harness.server.process.kill('SIGCONT');
    }
    for (const { server } of [bot, worker]) {
      await eventually('well again', async () => (await fetchPage(server, '/healthz')).status === 200);
    }
    expect((await scrape(bot.server))('kinora_queue_waiting{preset="fast"}')).toBe(0);
  });

  it('names an engine that cannot be started, and one that was stopped', async () => {
    const healthy = engine;
    engine = await startEngine(join(harness.folder, 'nowhere'));
    await engine.ready().catch(() => {});
    const dead = await fetchPage(worker.server, '/healthz');
    expect(dead.status).toBe(503);
    expect(JSON.parse(dead.text)).toMatchObject({ engine: { state: 'dead' } });
    expect(JSON.parse(dead.text).problems).toEqual([expect.stringMatching(/^[A-Z].*\.$/)]);
    await engine.stop();
    const stopped = await fetchPage(worker.server, '/healthz');
    expect(stopped.status).toBe(503);
    expect(JSON.parse(stopped.text).problems).toEqual(['The engine was stopped.']);
    engine = healthy;
  });
});

describe('the port', () => {
  it('answers nothing else, and on this machine alone', async () => {
    expect((await fetchPage(bot.server, '/')).status).toBe(404);
    const posted = await fetch(`http://127.0.0.1:${bot.server.port}/metrics`, { method: 'POST' });
    expect(posted.status).toBe(405);
    const socket = connect(bot.server.port, '127.0.0.2');
    await expect(once(socket, 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('that is taken is refused with the setting to change', async () => {
    await expect(startMetricsServer(bot.server.port, bot.metrics)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringMatching(/^KINORA_METRICS_PORT: .*EADDRINUSE/),
    });
  });
});

describe('KINORA_METRICS_PORT', () => {
  /** The first of two neighbouring ports that nobody uses. */
  async function freePair(): Promise<number> {
    for (;;) {
      const first = await startMetricsServer(0, bot.metrics);
      const second = await startMetricsServer(first.port + 1, bot.metrics).catch(() => undefined);
      await Promise.all([first.close(), second?.close()]);
      if (second) return first.port;
    }
  }

  it.skipIf(isCluster)(
    'opens the port of the bot, and the next one of the worker, on KINORA_METRICS_HOST',
    async () => {
      const port = await freePair();
      // Others have one address of this machine only.
      const host = process.platform === 'linux' ? '127.0.0.2' : '127.0.0.1';
      const entry = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
      const env = {
        ...process.env,
        KINORA_ENV_FILE: '/dev/null',
        KINORA_DATA_DIR: join(harness.folder, 'data'),
        KINORA_INBOX: join(harness.folder, 'inbox'),
        KINORA_MODEL: tinyPackPath,
        KINORA_THREADS: '1',
        KINORA_METRICS_PORT: String(port),
        KINORA_METRICS_HOST: host,
        REDIS_URL: `unix://${harness.server.socketPath}`,
      };
      const children = ['bot', 'worker'].map((part) =>
        spawn(process.execPath, [entry, part], { env, stdio: 'ignore' }),
      );
      try {
        const health = async (at: number) => {
          const response = await fetch(`http://${host}:${at}/healthz`).catch(() => undefined);
          return (await response?.json()) as { status: string; engine?: { state: string } } | undefined;
        };
        await eventually('the bot is well', async () => (await health(port))?.status === 'ok');
        await eventually(
          'the engine is ready',
          async () => (await health(port + 1))?.engine?.state === 'idle',
        );
        expect(await health(port)).not.toHaveProperty('engine');
        await eventually('they see each other', async () => {
          const page = await fetch(`http://${host}:${port}/metrics`);
          return /^kinora_workers 1$/m.test(await page.text());
        });
      } finally {
        await Promise.all(
          children.map(async (child) => {
            if (child.exitCode !== null) return;
            const ended = once(child, 'exit');
            child.kill('SIGTERM');
            await ended;
          }),
        );
      }
    },
  );
});

it('memory of GPUs is read from what nvidia-smi prints', () => {
  expect(parseGpuMemory('0, 512, 81559\n1, 0, 81559\n')).toEqual([
    { gpu: '0', usedBytes: 512 * 2 ** 20, totalBytes: 81_559 * 2 ** 20 },
    { gpu: '1', usedBytes: 0, totalBytes: 81_559 * 2 ** 20 },
  ]);
  expect(parseGpuMemory('0, [N/A], [N/A]\nNo devices were found\n')).toEqual([]);
});
