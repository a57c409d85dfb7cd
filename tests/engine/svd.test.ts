/** Stable Video Diffusion from a picture's file to an MP4, as the engine's child makes it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type LoadedEngine, loadEngine } from '../../src/engine/child/load.ts';
import type { EngineJob, EngineResult } from '../../src/engine/protocol.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import type { GenerationOptions } from '../../src/request/request.ts';
import { describeRequest, resolveRequest } from '../../src/request/resolve.ts';
import { engineOptions } from '../helpers/engine-fixture.ts';
import { picturePath, svdPackPath } from '../helpers/golden-svd.ts';
import { ffprobe } from '../helpers/video-fixture.ts';

let folder: string;
let engine: LoadedEngine;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'kinora-svd-engine-'));
  engine = await loadEngine({ ...engineOptions(folder), packPath: svdPackPath });
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

async function make(name: string, options: GenerationOptions, leastMemory = false): Promise<EngineResult> {
  const { manifest } = await loadPack(svdPackPath);
  const picture = { width: 128, height: 64 };
  const request = resolveRequest(manifest, { size: '128x64', seed: 4, ...options }, picture);
  const job: EngineJob = {
    ...request,
    id: name,
    imagePath: picturePath('pictures/wide.png'),
    outPath: path.join(folder, `${name}.mp4`),
    metadata: describeRequest(request, manifest),
  };
  const tempPath = path.join(folder, `.${name}.part`);
  const hooks = { tempPath, leastMemory, signal: new AbortController().signal };
  return await engine.runJob(job, { ...hooks, onProgress: () => {}, onAlive: () => {} });
}

function described({ outPath }: EngineResult): unknown {
  return JSON.parse(ffprobe(outPath).format.tags?.['comment'] ?? '');
}

it('makes a clip whose file says what decided its pixels, and no prompt', async () => {
  const options = { numFrames: 8, numInferenceSteps: 2, motion: 'high', decodeChunkSize: 8 } as const;
  const usual = await make('usual', { ...options, prompt: 'zoom in' });
  expect(usual).toMatchObject({ width: 128, height: 64, numFrames: 8, model: 'tiny-svd' });
  expect(ffprobe(usual.outPath).stream).toMatchObject({ width: 128, height: 64, nb_read_frames: 8 });
  expect(usual.smallerRuns).toBeUndefined();
  expect(described(usual)).toMatchObject({ motionBucket: '180', decodeChunkSize: '8', decodeOverlap: '2' });
  expect(described(usual)).not.toHaveProperty('prompt');
  expect(described(usual)).not.toHaveProperty('decodedAtOnce');

  // The same latents; the windows that memory allows are told in the result and in the file.
  const lean = await make('lean', options, true);
  expect(lean.videoId).toBe(usual.videoId);
  expect(lean.smallerRuns).toEqual([{ fromFrame: 0, frames: 5 }]);
  expect(described(lean)).toMatchObject({ decodedAtOnce: '5 from frame 0 on' });
  expect(ffprobe(lean.outPath).stream).toMatchObject({ nb_read_frames: 8 });
});
