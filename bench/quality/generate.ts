/** Clips of a pack as raw frames, before any video codec: through the same pipeline as every other clip. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { GenerationReport, ImageToVideoPipeline, RgbImage } from '../../src/inference/image-to-video.ts';
import { LatentCache } from '../../src/inference/latent-cache.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../src/inference/packs/open.ts';
import { decodeImage } from '../../src/inference/pictures/decode.ts';
import { pictureOf } from '../../src/inference/pictures/known-picture.ts';
import { prepareImage } from '../../src/inference/pictures/prepare.ts';
import { createPipeline } from '../../src/inference/pipelines/create-pipeline.ts';
import type { GenerationOptions } from '../../src/request/request.ts';
import { resolveRequest } from '../../src/request/resolve.ts';
import type { Understood } from '../../src/request/understood.ts';

export interface MadeClip {
  readonly frames: Uint8Array[];
  readonly understood: Understood;
  readonly videoId: string;
  readonly width: number;
  readonly height: number;
}

export class Generator {
  readonly #pack: OpenPack;
  readonly #pipeline: ImageToVideoPipeline;
  readonly #folder: string;

  private constructor(pack: OpenPack) {
    this.#pack = pack;
    this.#folder = mkdtempSync(path.join(tmpdir(), 'kinora-bench-'));
    const cache = new LatentCache({ folder: this.#folder, memoryBytes: 64e6, diskBytes: 0 });
    this.#pipeline = createPipeline(pack, cache);
  }

  static async open(packPath: string, threads: number): Promise<Generator> {
    return new Generator(await openPack(await loadPack(packPath), { device: 'cpu', threads }));
  }

  async frames(file: string, options: GenerationOptions): Promise<Uint8Array[]> {
    return (await this.clip(file, options)).frames;
  }

  /** @param motionWeights what was painted to move, 0 to 255 for each pixel of the clip */
  async clip(file: string, options: GenerationOptions, motionWeights?: Uint8Array): Promise<MadeClip> {
    const image = await decodeImage(file);
    const request = resolveRequest(this.#pack.manifest, { seed: 1, ...options }, image);
    let understood: Understood = { asked: [], done: [] };
    let videoId = '';
    const hooks = {
      signal: new AbortController().signal,
      onProgress: () => {},
      onReport: (report: GenerationReport) => {
        understood = report.understood ?? understood;
        videoId = report.videoId;
      },
    };
    const asked = {
      ...request,
      image: pictureOf(image),
      ...(motionWeights ? { motionWeights: Promise.resolve(motionWeights) } : {}),
    };
    const frames: Uint8Array[] = [];
    for await (const { data } of this.#pipeline.generate(asked, hooks)) {
      frames.push(data.slice());
    }
    const { width, height } = request;
    return { frames, understood, videoId, width, height };
  }

  async close(): Promise<void> {
    await this.#pack.release();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The picture at working size, exactly as the VAE is given it: what a clip should be a warp of. */
export async function originalPicture(file: string, width: number, height: number): Promise<RgbImage> {
  const { vaeSample } = prepareImage(await decodeImage(file), {
    width,
    height,
    encoderSize: 64,
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  });
  const plane = width * height;
  const data = new Uint8Array(plane * 3);
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) {
      data[i * 3 + channel] = Math.round(((vaeSample.data[channel * plane + i] as number) + 1) * 127.5);
    }
  }
  return { width, height, data };
}
