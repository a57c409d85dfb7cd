/**
 * Several sessions of a graph, each for one shape: who gets one, who gives it up, and that the clip is the same, bit for
 * bit. On the CPU, where a change of shape costs nothing, so that the policy is asked for by parameters.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { warmUp } from '../../../src/engine/child/warm-up.ts';
import { LatentCache } from '../../../src/inference/latent-cache.ts';
import { loadPack, type Pack } from '../../../src/inference/packs/files.ts';
import type { GraphName } from '../../../src/inference/packs/graphs.ts';
import {
  type OpenPack,
  type OpenPackOptions,
  openPack,
  packMemory,
} from '../../../src/inference/packs/open.ts';
import { pictureOf } from '../../../src/inference/pictures/known-picture.ts';
import { I2VGenXLPipeline } from '../../../src/inference/pipelines/i2vgen-xl.ts';
import { measuredMemory } from '../../../src/inference/residency/measured-memory.ts';
import { type ClipShape, planMemory, sessionBytesOf } from '../../../src/inference/residency/memory-plan.ts';
import { PackSession, type SessionOwner } from '../../../src/inference/residency/pack-session.ts';
import { resolveRequest } from '../../../src/request/resolve.ts';
import { tinyPackPath } from '../../helpers/golden.ts';
import { withRun } from '../../helpers/with-run.ts';

const mebibyte = 2 ** 20;
const plenty = 64 * 2 ** 30;

interface Clip {
  readonly size: string;
  readonly numFrames: number;
  readonly decodeChunkSize: number;
  readonly guidanceEnd: number;
}
const square: Clip = { size: '64x64', numFrames: 2, decodeChunkSize: 2, guidanceEnd: 1 };
const wide: Clip = { ...square, size: '128x64' };
const tall: Clip = { ...square, size: '64x128' };

let pack: Pack;
let plain: OpenPack;
beforeAll(async () => {
  pack = await loadPack(tinyPackPath);
  plain = await openPack(pack, { device: 'cpu', threads: 1 });
});
afterAll(() => plain.release());

const openWith = (over: Partial<OpenPackOptions>): Promise<OpenPack> =>
  openPack(pack, { device: 'cpu', threads: 1, maxSessionsPerGraph: 4, ...over });

async function generate(open: OpenPack, clip: Clip): Promise<Buffer> {
  const [width = 0, height = 0] = clip.size.split('x').map(Number);
  const image = {
    width,
    height,
    data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7) % 251),
  };
  const request = resolveRequest(pack.manifest, { ...clip, numInferenceSteps: 2, seed: 3 }, image);
  const hooks = { signal: new AbortController().signal, onProgress: () => {}, onReport: () => {} };
  const pipeline = new I2VGenXLPipeline(open, new LatentCache({ folder: '', memoryBytes: 0, diskBytes: 0 }));
  const frames: Uint8Array[] = [];
  const job = { ...request, image: pictureOf(image) };
  for await (const frame of pipeline.generate(job, hooks)) frames.push(frame.data.slice());
  return Buffer.concat(frames);
}

const expectedPixels = new Map<string, Buffer>();
/** As one session for everything makes it. */
async function expected(clip: Clip): Promise<Buffer> {
  const key = JSON.stringify(clip);
  const made = expectedPixels.get(key) ?? (await generate(plain, clip));
  expectedPixels.set(key, made);
  return made;
}

async function check(open: OpenPack, clip: Clip): Promise<void> {
  expect((await generate(open, clip)).equals(await expected(clip))).toBe(true);
}

/** Width and height, or the batch, of what the sessions ran last; the one that was used last at the end. */
const shapesOf = ({ sessions }: OpenPack, graph: 'unet_core' | 'vae_encoder' | 'vae_decoder'): string[] =>
  [...sessions[graph].openSessions].sort((a, b) => a.lastRun - b.lastRun).map(({ dims }) => dims.join('x'));

const openMs = ({ sessions }: OpenPack): number =>
  Object.values(sessions).reduce((sum, session) => sum + session.openMs, 0);

function shapeOf({ size, numFrames, decodeChunkSize }: Clip): ClipShape {
  const [width = 0, height = 0] = size.split('x').map(Number);
  return { width, height, numFrames, batch: 2, decodeChunkSize };
}

/** Room for one session per graph, with the largest of these clips, and so much more. */
function budgetFor(clips: readonly Clip[], moreBytes: number): number {
  const peaks = clips.map(
    (clip) => planMemory(shapeOf(clip), packMemory(pack.manifest), undefined).peakBytes,
  );
  return (Math.max(...peaks) + moreBytes) / measuredMemory.usableShare + 1;
}

/** Of a further session of the graph with this clip. */
function extraBytes(graph: GraphName, clip: Clip): number {
  const memory = packMemory(pack.manifest);
  const { activationBytes } = planMemory(shapeOf(clip), memory, undefined);
  return sessionBytesOf(graph, activationBytes[graph] ?? 0, memory);
}

describe('with memory for all', () => {
  it('every shape has sessions of its own, and coming back to one opens nothing', async () => {
    const open = await openWith({ memoryBudgetBytes: plenty });
    for (const clip of [square, wide, tall]) await check(open, clip);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x8', '2x4x2x8x16', '2x4x2x16x8']);
    expect(shapesOf(open, 'vae_encoder')).toEqual(['1x3x64x64', '1x3x64x128', '1x3x128x64']);
    expect(shapesOf(open, 'vae_decoder')).toEqual(['2x4x8x8', '2x4x8x16', '2x4x16x8']);
    // Those without convolutions have one for all.
    expect(open.sessions.text_encoder?.openSessions).toHaveLength(1);
    expect(open.sessions.unet_cond.openSessions).toHaveLength(1);
    const before = openMs(open);
    for (const clip of [square, tall, wide, square]) await check(open, clip);
    expect(openMs(open)).toBe(before);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x16x8', '2x4x2x8x16', '2x4x2x8x8']);
    await open.release();
    expect(open.sessions.unet_core.isOpen).toBe(false);
    await check(open, wide); // opens what it needs
    await open.release();
  });

  it('there are no more than allowed; the least recently used changes its shape', async () => {
    const open = await openWith({ memoryBudgetBytes: plenty, maxSessionsPerGraph: 2 });
    for (const clip of [square, wide, square, tall]) await check(open, clip);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x8', '2x4x2x16x8']);
    expect(shapesOf(open, 'vae_decoder')).toEqual(['2x4x8x8', '2x4x16x8']);
    await open.release();
  });

  it('guidance that ends early has a core for each batch', async () => {
    const open = await openWith({ memoryBudgetBytes: plenty });
    const early = { ...square, guidanceEnd: 0.5 };
    await check(open, early);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x8', '1x4x2x8x8']);
    const before = openMs(open);
    await check(open, early);
    expect(openMs(open)).toBe(before);
    await open.release();
  });
});

describe('guidance that ends early, where there is one core,', () => {
  const early = { ...square, guidanceEnd: 0.5 };
  // Batch 1 throughout is the same only to within rounding.
  const isNear = async (made: Buffer): Promise<void> => {
    const wanted = await expected(early);
    expect(made.length).toBe(wanted.length);
    expect(made.every((value, i) => Math.abs(value - (wanted[i] ?? 0)) <= 1)).toBe(true);
  };

  it.each([
    ['because nobody knows the budget', undefined],
    ['because there is no room for two', mebibyte],
  ])('%s, has runs of one half only', async (_name, room) => {
    const open = await openWith({
      prefersEqualShapes: true,
      memoryBudgetBytes: room === undefined ? undefined : budgetFor([early], room),
    });
    expect((await open.prepare({ ...shapeOf(early), endsGuidance: true })).coreBatch).toBe(1);
    expect((await open.prepare(shapeOf(early))).coreBatch).toBe(2);
    await isNear(await generate(open, early));
    expect(shapesOf(open, 'unet_core')).toEqual(['1x4x2x8x8']);
    await check(open, square);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x8']);
    await open.release();
  });

  it("takes the VAE's extra sessions for a second core, and then both halves at once", async () => {
    const room = extraBytes('unet_core', square) + mebibyte;
    const memoryBudgetBytes = budgetFor([square], room);
    const open = await openWith({ prefersEqualShapes: true, memoryBudgetBytes });
    for (const decodeChunkSize of [1, 2]) await check(open, { ...square, decodeChunkSize });
    expect(shapesOf(open, 'vae_decoder')).toEqual(['1x4x8x8', '2x4x8x8']);
    for (let n = 0; n < 2; n++) {
      await check(open, early);
      expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x8', '1x4x2x8x8']);
    }
    expect(shapesOf(open, 'vae_decoder')).toEqual(['2x4x8x8']);
    await open.release();
  });
});

describe('there is one session for all shapes', () => {
  it.each([
    ['on the CPU, unless asked otherwise', { memoryBudgetBytes: plenty, maxSessionsPerGraph: undefined }],
    ['where nobody knows the budget', {}],
    ['where there is no room for two', 'small'],
  ] as const)('%s', async (_name, over) => {
    const clips = [square, wide, { ...square, guidanceEnd: 0.5 }];
    const options = over === 'small' ? { memoryBudgetBytes: budgetFor(clips, mebibyte) } : over;
    const { maxSessionsPerGraph, ...rest } = { maxSessionsPerGraph: 4, ...options };
    const open = await openPack(pack, {
      ...{ device: 'cpu', threads: 1 },
      ...rest,
      ...(maxSessionsPerGraph === undefined ? {} : { maxSessionsPerGraph }),
    });
    for (const clip of [...clips, ...clips]) {
      await check(open, clip);
      for (const session of Object.values(open.sessions)) expect(session.openSessions).toHaveLength(1);
    }
    await open.release();
  });
});

describe('where memory has room for some', () => {
  it('the core comes first, and of its sessions the least recently used changes its shape', async () => {
    const clips = [square, wide, tall];
    const room = extraBytes('unet_core', wide) + mebibyte;
    const open = await openWith({ memoryBudgetBytes: budgetFor(clips, room) });
    for (const clip of clips) await check(open, clip);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x16', '2x4x2x16x8']);
    expect(shapesOf(open, 'vae_encoder')).toEqual(['1x3x128x64']);
    expect(shapesOf(open, 'vae_decoder')).toEqual(['2x4x16x8']);
    await check(open, wide);
    await check(open, square);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x16', '2x4x2x8x8']);
    await open.release();
  });

  it('what is too small for a core serves the VAE', async () => {
    const clips = [square, wide];
    const room = extraBytes('vae_encoder', wide) + mebibyte;
    expect(room).toBeLessThan(extraBytes('unet_core', square));
    const open = await openWith({ memoryBudgetBytes: budgetFor(clips, room) });
    for (const clip of clips) await check(open, clip);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x16']);
    expect(shapesOf(open, 'vae_encoder')).toEqual(['1x3x64x64', '1x3x64x128']);
    expect(shapesOf(open, 'vae_decoder')).toEqual(['2x4x8x16']);
    await open.release();
  });

  it('a second core takes the memory of extra sessions of the VAE', async () => {
    const four = { ...square, numFrames: 4, decodeChunkSize: 4 };
    const room = extraBytes('unet_core', four) + mebibyte;
    const open = await openWith({ memoryBudgetBytes: budgetFor([four], room) });
    for (const decodeChunkSize of [2, 1, 4]) await check(open, { ...four, decodeChunkSize });
    expect(shapesOf(open, 'vae_decoder').length).toBeGreaterThan(1);
    await check(open, { ...four, guidanceEnd: 0.5 });
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x4x8x8', '1x4x4x8x8']);
    expect(shapesOf(open, 'vae_decoder')).toEqual(['4x4x8x8']);
    await open.release();
  });

  it('a clip that needs all of it releases all sessions but its own', async () => {
    const large: Clip = { ...square, size: '2048x2048', numFrames: 1, decodeChunkSize: 1 };
    const open = await openWith({ memoryBudgetBytes: budgetFor([large], mebibyte) });
    const small = { ...square, numFrames: 1, decodeChunkSize: 1 };
    await check(open, small);
    await check(open, { ...small, size: '128x64' });
    const sessionCount = (): number =>
      Object.values(open.sessions).reduce((sum, session) => sum + session.openSessions.length, 0);
    expect(sessionCount()).toBeGreaterThan(6);
    const plan = await open.prepare(shapeOf(large));
    expect(plan.residency).toBe('all');
    expect(sessionCount()).toBeLessThanOrEqual(6);
    await open.release();
  });

  it('they never hold more than the budget, whatever comes', async () => {
    const memory = packMemory(pack.manifest);
    const kinds: Clip[] = [
      square,
      wide,
      { ...tall, guidanceEnd: 0.5 },
      { ...square, numFrames: 5 },
      { ...wide, numFrames: 3, guidanceEnd: 0.5 },
    ];
    let state = 12345;
    const random = (below: number): number => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return Math.floor((state / 2 ** 31) * below);
    };
    let most = 0;
    for (const more of [100, 1000]) {
      const memoryBudgetBytes = budgetFor(kinds, more * mebibyte);
      const open = await openWith({ memoryBudgetBytes });
      for (let n = 0; n < 6; n++) {
        const clip = kinds[random(kinds.length)] ?? square;
        await check(open, clip);
        let held = measuredMemory.contextBytes;
        for (const { name, openSessions } of Object.values(open.sessions)) {
          for (const { heldBytes } of openSessions) held += sessionBytesOf(name, heldBytes, memory);
          expect(openSessions.length).toBeLessThanOrEqual(4);
          most = Math.max(most, openSessions.length);
        }
        expect(held).toBeLessThanOrEqual(memoryBudgetBytes * measuredMemory.usableShare);
      }
      await open.release();
    }
    expect(most).toBeGreaterThan(1);
  });
});

describe('a session that cannot be opened after all', () => {
  // The runtime's message names the file, and this name makes it one that means what it says.
  const folder = mkdtempSync(path.join(tmpdir(), 'kinora out of memory '));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is done without, now and later', async () => {
    const file = path.join(folder, 'vae_decoder', 'model.onnx');
    mkdirSync(path.dirname(file));
    copyFileSync(path.join(tinyPackPath, 'vae_decoder', 'model.onnx'), file);
    let asked = 0;
    const owner: SessionOwner = {
      toRelease: () => [],
      activationBytes: () => 0,
      choose: async () => {
        asked++;
        return { open: 'extra' };
      },
      isIdle: () => true,
      inTurn: (work) => work(),
      whileOpening: () => {},
    };
    const session = new PackSession('vae_decoder', file, { device: 'cpu', threads: 1 }, owner, 4);
    const latentOf = (cells: number) => ({
      data: new Float32Array(4 * cells ** 2).fill(0.5),
      dims: [1, 4, cells, cells],
    });
    const first = await session.run({ latent: latentOf(8) });
    rmSync(file);
    const second = await session.run({ latent: latentOf(4) });
    expect(second['sample']?.dims).toEqual([1, 3, 32, 32]);
    expect(session.openSessions).toHaveLength(1);
    const again = await session.run({ latent: latentOf(8) });
    expect(again['sample']?.data).toEqual(first['sample']?.data);
    expect(asked).toBe(1);
    const ranMs = session.runMs;
    const released = session.release();
    expect(session.runMs).toBe(ranMs); // also while the runtime gives it back
    await released;
    expect(session.runMs).toBe(ranMs);
  });
});

describe('where shapes should be equal', () => {
  /** The pack with a note of how many frames the decoder was given. */
  function watched(open: OpenPack): { open: OpenPack; counts: number[] } {
    const counts: number[] = [];
    const decoder = open.sessions.vae_decoder;
    const noting = withRun(decoder, (...args) => {
      counts.push(args[0]['latent']?.dims[0] ?? 0);
      return decoder.run(...args);
    });
    return { open: { ...open, sessions: { ...open.sessions, vae_decoder: noting } }, counts };
  }

  it.each([
    [7, 3, [3, 3, 3]],
    [7, 2, [2, 2, 2, 2]],
    [6, 2, [2, 2, 2]],
    [3, 7, [3]],
    [4, 3, [3, 3]],
  ] as const)('%d frames in chunks of %d are decoded as %j', async (numFrames, decodeChunkSize, wanted) => {
    const { open, counts } = watched({ ...plain, prefersEqualShapes: true });
    const clip = { ...square, numFrames, decodeChunkSize };
    await check(open, clip);
    expect(counts).toEqual(wanted);
  });

  it('the CPU cuts the last chunk, as it did', async () => {
    expect(plain.prefersEqualShapes).toBe(false);
    const { open, counts } = watched(plain);
    await check(open, { ...square, numFrames: 7, decodeChunkSize: 3 });
    expect(counts).toEqual([3, 3, 1]);
  });
});

describe('a warm-up', () => {
  const shapes = [
    { width: 64, height: 64, numFrames: 2 },
    { width: 128, height: 64, numFrames: 2 },
  ];

  it('opens a session for each shape where there is room', async () => {
    const open = await openWith({ memoryBudgetBytes: plenty });
    await warmUp(open, shapes, { guidanceEnd: 0.5 });
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x16', '1x4x2x8x16', '2x4x2x8x8', '1x4x2x8x8']);
    const before = openMs(open);
    const chunk = { decodeChunkSize: pack.manifest.defaults.decodeChunkSize };
    for (const clip of [square, wide]) await check(open, { ...clip, ...chunk, guidanceEnd: 0.5 });
    expect(openMs(open)).toBe(before);
    await open.release();
  });

  it('leaves the session with the first of the shapes where there is one for all', async () => {
    const open = await openWith({});
    expect(await warmUp(open, shapes)).toEqual([
      expect.stringContaining('64x64x2'),
      expect.stringContaining('128x64x2'),
    ]);
    expect(shapesOf(open, 'unet_core')).toEqual(['2x4x2x8x8']);
    await open.release();
  });
});
