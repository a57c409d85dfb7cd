/** Stable Video Diffusion from a picture's file to an MP4, as the engine's child makes it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runJob } from '../../src/engine/child/run-job.ts';
import { usualShapes } from '../../src/engine/child/warm-up.ts';
import type { EngineJob, EngineResult } from '../../src/engine/protocol.ts';
import { KinoraError } from '../../src/errors.ts';
import { LatentCache } from '../../src/inference/latent-cache.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../src/inference/packs/open.ts';
import { PictureDecoder } from '../../src/inference/pictures/decoder-process.ts';
import { SvdPipeline } from '../../src/inference/pipelines/svd.ts';
import type { GenerationOptions } from '../../src/request/request.ts';
import { describeRequest, resolveRequest } from '../../src/request/resolve.ts';
import { ffmpegPath } from '../helpers/engine-fixture.ts';
import { svdPackPath } from '../helpers/golden.ts';
import { picturePath } from '../helpers/golden-svd.ts';
import { svdManifest } from '../helpers/svd-manifest.ts';
import { ffprobe } from '../helpers/video-fixture.ts';
import { withRun } from '../helpers/with-run.ts';

let folder: string;
let pack: OpenPack;
let cache: LatentCache;
const decoder = new PictureDecoder();
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'kinora-svd-engine-'));
  cache = new LatentCache({ folder: path.join(folder, 'cache'), memoryBytes: 1e8, diskBytes: 0 });
  pack = await openPack(await loadPack(svdPackPath), { device: 'cpu', threads: 1 });
});
afterAll(async () => {
  await pack.release();
  rmSync(folder, { recursive: true, force: true });
});

interface Conditions {
  readonly leastMemory?: boolean;
  readonly opened?: OpenPack;
  readonly earlier?: EngineResult;
}

async function make(
  name: string,
  options: GenerationOptions,
  { leastMemory = false, opened = pack, earlier }: Conditions = {},
): Promise<EngineResult> {
  const { manifest } = pack;
  const picture = { width: 128, height: 64 };
  const request = resolveRequest(manifest, { size: '128x64', seed: 4, ...options }, picture);
  const continued = earlier && {
    extension: { videoId: earlier.videoId },
    earlier: { path: earlier.outPath, loop: false, smooth: 1 as const },
  };
  const job: EngineJob = {
    ...request,
    ...continued,
    id: name,
    imagePath: picturePath('pictures/wide.png'),
    outPath: path.join(folder, `${name}.mp4`),
    metadata: describeRequest(request, manifest),
  };
  const pipeline = new SvdPipeline(opened, cache);
  const tools = { pipeline, cache, decoder, ffmpegPath, model: manifest.id, device: 'cpu' };
  const tempPath = path.join(folder, `.${name}.part`);
  const hooks = { tempPath, leastMemory, signal: new AbortController().signal };
  return await runJob(job, tools, { ...hooks, onProgress: () => {}, onAlive: () => {} });
}

function described({ outPath }: EngineResult): unknown {
  return JSON.parse(ffprobe(outPath).format.tags?.['comment'] ?? '');
}

it('is warmed up for pictures of 16:9, the shape that it was trained with', () => {
  expect(usualShapes(svdManifest())).toEqual([
    { width: 896, height: 512, numFrames: 25 },
    { width: 704, height: 384, numFrames: 14 },
  ]);
});

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
  const lean = await make('lean', options, { leastMemory: true });
  expect(lean.videoId).toBe(usual.videoId);
  expect(lean.smallerRuns).toEqual([{ fromFrame: 0, frames: 5 }]);
  expect(described(lean)).toMatchObject({ decodedAtOnce: '5 from frame 0 on' });
  expect(ffprobe(lean.outPath).stream).toMatchObject({ nb_read_frames: 8 });
});

it('tells smaller windows of every part of a clip, in the frames of the whole', async () => {
  const options = { numFrames: 8, numInferenceSteps: 1, decodeChunkSize: 7 } as const;
  const { vae_decoder: session } = pack.sessions;
  let runs = 0;
  const failing = withRun(session, async (...args) => {
    if (++runs === 2) throw new KinoraError('OUT_OF_MEMORY', 'The device ran out of memory.');
    return await session.run(...args);
  });
  const opened = { ...pack, sessions: { ...pack.sessions, vae_decoder: failing } };
  const first = await make('first', options, { opened });
  expect(first.smallerRuns).toEqual([{ fromFrame: 4, frames: 5 }]);
  expect(described(first)).toMatchObject({ decodedAtOnce: '5 from frame 4 on' });

  const second = await make('second', options, { earlier: first });
  expect(second.numFrames).toBe(15);
  expect(second.smallerRuns).toBeUndefined();
  expect(described(second)).toMatchObject({ decodedAtOnce: '5 from frame 4 on, 7 from frame 8 on' });

  const third = await make('third', options, { earlier: second, leastMemory: true });
  expect(third.smallerRuns).toEqual([{ fromFrame: 15, frames: 5 }]);
  const expected = '5 from frame 4 on, 7 from frame 8 on, 5 from frame 15 on';
  expect(described(third)).toMatchObject({ decodedAtOnce: expected });

  const usual = await make('usual-first', options);
  const lean = await make('lean-second', options, { earlier: usual, leastMemory: true });
  expect(described(lean)).toMatchObject({ decodedAtOnce: '5 from frame 8 on' });
});
