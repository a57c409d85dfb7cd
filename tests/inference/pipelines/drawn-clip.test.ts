import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  GenerateRequest,
  GenerationReport,
  ProgressEvent,
} from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../../src/inference/packs/open.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { drawnParts, wholeClip } from '../../../src/inference/pipelines/conditioning.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { TorchGenerator } from '../../../src/inference/random.ts';
import { golden, picturePath } from '../../helpers/golden.ts';
import { makeDrawnPack } from '../../helpers/other-packs.ts';
import { withRun } from '../../helpers/with-run.ts';

let folder: string;
let pack: OpenPack;
/** What unet_cond got, clip by clip. */
let fed: Readonly<Record<string, number[]>>[] = [];
/** The last that the pipeline told of its progress, and what that was when the clip was drawn. */
let progress: ProgressEvent | undefined;
let drawnAt: ProgressEvent | undefined;
beforeAll(async () => {
  folder = await makeDrawnPack();
  const opened = await openPack(await loadPack(folder), { device: 'cpu', threads: 1 });
  const { unet_cond: cond } = opened.sessions;
  const watched = withRun(cond, (feeds, ...rest) => {
    const numbers = Object.entries(feeds).flatMap(([name, feed]) =>
      'data' in feed ? [[name, Array.from(feed.data, Number)] as const] : [],
    );
    fed.push(Object.fromEntries(numbers));
    drawnAt = progress;
    return cond.run(feeds, ...rest);
  });
  pack = { ...opened, sessions: { ...opened.sessions, unet_cond: watched } };
});
afterAll(async () => {
  await pack.release();
  await rm(folder, { recursive: true, force: true });
});

const newCache = (): LatentCache => new LatentCache({ folder, memoryBytes: 1e8, diskBytes: 0 });

interface Clip {
  readonly pixels: Uint8Array;
  readonly report: GenerationReport;
  /** The halves of its draws. */
  readonly course: readonly number[];
  readonly details: readonly number[];
}

async function make(cache: LatentCache, over: Partial<GenerateRequest>): Promise<Clip> {
  const [test] = golden.pipelines;
  if (!test) throw new Error('no case');
  const image = pictureOf(await decodeImage(picturePath(test.picture)));
  const request = { ...test.request, numFrames: 3, numInferenceSteps: 2, image, ...over };
  const reports: GenerationReport[] = [];
  const hooks = {
    signal: new AbortController().signal,
    onProgress: (event: ProgressEvent) => {
      progress = event;
    },
    onReport: (report: GenerationReport) => void reports.push(report),
  };
  fed = [];
  const frames: Uint8Array[] = [];
  for await (const frame of new I2VGenXLPipeline(pack, cache).generate(request, hooks)) {
    frames.push(frame.data.slice());
  }
  const [report] = reports;
  const draws = fed[0]?.['draws'] ?? [];
  if (!report || draws.length !== 64) throw new Error('no clip');
  return { pixels: Buffer.concat(frames), report, course: draws.slice(0, 32), details: draws.slice(32) };
}

describe('a pack whose unet_cond takes draws', () => {
  it('gets them from the seed, as torch.rand would', async () => {
    const clip = await make(newCache(), { seed: 7 });
    const drawn = [...clip.course, ...clip.details];
    expect([drawn[0], drawn[1], drawn[31], drawn[32], drawn[63]]).toEqual([
      0.5349225401878357, 0.19880318641662598, 0.6720845699310303, 0.6266505718231201, 0.10808825492858887,
    ]);
    expect(drawn).toEqual([...new TorchGenerator(7).rand(64)]);
  });

  it('gets the positions of the frames beside the picture alone', async () => {
    await make(newCache(), { seed: 7 });
    expect(fed[0]?.['frame_positions']).toEqual([0, 0.5, 1]);
    await make(newCache(), { seed: 7, numFrames: 1 });
    expect(fed[0]?.['frame_positions']).toEqual([0]);
  });

  it('draws in parts, and counts them as the steps by which a hang is judged', async () => {
    await make(newCache(), { seed: 7 });
    expect(drawnAt).toEqual({ phase: 'denoising', done: 0, total: 3 });
    expect(fed).toHaveLength(1);
    // 9 frames of 1024 × 1024 are too many at once.
    expect(drawnParts({ width: 1024, height: 1024 }, wholeClip(9))).toBe(2);
    expect(drawnParts({ width: 720, height: 480 }, wholeClip(72))).toBe(4);
  });

  it('makes the same clip of the same seed, and another one of another seed', async () => {
    const cache = newCache();
    const clip = await make(cache, { seed: 7 });
    const same = await make(cache, { seed: 7 });
    const other = await make(cache, { seed: 8 });
    expect(Buffer.compare(same.pixels, clip.pixels)).toBe(0);
    expect(Buffer.compare(other.pixels, clip.pixels)).not.toBe(0);
    expect(same.report.cache.hits).toContain('image');
    expect(other.report.cache.hits).toContain('image'); // the seed has no part in what a picture is to the model
  });

  it('keeps the first course through a chain of subtle variations, with new details', async () => {
    const cache = newCache();
    const first = await make(cache, { seed: 1 });
    const second = await make(cache, {
      seed: 2,
      variation: { videoId: first.report.videoId, strength: 0.35 },
    });
    const third = await make(cache, {
      seed: 3,
      variation: { videoId: second.report.videoId, strength: 0.35 },
    });
    expect([second.course, third.course]).toEqual([first.course, first.course]);
    expect([...new TorchGenerator(3).rand(64)].slice(32)).toEqual(third.details);
    expect(second.details).not.toEqual(first.details);
    expect(Buffer.compare(second.pixels, first.pixels)).not.toBe(0);
  });

  it('takes another course for a strong variation, whatever size and frames', async () => {
    const cache = newCache();
    const first = await make(cache, { seed: 1 });
    const variation = { videoId: first.report.videoId, strength: 0.7 };
    const strong = await make(cache, { seed: 2, numFrames: 2, variation });
    const fresh = await make(cache, { seed: 2, numFrames: 2 });
    expect(Buffer.compare(strong.pixels, fresh.pixels)).toBe(0);
  });

  it('refuses the variation of a clip that is forgotten, or of another picture', async () => {
    const cache = newCache();
    await expect(make(cache, { variation: { videoId: 'nothing', strength: 0.35 } })).rejects.toMatchObject({
      code: 'VIDEO_NOT_FOUND',
    });
    const first = await make(cache, { seed: 1 });
    const data = new Uint8Array(96 * 96 * 3).fill(90);
    await expect(
      make(cache, {
        image: pictureOf({ width: 96, height: 96, data }),
        variation: { videoId: first.report.videoId, strength: 0.35 },
      }),
    ).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('keeps no latents of a clip, and what they would have said of its shape', async () => {
    const cache = newCache();
    const { report } = await make(cache, { seed: 2 ** 33 + 5 });
    const entry = await cache.get(LatentCache.key('video', report.videoId));
    const { width, height, numFrames } = report;
    expect(entry?.tensors).toEqual({});
    expect(entry?.meta).toMatchObject({ drawn: { courseSeed: 2 ** 33 + 5, width, height, numFrames } });
  });
});
