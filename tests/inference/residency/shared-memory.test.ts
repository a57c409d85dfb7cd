/** Packs that share the memory of one device take turns, as far as they must, and make the same clips. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GenerateRequest } from '../../../src/inference/image-to-video.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack, type Pack } from '../../../src/inference/packs/files.ts';
import { type OpenPack, openPack, packMemory } from '../../../src/inference/packs/open.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { planMemory } from '../../../src/inference/residency/memory-plan.ts';
import { SharedMemory } from '../../../src/inference/residency/shared-memory.ts';
import { presetOf } from '../../../src/request/presets.ts';
import { resolveRequest } from '../../../src/request/resolve.ts';
import { tinyPackPath } from '../../helpers/golden.ts';
import { makeReusePack } from '../../helpers/other-packs.ts';

const size = 64;
const image = { width: size, height: size, data: new Uint8Array(size * size * 3).fill(90) };
let folder: string;
let packs: readonly [Pack, Pack];
let request: GenerateRequest;

beforeAll(async () => {
  folder = await makeReusePack();
  packs = [await loadPack(tinyPackPath), await loadPack(folder)];
  const options = { size: '64x64', numFrames: 2, numInferenceSteps: 2, seed: 3, decodeChunkSize: 2 };
  request = { ...resolveRequest(packs[0].manifest, options, image), image: pictureOf(image) };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function generate(pack: OpenPack): Promise<Buffer> {
  const hooks = { signal: new AbortController().signal, onProgress: () => {}, onReport: () => {} };
  const cache = new LatentCache({ folder: '', memoryBytes: 0, diskBytes: 0 });
  const frames: Uint8Array[] = [];
  for await (const { data } of new I2VGenXLPipeline(pack, cache).generate(request, hooks)) {
    frames.push(data.slice());
  }
  return Buffer.concat(frames);
}

/** Bytes that a pack's usual clip takes with all sessions open. */
function usualBytes({ manifest }: Pack): number {
  const preset = presetOf(manifest, 'standard');
  const { decodeChunkSize } = manifest.defaults;
  const clip = { width: preset.size, height: preset.size, numFrames: preset.numFrames, decodeChunkSize };
  return planMemory({ ...clip, batch: 2 }, packMemory(manifest), undefined).peakBytes;
}

async function openBoth(memoryBudgetBytes: number | undefined, memory = new SharedMemory(false)) {
  const options = { device: 'cpu', threads: 1, memoryBudgetBytes, memory };
  return [await openPack(packs[0], options), await openPack(packs[1], options)] as const;
}

const isOpen = ({ sessions }: OpenPack): boolean => Object.values(sessions).some((session) => session.isOpen);

it.each([
  ['too small for both', (): number => Math.max(...packs.map(usualBytes)) * 1.15, true],
  [
    'large enough for both',
    (): number => packs.map(usualBytes).reduce((sum, bytes) => sum + bytes) * 1.3,
    false,
  ],
  ['that nobody knows', (): undefined => undefined, true],
] as const)('in a budget %s', async (_name, budget, takeTurns) => {
  const [first, second] = await openBoth(budget());
  expect([first, second].map((pack) => pack.isLoaded())).toEqual([!takeTurns, true]);
  expect(isOpen(first)).toBe(!takeTurns);
  const expected = await generate(second);
  // As it is loaded again, the other one makes room.
  if (takeTurns) await first.load();
  expect((await generate(first)).equals(expected)).toBe(true); // the same weights
  expect([first, second].map((pack) => pack.isLoaded())).toEqual([true, !takeTurns]);
  expect(isOpen(second)).toBe(!takeTurns);
  await Promise.all([first.release(), second.release()]);
});

it('take turns when another program has taken memory since they were loaded', async () => {
  const memory = new SharedMemory(false);
  const bytes = packs.map(usualBytes);
  const [first, second] = await openBoth(bytes.reduce((sum, more) => sum + more) * 1.3, memory);
  expect([first, second].map((pack) => pack.isLoaded())).toEqual([true, true]);
  memory.budgetBytes = Math.max(...bytes) * 1.15;
  await generate(first);
  expect([first, second].map((pack) => pack.isLoaded())).toEqual([true, false]);
  await Promise.all([first.release(), second.release()]);
});

it('in main memory stay, until one of them runs out of it', async () => {
  const [first, second] = await openBoth(undefined, new SharedMemory(true));
  await generate(first);
  expect([first, second].map((pack) => pack.isLoaded())).toEqual([true, true]);
  await first.makeRoom();
  expect([isOpen(first), isOpen(second), second.isLoaded()]).toEqual([false, false, false]);
  await Promise.all([first.release(), second.release()]);
});
