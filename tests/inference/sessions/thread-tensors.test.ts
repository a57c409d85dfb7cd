/** What is kept in the session thread, with the real thread and a real session. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serializeError } from '../../../src/errors.ts';
import { OnnxSession } from '../../../src/inference/sessions/session.ts';
import { KeptTensors } from '../../../src/inference/sessions/thread-tensors.ts';

const model = path.join(
  fileURLToPath(new URL('../..', import.meta.url)),
  'fixtures/packs/tiny/vae_decoder/model.onnx',
);
const dims = [1, 4, 8, 8];
const count = 4 * 8 * 8;
const numbers = () => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
let decoder: OnnxSession;

beforeAll(async () => {
  decoder = await OnnxSession.open('vae_decoder', model, { device: 'cpu', threads: 1 });
});
afterAll(async () => {
  await decoder.release();
});

describe('kept tensors', () => {
  it('feed runs, take outputs, and come back', async () => {
    const kept = new KeptTensors();
    const given = await decoder.run({ latent: { data: numbers(), dims } });
    const mine = numbers();
    const latent = kept.keep({ data: mine, dims });
    expect(mine.length).toBe(0); // lent for good
    const sample = kept.reserve();
    const other = { data: numbers().fill(0.5), dims };
    expect(await decoder.run({ latent: other }, { into: { sample } })).toEqual({});
    expect(await decoder.run({ latent }, { into: { sample } })).toEqual({}); // over the numbers of the other
    const taken = await kept.take(sample);
    expect(taken.data).toEqual(given['sample']?.data);
    await expect(kept.take(sample)).rejects.toThrow();
    expect((await kept.take(latent)).data).toEqual(numbers());
  });

  it('are added up, whole or by halves, into new ones or each other', async () => {
    const kept = new KeptTensors();
    const both = kept.keep({ data: Float32Array.of(1, 2, 3, 4), dims: [2, 1, 2] });
    const [first, second] = [{ ...both, half: 0 } as const, { ...both, half: 1 } as const];
    const sum = kept.reserve();
    await kept.compute([
      { target: sum, terms: [[1, first], [10, second]] }, // biome-ignore format: as a formula
      { target: second, terms: [[1, sum]], limit: 35 },
    ]);
    expect(await kept.take({ ...sum, dims: [1, 1, 2] })).toMatchObject({ data: Float32Array.of(31, 42) });
    expect(await kept.take(both)).toEqual({ data: Float32Array.of(1, 2, 31, 35), dims: [2, 1, 2] });
  });

  it('are cut into frames', async () => {
    const kept = new KeptTensors();
    // Two channels of three frames of one cell.
    const volume = kept.keep({ data: Float32Array.of(1, 2, 3, 10, 20, 30), dims: [1, 2, 3, 1, 1] });
    const frames = kept.frames(volume, { first: 1, count: 2, factor: 0.5 });
    expect(await kept.take(frames)).toEqual({ data: Float32Array.of(1, 10, 1.5, 15), dims: [2, 2, 1, 1] });
    expect((await kept.take(volume)).data).toHaveLength(6);
  });

  it('are checked after a run, unless they show in something else', async () => {
    const kept = new KeptTensors();
    const latent = kept.keep({ data: numbers().fill(Number.NaN, 5, 6), dims });
    const sample = kept.reserve();
    await expect(decoder.run({ latent }, { into: { sample } })).rejects.toMatchObject({
      code: 'BAD_NUMBERS',
    });
    expect(await decoder.run({ latent }, { into: { sample }, checks: { sample: 'none' } })).toEqual({});
    kept.forgetAll();
  });

  it('are computed after a run, which says when they are not finite', async () => {
    const kept = new KeptTensors();
    const latent = kept.keep({ data: numbers(), dims });
    const [sample, doubled] = [kept.reserve(), kept.reserve()];
    await decoder.run({ latent }, { into: { sample }, after: [{ target: doubled, terms: [[2, sample]] }] });
    const [once, twice] = [await kept.take(sample), await kept.take(doubled)];
    expect(twice.data).toEqual(once.data.map((value) => 2 * value));

    const broken = kept.keep({ data: numbers().fill(Number.NaN, 5, 6), dims });
    const after = [{ target: kept.reserve(), terms: [[0.5, sample] as const] }];
    await expect(decoder.run({ latent: broken }, { into: { sample }, after })).rejects.toMatchObject({
      code: 'BAD_NUMBERS',
      message: expect.stringContaining('vae_decoder'),
    });
    kept.forgetAll();
  });

  it('that found no memory in the thread make it known as that', async () => {
    // Of an error in another thread only the sentence arrives.
    const inThread = await new Promise<unknown>((resolve) => {
      const source =
        "try { new ArrayBuffer(2 ** 50) } catch (e) { require('worker_threads').parentPort.postMessage(e.message) }";
      new Worker(source, { eval: true }).once('message', (message) => resolve(new Error(message)));
    });
    expect(serializeError(inThread)).toMatchObject({ code: 'OUT_OF_MEMORY' });
  });

  it('are gone when they are forgotten', async () => {
    const kept = new KeptTensors();
    const [one, other] = [kept.keep({ data: numbers(), dims }), kept.keep({ data: numbers(), dims })];
    kept.forget([one]);
    await expect(decoder.run({ latent: one })).rejects.toMatchObject({ code: 'INTERNAL' });
    await decoder.run({ latent: other });
    kept.forgetAll();
    await expect(kept.take(other)).rejects.toThrow();
  });
});
