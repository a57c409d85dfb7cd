import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { measureSeams } from '../../../bench/extend/seams.ts';
import type { GenerateRequest, GenerationReport, Picture } from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../../src/inference/packs/open.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { behindEarlier } from '../../../src/inference/pipelines/extension.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { resolveRequest } from '../../../src/request/resolve.ts';
import { builtinPackPath, golden, picturePath, tinyPackPath } from '../../helpers/golden.ts';
import { psnr } from '../../helpers/video-fixture.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-extension-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Made {
  readonly frames: Uint8Array[];
  readonly report: GenerationReport;
}

async function make(pack: OpenPack, cache: LatentCache, request: GenerateRequest): Promise<Made> {
  const pipeline = new I2VGenXLPipeline(pack, cache);
  const signal = new AbortController().signal;
  let report: GenerationReport | undefined;
  const frames: Uint8Array[] = [];
  const hooks = {
    signal,
    onProgress: () => {},
    onReport: (finished: GenerationReport) => {
      report = finished;
    },
  };
  const shaped = await pipeline.chooseShape(request, {});
  for await (const { data } of pipeline.generate(shaped, hooks)) frames.push(data.slice());
  if (!report) throw new Error('no report');
  return { frames, report };
}

it.each([
  [2, [13, 14, 21, 22], 2],
  // The first frame stands for one of the clip before, if there was any.
  [4, [12, 13, 14, 21, 22], 3],
  [0, [21, 22], 0],
])('new frames lie behind %d neighbours, as far as there are any', (neighbours, frames, firstNew) => {
  // Frames of one cell, in two channels.
  const clip = (...values: number[]) => ({
    data: Float32Array.from([...values, ...values.map((value) => -value)]),
    dims: [1, 2, values.length, 1, 1],
  });
  const joined = behindEarlier(clip(11, 12, 13, 14), clip(20, 21, 22), neighbours);
  expect(joined).toEqual({ latents: clip(...frames), firstNew });
});

describe('a model that shapes noise', () => {
  let pack: OpenPack;
  beforeAll(async () => {
    pack = await openPack(await loadPack(tinyPackPath), { device: 'cpu', threads: 1 });
  });
  afterAll(() => pack.release());

  const cache = () => new LatentCache({ folder, memoryBytes: 1e8, diskBytes: 0 });
  async function requestOf(over: Partial<GenerateRequest> = {}): Promise<GenerateRequest> {
    const [test] = golden.pipelines;
    if (!test) throw new Error('no case');
    const image = pictureOf(await decodeImage(picturePath(test.picture)));
    return { ...test.request, numFrames: 4, numInferenceSteps: 2, image, ...over };
  }

  it('sees the last latents as its picture, and leaves out the frame that stands for them', async () => {
    const kept = cache();
    const first = await make(pack, kept, await requestOf());
    const extension = { videoId: first.report.videoId };
    const second = await make(pack, kept, await requestOf({ extension }));
    expect(first.frames).toHaveLength(4);
    expect(second.frames).toHaveLength(3);
    expect(second.report.numFrames).toBe(3);
    expect(second.report.videoId).not.toBe(first.report.videoId);
    expect(second.report.cache.hits).toEqual(['prompt', 'image', 'video']);

    // The same clip of a picture whose latents are put into the cache by hand.
    const latents = (await kept.get(LatentCache.key('video', first.report.videoId)))?.tensors['latents'];
    const [, c = 0, f = 0, h = 0, w = 0] = latents?.dims ?? [];
    const last = new Float32Array(c * h * w);
    for (let channel = 0; channel < c; channel++) {
      const start = ((channel + 1) * f - 1) * h * w;
      last.set(latents?.data.subarray(start, start + h * w) ?? [], channel * h * w);
    }
    const byHand = new (class extends LatentCache {
      override async get(key: string) {
        const entry = await kept.get(key);
        if (!key.startsWith('image-') || !entry) return entry;
        const pictureLatents = { data: last, dims: [1, c, h, w] };
        return { ...entry, tensors: { ...entry.tensors, pictureLatents } };
      }
    })({ folder, memoryBytes: 1e8, diskBytes: 0 });
    const expected = await make(pack, byHand, await requestOf());
    for (const [i, frame] of second.frames.entries()) {
      expect(Buffer.compare(frame, expected.frames[i + 1] ?? Buffer.of()), `frame ${i}`).toBe(0);
    }
  });

  it('goes on again and again, from the same seed to the same frames', async () => {
    const kept = cache();
    const first = await make(pack, kept, await requestOf());
    const second = await make(pack, kept, await requestOf({ extension: { videoId: first.report.videoId } }));
    const third = await make(pack, kept, await requestOf({ extension: { videoId: second.report.videoId } }));
    const again = await make(pack, kept, await requestOf({ extension: { videoId: second.report.videoId } }));
    expect(third.report.videoId).toBe(again.report.videoId);
    expect(Buffer.concat(third.frames).equals(Buffer.concat(again.frames))).toBe(true);
    expect(Buffer.concat(third.frames).equals(Buffer.concat(second.frames))).toBe(false);
  });

  it('refuses a clip that is not kept, one of another picture, and one frame alone', async () => {
    const kept = cache();
    const missing = requestOf({ extension: { videoId: 'nobody' } });
    await expect(make(pack, kept, await missing)).rejects.toMatchObject({ code: 'VIDEO_NOT_FOUND' });
    const { report } = await make(pack, kept, await requestOf());
    const extension = { videoId: report.videoId };
    const single = requestOf({ extension, numFrames: 1 });
    await expect(make(pack, kept, await single)).rejects.toThrow('expected a whole number from 2');
    const { image } = await requestOf();
    const other: Picture = { ...(await image), key: 'another', pixels: async () => (await image).pixels() };
    const foreign = requestOf({ extension, image: other });
    await expect(make(pack, kept, await foreign)).rejects.toMatchObject({
      detail: { kind: 'otherPicture' },
    });
  });
});

describe('the model that comes with Kinora', () => {
  let pack: OpenPack;
  beforeAll(async () => {
    pack = await openPack(await loadPack(builtinPackPath), { device: 'cpu', threads: 2 });
  });
  afterAll(() => pack.release());

  async function chain(...prompts: readonly string[]): Promise<{ frames: Uint8Array[]; joins: number[] }> {
    const kept = new LatentCache({ folder, memoryBytes: 1e8, diskBytes: 0 });
    const picture = await decodeImage(
      fileURLToPath(new URL('../../../examples/coffee.jpg', import.meta.url)),
    );
    const frames: Uint8Array[] = [];
    const joins: number[] = [];
    let videoId: string | undefined;
    for (const prompt of prompts) {
      const options = { prompt, seed: 5, numFrames: 12, size: '192x128' } as const;
      const request = resolveRequest(pack.manifest, options, picture);
      const extension = videoId === undefined ? {} : { extension: { videoId } };
      if (videoId !== undefined) joins.push(frames.length);
      const made = await make(pack, kept, { ...request, image: pictureOf(picture), ...extension });
      expect(made.frames).toHaveLength(12);
      ({ videoId } = made.report);
      frames.push(...made.frames);
    }
    return { frames, joins };
  }

  it.each([
    [['zoom in', 'zoom in', 'zoom in']],
    [['pan right', 'pan right', 'pan right']],
    [['snow', 'snow']],
    [['zoom out', 'pan left, heavy rain', 'dusk']],
  ])('joins %j without a seam', async (prompts) => {
    const { frames, joins } = await chain(...prompts);
    const { leastMargin } = measureSeams(
      frames.map((data) => ({ width: 192, height: 128, data })),
      joins,
    );
    expect(leastMargin).toBeGreaterThanOrEqual(0);
    // Nothing stops or is shown twice.
    for (const join of joins) expect(psnr(frames[join], frames[join - 1])).toBeLessThan(60);
    const shifts = frames.slice(1).map((frame, i) => Math.abs(meanOf(frame) - meanOf(frames[i])));
    const largest = Math.max(...shifts.filter((_, i) => !joins.includes(i + 1)));
    for (const join of joins) expect(shifts[join - 1]).toBeLessThanOrEqual(largest + 0.25);
  });
});

function meanOf(pixels: Uint8Array | undefined): number {
  return (pixels ?? Buffer.of()).reduce((sum, value) => sum + value, 0) / (pixels?.length ?? 1);
}
