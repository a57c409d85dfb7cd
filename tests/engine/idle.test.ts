/** An engine without work gives its memory back, and comes when there is work again: real children, the tiny pack. */
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import type { Engine } from '../../src/engine/supervisor.ts';
import type { ProgressEvent } from '../../src/inference/image-to-video.ts';
import { quickJob, slowJob, startEngine, temporaryFolder } from '../helpers/engine-fixture.ts';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function untilUnloaded(engine: Engine): Promise<void> {
  await vi.waitFor(
    () => expect(engine.status()).toMatchObject({ state: 'unloaded', pid: null, loaded: [] }),
    {
      timeout: 60_000,
    },
  );
}

it('ends its child when it was idle for long enough, and loads again for the next job', async () => {
  const folder = temporaryFolder();
  const engine = startEngine(folder, { idleUnloadMs: 200 });
  await engine.run(quickJob(folder, { id: 'first' }));
  const { pid } = engine.status();
  await untilUnloaded(engine);
  expect(pid && isAlive(pid)).toBe(false);

  const phases: ProgressEvent['phase'][] = [];
  const job = quickJob(folder, { id: 'second', outPath: path.join(folder, 'second.mp4') });
  const result = await engine.run(job, { onProgress: ({ phase }) => phases.push(phase) });
  expect(phases[0]).toBe('loading');
  expect(result.timings['load']).toBeGreaterThan(0);
  // What was computed for the picture is on the disk.
  expect(result.cache.hits).toContain('image');
  expect(engine.status()).toMatchObject({ starts: 2, error: null });
  await untilUnloaded(engine);
});

it('does a job that comes while the child is on its way out', async () => {
  const folder = temporaryFolder();
  const engine = startEngine(folder);
  await engine.ready();
  const { pid } = engine.status();
  engine.unload();
  expect(engine.status().state).toBe('unloaded');
  await engine.run(quickJob(folder));
  expect(engine.status()).toMatchObject({ state: 'idle', starts: 2 });
  expect(pid && isAlive(pid)).toBe(false);
});

it('leaves a child alone that works for longer than that', async () => {
  const folder = temporaryFolder();
  const engine = startEngine(folder, { idleUnloadMs: 1 });
  // It was loaded for this job, which nothing interrupts.
  const result = await engine.run(slowJob(folder, { numInferenceSteps: 5 }));
  expect(result.numFrames).toBeGreaterThan(0);
  expect(engine.status().starts).toBeLessThanOrEqual(2);
  await untilUnloaded(engine);
  await engine.stop();
  expect(engine.status().state).toBe('stopped');
});
