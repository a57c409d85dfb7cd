/** Starts the engine with the settings, on the named device or the best one that works. */
import type { Config } from '../config.ts';
import { Engine } from '../engine/supervisor.ts';
import { isKinoraError } from '../errors.ts';
import { parseDevice } from '../inference/devices/device.ts';
import { findGpu } from '../inference/devices/gpus.ts';
import { deviceAdvice, requiredDevice } from '../inference/devices/required-device.ts';
import type { Pack } from '../inference/packs/files.ts';
import type { Logger } from '../log.ts';
import { findFfmpeg } from '../video/ffmpeg-path.ts';
import { deviceCandidates, type PacksOfEngine, whyNoGpu } from './packs.ts';

export interface StartedEngine {
  readonly engine: Engine;
  readonly device: string;
  /** One line: what was chosen, and why. */
  readonly choice: string;
  /** A warning about a slow combination of pack and device. */
  readonly advice: string | undefined;
}

/**
 * The engine may still be loading its first pack when this returns; run() waits for it, ready() tells how it went. Only "auto" tries
 * another device, and only when the first is not available: a named device is used or refused.
 */
export async function startEngine(
  config: Config,
  packs: PacksOfEngine,
  wanted: string,
  log: Logger,
  candidates = deviceCandidates(wanted, packs),
): Promise<StartedEngine> {
  const { path: ffmpegPath } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
  const [pack, ...others] = packs;
  let passedOver = '';
  for (const [index, device] of candidates.entries()) {
    const options = {
      packPath: pack.folder,
      otherPackPaths: others.map(({ folder }) => folder),
      device,
      threads: config.threads,
      memoryBudgetBytes: config.vramBytes,
      warmUp: config.warmUp,
      shortcuts: config.shortcuts,
      cachePath: config.cacheFolder,
      cacheMemoryBytes: config.cacheMemoryBytes,
      cacheDiskBytes: config.cacheDiskBytes,
      // Latents of a person are found by their jobs, so they must not be kept longer than those.
      cacheRetentionMs: config.jobFiles.retentionMs,
      ffmpegPath,
    };
    const settings = { idleUnloadMs: config.idleUnloadMs };
    const engine = Engine.start(options, settings, log.child({ part: 'engine' }));
    const isLast = index === candidates.length - 1;
    try {
      if (!isLast) await engine.ready();
      const advice = packs
        .map(({ manifest }) => deviceAdvice(manifest, device))
        .find((text) => text !== undefined);
      const reason = wanted === 'auto' ? passedOver || (await whyChosen(device, packs)) : 'asked for by name';
      return { engine, device, choice: `${device}: ${reason}`, advice };
    } catch (error) {
      await engine.stop();
      if (!isKinoraError(error) || error.code !== 'DEVICE_UNAVAILABLE') throw error;
      passedOver = error.message.replace(/\.$/, '');
    }
  }
  throw new Error('there is always a device to try');
}

/** Why "auto" took its first choice, as the end of a sentence. */
async function whyChosen(device: string, packs: readonly Pack[]): Promise<string> {
  const bound = packs.find(({ manifest }) => requiredDevice(manifest) !== undefined);
  if (bound) return `${bound.manifest.id} runs on nothing else`;
  if (device === 'cpu') return whyNoGpu();
  const gpu = await findGpu(parseDevice(device).ordinal);
  return gpu
    ? `${gpu.name} with ${(gpu.totalBytes / 1024 ** 3).toFixed(0)} GiB is ready`
    : 'it is ready, and faster than the cpu';
}
