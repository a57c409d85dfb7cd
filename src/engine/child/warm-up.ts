/**
 * Runs every session once with the shapes of the clips that are likely to come, before the first job. cuDNN looks for
 * the best kernels whenever a session's input changes its shape; that search belongs to the start, not to the first
 * person's wait. Where memory has room, each shape keeps sessions of its own; else the first of the list is run last,
 * so that its kernels are the ones that are found when a job comes. Knows no messages and no processes.
 */
import { isKinoraError, KinoraError } from '../../errors.ts';
import { LatentCache } from '../../inference/latent-cache.ts';
import type { PackManifest } from '../../inference/packs/manifest.ts';
import type { OpenPack } from '../../inference/packs/open.ts';
import { pictureOf } from '../../inference/pictures/known-picture.ts';
import { I2VGenXLPipeline } from '../../inference/pipelines/i2vgen-xl.ts';
import type { PresetName } from '../../request/presets.ts';
import type { Shortcuts } from '../../request/request.ts';
import { resolveRequest } from '../../request/resolve.ts';
import type { WarmUpShape } from '../protocol.ts';

/** Of square clips: what most people ask for. */
const usualPresets: readonly PresetName[] = ['standard', 'fast'];

/** What the presets make of a square picture, without repetitions. */
export function usualShapes(manifest: PackManifest): WarmUpShape[] {
  const shapes = usualPresets.flatMap((preset) => {
    try {
      const { width, height, numFrames } = resolveRequest(manifest, { preset }, { width: 1, height: 1 });
      return [{ width, height, numFrames }];
    } catch {
      return []; // outside the pack's own limits: nobody can ask for it either
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
 * @returns one sentence per shape, in their order. One that does not fit into memory is no reason not to serve smaller ones.
 * @throws whatever else a clip may fail with: it would fail for people, too
 */
export async function warmUp(
  pack: OpenPack,
  shapes: readonly WarmUpShape[],
  shortcuts: Shortcuts = {},
): Promise<string[]> {
  const nothing = new LatentCache({ folder: '', memoryBytes: 0, diskBytes: 0 });
  const pipeline = new I2VGenXLPipeline(pack, nothing);
  const done: string[] = [];
  for (const shape of shapes.toReversed()) {
    const startedAt = performance.now();
    try {
      const request = requestFor(pack.manifest, shape, shortcuts);
      for await (const _frame of pipeline.generate(request, quietHooks())) {
        // All of them: the frames after the last whole chunk may be another shape.
      }
      done.unshift(`${nameOf(shape)} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    } catch (error) {
      if (!isKinoraError(error) || error.code !== 'OUT_OF_MEMORY') throw error;
      await pack.release(); // what the failed run had taken; sessions open again when they are needed
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

/** As few steps as run every core at every batch that the shortcuts use: each is a shape of its own. */
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
