/**
 * Runs every session once with the shapes of likely clips, before the first job. cuDNN searches the best kernels whenever
 * the shape of a session's input changes; without a warm-up the first user waits for that. Where memory has room, each
 * shape keeps its own sessions; else the first shape of the list is run last, so its kernels are in place when a job
 * comes. Knows no messages and no processes.
 */
import { isKinoraError, KinoraError } from '../../errors.ts';
import { LatentCache } from '../../inference/latent-cache.ts';
import { type PackManifest, partsOf } from '../../inference/packs/manifest.ts';
import type { OpenPack } from '../../inference/packs/open.ts';
import { pictureOf } from '../../inference/pictures/known-picture.ts';
import { createPipeline } from '../../inference/pipelines/create-pipeline.ts';
import type { PresetName } from '../../request/presets.ts';
import type { Shortcuts } from '../../request/request.ts';
import { resolveRequest } from '../../request/resolve.ts';
import type { WarmUpShape } from '../protocol.ts';

/** The most frequent requests. */
const usualPresets: readonly PresetName[] = ['standard', 'fast'];

/** The shapes that the presets give a usual picture, without repetitions. */
export function usualShapes(manifest: PackManifest): WarmUpShape[] {
  const shapes = usualPresets.flatMap((preset) => {
    try {
      const { width, height, numFrames } = resolveRequest(
        manifest,
        { preset },
        partsOf(manifest).usualPicture,
      );
      return [{ width, height, numFrames }];
    } catch {
      return []; // outside the pack's limits, so no job can have it
    }
  });
  return shapes.filter(
    (shape, index) => shapes.findIndex((other) => nameOf(other) === nameOf(shape)) === index,
  );
}

/** @throws KinoraError INVALID_CONFIG when the pack cannot make one of them, with what it can make */
export function checkShapes(manifest: PackManifest, shapes: readonly WarmUpShape[]): void {
  for (const shape of shapes) {
    try {
      requestFor(manifest, shape);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new KinoraError('INVALID_CONFIG', `KINORA_WARMUP has ${nameOf(shape)}. ${reason}`);
    }
  }
}

/**
 * @param shapes the most likely first
 * @returns one sentence per shape, in their order; also for a shape that does not fit into memory
 * @throws any other error of a clip: jobs would fail with it, too
 */
export async function warmUp(
  pack: OpenPack,
  shapes: readonly WarmUpShape[],
  shortcuts: Shortcuts = {},
): Promise<string[]> {
  const nothing = new LatentCache({ folder: '', memoryBytes: 0, diskBytes: 0 });
  const pipeline = createPipeline(pack, nothing);
  const done: string[] = [];
  for (const shape of shapes.toReversed()) {
    const startedAt = performance.now();
    try {
      const request = requestFor(pack.manifest, shape, shortcuts);
      for await (const _frame of pipeline.generate(request, quietHooks())) {
        // All frames: those after the last whole chunk may have another shape.
      }
      done.unshift(`${nameOf(shape)} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    } catch (error) {
      if (!isKinoraError(error) || error.code !== 'OUT_OF_MEMORY') throw error;
      await pack.release(); // frees the memory of the failed run; sessions open again when needed
      done.unshift(`${nameOf(shape)} does not fit: ${error.message}`);
    }
  }
  return done;
}

const quietHooks = () => ({
  signal: new AbortController().signal,
  onProgress: () => {},
  onReport: () => {},
});

/** The fewest steps that run every core at every batch that the shortcuts use: each is a shape of its own. */
function requestFor(manifest: PackManifest, shape: WarmUpShape, shortcuts: Shortcuts = {}) {
  const { width, height, numFrames } = shape;
  const image = { width, height, data: new Uint8Array(width * height * 3).fill(128) };
  const options = { size: `${width}x${height}`, numFrames, seed: 0, ...shortcuts };
  const request = resolveRequest(manifest, options, image);
  const endsEarly = request.guidanceEnd > 0 && request.guidanceEnd < 1;
  const guidanceEnd = endsEarly ? 0.5 : request.guidanceEnd;
  const numInferenceSteps = endsEarly && request.featureReuse > 1 ? 4 : 2;
  return { ...request, image: pictureOf(image), guidanceEnd, numInferenceSteps };
}

function nameOf({ width, height, numFrames }: WarmUpShape): string {
  return `${width}x${height}x${numFrames}`;
}
