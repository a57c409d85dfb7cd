/** Several packs in one engine: real children, the tiny pack and another one of its weights. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ProgressEvent } from '../../src/inference/image-to-video.ts';
import { quickJob, startEngine, temporaryFolder } from '../helpers/engine-fixture.ts';
import { makeReusePack, reusePackId } from '../helpers/other-packs.ts';

const tinyId = 'tiny-i2vgen-xl';
let otherPack: string;
beforeAll(async () => {
  otherPack = await makeReusePack();
});
afterAll(() => rm(otherPack, { recursive: true, force: true }));

it('makes each job with its model, which is loaded when its first job comes', async () => {
  const folder = temporaryFolder();
  const engine = startEngine(folder, {}, { otherPackPaths: [otherPack] });
  const run = async (model?: string) => {
    const phases: ProgressEvent['phase'][] = [];
    const job = quickJob(folder, { outPath: path.join(folder, `${model}.mp4`), ...(model ? { model } : {}) });
    const result = await engine.run(job, { onProgress: ({ phase }) => phases.push(phase) });
    return { ...result, phases };
  };
  await engine.ready();
  expect(engine.status().loaded).toEqual([tinyId]);
  const other = await run(reusePackId);
  expect(other).toMatchObject({ model: reusePackId, timings: { load: expect.any(Number) } });
  expect(other.phases[0]).toBe('loading');
  expect(engine.status().loaded).toEqual([tinyId, reusePackId]);
  for (const model of [undefined, tinyId, reusePackId]) {
    const again = await run(model);
    expect(again.model).toBe(model ?? tinyId);
    expect(again.timings).not.toHaveProperty('load');
    expect(again.phases).not.toContain('loading');
  }
  // What one pack understood of a picture is nothing that the other one takes.
  expect(other.cache.hits).toEqual([]);
  expect((await run(reusePackId)).cache.hits).toContain('image');
});

it('refuses a model that it was not started with, and goes on', async () => {
  const folder = temporaryFolder();
  const engine = startEngine(folder, {}, { otherPackPaths: [otherPack] });
  await expect(engine.run(quickJob(folder, { model: 'unknown' }))).rejects.toMatchObject({
    code: 'PACK_NOT_FOUND',
  });
  expect((await engine.run(quickJob(folder, { model: tinyId }))).model).toBe(tinyId);
  expect(engine.status().starts).toBe(1);
});

it('loads the model of a job again in a new child', async () => {
  const folder = temporaryFolder();
  const engine = startEngine(folder, { maxJobsPerChild: 1 }, { otherPackPaths: [otherPack] });
  for (const model of [reusePackId, tinyId, reusePackId]) {
    expect((await engine.run(quickJob(folder, { model }))).model).toBe(model);
  }
  expect(engine.status().starts).toBeGreaterThanOrEqual(3);
});
