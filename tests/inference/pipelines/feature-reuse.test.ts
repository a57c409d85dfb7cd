/** Speed without retraining: deep features reused between steps, guidance that ends early, trailing DPM-Solver++. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { warmUp } from '../../../src/engine/child/warm-up.ts';
import type { GenerateRequest, ProgressEvent } from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack, verifyPack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack } from '../../../src/inference/packs/open.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { pick } from '../../../src/inference/pipelines/parts.ts';
import type { PackSession } from '../../../src/inference/residency/pack-session.ts';
import {
  golden,
  maxDifference,
  type PipelineCase,
  picturePath,
  readBytes,
  readFloats,
  tinyPackPath,
} from '../../helpers/golden.ts';
import { makeReusePack } from '../../helpers/other-packs.ts';
import { cropAsReference } from '../../helpers/reference-crop.ts';
import { withRun } from '../../helpers/with-run.ts';

vi.mock(import('../../../src/inference/pictures/prepare.ts'), async (original) =>
  (await import('../../helpers/reference-crop.ts')).withReferenceCrop(await original()),
);

const onCpu = { device: 'cpu', threads: 2 };
let folder: string;
let tiny: OpenPack;
let pack: OpenPack;
beforeAll(async () => {
  folder = await makeReusePack();
  tiny = await openPack(await loadPack(tinyPackPath), onCpu);
  pack = await openPack(await loadPack(folder), onCpu);
});
afterAll(async () => {
  await tiny.release();
  await pack.release();
  await rm(folder, { recursive: true, force: true });
});

interface Clip {
  readonly pixels: Uint8Array;
  readonly latents: Float32Array;
  readonly videoId: string;
  readonly progress: readonly ProgressEvent[];
}

let caches = 0;
const newCache = (): LatentCache =>
  new LatentCache({ folder: path.join(folder, `cache-${caches++}`), memoryBytes: 1e8, diskBytes: 0 });

async function generate(
  opened: OpenPack,
  request: GenerateRequest,
  cache = newCache(),
  { leastMemory = false } = {},
): Promise<Clip> {
  const frames: Uint8Array[] = [];
  const progress: ProgressEvent[] = [];
  let videoId = '';
  const hooks = {
    signal: new AbortController().signal,
    leastMemory,
    onProgress: (event: ProgressEvent) => void progress.push(event),
    onReport: (report: { videoId: string }) => {
      videoId = report.videoId;
    },
  };
  for await (const { data } of new I2VGenXLPipeline(opened, cache).generate(request, hooks))
    frames.push(data.slice());
  const entry = await cache.get(LatentCache.key('video', videoId));
  return {
    pixels: Buffer.concat(frames),
    latents: entry?.tensors['latents']?.data ?? new Float32Array(),
    videoId,
    progress,
  };
}

const requestOf = async (test: PipelineCase): Promise<GenerateRequest> => ({
  ...test.request,
  image: pictureOf(cropAsReference(await decodeImage(picturePath(test.picture)))),
});

async function base(over: Partial<GenerateRequest> = {}): Promise<GenerateRequest> {
  const [test] = golden.pipelines;
  if (!test) throw new Error('no case');
  return { ...(await requestOf(test)), ...over };
}

/** The pack, with a note of every run of a core: "2 whole", "2 whole, kept", "2 shallow". */
function watched(opened: OpenPack): { readonly opened: OpenPack; readonly runs: string[] } {
  const runs: string[] = [];
  const watch = (core: PackSession): PackSession =>
    withRun(core, (feeds, options) => {
      const kind = core.name === 'unet_shallow' ? 'shallow' : 'whole';
      const kept = 'deep_features' in (options?.into ?? {}) ? ', kept' : '';
      runs.push(`${(feeds['factors']?.dims[0] ?? 0) - 1} ${kind}${kept}`);
      return core.run(feeds, options);
    });
  const { unet_core: whole, unet_shallow: shallow, ...others } = opened.sessions;
  const sessions = {
    ...others,
    unet_core: watch(whole),
    ...(shallow ? { unet_shallow: watch(shallow) } : {}),
  };
  return { opened: { ...opened, sessions }, runs };
}

describe('a pack with a shallow core', () => {
  it('is intact, opens, and says what its cores exchange', async () => {
    expect(await verifyPack(pack)).toEqual([]);
    expect(pack.sessions.unet_core.outputs.map(({ name }) => name)).toEqual(['out_sample', 'deep_features']);
    expect(pack.sessions.unet_shallow?.inputs.map(({ name }) => name)).toContain('deep_features');
    expect(tiny.sessions.unet_shallow).toBeUndefined();
  });

  it('is bit for bit the pack without one while nothing is reused, and fetches nothing more', async () => {
    for (const over of [{}, { guidanceScale: 1 }, { guidanceEnd: 0.5 }, { scheduler: 'dpm++2m' as const }]) {
      const request = await base({ numInferenceSteps: 4, ...over });
      const { opened, runs } = watched(pack);
      const [without, beside] = [await generate(tiny, request), await generate(opened, request)];
      expect(Buffer.compare(Buffer.from(beside.latents.buffer), Buffer.from(without.latents.buffer))).toBe(0);
      expect(Buffer.compare(beside.pixels, without.pixels)).toBe(0);
      expect(new Set(runs.map((run) => run.slice(2)))).toEqual(new Set(['whole']));
    }
  });

  it('hands out only the outputs that were asked for', async () => {
    const core = pack.sessions.unet_core;
    const conditioning = await pack.sessions.unet_cond.run({
      fps: { data: BigInt64Array.of(8n), dims: [1] },
      image_latents: { data: new Float32Array(4 * 2 * 64), dims: [1, 4, 2, 8, 8] },
      image_embeddings: { data: new Float32Array(32), dims: [1, 1, 32] },
    });
    const dims = [1, 4, 2, 8, 8];
    const feeds = {
      sample: { data: new Float32Array(4 * 2 * 64).fill(0.5), dims },
      timestep: { data: BigInt64Array.of(501n), dims: [1] },
      encoder_hidden_states: { data: new Float32Array(77 * 32), dims: [1, 77, 32] },
      fps_emb: pick(conditioning, 'fps_emb'),
      context: pick(conditioning, 'context'),
      image_latents_enc: pick(conditioning, 'image_latents_enc'),
      factors: { data: Float32Array.of(0, 1), dims: [2] },
    };
    const all = await core.run(feeds);
    expect(Object.keys(all).sort()).toEqual(['deep_features', 'out_sample']);
    const one = await core.run(feeds, { into: { out_sample: { data: new Float32Array(4 * 2 * 64), dims } } });
    expect(Object.keys(one)).toEqual(['out_sample']);
    expect(one['out_sample']?.data).toEqual(all['out_sample']?.data);
    // With the features of the same step, the shallow core gives what the whole one gives.
    const deep_features = pick(all, 'deep_features');
    const shallow = await pack.sessions.unet_shallow?.run({ ...feeds, deep_features });
    const difference = maxDifference(shallow?.['out_sample']?.data ?? [], all['out_sample']?.data ?? []);
    expect(difference).toBeLessThanOrEqual(1e-5);
  });
});

describe('a pack whose cores do not fit each other is refused', () => {
  const plainCore = path.join(tinyPackPath, 'unet_core/model.onnx');
  const broken = async (graph: string): Promise<string> => {
    const copy = await makeReusePack({ [`${graph}/model.onnx`]: plainCore });
    const error = await openPack(await loadPack(copy), onCpu).catch((e: unknown) => e);
    await rm(copy, { recursive: true });
    expect(error).toMatchObject({ code: 'PACK_INVALID' });
    return String(error);
  };

  it('a core that gives no features', async () => {
    expect(await broken('unet_core')).toMatch(
      /unet_core.*outputs are out_sample, expected out_sample, deep_features/,
    );
  });

  it('a shallow core that takes none', async () => {
    expect(await broken('unet_shallow')).toMatch(/unet_shallow.*inputs are .*expected .*deep_features/);
  });

  it('a graph that nobody vouches for', async () => {
    const copy = await makeReusePack();
    const file = path.join(copy, 'kinora.json');
    const manifest = JSON.parse(await readFile(file, 'utf8')) as { files: { path: string }[] };
    const files = manifest.files.filter((entry) => !entry.path.startsWith('unet_shallow/'));
    await writeFile(file, JSON.stringify({ ...manifest, files }));
    const error = await openPack(await loadPack(copy), onCpu).catch((e: unknown) => e);
    await rm(copy, { recursive: true });
    expect(String(error)).toMatch(/unet_shallow\/model.onnx is not listed/);
  });
});

describe('whole loops are what PyTorch computes', () => {
  it.each(golden.shortcuts.map((test) => [test.name, test] as const))('%s', async (_name, test) => {
    const clip = await generate(pack, await requestOf(test));
    expect(maxDifference(clip.latents, readFloats(test.latents))).toBeLessThanOrEqual(1e-4);
    expect(maxDifference(clip.pixels, readBytes(test.frames))).toBeLessThanOrEqual(1);
    const steps = clip.progress.filter((event) => event.phase === 'denoising');
    expect(steps.map(({ done }) => done)).toEqual([...test.timesteps.keys(), test.timesteps.length]);
  });

  it('and reuse is another clip than the exact one, so that these numbers prove something', async () => {
    const test = golden.shortcuts.find(({ request }) => request.featureReuse === 2);
    if (!test) throw new Error('no case');
    const exact = await generate(pack, { ...(await requestOf(test)), featureReuse: 1 });
    expect(maxDifference(exact.latents, readFloats(test.latents))).toBeGreaterThan(0.01);
  });
});

describe('rounds of steps', () => {
  const runsOf = async (over: Partial<GenerateRequest>): Promise<readonly string[]> => {
    const { opened, runs } = watched(pack);
    await generate(opened, await base(over));
    return runs;
  };

  it('begin with the whole core; what no step will read is not kept', async () => {
    expect(await runsOf({ numInferenceSteps: 5, featureReuse: 2 })).toEqual([
      '2 whole, kept',
      '2 shallow',
      '2 whole, kept',
      '2 shallow',
      '2 whole',
    ]);
    expect(await runsOf({ numInferenceSteps: 4, featureReuse: 3, guidanceScale: 1 })).toEqual([
      '1 whole, kept',
      '1 shallow',
      '1 shallow',
      '1 whole',
    ]);
  });

  it('begin anew where guidance ends', async () => {
    expect(await runsOf({ numInferenceSteps: 7, featureReuse: 3, guidanceEnd: 4 / 7 })).toEqual([
      '2 whole, kept',
      '2 shallow',
      '2 shallow',
      '2 whole',
      '1 whole, kept',
      '1 shallow',
      '1 shallow',
    ]);
    expect(await runsOf({ numInferenceSteps: 4, featureReuse: 2, guidanceEnd: 0.25 })).toEqual([
      '2 whole',
      '1 whole, kept',
      '1 shallow',
      '1 whole',
    ]);
  });

  it('begin with the first step of a variation, also when guidance ended before it', async () => {
    const cache = newCache();
    const { videoId } = await generate(pack, await base({ numInferenceSteps: 4 }), cache);
    for (const [guidanceEnd, batch] of [
      [1, 2],
      [0.25, 1],
    ] as const) {
      const { opened, runs } = watched(pack);
      const variation = { videoId, strength: 0.5 };
      const request = await base({ numInferenceSteps: 6, featureReuse: 2, guidanceEnd, variation });
      await generate(opened, request, cache);
      expect(runs).toEqual([`${batch} whole, kept`, `${batch} shallow`, `${batch} whole`]);
    }
  });

  it('are warmed up, each core at each batch', async () => {
    const shape = { width: 64, height: 64, numFrames: 2 };
    for (const [shortcuts, expected] of [
      [{ featureReuse: 3, guidanceEnd: 0.8 }, ['2 whole, kept', '2 shallow', '1 whole, kept', '1 shallow']],
      [{ featureReuse: 2 }, ['2 whole, kept', '2 shallow']],
      [{ guidanceEnd: 0.2 }, ['2 whole', '1 whole']],
      [{}, ['2 whole', '2 whole']],
    ] as const) {
      const { opened, runs } = watched(pack);
      expect(await warmUp(opened, [shape], shortcuts)).toEqual([expect.stringContaining('64x64x2 in')]);
      expect(runs).toEqual(expected);
    }
  });

  it('do not change a bit where memory is short, and the shallow core goes when it is not used', async () => {
    const request = await base({ numInferenceSteps: 5, featureReuse: 2 });
    const expected = await generate(pack, request);
    const lean = await generate(pack, request, newCache(), { leastMemory: true });
    expect(Buffer.compare(lean.pixels, expected.pixels)).toBe(0);
    const early = await base({ numInferenceSteps: 6, featureReuse: 2, guidanceEnd: 0.5 });
    const exact = await generate(pack, early);
    const leanEarly = await generate(pack, early, newCache(), { leastMemory: true });
    expect(Buffer.compare(leanEarly.pixels, exact.pixels)).toBe(0);
    expect(pack.sessions.unet_shallow?.isOpen).toBe(false); // the decoder needed its place
    await generate(pack, request);
    expect(pack.sessions.unet_shallow?.isOpen).toBe(true);
    await pack.prepare({ width: 64, height: 64, numFrames: 4, batch: 2, decodeChunkSize: 1 }, true);
    expect(pack.sessions.unet_shallow?.isOpen).toBe(false);
  });

  it('have a video id of their own, and the exact path keeps its own', async () => {
    const ids = await Promise.all(
      ([1, 2, 3] as const).map(async (featureReuse) => {
        return (await generate(pack, await base({ featureReuse }))).videoId;
      }),
    );
    expect(new Set(ids).size).toBe(3);
  });

  it('are left at the next step when the job is cancelled, and the next job is right', async () => {
    const request = await base({ numInferenceSteps: 6, featureReuse: 3 });
    const expected = await generate(pack, request);
    const abort = new AbortController();
    const hooks = {
      signal: abort.signal,
      onProgress: ({ phase, done }: ProgressEvent) => {
        if (phase === 'denoising' && done === 2) abort.abort();
      },
      onReport: () => {},
    };
    const frames = new I2VGenXLPipeline(pack, newCache()).generate(request, hooks);
    await expect(frames.next()).rejects.toMatchObject({ code: 'CANCELLED' });
    const after = await generate(pack, request);
    expect(Buffer.compare(after.pixels, expected.pixels)).toBe(0);
  });
});
