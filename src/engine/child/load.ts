/**
 * Opens what the engine child keeps for all jobs: the packs and the latent cache. Knows no messages and no processes.
 */

import { parseDevice } from '../../inference/devices/device.ts';
import { findGpu } from '../../inference/devices/gpus.ts';
import { assertDevice, assertGpu, withDeviceRemedy } from '../../inference/devices/required-device.ts';
import { LatentCache } from '../../inference/latent-cache.ts';
import { loadPack } from '../../inference/packs/files.ts';
import type { PackManifest } from '../../inference/packs/manifest.ts';
import { PictureDecoder } from '../../inference/pictures/decoder-process.ts';
import type { EngineJob, EngineOptions, EngineResult } from '../protocol.ts';
import { EnginePacks } from './packs.ts';
import { type JobHooks, runJob } from './run-job.ts';
import { checkShapes, usualShapes, warmUp } from './warm-up.ts';

export interface LoadedEngine {
  /** Id of the first pack. */
  readonly model: string;
  /** The shapes that were run before the first job, in sentences. */
  readonly warmUp: readonly string[];
  /** Ids of the packs that are loaded now. */
  loaded(): readonly string[];
  runJob(job: EngineJob, hooks: JobHooks): Promise<EngineResult>;
  /** Removes from the cache's memory what is named as for forgetEntries, or all. */
  forget(named: readonly string[] | 'all'): void;
  /** Waits until the cache has reached the disk. */
  close(): Promise<void>;
}

/** Throws PACK_NOT_FOUND, PACK_INVALID, DEVICE_UNAVAILABLE, INVALID_CONFIG or OUT_OF_MEMORY. */
export async function loadEngine(options: EngineOptions): Promise<LoadedEngine> {
  const { device, threads, ffmpegPath, memoryBudgetBytes, otherPackPaths = [] } = options;
  const found = await Promise.all([options.packPath, ...otherPackPaths].map((path) => loadPack(path)));
  const [first] = found;
  if (!first) throw new Error('there is always a first pack');
  const shapes = options.warmUp ?? (device === 'cpu' ? [] : usualShapes(first.manifest));
  checkShapes(first.manifest, shapes);
  for (const { manifest } of found) await assertUsable(manifest, device);
  const decoder = new PictureDecoder();
  decoder.start(); // it is there before the pack is
  let alive = (): void => {};
  const cache = new LatentCache({
    folder: options.cachePath,
    memoryBytes: options.cacheMemoryBytes,
    diskBytes: options.cacheDiskBytes,
    retentionMs: options.cacheRetentionMs,
  });
  const whileOpening = (): void => alive();
  const packs = new EnginePacks(found, { device, threads, memoryBudgetBytes, whileOpening }, cache);
  const { pack } = await packs.use(undefined, () => {});
  return {
    model: first.manifest.id,
    warmUp: await warmUp(pack, shapes, options.shortcuts),
    loaded: () => packs.loaded,
    runJob: async (job, hooks) => {
      alive = hooks.onAlive;
      const ready = await packs.use(job.model, () =>
        hooks.onProgress({ phase: 'loading', done: 0, total: 1 }),
      );
      const { manifest } = ready.pack;
      const tools = { pipeline: ready.pipeline, cache, decoder, ffmpegPath, model: manifest.id, device };
      const result = await runJob(job, tools, hooks).catch((error: unknown) => {
        throw withDeviceRemedy(error, manifest);
      });
      return ready.loadMs === 0 ? result : { ...result, timings: { load: ready.loadMs, ...result.timings } };
    },
    forget: (named) => (named === 'all' ? cache.clear() : cache.forget(new Set(named))),
    close: () => cache.flush(),
  };
}

async function assertUsable(manifest: PackManifest, device: string): Promise<void> {
  if (manifest.requires?.gpu !== undefined) {
    assertGpu(manifest, (await findGpu(parseDevice(device).ordinal))?.name);
  }
  assertDevice(manifest, device);
}
