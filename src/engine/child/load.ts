/**
 * Opens what the engine child keeps for all jobs: the pack's sessions, its pipeline and the latent cache. Knows no
 * messages and no processes.
 */

import { parseDevice } from '../../inference/devices/device.ts';
import { findGpu } from '../../inference/devices/gpus.ts';
import { assertMainMemory } from '../../inference/devices/main-memory.ts';
import { assertDevice, assertGpu, withDeviceRemedy } from '../../inference/devices/required-device.ts';
import { LatentCache } from '../../inference/latent-cache.ts';
import { loadPack } from '../../inference/packs/files.ts';
import { openPack } from '../../inference/packs/open.ts';
import { PictureDecoder } from '../../inference/pictures/decoder-process.ts';
import { createPipeline } from '../../inference/pipelines/create-pipeline.ts';
import type { EngineJob, EngineOptions, EngineResult } from '../protocol.ts';
import { type JobHooks, runJob } from './run-job.ts';
import { checkShapes, usualShapes, warmUp } from './warm-up.ts';

export interface LoadedEngine {
  /** Id of the pack. */
  readonly model: string;
  /** The shapes that were run before the first job, in sentences. */
  readonly warmUp: readonly string[];
  runJob(job: EngineJob, hooks: JobHooks): Promise<EngineResult>;
  /** Waits until the cache has reached the disk. */
  close(): Promise<void>;
}

/** Throws PACK_NOT_FOUND, PACK_INVALID, DEVICE_UNAVAILABLE, INVALID_CONFIG or OUT_OF_MEMORY. */
export async function loadEngine(options: EngineOptions): Promise<LoadedEngine> {
  const { device, threads, ffmpegPath, memoryBudgetBytes } = options;
  const found = await loadPack(options.packPath);
  const shapes = options.warmUp ?? (device === 'cpu' ? [] : usualShapes(found.manifest));
  checkShapes(found.manifest, shapes);
  if (found.manifest.requires?.gpu !== undefined)
    assertGpu(found.manifest, (await findGpu(parseDevice(device).ordinal))?.name);
  const decoder = new PictureDecoder();
  decoder.start(); // it is there before the pack is
  let alive = (): void => {};
  const whileOpening = (): void => alive();
  const explain = (error: unknown): never => {
    throw withDeviceRemedy(error, found.manifest);
  };
  assertDevice(found.manifest, device);
  if (device === 'cpu') await assertMainMemory(found.manifest);
  const pack = await openPack(found, { device, threads, memoryBudgetBytes, whileOpening }).catch(explain);
  const cache = new LatentCache({
    folder: options.cachePath,
    memoryBytes: options.cacheMemoryBytes,
    diskBytes: options.cacheDiskBytes,
    retentionMs: options.cacheRetentionMs,
  });
  const model = pack.manifest.id;
  const pipeline = createPipeline(pack, cache);
  const tools = { pipeline, cache, decoder, ffmpegPath, model, device };
  return {
    model,
    warmUp: await warmUp(pack, shapes, options.shortcuts),
    runJob: async (job, hooks) => {
      alive = hooks.onAlive;
      return await runJob(job, tools, hooks).catch(explain);
    },
    close: () => cache.flush(),
  };
}
