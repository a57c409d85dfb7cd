/**
 * A worker of its own process for the bench of the queue: the product's worker and engine, which also tells when each
 * job was started, what the engine reported, and how late the event loop was. Argument: WorkerOptions as JSON.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Engine } from '../../src/engine/supervisor.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { createLogger } from '../../src/log.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { connectRedis } from '../../src/queue/redis.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { JobWorker } from '../../src/worker/worker.ts';
import { machineMs, type ToBench, type ToWorker, type WorkerOptions } from './protocol.ts';

const resolutionMs = 5;

async function main(options: WorkerOptions): Promise<void> {
  const say = (message: ToBench): void => {
    process.send?.(message);
  };
  const log = createLogger('bench', 'error');
  const pack = await loadPack(options.packPath);
  const { path: ffmpegPath } = await findFfmpeg();
  const engine = Engine.start(
    {
      packPath: pack.folder,
      device: 'cpu',
      threads: options.threads,
      cachePath: options.cacheFolder,
      cacheMemoryBytes: 256e6,
      cacheDiskBytes: 1e9,
      ffmpegPath,
    },
    {},
    log,
  );
  await engine.ready();
  const generate = engineGenerate(engine, [pack], false);
  const worker = new JobWorker(
    connectRedis({ socketPath: options.socketPath }, 'patient', (error) => log.error({ err: error.message })),
    new Artifacts(new FolderStorage(options.jobsFolder)),
    async (entry, files, hooks) => {
      say({ type: 'started', jobId: entry.id, at: machineMs() });
      let steps = 0;
      const artifact = await generate(entry, files, {
        ...hooks,
        onProgress: (progress) => {
          if (progress.phase === 'denoising') steps = progress.total;
          hooks.onProgress(progress);
        },
      });
      const { total = 0, denoise = 0 } = artifact.timings;
      say({ type: 'made', jobId: entry.id, totalMs: total, stepMs: denoise / steps });
      return artifact;
    },
    log,
  );
  await worker.start();
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  process.on('message', (message: ToWorker) => {
    if (message === 'reset') delay.reset();
    if (message === 'lag') {
      // Node counts from timer to timer: what is beyond the resolution was late.
      const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - resolutionMs);
      say({
        type: 'lag',
        lag: { p50: late(delay.percentile(50)), p99: late(delay.percentile(99)), max: late(delay.max) },
      });
    }
    if (message === 'stop') {
      void worker
        .stop(0)
        .then(() => engine.stop())
        .then(() => process.exit(0));
    }
  });
  process.on('disconnect', () => process.exit(1));
  say({ type: 'serving' });
}

await main(JSON.parse(process.argv[2] ?? '') as WorkerOptions); // written by worker-handle.ts
