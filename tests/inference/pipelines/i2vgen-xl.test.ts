import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { KinoraError } from '../../../src/errors.ts';
import type {
  Frame,
  GenerateRequest,
  GenerationReport,
  ProgressEvent,
} from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../../src/inference/packs/open.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { pick, pickBytes, present } from '../../../src/inference/pipelines/parts.ts';
import { TorchGenerator } from '../../../src/inference/random.ts';
import type { PackSession } from '../../../src/inference/residency/pack-session.ts';
import { parseSchedulerConfig } from '../../../src/inference/schedulers/scheduler-config.ts';
import {
  builtinPackPath,
  golden,
  maxDifference,
  type PipelineCase,
  picturePath,
  readBytes,
  readFloats,
  readTensor,
  tinyPackPath,
} from '../../helpers/golden.ts';
import { cropAsReference } from '../../helpers/reference-crop.ts';
import { withRun } from '../../helpers/with-run.ts';

vi.mock(import('../../../src/inference/pictures/prepare.ts'), async (original) =>
  (await import('../../helpers/reference-crop.ts')).withReferenceCrop(await original()),
);

let pack: OpenPack;
let folder: string;
beforeAll(async () => {
  pack = await openPack(await loadPack(tinyPackPath), { device: 'cpu', threads: 2 });
  folder = await mkdtemp(join(tmpdir(), 'kinora-cache-'));
});
afterAll(async () => {
  await pack.release();
  await rm(folder, { recursive: true, force: true });
});

let caches = 0;
const newCache = (): LatentCache =>
  new LatentCache({ folder: join(folder, String(caches++)), memoryBytes: 1e8, diskBytes: 1e8 });

interface Clip {
  readonly frames: Frame[];
  readonly report: GenerationReport;
  readonly progress: ProgressEvent[];
}

async function generate(
  pipeline: I2VGenXLPipeline,
  request: GenerateRequest,
  signal = new AbortController().signal,
): Promise<Clip> {
  const frames: Frame[] = [];
  const progress: ProgressEvent[] = [];
  let report: GenerationReport | undefined;
  const hooks = {
    signal,
    onProgress: (event: ProgressEvent) => void progress.push(event),
    onReport: (finished: GenerationReport) => {
      report = finished;
    },
  };
  for await (const frame of pipeline.generate(request, hooks)) {
    frames.push({ ...frame, data: frame.data.slice() });
  }
  if (!report) throw new Error('no report');
  return { frames, report, progress };
}

/** The pack, and how often its unet_cond has run. */
function countedConditioning(opened: OpenPack): { readonly pack: OpenPack; readonly runs: () => number } {
  const { unet_cond: cond } = opened.sessions;
  let runs = 0;
  const counted = withRun(cond, (...args) => {
    runs++;
    return cond.run(...args);
  });
  return { pack: { ...opened, sessions: { ...opened.sessions, unet_cond: counted } }, runs: () => runs };
}

async function requestOf(test: PipelineCase): Promise<GenerateRequest> {
  const image = cropAsReference(await decodeImage(picturePath(test.picture)));
  return { ...test.request, image: pictureOf(image) };
}

const pixels = (clip: Clip): Uint8Array => Buffer.concat(clip.frames.map((frame) => frame.data));

async function latentsOf(cache: LatentCache, clip: Clip): Promise<Float32Array> {
  const entry = await cache.get(LatentCache.key('video', clip.report.videoId));
  return entry?.tensors['latents']?.data ?? new Float32Array();
}

describe('each session computes what diffusers computes', () => {
  it.each(golden.components.map((component) => [component.name, component] as const))(
    '%s',
    async (_name, test) => {
      const known = Object.fromEntries(
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
        expect(maxDifference(known[name]?.data as Float32Array, readFloats(stored))).toBeLessThanOrEqual(
          1e-4,
        );
      }
    },
  );
});

it('the pixels that a decoder gives are its sample in bytes, halves to even', async () => {
  // Some of these latents make colours that are out of range.
  const data = new TorchGenerator(3).randn(2 * 4 * 8 * 16).map((value) => 8 * value);
  const output = await pack.sessions.vae_decoder.run({ latent: { data, dims: [2, 4, 8, 16] } });
  const [sample, rgb] = [pick(output, 'sample'), pickBytes(output, 'rgb')];
  expect(rgb.dims).toEqual([2, 64, 128, 3]);
  const [plane, { fround }] = [64 * 128, Math];
  const expected = Uint8ClampedArray.from(rgb.data, (_, i) => {
    const [frame, pixel, channel] = [Math.floor(i / plane / 3), Math.floor(i / 3) % plane, i % 3];
    const value = sample.data[(3 * frame + channel) * plane + pixel] ?? Number.NaN;
    return fround(fround(value * 127.5) + 127.5);
  });
  expect(Math.max(...sample.data)).toBeGreaterThan(1);
  expect(Buffer.compare(rgb.data, Buffer.from(expected.buffer))).toBe(0);
});

describe('whole clips are what diffusers makes', () => {
  const cases = golden.pipelines.map((test) => [test.name, test] as const);

  it.each(cases)('%s', async (_name, test) => {
    const schedulerConfig = test.schedulerConfig
      ? parseSchedulerConfig({ ...pack.schedulerConfig, ...test.schedulerConfig })
      : pack.schedulerConfig;
    const cache = newCache();
    const clip = await generate(
      new I2VGenXLPipeline({ ...pack, schedulerConfig }, cache),
      await requestOf(test),
    );
    expect(maxDifference(await latentsOf(cache, clip), readFloats(test.latents))).toBeLessThanOrEqual(1e-4);
    expect(maxDifference(pixels(clip), readBytes(test.frames))).toBeLessThanOrEqual(1);
    const steps = clip.progress.filter((event) => event.phase === 'denoising');
    expect(steps.at(-1)).toEqual({
      phase: 'denoising',
      done: test.timesteps.length,
      total: test.timesteps.length,
    });
  });

  it.each(golden.variations.map((test) => [test.name, test] as const))('%s', async (_name, test) => {
    const source = golden.pipelines.find((earlier) => earlier.name === test.request.variation?.videoId);
    if (!source || !test.request.variation) throw new Error('no source clip');
    const cache = newCache();
    const request = await requestOf(test);
    cache.set(LatentCache.key('video', 'source'), {
      tensors: { latents: { data: readFloats(source.latents), dims: source.latents.dims } },
      meta: { pictureKey: (await request.image).key },
    });
    const variation = { videoId: 'source', strength: test.request.variation.strength };
    const clip = await generate(new I2VGenXLPipeline(pack, cache), { ...request, variation });
    expect(maxDifference(await latentsOf(cache, clip), readFloats(test.latents))).toBeLessThanOrEqual(1e-4);
    expect(maxDifference(pixels(clip), readBytes(test.frames))).toBeLessThanOrEqual(1);
  });
});

describe('the pipeline', () => {
  const base = async (over: Partial<GenerateRequest> = {}): Promise<GenerateRequest> => {
    const [test] = golden.pipelines;
    if (!test) throw new Error('no case');
    return { ...test.request, image: pictureOf(await decodeImage(picturePath(test.picture))), ...over };
  };

  it('decodes the same pixels whatever the chunk', async () => {
    const pipeline = new I2VGenXLPipeline(pack, newCache());
    const whole = pixels(await generate(pipeline, await base({ numFrames: 7, decodeChunkSize: 7 })));
    for (const decodeChunkSize of [1, 2, 3, 32]) {
      const chunked = pixels(await generate(pipeline, await base({ numFrames: 7, decodeChunkSize })));
      expect(Buffer.compare(chunked, whole)).toBe(0);
    }
  });

  it('hands out a frame before it decodes the next chunk', async () => {
    const events: string[] = [];
    const hooks = {
      signal: new AbortController().signal,
      onProgress: ({ phase, done }: ProgressEvent) => {
        if (phase === 'decoding' && done > 0) events.push(`decoded ${done}`);
      },
      onReport: () => {},
    };
    const pipeline = new I2VGenXLPipeline(pack, newCache());
    for await (const frame of pipeline.generate(await base({ numFrames: 3, decodeChunkSize: 1 }), hooks)) {
      events.push(`took ${frame.index + 1}`);
    }
    expect(events).toEqual(['decoded 1', 'took 1', 'decoded 2', 'took 2', 'decoded 3', 'took 3']);
  });

  it('halves the chunk when memory runs out, and still makes every frame', async () => {
    const request = await base({ numFrames: 5, decodeChunkSize: 5 });
    const expected = pixels(await generate(new I2VGenXLPipeline(pack, newCache()), request));
    const counts: number[] = [];
    const decoder = pack.sessions.vae_decoder;
    const cramped = withRun(decoder, async (feeds, ...rest) => {
      const count = feeds['latent']?.dims[0] ?? 0;
      counts.push(count);
      if (count > 2) throw new KinoraError('OUT_OF_MEMORY', 'The device ran out of memory.');
      return await decoder.run(feeds, ...rest);
    });
    const sessions = { ...pack.sessions, vae_decoder: cramped };
    const clip = await generate(new I2VGenXLPipeline({ ...pack, sessions }, newCache()), request);
    expect(counts).toEqual([5, 3, 2, 2, 1]);
    expect(Buffer.compare(pixels(clip), expected)).toBe(0);
  });

  it('is bit for bit the exact path when guidance never ends, and cheaper when it does', async () => {
    const pipeline = new I2VGenXLPipeline(pack, newCache());
    const exact = pixels(await generate(pipeline, await base({ guidanceEnd: 1 })));
    const runs: number[] = [];
    const core = pack.sessions.unet_core;
    const watched = withRun(core, (feeds, ...rest) => {
      runs.push((feeds['factors']?.dims[0] ?? 0) - 1);
      return core.run(feeds, ...rest);
    });
    const half = new I2VGenXLPipeline(
      { ...pack, sessions: { ...pack.sessions, unet_core: watched } },
      newCache(),
    );
    const early = await generate(half, await base({ guidanceEnd: 0.5, numInferenceSteps: 4 }));
    expect(runs).toEqual([2, 2, 1, 1]);
    expect(early.frames).toHaveLength(4);
    expect(Buffer.compare(exact, pixels(await generate(pipeline, await base())))).toBe(0);
  });

  it('skips both image encoders for a known picture, also after a restart', async () => {
    const place = { folder: join(folder, 'restart'), memoryBytes: 1e8, diskBytes: 1e8 };
    const first = new LatentCache(place);
    const request = await base();
    const cold = await generate(new I2VGenXLPipeline(pack, first), request);
    expect(cold.report.cache).toEqual({ hits: [], misses: ['prompt', 'image'] });
    await first.flush();

    const forbidden = (name: 'image_encoder' | 'vae_encoder'): PackSession =>
      withRun(pack.sessions[name], () => {
        throw new Error(`${name} ran`);
      });
    const sessions = {
      ...pack.sessions,
      image_encoder: forbidden('image_encoder'),
      vae_encoder: forbidden('vae_encoder'),
    };
    const remix = await generate(new I2VGenXLPipeline({ ...pack, sessions }, new LatentCache(place)), {
      ...request,
      prompt: 'waves rolling',
      seed: 5,
    });
    expect(remix.report.cache).toEqual({ hits: ['prompt', 'image'], misses: ['prompt'] });
    const repeat = await generate(
      new I2VGenXLPipeline({ ...pack, sessions }, new LatentCache(place)),
      request,
    );
    expect(Buffer.compare(pixels(repeat), pixels(cold))).toBe(0);
  });

  it('repeats a clip without guidance from what it knows', async () => {
    const cache = newCache();
    const request = await base({ guidanceScale: 1 });
    const first = await generate(new I2VGenXLPipeline(pack, cache), request);
    const repeat = await generate(new I2VGenXLPipeline(pack, cache), request);
    expect(repeat.report.cache).toEqual({ hits: ['prompt', 'image'], misses: [] });
    expect(Buffer.compare(pixels(repeat), pixels(first))).toBe(0);
  });

  it('refuses a picture that turns out to be damaged, and leaves no session at work', async () => {
    let running = 0;
    const encoder = present(pack.sessions.text_encoder);
    // Each waits for the other: the picture turns out to be damaged while the text is read.
    const events = new EventEmitter();
    const reading = once(events, 'begun');
    const pictureIsOpened = once(events, 'picture');
    const watched = withRun(encoder, async (...args) => {
      running++;
      events.emit('begun');
      await pictureIsOpened;
      return await encoder.run(...args).finally(() => running--);
    });
    const seen: number[] = [];
    const request = await base();
    const pixels = async (): Promise<never> => {
      await reading;
      seen.push(running);
      events.emit('picture');
      throw new KinoraError('IMAGE_UNREADABLE', 'The picture is damaged.');
    };
    const sessions = { ...pack.sessions, text_encoder: watched };
    const pipeline = new I2VGenXLPipeline({ ...pack, sessions }, newCache());
    await expect(
      generate(pipeline, { ...request, image: { ...request.image, pixels } }),
    ).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
    expect([seen, running]).toEqual([[1], 0]);
  });

  it.each([9, 1])(
    'asks for no pixels of a picture that it knows, with guidance %d',
    async (guidanceScale) => {
      const pipeline = new I2VGenXLPipeline(pack, newCache());
      const request = await base({ guidanceScale });
      const cold = await generate(pipeline, request);
      const decode = (): Promise<never> => Promise.reject(new Error('decoded'));
      const known = { ...request.image, pixels: decode };
      const again = await generate(pipeline, { ...request, image: known });
      expect(Buffer.compare(pixels(again), pixels(cold))).toBe(0);
      expect(again.report.videoId).toBe(cold.report.videoId);
      const remix = await generate(pipeline, { ...request, image: known, prompt: 'waves rolling', seed: 3 });
      const fresh = new I2VGenXLPipeline(pack, newCache());
      const expected = await generate(fresh, { ...request, prompt: 'waves rolling', seed: 3 });
      expect(Buffer.compare(pixels(remix), pixels(expected))).toBe(0);
    },
  );

  it.each<Partial<GenerateRequest>>([
    { targetFps: 9 },
    { numFrames: 5 },
    { width: 128 },
    { height: 128 },
    { guidanceScale: 1 },
  ])('makes the same clip of a known picture as of a new one with %o', async (over) => {
    const pipeline = new I2VGenXLPipeline(pack, newCache());
    const request = await base();
    await generate(pipeline, request);
    const other = await generate(pipeline, { ...request, ...over });
    const expected = await generate(new I2VGenXLPipeline(pack, newCache()), { ...request, ...over });
    expect(Buffer.compare(pixels(other), pixels(expected))).toBe(0);
    const remix = await generate(pipeline, { ...request, prompt: 'waves rolling' });
    const fresh = await generate(new I2VGenXLPipeline(pack, newCache()), {
      ...request,
      prompt: 'waves rolling',
    });
    expect(Buffer.compare(pixels(remix), pixels(fresh))).toBe(0);
  });

  it('computes the conditioning of every clip where the text is in it', async () => {
    const builtin = await openPack(await loadPack(builtinPackPath), { device: 'cpu', threads: 2 });
    const conditioned = countedConditioning(builtin);
    const pipeline = new I2VGenXLPipeline(conditioned.pack, newCache());
    const size = { width: 128, height: 128, numFrames: 4 };
    const usual = { ...size, guidanceScale: 2, numInferenceSteps: 1 };
    const request = await base({ ...usual, prompt: 'camera slowly zooming in' });
    const before = await generate(pipeline, request);
    const other = { ...request, prompt: 'pan left' };
    const remix = await generate(pipeline, other);
    expect(conditioned.runs()).toBe(2);
    expect(maxDifference(pixels(remix), pixels(before))).toBeGreaterThan(8);
    const fresh = new I2VGenXLPipeline(builtin, newCache());
    expect(Buffer.compare(pixels(remix), pixels(await generate(fresh, other)))).toBe(0);
    await builtin.release();
  });

  it('does not take what a failed clip left for the conditioning of another', async () => {
    let fails = false;
    const { unet_cond: cond } = pack.sessions;
    const failing = withRun(cond, async (...args) => {
      const outputs = await cond.run(...args);
      if (fails) throw new KinoraError('OUT_OF_MEMORY', 'The device ran out of memory.');
      return outputs;
    });
    const pipeline = new I2VGenXLPipeline(
      { ...pack, sessions: { ...pack.sessions, unet_cond: failing } },
      newCache(),
    );
    const request = await base();
    const before = await generate(pipeline, request);
    fails = true;
    const other = { ...request, targetFps: request.targetFps + 1 };
    await expect(generate(pipeline, other)).rejects.toMatchObject({ code: 'OUT_OF_MEMORY' });
    fails = false;
    expect(Buffer.compare(pixels(await generate(pipeline, request)), pixels(before))).toBe(0);
  });

  it.each([9, 1])(
    'begins each stage when all that it needs is there, with guidance %d',
    async (guidanceScale) => {
      const { text_encoder: text, unet_cond: cond, unet_core: core } = pack.sessions;
      const events: string[] = [];
      const watched = (name: string, session: PackSession): PackSession =>
        withRun(session, (...args) => {
          events.push(`${name} asked`);
          return session.run(...args).finally(() => events.push(`${name} answered`));
        });
      const sessions = {
        ...pack.sessions,
        text_encoder: watched('text', present(text)),
        unet_cond: watched('cond', cond),
        unet_core: watched('core', core),
      };
      const pipeline = new I2VGenXLPipeline({ ...pack, sessions }, newCache());
      const request = await base({ guidanceScale, numInferenceSteps: 1 });
      await generate(pipeline, request);
      events.length = 0;
      const hooks = {
        signal: new AbortController().signal,
        onProgress: ({ phase, done }: ProgressEvent) => {
          if (phase === 'denoising') events.push(`step ${done}`);
        },
        onReport: () => {},
      };
      const remix = { ...request, prompt: 'waves rolling' };
      for await (const _ of pipeline.generate(remix, hooks));
      expect(events).toEqual([
        'text asked',
        'text answered',
        'cond asked',
        'cond answered',
        'step 0',
        'core asked',
        'core answered',
        'step 1',
      ]);
    },
  );

  it('begins nothing more when the text has failed', async () => {
    const encoder = present(pack.sessions.text_encoder);
    const failing = withRun(encoder, async (...args) => {
      await encoder.run(...args);
      throw new KinoraError('OUT_OF_MEMORY', 'The device ran out of memory.');
    });
    const conditioned = countedConditioning(pack);
    const sessions = { ...conditioned.pack.sessions, text_encoder: failing };
    const pipeline = new I2VGenXLPipeline({ ...pack, sessions }, newCache());
    for (const guidanceScale of [9, 1]) {
      await expect(generate(pipeline, await base({ guidanceScale }))).rejects.toMatchObject({
        code: 'OUT_OF_MEMORY',
      });
    }
    expect(conditioned.runs()).toBe(0);
  });

  it('stops at the next step when it is cancelled', async () => {
    const abort = new AbortController();
    const seen: number[] = [];
    const hooks = {
      signal: abort.signal,
      onProgress: ({ phase, done }: ProgressEvent) => {
        if (phase !== 'denoising') return;
        seen.push(done);
        if (done === 2) abort.abort();
      },
      onReport: () => {},
    };
    const pipeline = new I2VGenXLPipeline(pack, newCache());
    const frames = pipeline.generate(await base({ numInferenceSteps: 10 }), hooks);
    await expect(frames.next()).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(seen).toEqual([0, 1, 2]);
  });

  it('stops between decoded chunks when it is cancelled', async () => {
    const abort = new AbortController();
    const hooks = { signal: abort.signal, onProgress: () => {}, onReport: () => {} };
    const frames = new I2VGenXLPipeline(pack, newCache()).generate(await base({ decodeChunkSize: 1 }), hooks);
    await frames.next();
    abort.abort();
    await expect(frames.next()).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('refuses to vary a clip that is gone, of another size or of another picture', async () => {
    const cache = newCache();
    const pipeline = new I2VGenXLPipeline(pack, cache);
    const gone = await base({ variation: { videoId: 'gone', strength: 0.5 } });
    await expect(generate(pipeline, gone)).rejects.toMatchObject({ code: 'VIDEO_NOT_FOUND' });
    const { report } = await generate(pipeline, await base());
    const longer = await base({ numFrames: 6, variation: { videoId: report.videoId, strength: 0.5 } });
    await expect(generate(pipeline, longer)).rejects.toThrow(/4 frames of 64x64/);
    const variation = { videoId: report.videoId, strength: 0.5 };
    const image = pictureOf(await decodeImage(picturePath('pictures/wide.png')));
    const other = generate(pipeline, await base({ image, variation }));
    await expect(other).rejects.toThrow(/another picture; a variation needs the same one/);
    await generate(pipeline, await base({ variation }));
  });

  it('says so when the model computes numbers that are not finite', async () => {
    const { vae_decoder: decoder } = pack.sessions;
    const request = {
      latent: { data: new Float32Array(4 * 64).fill(0, 1).fill(Number.NaN, 0, 1), dims: [1, 4, 8, 8] },
    };
    await expect(decoder.run(request)).rejects.toMatchObject({ code: 'BAD_NUMBERS' });
    // Pixels cannot tell; the mean that is fetched with them does.
    const rgb = { data: new Uint8Array(64 * 64 * 3), dims: [1, 64, 64, 3] };
    const mean = { data: new Float32Array(1), dims: [] };
    await expect(decoder.run(request, { into: { rgb, mean } })).rejects.toMatchObject({
      code: 'BAD_NUMBERS',
    });
  });
});
