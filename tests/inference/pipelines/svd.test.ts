import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KinoraError } from '../../../src/errors.ts';
import type { Frame, GenerateRequest, GenerationReport } from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../../src/inference/packs/open.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { toSquare } from '../../../src/inference/pictures/resize-antialiased.ts';
import { decodeFrames } from '../../../src/inference/pipelines/decode-frames.ts';
import { decoderWindows } from '../../../src/inference/pipelines/decode-runs.ts';
import { Run } from '../../../src/inference/pipelines/run.ts';
import { SvdPipeline } from '../../../src/inference/pipelines/svd.ts';
import type { PackSession } from '../../../src/inference/residency/pack-session.ts';
import type { FloatTensor } from '../../../src/inference/sessions/tensor.ts';
import type { MotionNumbers } from '../../../src/request/families/family.ts';
import { maxDifference, svdPackPath } from '../../helpers/golden.ts';
import {
  golden,
  picturePath,
  readBytes,
  readFloats,
  readTensor,
  requestOf,
  type SvdCase,
} from '../../helpers/golden-svd.ts';
import { withRun } from '../../helpers/with-run.ts';

let pack: OpenPack;
let folder: string;
beforeAll(async () => {
  pack = await openPack(await loadPack(svdPackPath), { device: 'cpu', threads: 2 });
  folder = await mkdtemp(join(tmpdir(), 'kinora-svd-'));
});
afterAll(async () => {
  await pack.release();
  await rm(folder, { recursive: true, force: true });
});

let caches = 0;
const newCache = (): LatentCache =>
  new LatentCache({ folder: join(folder, String(caches++)), memoryBytes: 1e8, diskBytes: 1e8 });

const quiet = { signal: new AbortController().signal, onProgress: () => {} };

interface Clip {
  readonly frames: readonly Frame[];
  readonly report: GenerationReport;
  readonly latents: FloatTensor;
}

async function generate(
  request: GenerateRequest,
  { opened = pack, cache = newCache(), leastMemory = false } = {},
): Promise<Clip> {
  const frames: Frame[] = [];
  let report: GenerationReport | undefined;
  const onReport = (finished: GenerationReport): void => {
    report = finished;
  };
  const hooks = { ...quiet, onReport, leastMemory };
  for await (const frame of new SvdPipeline(opened, cache).generate(request, hooks)) {
    frames.push({ ...frame, data: frame.data.slice() });
  }
  if (!report) throw new Error('no report');
  const entry = await cache.get(LatentCache.key('video', report.videoId));
  const latents = entry?.tensors['latents'];
  return { frames, report, latents: latents ?? expect.fail('no latents') };
}

const pixels = ({ frames }: Pick<Clip, 'frames'>): Uint8Array =>
  Buffer.concat(frames.map(({ data }) => data));

/** The latents as frames, decoded in runs of so many. */
async function decoded(latents: FloatTensor, size: number, overlap: number): Promise<Uint8Array> {
  const [, , numFrames = 0, h = 0, w = 0] = latents.dims;
  const run = new Run({ ...quiet, onReport: () => {} }, newCache(), () => ({ runMs: 0, openMs: 0 }));
  const frames: Frame[] = [];
  const shape = { numFrames, width: 8 * w, height: 8 * h };
  for await (const frame of decodeFrames(
    pack,
    latents,
    shape,
    decoderWindows(numFrames, size, overlap),
    run,
  )) {
    frames.push({ ...frame, data: frame.data.slice() });
  }
  return pixels({ frames });
}

/** Frames `from` to `to` of latents. */
function someFrames({ data, dims }: FloatTensor, from: number, to: number): FloatTensor {
  const [, channels = 0, numFrames = 0, h = 0, w = 0] = dims;
  const parts = Array.from({ length: channels }, (_, c) =>
    data.subarray((c * numFrames + from) * h * w, (c * numFrames + to) * h * w),
  );
  return {
    data: Float32Array.from(parts.flatMap((part) => [...part])),
    dims: [1, channels, to - from, h, w],
  };
}

/** The latents of both, as one clip. */
function behind(earlier: FloatTensor, added: FloatTensor): FloatTensor {
  const [, channels = 0, before = 0, h = 0, w = 0] = earlier.dims;
  const after = added.dims[2] ?? 0;
  const parts = Array.from({ length: channels }, (_, c) => [
    ...earlier.data.subarray(c * before * h * w, (c + 1) * before * h * w),
    ...added.data.subarray(c * after * h * w, (c + 1) * after * h * w),
  ]);
  return { data: Float32Array.from(parts.flat()), dims: [1, channels, before + after, h, w] };
}

const meanDifference = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] ?? 0)), 0) / a.length;

function caseOf(name: string): SvdCase {
  return golden.pipelines.find((test) => test.name === name) ?? expect.fail(`no case ${name}`);
}

/** A short clip, for what needs no golden numbers. */
async function short(changes: Partial<GenerateRequest> = {}): Promise<GenerateRequest> {
  const request = await requestOf(caseOf('square-14-n5'));
  return { ...request, numFrames: 4, numInferenceSteps: 2, decodeChunkSize: 4, ...changes };
}

describe('each session computes what diffusers computes', () => {
  it.each(golden.components.map((component) => [component.name, component] as const))(
    '%s',
    async (_name, test) => {
      const known: Record<string, FloatTensor> = Object.fromEntries(
        Object.entries(test.inputs).map(([name, stored]) => [name, readTensor(stored)]),
      );
      for (const graph of test.graphs) {
        const session = pack.sessions[graph as keyof OpenPack['sessions']];
        if (!session) throw new Error(`no ${graph}`);
        const feeds = session.inputs.flatMap(({ name }) => {
          const tensor = known[name];
          return tensor ? [[name, tensor] as const] : [];
        });
        Object.assign(known, await session.run(Object.fromEntries(feeds)));
      }
      for (const [name, stored] of Object.entries(test.outputs)) {
        expect(known[name]?.dims).toEqual(stored.dims);
        expect(maxDifference(known[name]?.data ?? [], readFloats(stored))).toBeLessThanOrEqual(1e-4);
      }
    },
  );
});

it.each(golden.branch)('the image encoder gets of $name what it gets in diffusers', async (test) => {
  const { imageEncoderSize: encoderSize, imageMean: mean, imageStd: std } = pack.manifest.architecture;
  const image = await decodeImage(picturePath(test.picture));
  const { data } = toSquare(image, { encoderSize, mean, std });
  const thin = data.filter((_, i) => {
    const [y, x] = [Math.floor(i / encoderSize) % encoderSize, i % encoderSize];
    return y % test.stride === 0 && x % test.stride === 0;
  });
  expect(maxDifference(thin, readFloats(test.pixelValues))).toBeLessThanOrEqual(1e-5);
});

describe('whole clips are what diffusers makes', () => {
  const all = [...golden.pipelines, ...golden.shortcuts].map((test) => [test.name, test] as const);

  it.each(all)('%s', async (_name, test) => {
    const request = await requestOf(test);
    const { latents, frames } = await generate(request);
    // With one or two steps diffusers itself loses the digits: it subtracts numbers of 700.
    const tolerance = request.numInferenceSteps > 2 ? 1e-4 : 1e-3;
    expect(maxDifference(latents.data, readFloats(test.latents))).toBeLessThanOrEqual(tolerance);
    expect(frames.map(({ index }) => index)).toEqual(frames.map((_, i) => i));
    for (const { decodeChunkSize, decodeOverlap, frames: expected } of test.decodes) {
      const bytes = await decoded(latents, decodeChunkSize, decodeOverlap);
      expect(maxDifference(bytes, readBytes(expected))).toBeLessThanOrEqual(1);
      if (decodeChunkSize === request.numFrames) expect(Buffer.compare(bytes, pixels({ frames }))).toBe(0);
    }
  });

  it.each(golden.variations.map((test) => [test.name, test] as const))('%s', async (_name, test) => {
    const { variation } = test.request;
    if (!variation) throw new Error('no variation');
    const cache = newCache();
    const base = await generate(await requestOf(caseOf(variation.videoId)), { cache });
    const request = await requestOf(test);
    const own = { ...variation, videoId: base.report.videoId };
    const { latents } = await generate({ ...request, variation: own }, { cache });
    expect(maxDifference(latents.data, readFloats(test.latents))).toBeLessThanOrEqual(1e-4);
  });
});

describe('an extension', () => {
  it('sees the last latents as its picture, without noise, and leaves out the frame that stands for them', async () => {
    const cache = newCache();
    const first = await generate(await short(), { cache });
    const extension = { videoId: first.report.videoId };
    const second = await generate(await short({ extension }), { cache });
    expect([first.frames.length, second.frames.length, second.report.numFrames]).toEqual([4, 3, 3]);

    // The same clip of a picture whose latents are put in by hand, and whose noise has no strength.
    const [, channels = 0, frames = 0, h = 0, w = 0] = first.latents.dims;
    const last = new Float32Array(2 * channels * h * w);
    for (let c = 0; c < channels; c++) {
      const start = ((c + 1) * frames - 1) * h * w;
      const end = first.latents.data.subarray(start, start + h * w);
      last.set(
        end.map((value) => value / pack.manifest.architecture.vaeScalingFactor),
        c * h * w,
      );
    }
    const moments = { data: last, dims: [1, 2 * channels, h, w] };
    const request = await short();
    const { motionNumbers = expect.fail('no numbers') } = request;
    const byHand = await generate(
      { ...request, motionNumbers: { ...motionNumbers, noiseAug: 0 } },
      {
        opened: {
          ...pack,
          sessions: {
            ...pack.sessions,
            vae_encoder: withRun(pack.sessions.vae_encoder, async () => ({ moments })),
          },
        },
      },
    );
    expect(maxDifference(second.latents.data, byHand.latents.data)).toBe(0);
  });

  it('has no seam: its first frames are decoded beside the last ones of the earlier clip', async () => {
    const cache = newCache();
    const numbers = { numFrames: 14, numInferenceSteps: 1, decodeChunkSize: 7, decodeOverlap: 2 };
    const first = await generate(await short(numbers), { cache });
    const extension = { videoId: first.report.videoId };
    const second = await generate(await short({ ...numbers, extension }), { cache });
    const both = behind(first.latents, someFrames(second.latents, 1, 14));
    const atOnce = await decoded(both, 27, 0);
    const [atSeam = 255, ...elsewhere] = second.frames.map(({ data }, i) =>
      meanDifference(data, atOnce.subarray((14 + i) * data.length, (15 + i) * data.length)),
    );
    expect(elsewhere).toHaveLength(12);
    expect(atSeam).toBeLessThanOrEqual(Math.max(...elsewhere));
  });

  it('has neighbours in windows of any size, and none where chunks lie side by side', async () => {
    const numbers = { numFrames: 8, numInferenceSteps: 1 };
    const cache = newCache();
    const first = await generate(await short({ ...numbers, numFrames: 3 }), { cache });
    const extension = { videoId: first.report.videoId };
    const extend = async (
      decodeChunkSize: number,
      decodeOverlap: number,
      opened = pack,
      leastMemory = false,
    ) =>
      await generate(await short({ ...numbers, decodeChunkSize, decodeOverlap, extension }), {
        ...{ cache, opened, leastMemory },
      });
    const expectWindows = async (clip: Clip, neighbours: number, size: number, overlap: number) => {
      const added = someFrames(clip.latents, 1, 8);
      const all = neighbours > 0 ? behind(someFrames(first.latents, 3 - neighbours, 3), added) : added;
      const expected = await decoded(all, size, overlap);
      const dropped = (expected.length / (neighbours + 7)) * neighbours;
      expect(Buffer.compare(pixels(clip), expected.subarray(dropped))).toBe(0);
      expect(clip.frames.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    };
    const usual = await extend(7, 2);
    await expectWindows(usual, 2, 7, 2);
    expect(usual.report.smallerRuns).toEqual([]);
    // All in one run.
    await expectWindows(await extend(8, 1), 1, 8, 1);
    await expectWindows(await extend(7, 0), 0, 7, 0);

    const smaller = [{ fromFrame: 0, frames: 5 }];
    const lean = await extend(7, 2, pack, true);
    await expectWindows(lean, 2, 5, 2);
    expect(lean.report.smallerRuns).toEqual(smaller);
    let runs = 0;
    const failing = withRun(pack.sessions.vae_decoder, async (...args) => {
      if (++runs === 1) throw new KinoraError('OUT_OF_MEMORY', 'The device ran out of memory.');
      return await pack.sessions.vae_decoder.run(...args);
    });
    const late = await extend(7, 2, { ...pack, sessions: { ...pack.sessions, vae_decoder: failing } });
    await expectWindows(late, 2, 5, 2);
    expect(late.report.smallerRuns).toEqual(smaller);
  });

  it('is refused of a clip that is not kept, or of another size', async () => {
    const cache = newCache();
    const extension = { videoId: (await generate(await short(), { cache })).report.videoId };
    const [missing, larger] = [
      await short({ extension: { videoId: 'f'.repeat(24) } }),
      await short({ extension, width: 128 }),
    ];
    for (const request of [missing, larger]) {
      await expect(generate(request, { cache })).rejects.toMatchObject({ code: 'VIDEO_NOT_FOUND' });
    }
  });
});

describe('where memory is short', () => {
  it('one row of guidance after the other makes the same clip', async () => {
    const request = await short({ guidanceEnd: 0.5, numInferenceSteps: 3 });
    const rowByRow: OpenPack = {
      ...pack,
      prepare: async (...args) => ({ ...(await pack.prepare(...args)), coreBatch: 1 }),
    };
    const [both, single] = [await generate(request), await generate(request, { opened: rowByRow })];
    expect(maxDifference(single.latents.data, both.latents.data)).toBeLessThanOrEqual(2e-6);
  });

  it('the leanest plan makes the same latents, and its smaller windows are told', async () => {
    const request = await short({ numFrames: 8, decodeChunkSize: 8, decodeOverlap: 2 });
    const [usual, lean] = [await generate(request), await generate(request, { leastMemory: true })];
    expect(maxDifference(lean.latents.data, usual.latents.data)).toBeLessThanOrEqual(2e-6);
    expect([usual.report.smallerRuns, lean.report.smallerRuns]).toEqual([[], [{ fromFrame: 0, frames: 5 }]]);
    const expected = await decoded(lean.latents, 5, 2);
    expect(Buffer.compare(pixels(lean), expected)).toBe(0);
    expect(Buffer.compare(pixels(lean), pixels(usual))).not.toBe(0);
  });

  it('windows in which no frame was made are not told', async () => {
    const request = await short({ numFrames: 8, numInferenceSteps: 1, decodeChunkSize: 8, decodeOverlap: 2 });
    const { vae_decoder: decoder } = pack.sessions;
    let runs = 0;
    const failing = withRun(decoder, async (...args) => {
      if (++runs <= 2) throw new KinoraError('OUT_OF_MEMORY', 'The device ran out of memory.');
      return await decoder.run(...args);
    });
    const opened = { ...pack, sessions: { ...pack.sessions, vae_decoder: failing } };
    const { latents, frames, report } = await generate(request, { opened, leastMemory: true });
    const { size = 0 } = decoderWindows(8, 5, 2).smaller()?.smaller() ?? {};
    expect(report.smallerRuns).toEqual([{ fromFrame: 0, frames: size }]);
    expect(Buffer.compare(pixels({ frames }), await decoded(latents, size, 2))).toBe(0);
  });

  it('smaller windows begin at the first frame that was not handed out, and that is told', async () => {
    const request = await short({ numFrames: 14, decodeChunkSize: 7, decodeOverlap: 2 });
    const { vae_decoder: decoder } = pack.sessions;
    let runs = 0;
    const failing = withRun(decoder, async (...args) => {
      const outputs = await decoder.run(...args);
      if (++runs === 2) throw new KinoraError('OUT_OF_MEMORY', 'The device ran out of memory.');
      return outputs;
    });
    const opened = { ...pack, sessions: { ...pack.sessions, vae_decoder: failing } };
    const { frames, latents, report } = await generate(request, { opened });
    expect(report.smallerRuns).toEqual([{ fromFrame: 5, frames: 5 }]);
    expect(frames.map(({ index }) => index)).toEqual(Array.from({ length: 14 }, (_, i) => i));
    const frameBytes = 3 * request.width * request.height;
    const [large, small] = [await decoded(latents, 7, 2), await decoded(latents, 5, 2)];
    const expected = Buffer.concat([large.subarray(0, 5 * frameBytes), small.subarray(5 * frameBytes)]);
    expect(Buffer.compare(pixels({ frames }), expected)).toBe(0);
  });
});

describe('what a clip depends on', () => {
  it('is not the prompt', async () => {
    const [plain, told] = [
      await generate(await short()),
      await generate(await short({ prompt: 'zoom in', negativePrompt: 'blurry' })),
    ];
    expect(told.report.videoId).toBe(plain.report.videoId);
    expect(Buffer.compare(pixels(told), pixels(plain))).toBe(0);
  });

  it.each([
    ['motionBucket', 180],
    ['noiseAug', 0.1],
    ['minGuidance', 2],
  ] satisfies readonly [keyof MotionNumbers, number][])('is %s', async (name, value) => {
    const request = await short();
    const numbers = request.motionNumbers ?? expect.fail('no numbers');
    const changed = { ...request, motionNumbers: { ...numbers, [name]: value } };
    await expectOther(request, changed);
  });

  it('is what the model is told: rate, bucket, noise, and the level of every step', async () => {
    const test = caseOf('wide-25-n4');
    const told: Record<string, number[][]> = { added_time_ids: [], timestep: [], frame_index: [] };
    const listening = (session: PackSession): PackSession =>
      withRun(session, (...args) => {
        for (const [name, feed] of Object.entries(args[0])) {
          if ('data' in feed) told[name]?.push(Array.from(feed.data, Number));
        }
        return session.run(...args);
      });
    const { unet_cond: cond, unet_core: core } = pack.sessions;
    const sessions = { ...pack.sessions, unet_cond: listening(cond), unet_core: listening(core) };
    const request = { ...(await requestOf(test)), numFrames: 3, decodeChunkSize: 3 };
    const { report, latents } = await generate(request, { opened: { ...pack, sessions } });
    expect(told['added_time_ids']).toEqual([[11, 127, Math.fround(0.02)]]);
    expect(told['frame_index']).toEqual([[0, 1, 2]]);
    const levels = test.sigmas.slice(0, -1).map((sigma) => 0.25 * Math.log(sigma));
    expect(maxDifference((told['timestep'] ?? []).flat(), levels)).toBeLessThanOrEqual(1e-6);
    const numbers = { ...test.request, motionBucket: 40 };
    for (const changed of [{ targetFps: 20 }, { motionNumbers: numbers }]) {
      const other = await generate({ ...request, ...changed });
      expect(other.report.videoId).not.toBe(report.videoId);
      expect(maxDifference(other.latents.data, latents.data)).toBeGreaterThan(1e-2);
    }
  });

  async function expectOther(one: GenerateRequest, other: GenerateRequest): Promise<void> {
    const [first, second] = [await generate(one), await generate(other)];
    expect(second.report.videoId).not.toBe(first.report.videoId);
    expect(maxDifference(second.latents.data, first.latents.data)).toBeGreaterThan(1e-2);
  }

  it('decides which of its results another clip of the picture finds in the cache', async () => {
    const cache = newCache();
    const uses = async (changes: Partial<GenerateRequest>) =>
      (await generate(await short(changes), { cache })).report.cache;
    const noNoise = { motionBucket: 127, minGuidance: 1, noiseAug: 0 };
    expect(await uses({ seed: 1 })).toEqual({ hits: [], misses: ['image'] });
    expect(await uses({ seed: 1, guidanceScale: 1 })).toEqual({ hits: ['image'], misses: [] });
    // The noise on the picture is another one.
    expect(await uses({ seed: 2 })).toEqual({ hits: ['image'], misses: ['image'] });
    expect(await uses({ seed: 2, motionNumbers: noNoise })).toEqual({ hits: ['image'], misses: ['image'] });
    expect(await uses({ seed: 3, motionNumbers: noNoise })).toEqual({ hits: ['image'], misses: [] });
  });
});
