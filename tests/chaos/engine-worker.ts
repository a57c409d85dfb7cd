/**
 * A worker with the real engine on the tiny pack, in a process of its own, for tests that kill or freeze either.
 * Argument: EngineWorkerOptions as JSON. Prints one EngineWorkerEvent per line and appends "<jobId> <pid> <time>" to
 * a log file for every generation.
 */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineSettings } from '../../src/engine/settings.ts';
import { Engine } from '../../src/engine/supervisor.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { Keys } from '../../src/queue/keys.ts';
import { connectRedis, type RedisAddress } from '../../src/queue/redis.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { JobWorker, type Progress } from '../../src/worker/worker.ts';
import { tinyPackPath } from '../helpers/golden.ts';
import { log } from '../helpers/queue-harness.ts';

export interface EngineWorkerOptions {
  readonly address: RedisAddress;
  /** Holds jobs/, cache/ and the log of generations. */
  readonly folder: string;
  readonly runLog: string;
  readonly graceMs: number;
  readonly engine: Partial<EngineSettings>;
}

export type EngineWorkerEvent =
  | { readonly type: 'serving'; readonly loadMs: number }
  | { readonly type: 'engine'; readonly pid: number | null }
  | ({ readonly type: 'progress'; readonly jobId: string } & Progress)
  /**
   * The longest delay of the event loop so far, in ms; and the longest that work of this process can explain, since
   * a busy machine delays everybody.
   */
  | { readonly type: 'lag'; readonly maxMs: number; readonly maxOwnMs: number };

const say = (event: EngineWorkerEvent): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`);
};

const options = JSON.parse(process.argv[2] ?? '') as EngineWorkerOptions; // written by worker-handle.ts
const startedAt = performance.now();
const { path: ffmpegPath } = await findFfmpeg();
const pack = await loadPack(tinyPackPath);
const engine = Engine.start(
  {
    packPath: tinyPackPath,
    device: 'cpu',
    threads: 1,
    cachePath: join(options.folder, 'cache'),
    cacheMemoryBytes: 1e7,
    cacheDiskBytes: 1e7,
    ffmpegPath,
  },
  { restartDelayMs: 50, ...options.engine },
  log,
);

let enginePid: number | null = null;
const tellPid = (): void => {
  const { pid } = engine.status();
  if (pid !== enginePid) say({ type: 'engine', pid });
  enginePid = pid;
};
setInterval(tellPid, 20).unref();
await engine.ready();
tellPid();

const generate = engineGenerate(engine, [pack], false);
const worker = new JobWorker(
  connectRedis(options.address, 'patient', () => {}),
  new Artifacts(new FolderStorage(join(options.folder, 'jobs'))),
  async (entry, files, { signal, onProgress }) => {
    await appendFile(options.runLog, `${entry.id} ${process.pid} ${Date.now()}\n`);
    return await generate(entry, files, {
      signal,
      onProgress: (progress) => {
        say({ type: 'progress', jobId: entry.id, ...progress });
        onProgress(progress);
      },
    });
  },
  log,
  { models: [pack.manifest.id] },
  new Keys('t'),
);
/** As the product does: what was accepted is safe in a Redis that does not answer. */
const farewellMs = 5_000;
process.on('SIGTERM', () => {
  const stopped = worker.stop(options.graceMs).then(() => engine.stop());
  void Promise.race([stopped, sleep(options.graceMs + farewellMs)]).then(() => process.exit(0));
});
await worker.start();
// What loading modules costs at the start is nobody's step.
const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();
let maxMs = 0;
let maxOwnMs = 0;
let before = process.cpuUsage();
setInterval(() => {
  const { user, system } = process.cpuUsage(before);
  before = process.cpuUsage();
  const lagMs = delay.max / 1e6;
  delay.reset();
  const ownMs = Math.min(lagMs, (user + system) / 1e3);
  if (lagMs <= maxMs && ownMs <= maxOwnMs) return;
  maxMs = Math.max(maxMs, lagMs);
  maxOwnMs = Math.max(maxOwnMs, ownMs);
  say({ type: 'lag', maxMs, maxOwnMs });
}, 200).unref();
say({ type: 'serving', loadMs: performance.now() - startedAt });
