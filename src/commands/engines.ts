/** Starts the engine as the settings say, on the device that they ask for or on the best that works. */
import type { Config } from '../config.ts';
import { Engine } from '../engine/supervisor.ts';
import { isKinoraError } from '../errors.ts';
import { askGpus, type Gpu, visibleGpus } from '../inference/devices/gpus.ts';
import { deviceAdvice, requiredDevice } from '../inference/devices/required-device.ts';
import type { Pack } from '../inference/packs/files.ts';
import { parseDevice } from '../inference/sessions/session.ts';
import type { Logger } from '../log.ts';
import { findFfmpeg } from '../video/ffmpeg-path.ts';
import { deviceCandidates, whyNoGpu } from './packs.ts';

export interface StartedEngine {
  readonly engine: Engine;
  readonly device: string;
  /** One line: what was chosen, and why. */
  readonly choice: string;
  /** What people should know before they wait for it. */
  readonly advice: string | undefined;
}

/**
 * The engine may still be loading when this returns; run() waits for it, ready() says how it went. Only "auto" ever
 * goes on to another device, and only when the first is not there: whoever names a device gets it or an error.
 */
export async function startEngine(
  config: Config,
  pack: Pack,
  wanted: string,
  log: Logger,
  candidates = deviceCandidates(wanted, pack),
): Promise<StartedEngine> {
  const { path: ffmpegPath } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
  let passedOver = '';
  for (const [index, device] of candidates.entries()) {
    const options = {
      packPath: pack.folder,
      device,
      threads: config.threads,
      memoryBudgetBytes: await memoryBudget(config, device),
      warmUp: config.warmUp,
      shortcuts: config.shortcuts,
      cachePath: config.cacheFolder,
      cacheMemoryBytes: config.cacheMemoryBytes,
      cacheDiskBytes: config.cacheDiskBytes,
      // A person's latents are found by their jobs: they must not outlive them.
      cacheRetentionMs: config.jobFiles.retentionMs,
      ffmpegPath,
    };
    const engine = Engine.start(options, {}, log);
    const isLast = index === candidates.length - 1;
    try {
      if (!isLast) await engine.ready();
      const advice = deviceAdvice(pack.manifest, device);
      const reason = wanted === 'auto' ? passedOver || (await whyChosen(device, pack)) : 'asked for by name';
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
async function whyChosen(device: string, pack: Pack): Promise<string> {
  const required = requiredDevice(pack.manifest);
  if (required !== undefined) return `${pack.manifest.id} runs on nothing else`;
  if (device === 'cpu') return whyNoGpu();
  const gpu = await gpuOf(device);
  return gpu
    ? `${gpu.name} with ${(gpu.totalBytes / 1024 ** 3).toFixed(0)} GiB is ready`
    : 'it is ready, and faster than the cpu';
}

/** Undefined where nvidia-smi does not say. */
async function gpuOf(device: string): Promise<Gpu | undefined> {
  const gpus = await askGpus();
  return typeof gpus === 'string' ? undefined : visibleGpus(gpus)[parseDevice(device).ordinal];
}

/** What the setting says, else what the card has free now; undefined where nobody knows, or where there is no card. */
async function memoryBudget(config: Config, device: string): Promise<number | undefined> {
  const { kind } = parseDevice(device);
  if (kind !== 'cuda' && kind !== 'tensorrt') return undefined;
  if (config.vramBytes !== undefined) return config.vramBytes;
  const gpu = await gpuOf(device);
  return gpu && gpu.totalBytes - gpu.usedBytes;
}
