/** Tensors in the session thread, with the real thread and a real session. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serializeError } from '../../../src/errors.ts';
import { OnnxSession } from '../../../src/inference/sessions/session.ts';
import { ThreadTensors } from '../../../src/inference/sessions/thread-tensors.ts';

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

describe('tensors in the session thread', () => {
  it('feed runs, take outputs, and come back', async () => {
    const tensors = new ThreadTensors();
    const given = await decoder.run({ latent: { data: numbers(), dims } });
    const mine = numbers();
    const latent = tensors.put({ data: mine, dims });
    expect(mine.length).toBe(0); // lent for good
    const sample = tensors.empty();
    const other = { data: numbers().fill(0.5), dims };
    expect(await decoder.run({ latent: other }, { into: { sample } })).toEqual({});
    expect(await decoder.run({ latent }, { into: { sample } })).toEqual({}); // over the numbers of the other
    const taken = await tensors.take(sample);
    expect(taken.data).toEqual(given['sample']?.data);
    await expect(tensors.take(sample)).rejects.toThrow();
    expect((await tensors.take(latent)).data).toEqual(numbers());
  });

  it('are added up, whole or by halves, into new ones or each other', async () => {
    const tensors = new ThreadTensors();
    const both = tensors.put({ data: Float32Array.of(1, 2, 3, 4), dims: [2, 1, 2] });
    const [first, second] = [{ ...both, half: 0 } as const, { ...both, half: 1 } as const];
    const sum = tensors.empty();
    await tensors.compute([
      { target: sum, terms: [[1, first], [10, second]] }, // biome-ignore format: as a formula
      { target: second, terms: [[1, sum]], limit: 35 },
    ]);
    expect(await tensors.take({ ...sum, dims: [1, 1, 2] })).toMatchObject({ data: Float32Array.of(31, 42) });
    expect(await tensors.take(both)).toEqual({ data: Float32Array.of(1, 2, 31, 35), dims: [2, 1, 2] });
  });

  it('are checked after a run', async () => {
    const tensors = new ThreadTensors();
    const latent = tensors.put({ data: numbers().fill(Number.NaN, 5, 6), dims });
    const sample = tensors.empty();
    await expect(decoder.run({ latent }, { into: { sample } })).rejects.toMatchObject({
      code: 'BAD_NUMBERS',
      message: expect.stringContaining('vae_decoder'),
    });
    tensors.freeAll();
  });

  it('are computed from what a run has left', async () => {
    const tensors = new ThreadTensors();
    const latent = tensors.put({ data: numbers(), dims });
    const [sample, doubled] = [tensors.empty(), tensors.empty()];
    await decoder.run({ latent }, { into: { sample } });
    await tensors.compute([{ target: doubled, terms: [[2, sample]] }]);
    const [once, twice] = [await tensors.take(sample), await tensors.take(doubled)];
    expect(twice.data).toEqual(once.data.map((value) => 2 * value));
    expect(twice.dims).toEqual(once.dims);
    tensors.freeAll();
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

  it('are gone when they are freed', async () => {
    const tensors = new ThreadTensors();
    const [one, other] = [tensors.put({ data: numbers(), dims }), tensors.put({ data: numbers(), dims })];
    tensors.free([one]);
    await expect(decoder.run({ latent: one })).rejects.toMatchObject({ code: 'INTERNAL' });
    await decoder.run({ latent: other });
    tensors.freeAll();
    await expect(tensors.take(other)).rejects.toThrow();
  });
});
