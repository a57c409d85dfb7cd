/**
 * Kinora's half of bench:gpu: jobs through the engine that `kinora animate` starts, timed from outside of its process.
 * Knows no table.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { startEngine } from '../../src/commands/engines.ts';
import { loadConfig } from '../../src/config.ts';
import type { EngineResult } from '../../src/engine/protocol.ts';
import type { Engine } from '../../src/engine/supervisor.ts';
import type { ProgressEvent } from '../../src/inference/image-to-video.ts';
import type { Pack } from '../../src/inference/packs/files.ts';
import { decodeImage } from '../../src/inference/pictures/decode.ts';
import { createLogger } from '../../src/log.ts';
import type { GenerationOptions } from '../../src/request/request.ts';
import { type ResolvedRequest, resolveRequest } from '../../src/request/resolve.ts';
import type { Values } from './measurements.ts';
import type { Shape } from './plan.ts';
import type { VramMeter } from './vram.ts';

export interface KinoraOptions {
  readonly pack: Pack;
  readonly device: string;
  readonly threads: number;
  readonly image: string;
  readonly prompt: string;
  /** Folder for all output. */
  readonly folder: string;
}

/** Options that change how a clip is computed; some packs cannot do all. */
export type SpeedOptions = GenerationOptions;

export interface MeasuredJob {
  /** From the request to the finished MP4, as the caller of the engine sees it. */
  readonly wallMs: number;
  /** From the request to the moment when the first step may begin. */
  readonly beforeStepsMs: number;
  /** Of each denoising step, the first one included. */
  readonly stepMs: readonly number[];
  readonly lastStepToFileMs: number;
  readonly result: EngineResult;
}

const goneDeadlineMs = 30_000;

export const median = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;

/** A fresh engine, and the GPU memory in use since its start. */
export class EngineUnderTest {
  readonly loadMs: number;
  readonly #engine: Engine;
  readonly #options: KinoraOptions;
  readonly #vram: VramMeter;
  readonly #memoryBefore: number | undefined;
  readonly #startedAt: number;
  #pictures = 0;

  private constructor(
    engine: Engine,
    options: KinoraOptions,
    vram: VramMeter,
    memoryBefore: number | undefined,
    startedAt: number,
  ) {
    this.#engine = engine;
    this.#options = options;
    this.#vram = vram;
    this.#memoryBefore = memoryBefore;
    this.#startedAt = startedAt;
    this.loadMs = Date.now() - startedAt;
  }

  /** Starts with an empty cache and no warm-up, so that the cost of a first clip is measured. */
  static async start(options: KinoraOptions, vram: VramMeter, budgetGiB?: number): Promise<EngineUnderTest> {
    const memoryBefore = vram.now();
    const config = loadConfig({
      ...process.env,
      KINORA_DATA_DIR: mkdtempSync(path.join(options.folder, 'data-')),
      KINORA_THREADS: String(options.threads),
      KINORA_WARMUP: 'off',
      ...(budgetGiB === undefined ? {} : { KINORA_VRAM_GB: String(budgetGiB) }),
    });
    const startedAt = Date.now();
    const log = createLogger('bench', 'error');
    const { engine } = await startEngine(config, [options.pack], options.device, log);
    try {
      await engine.ready();
    } catch (error) {
      await engine.stop();
      throw error;
    }
    return new EngineUnderTest(engine, options, vram, memoryBefore, startedAt);
  }

  /** A new picture, unknown to the cache. */
  async unknownPicture(): Promise<string> {
    const { data, width, height } = await decodeImage(this.#options.image);
    const shift = ++this.#pictures;
    const file = path.join(this.#options.folder, `picture-${randomUUID()}.jpg`);
    const brighter = data.map((value) => Math.min(255, value + shift));
    await sharp(brighter, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 92 })
      .toFile(file);
    return file;
  }

  /** The job as the engine gets it. */
  async resolve(shape: Shape, options: SpeedOptions, image = this.#options.image): Promise<ResolvedRequest> {
    const { width, height, numFrames } = shape;
    return resolveRequest(
      this.#options.pack.manifest,
      {
        prompt: `${this.#options.prompt} ${randomUUID()}`,
        seed: 1,
        size: `${width}x${height}`,
        numFrames,
        ...options,
      },
      await decodeImage(image),
    );
  }

  async run(shape: Shape, options: SpeedOptions, image = this.#options.image): Promise<MeasuredJob> {
    const { preset: _, ...request } = await this.resolve(shape, options, image);
    const id = `bench-${randomUUID()}`;
    const stepMs: number[] = [];
    let markedAt = 0;
    let loopAt = 0;
    const onProgress = ({ phase, done }: ProgressEvent): void => {
      if (phase !== 'denoising') return;
      const now = performance.now();
      if (done === 0) loopAt = now;
      else stepMs.push(now - markedAt);
      markedAt = now;
    };
    const startedAt = performance.now();
    const result = await this.#engine.run(
      {
        ...request,
        ...{
          id,
          imagePath: image,
          outPath: path.join(this.#options.folder, `${id}.mp4`),
          loop: false,
          smooth: 1,
        },
      },
      { onProgress },
    );
    const endedAt = performance.now();
    return {
      wallMs: endedAt - startedAt,
      beforeStepsMs: loopAt - startedAt,
      stepMs,
      lastStepToFileMs: endedAt - markedAt,
      result,
    };
  }

  /** GiB over what the card had in use before the engine, since its start. Empty without a meter. */
  async peak(): Promise<Values> {
    const peak = await this.#vram.peak(this.#startedAt, Date.now());
    return peak === undefined || this.#memoryBefore === undefined
      ? {}
      : { peakGiB: peak - this.#memoryBefore };
  }

  /** GiB in use now over what was in use before the engine; undefined without a meter. */
  memory(): number | undefined {
    const now = this.#vram.now();
    return now === undefined || this.#memoryBefore === undefined ? undefined : now - this.#memoryBefore;
  }

  /** As KINORA_IDLE_UNLOAD does it; waits until the process is gone. */
  async unload(): Promise<void> {
    this.#engine.unload();
    const deadline = Date.now() + goneDeadlineMs;
    while (this.#engine.status().pid !== null) {
      if (Date.now() > deadline) throw new Error('the idle engine did not leave');
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    await this.#engine.stop();
  }
}
