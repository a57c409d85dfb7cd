import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GenerateRequest, GenerationReport, RgbImage } from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../../src/inference/packs/open.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { moveInside } from '../../../src/inference/pictures/motion-mask.ts';
import { cropTo } from '../../../src/inference/pictures/prepare.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { resolveRequest } from '../../../src/request/resolve.ts';
import { builtinPackPath } from '../../helpers/golden.ts';
import { psnr } from '../../helpers/video-fixture.ts';

const [width, height] = [192, 128];

let folder: string;
let pack: OpenPack;
let picture: RgbImage;
/** As the clip would show it. */
let scaled: Uint8Array;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-masked-weather-'));
  pack = await openPack(await loadPack(builtinPackPath), { device: 'cpu', threads: 2 });
  picture = await decodeImage(fileURLToPath(new URL('../../../examples/cat.jpg', import.meta.url)));
  scaled = cropTo(picture, width, height).data;
});
afterAll(async () => {
  await pack.release();
  await rm(folder, { recursive: true, force: true });
});

const newCache = (): LatentCache => new LatentCache({ folder, memoryBytes: 1e8, diskBytes: 0 });

/** 255 left of the middle, 0 right of it, and a border of 12 pixels between them. */
const painted = Uint8Array.from({ length: width * height }, (_, i) =>
  Math.min(Math.max(Math.round((255 * (width / 2 + 6 - (i % width))) / 12), 0), 255),
);

async function make(
  prompt: string,
  cache: LatentCache,
  over: Partial<GenerateRequest> = {},
  isMasked = true,
): Promise<{ readonly frames: Uint8Array[]; readonly videoId: string }> {
  const resolved = resolveRequest(
    pack.manifest,
    { prompt, seed: 1, numFrames: 6, size: `${width}x${height}` },
    picture,
  );
  const weights = Promise.resolve(painted);
  const masked = isMasked ? { motionWeights: weights } : {};
  const request = { ...resolved, image: pictureOf(picture), ...masked, ...over };
  const reports: GenerationReport[] = [];
  const clip = new I2VGenXLPipeline(pack, cache).generate(request, {
    signal: new AbortController().signal,
    onProgress: () => {},
    onReport: (report) => void reports.push(report),
  });
  const frames: Uint8Array[] = [];
  for await (const { data } of isMasked ? moveInside(clip, weights) : clip) frames.push(data.slice());
  return { frames, videoId: reports[0]?.videoId ?? '' };
}

/** Of the columns from `first` on, before `end`. */
function columns(pixels: Uint8Array | undefined, first: number, end: number): Uint8Array {
  const rows = Array.from({ length: height }, (_, y) =>
    (pixels ?? new Uint8Array()).subarray(3 * (y * width + first), 3 * (y * width + end)),
  );
  return Buffer.concat(rows);
}
const inside = (pixels?: Uint8Array): Uint8Array => columns(pixels, 0, width / 2 - 6);
const outside = (pixels?: Uint8Array): Uint8Array => columns(pixels, width / 2 + 6, width);
const border = (pixels?: Uint8Array): Uint8Array => columns(pixels, width / 2 - 6, width / 2 + 6);

it.each(['heavy snow', 'heavy rain', 'dense fog', 'fireflies', 'heavy snow and waves'])(
  'outside the paint there is no %s, in the clip and behind its end',
  async (prompt) => {
    const cache = newCache();
    const { frames, videoId } = await make(prompt, cache);
    const { frames: added } = await make(prompt, cache, { extension: { videoId } });
    for (const [i, frame] of [...frames, ...added].entries()) {
      expect(psnr(outside(frame), outside(scaled)), `frame ${i}`).toBeGreaterThan(40);
      expect(psnr(inside(frame), inside(scaled)), `frame ${i}`).toBeLessThan(35);
    }
    expect(psnr(inside(frames[1]), inside(frames[0]))).toBeLessThan(35);
    expect(psnr(outside(added[0]), outside(frames.at(-1)))).toBeGreaterThan(60);
    expect(psnr(inside(added[0]), inside(frames.at(-1)))).toBeLessThan(60);
    // The last position of a clip is the first one again, and an extension's last one is, too.
    expect(psnr(border(added.at(-1)), border(frames[0]))).toBeGreaterThan(50);
  },
);

it('outside the paint the clip stays with the first view of its camera, also behind its end', async () => {
  const cache = newCache();
  const plain = await make('pan left', cache);
  const { frames, videoId } = await make('pan left, heavy snow', cache);
  const second = await make('pan left, heavy snow', cache, { extension: { videoId } });
  const third = await make('zoom in, rain', cache, { extension: { videoId: second.videoId } });
  for (const frame of [...frames, ...second.frames, ...third.frames]) {
    expect(psnr(outside(frame), outside(plain.frames[0]))).toBeGreaterThan(60);
  }
  expect(psnr(outside(plain.frames[0]), outside(scaled))).toBeLessThan(30);
});

it('a mask that only the extension has lets the camera rest where the clip has ended', async () => {
  const cache = newCache();
  const before = await make('pan left', cache, {}, false);
  const { frames } = await make('pan left, heavy snow', cache, { extension: { videoId: before.videoId } });
  for (const frame of frames) {
    expect(psnr(outside(frame), outside(before.frames.at(-1)))).toBeGreaterThan(60);
  }
});
