/**
 * What happens when memory runs out, or is to be shared out: real allocations that fail in real engine children, whose
 * address space ends a little above what they have. Linux has the tool for it.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { runWithinMemory } from '../../src/engine/memory-ladder.ts';
import type { EngineJob } from '../../src/engine/protocol.ts';
import type { Engine } from '../../src/engine/supervisor.ts';
import type { ProgressEvent } from '../../src/inference/image-to-video.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { packMemory } from '../../src/inference/packs/open.ts';
import { measuredMemory } from '../../src/inference/residency/measured-memory.ts';
import { leastMemoryPlan } from '../../src/inference/residency/memory-plan.ts';
import {
  filesIn,
  once as onceAt,
  quickJob,
  sharedEngine,
  slowJob,
  startEngine,
  temporaryFolder,
  tinyPack,
} from '../helpers/engine-fixture.ts';

const megabyte = 1e6;

/** Just enough for four frames of 64x64. */
async function smallBudget(): Promise<number> {
  const { manifest } = await loadPack(tinyPack);
  const clip = { width: 64, height: 64, numFrames: 4, batch: 2, decodeChunkSize: 1 } as const;
  return (
    (1.01 * leastMemoryPlan(clip, packMemory(manifest), undefined).peakBytes) / measuredMemory.usableShare
  );
}

/** Lets the engine's present child have so many bytes more than it has now. */
function limitMemory(engine: Engine, moreBytes: number): void {
  const pid = String(engine.status().pid);
  const kibibytes = Number(/VmSize:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  execFileSync('prlimit', ['--pid', pid, `--as=${kibibytes * 1024 + moreBytes}:`]);
}

/** Limits every child that works at the job, or only the first, as soon as it begins. */
function whenItBegins(
  engine: Engine,
  moreBytes: number,
  children: number,
): { onProgress: (event: ProgressEvent) => void; readonly attempts: () => number } {
  let attempts = 0;
  return {
    onProgress: ({ phase, done }) => {
      if (phase !== 'encoding' || done !== 0) return;
      if (++attempts <= children) limitMemory(engine, moreBytes);
    },
    attempts: () => attempts,
  };
}

/** Lets a Node process fill its JavaScript heap until it is no more; asked for by its debugger. */
async function fillHeap(pid: number): Promise<void> {
  process.kill(pid, 'SIGUSR1'); // opens the debugger
  const targets = await vi.waitFor(async () => (await fetch('http://127.0.0.1:9229/json/list')).json(), 5000);
  const [{ webSocketDebuggerUrl }] = z.tuple([z.object({ webSocketDebuggerUrl: z.string() })]).parse(targets);
  const socket = new WebSocket(webSocketDebuggerUrl);
  await once(socket, 'open');
  const expression = `if (process.pid === ${pid}) for (const kept = []; ; ) kept.push(new Array(1e5).fill(0));`;
  socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }));
  const answered = once(socket, 'message').then(() => {
    throw new Error(`another process than ${pid} is at the debugger's port`);
  });
  await Promise.race([once(socket, 'close'), answered]);
}

const large = (folder: string, overrides: Partial<EngineJob> = {}): EngineJob =>
  quickJob(folder, { id: 'large', outPath: path.join(folder, 'large.mp4'), ...overrides });

/**
 * Native code that gets no memory at the wrong moment may fault without a word (seen once in fifty, on a busy machine).
 * That is a crash, which whoever gives the jobs answers by giving it again; so do the tests that cut it short.
 */
const retry = 2;

describe.runIf(process.platform === 'linux')('a job that runs out of memory', () => {
  const shared = sharedEngine();

  it('is made in a fresh child with as little as possible, and is the same video', { retry }, async () => {
    const folder = temporaryFolder();
    const engine = shared();
    const { starts } = engine.status();
    const job = large(folder, { width: 384, height: 384, numFrames: 8, numInferenceSteps: 1 });
    const watch = whenItBegins(engine, 100 * megabyte, 1);
    const result = await runWithinMemory(engine, job, watch);
    expect(watch.attempts()).toBe(2);
    expect(engine.status().starts).toBe(starts + 1);
    expect(result).toMatchObject({ width: 384, numFrames: 8 });
    expect(result).not.toHaveProperty('reducedTo');

    // One session at a time: all but the decoder had to be opened again after they were loaded and released.
    expect(result.timings['loadSessions']).toBeGreaterThan(0);
    const made = readFileSync(job.outPath);
    const roomy = await engine.run(job);
    expect(roomy.videoId).toBe(result.videoId);
    expect(readFileSync(job.outPath).equals(made)).toBe(true);
    expect(engine.status().starts).toBe(starts + 1);
  });

  it('again is made as a smaller preset, says so, and the next job is unaffected', { retry }, async () => {
    const folder = temporaryFolder();
    const engine = shared();
    const { starts } = engine.status();
    const smaller = { preset: 'fast', width: 64, height: 64, numFrames: 4, numInferenceSteps: 1 };
    const job = large(folder, {
      ...{ width: 512, height: 512, numFrames: 24, metadata: { preset: 'high' } },
      smaller: [{ ...smaller, decodeChunkSize: 2, metadata: { preset: 'fast' } }],
    });
    const watch = whenItBegins(engine, 250 * megabyte, 3);
    const result = await runWithinMemory(engine, job, watch);
    expect(watch.attempts()).toBe(3);
    expect(engine.status().starts).toBe(starts + 2);
    expect(result).toMatchObject({ reducedTo: 'fast', width: 64, height: 64, numFrames: 4 });
    expect(filesIn(folder)).toEqual(['large.mp4']);

    const next = await engine.run(quickJob(folder));
    expect(next).not.toHaveProperty('reducedTo');
    expect(engine.status().starts).toBe(starts + 2);
  });

  it('and has no smaller version fails with a sentence, and leaves nothing', { retry }, async () => {
    const folder = temporaryFolder();
    const engine = shared();
    const job = large(folder, { width: 512, height: 512, numFrames: 24 });
    const watch = whenItBegins(engine, 250 * megabyte, 9);
    await expect(runWithinMemory(engine, job, watch)).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringContaining('ran out of memory'),
    });
    expect(watch.attempts()).toBe(2);
    expect(filesIn(folder)).toEqual([]);
    await engine.run(quickJob(folder));
  });

  it('in V8, which can only abort, is tried again all the same', async () => {
    const folder = temporaryFolder();
    const engine = shared();
    const { starts } = engine.status();
    const died: Promise<void>[] = [];
    const result = await runWithinMemory(engine, slowJob(folder, { numInferenceSteps: 20 }), {
      onProgress: onceAt('denoising', 1, () => {
        limitMemory(engine, 200 * megabyte);
        died.push(fillHeap(Number(engine.status().pid)));
      }),
    });
    await expect(Promise.all(died)).resolves.toHaveLength(1);
    expect(engine.status().starts).toBe(starts + 1);
    expect(result).not.toHaveProperty('reducedTo');
    expect(filesIn(folder)).toEqual(['slow.mp4']);
  });

  it('is not tried again once it was cancelled', { retry }, async () => {
    const folder = temporaryFolder();
    const engine = shared();
    const abort = new AbortController();
    const watch = whenItBegins(engine, 250 * megabyte, 9);
    const run = runWithinMemory(engine, large(folder, { width: 512, height: 512, numFrames: 24 }), {
      signal: abort.signal,
      onProgress: (event) => {
        watch.onProgress(event);
        if (event.phase === 'loading') abort.abort(); // while the second child starts
      },
    });
    await expect(run).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(watch.attempts()).toBe(1);
    await engine.run(quickJob(folder));
  });
});

describe('a budget', () => {
  const mebibyte = 2 ** 20;

  it('too small for a job refuses it before any work, in the same child', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, {}, { memoryBudgetBytes: 300 * mebibyte });
    const seen: string[] = [];
    const run = runWithinMemory(engine, quickJob(folder), { onProgress: ({ phase }) => seen.push(phase) });
    await expect(run).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/4 frames of 64x64 needs about 0\.\d GiB .* 0\.3 GiB may be used/),
    });
    expect(seen.filter((phase) => phase !== 'loading')).toEqual([]);
    expect(engine.status()).toMatchObject({ starts: 1, state: 'idle' });
  });

  it('that fits only a smaller version makes that one at once', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, {}, { memoryBudgetBytes: await smallBudget() });
    const smaller = [
      { preset: 'standard', width: 512, height: 512, numFrames: 31 },
      { preset: 'fast', width: 64, height: 64, numFrames: 4 },
    ].map((shape) => ({ ...shape, numInferenceSteps: 2, decodeChunkSize: 1 }));
    const job = quickJob(folder, { width: 512, height: 512, numFrames: 32, smaller });
    const result = await runWithinMemory(engine, job);
    expect(result).toMatchObject({ reducedTo: 'fast', width: 64 });
    expect(engine.status().starts).toBe(1);
  });
});

describe('a warm-up', () => {
  it('runs the shapes that were asked for before the engine is ready', async () => {
    const folder = temporaryFolder();
    const warmUp = [
      { width: 64, height: 64, numFrames: 4 },
      { width: 128, height: 64, numFrames: 2 },
    ];
    const lines: unknown[] = [];
    const engine = startEngine(folder, {}, { warmUp }, (fields) => lines.push(fields));
    await engine.ready();
    const ready = lines.find((fields) => typeof fields === 'object' && fields !== null && 'warmUp' in fields);
    expect(ready).toMatchObject({
      warmUp: [
        expect.stringMatching(/^64x64x4 in \d+\.\d s$/),
        expect.stringMatching(/^128x64x2 in \d+\.\d s$/),
      ],
    });
    // Nothing of it is kept: the first job finds no picture and no prompt that it did not bring itself.
    const result = await engine.run(quickJob(folder));
    expect(result.cache.hits).toEqual([]);
    expect(result.timings['loadSessions']).toBe(0);
  });

  it('with a shape that the pack cannot make is refused with what it can', async () => {
    const engine = startEngine(temporaryFolder(), {}, { warmUp: [{ width: 65, height: 64, numFrames: 4 }] });
    await expect(engine.ready()).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringMatching(/KINORA_WARMUP has 65x64x4\. .*multiples of/),
    });
  });

  it('that does not fit is said and passed over', async () => {
    const folder = temporaryFolder();
    const lines: unknown[] = [];
    const warmUp = [{ width: 512, height: 512, numFrames: 32 }];
    const engine = startEngine(folder, {}, { warmUp, memoryBudgetBytes: await smallBudget() }, (fields) =>
      lines.push(fields),
    );
    await engine.ready();
    expect(JSON.stringify(lines)).toContain('512x512x32 does not fit');
    await engine.run(quickJob(folder));
  });
});
