/** Sessions that share a budget take turns as the plan says, and the clip is the same, bit for bit. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GenerateRequest } from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack, type Pack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack, packMemory } from '../../../src/inference/packs/open.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { measuredMemory } from '../../../src/inference/residency/measured-memory.ts';
import { type ClipShape, planMemory, type Residency } from '../../../src/inference/residency/memory-plan.ts';
import { resolveRequest } from '../../../src/request/resolve.ts';
import { tinyPackPath } from '../../helpers/golden.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'kinora-residency-'));
const image = {
  width: 64,
  height: 64,
  data: Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7) % 251),
};
let pack: Pack;
let request: GenerateRequest;
let shape: ClipShape;
let expected: Buffer;

beforeAll(async () => {
  pack = await loadPack(tinyPackPath);
  const options = { size: '64x64', numFrames: 4, numInferenceSteps: 2, seed: 3, decodeChunkSize: 4 };
  request = { ...resolveRequest(pack.manifest, options, image), image: pictureOf(image) };
  shape = { ...{ width: 64, height: 64, numFrames: 4, batch: 2 }, decodeChunkSize: 4 };
  const roomy = await openPack(pack, { device: 'cpu', threads: 1 });
  expected = await generate(roomy, newCache());
  await roomy.release();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let caches = 0;
const newCache = (): LatentCache =>
  new LatentCache({ folder: path.join(folder, String(++caches)), memoryBytes: 1e8, diskBytes: 0 });

async function generate(open: OpenPack, cache: LatentCache, onRun: () => void = () => {}): Promise<Buffer> {
  const hooks = { signal: new AbortController().signal, onProgress: onRun, onReport: () => {} };
  const frames: Uint8Array[] = [];
  for await (const frame of new I2VGenXLPipeline(open, cache).generate(request, hooks))
    frames.push(frame.data.slice());
  return Buffer.concat(frames);
}

/** The largest budget for which the plan is that one. */
function budgetFor(residency: Residency): number {
  const memory = packMemory(pack.manifest);
  for (let budget = planMemory(shape, memory, undefined).peakBytes * 1.1; budget > 0; budget -= 2 ** 18) {
    if (planMemory(shape, memory, budget).residency === residency) return budget;
  }
  throw new Error(`there is no budget for ${residency}`);
}

const openNames = ({ sessions }: OpenPack): string[] =>
  Object.values(sessions)
    .filter(({ isOpen }) => isOpen)
    .map(({ name }) => name)
    .sort();

const latentOf = (size: number) => {
  const cells = size / 8;
  return { data: new Float32Array(4 * cells ** 2), dims: [1, 4, cells, cells] };
};
const latent = latentOf(64);
const sample = { data: new Float32Array(3 * 64 * 64), dims: [1, 3, 64, 64] };

const encoders = ['image_encoder', 'text_encoder'];
const vae = ['vae_decoder', 'vae_encoder'];
const all = [...encoders, 'unet_cond', 'unet_core', ...vae].sort();

describe('sessions', () => {
  it.each([
    { residency: 'all', onDemand: [] },
    { residency: 'encoders-on-demand', onDemand: encoders },
    { residency: 'core-and-decoder', onDemand: [...encoders, 'vae_encoder'] },
    { residency: 'core-only', onDemand: [...encoders, ...vae] },
    { residency: 'one-at-a-time', onDemand: all },
  ] as const)('$residency', async ({ residency, onDemand }) => {
    const open = await openPack(pack, {
      ...{ device: 'cpu', threads: 1 },
      memoryBudgetBytes: budgetFor(residency),
    });
    const isOnDemand = (name: string): boolean => (onDemand as readonly string[]).includes(name);
    // A clip with everything new, a remix of it, and the first one's picture with nothing known.
    const cache = newCache();
    let most = 0;
    for (const known of [cache, cache, newCache()]) {
      const made = await generate(open, known, () => {
        most = Math.max(most, openNames(open).filter(isOnDemand).length);
      });
      expect(made.equals(expected)).toBe(true);
    }
    expect(most).toBe(onDemand.length > 0 ? 1 : 0);
    // What is not on demand stayed; of the others the last one is still there.
    const staying = all.filter((name) => !isOnDemand(name));
    const last = isOnDemand('vae_decoder')
      ? ['vae_decoder']
      : isOnDemand('image_encoder')
        ? ['image_encoder']
        : [];
    expect(openNames(open)).toEqual([...staying, ...last].sort());
    const openMs = open.sessions.text_encoder?.openMs;
    await generate(open, cache);
    expect(open.sessions.text_encoder?.openMs).toBe(openMs); // nothing new to encode, so nothing to open
    await open.release();
  });

  it('that hold more from an earlier clip than there is room for are released before the next', async () => {
    const memory = packMemory(pack.manifest);
    // Much for the decoder, little for the core; and the other way round.
    const wide: ClipShape = { width: 512, height: 512, numFrames: 1, batch: 2, decodeChunkSize: 1 };
    const long = { ...shape, width: 256, height: 256, decodeChunkSize: 1 };
    const peak = (clip: ClipShape): number => planMemory(clip, memory, undefined).peakBytes;
    while (peak(long) < peak(wide)) long.numFrames *= 2;
    const memoryBudgetBytes = peak(long) / (measuredMemory.usableShare - 0.001);
    const open = await openPack(pack, { device: 'cpu', threads: 1, memoryBudgetBytes });
    expect(await open.prepare(wide)).toMatchObject({ residency: 'all', release: [] });
    expect(await open.prepare(long)).toMatchObject({ residency: 'all', release: [] }); // nothing has run yet
    await open.prepare(wide);
    await open.sessions.vae_decoder.run({ latent: latentOf(512) });
    expect(await open.prepare(long)).toMatchObject({ residency: 'all', release: ['vae_decoder'] });
    expect(open.sessions.vae_decoder.isOpen).toBe(false);
    await open.sessions.vae_decoder.run({ latent: latentOf(256) });
    expect(await open.prepare(long)).toMatchObject({ residency: 'all', release: [] });
    await open.release();
  });

  it('that were all released after memory ran out open again one at a time', async () => {
    const open = await openPack(pack, { device: 'cpu', threads: 1 });
    await open.prepare(shape);
    await open.makeRoom();
    expect(openNames(open)).toEqual([]);
    await open.sessions.vae_decoder.run({ latent });
    await open.sessions.vae_encoder.run({ sample });
    expect(openNames(open)).toEqual(['vae_encoder']);
    // Runs that are asked for at the same time do not open beside each other either.
    await Promise.all([
      open.sessions.vae_decoder.run({ latent }),
      open.sessions.vae_encoder.run({ sample }),
      open.sessions.vae_decoder.run({ latent }),
    ]);
    expect(openNames(open)).toEqual(['vae_decoder']);
    // The next clip is planned anew.
    expect((await generate(open, newCache())).equals(expected)).toBe(true);
    expect(openNames(open)).toEqual(all);
    await open.release();
  });
});
