/** Promises of the supervisor under fire: children that die, hang, or are cancelled; parents that vanish. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/engine/supervisor.ts';
import {
  engineOptions,
  ffmpegIn,
  filesIn,
  isRunning,
  once,
  processes,
  quickJob,
  sharedEngine,
  slowJob,
  startEngine,
  temporaryFolder,
  until,
} from '../helpers/engine-fixture.ts';

function pidOf(engine: Engine): number {
  const { pid } = engine.status();
  if (pid === null) throw new Error('the engine has no child');
  return pid;
}

/** A job whose frames take longer to encode than to make: ffmpeg interpolates for seconds after its input ended. */
const smoothJob = (folder: string) =>
  slowJob(folder, {
    ...{ width: 256, height: 256, numInferenceSteps: 1, guidanceScale: 1, decodeChunkSize: 2 },
    ...{ smooth: 3, loop: true },
  });

describe('a child that is killed', () => {
  const shared = sharedEngine();

  it.each(['denoising', 'decoding', 'finishing'] as const)(
    'during %s: the job fails, nothing is left, the next one works',
    async (phase) => {
      const folder = temporaryFolder();
      const engine = shared();
      let victim = 0;
      let ffmpegs = 0;
      const run = engine.run(phase === 'denoising' ? slowJob(folder) : smoothJob(folder), {
        onProgress: once(phase, { denoising: 2, decoding: 8, finishing: 0 }[phase], () => {
          victim = pidOf(engine);
          ffmpegs = ffmpegIn(folder).length;
          process.kill(victim, 'SIGKILL');
        }),
      });
      await expect(run).rejects.toMatchObject({
        code: 'ENGINE_CRASHED',
        message: expect.stringContaining(`during ${phase}`),
      });
      // In the last phase ffmpeg has all its input already and works on by itself.
      if (phase !== 'denoising') expect(ffmpegs).toBe(1); // before that it may not have started yet
      expect(isRunning(victim)).toBe(false);
      expect(filesIn(folder)).toEqual([]);
      await until('ffmpeg is gone', () => ffmpegIn(folder).length === 0, 1000);

      await engine.run(quickJob(folder));
      expect(pidOf(engine)).not.toBe(victim);
      expect(filesIn(folder)).toEqual(['quick.mp4']);
    },
  );

  it('takes with it an ffmpeg that would go on without input', async () => {
    const folder = temporaryFolder();
    const script = path.join(folder, 'stubborn');
    writeFileSync(script, '#!/bin/sh\ncat > /dev/null\nsleep 20\n', { mode: 0o755 });
    const engine = startEngine(folder, {}, { ffmpegPath: script });
    const scripts = () => processes().filter(({ command }) => command.includes(script));
    let seen = 0;
    const run = engine.run(quickJob(folder), {
      onProgress: once('finishing', 0, () => {
        seen = scripts().length;
        process.kill(pidOf(engine), 'SIGKILL');
      }),
    });
    await expect(run).rejects.toMatchObject({ code: 'ENGINE_CRASHED' });
    expect(seen).toBeGreaterThan(0);
    await until('the script is gone', () => scripts().length === 0, 1000);
    expect(filesIn(folder)).toEqual(['stubborn']);
  });

  it('while idle is replaced without being asked', async () => {
    const engine = shared();
    const { starts, state } = engine.status();
    expect(state).toBe('idle');
    process.kill(pidOf(engine), 'SIGKILL');
    await until(
      'a new child is ready',
      () => engine.status().starts === starts + 1 && engine.status().state === 'idle',
    );
    await engine.run(quickJob(temporaryFolder()));
    expect(engine.status()).toMatchObject({ starts: starts + 1, error: null });
  });

  it('again and again while it loads: the engine gives up, says so, and tries anew for the next job', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, { maxStartAttempts: 3 });
    const run = engine.run(quickJob(folder));
    const outcome = expect(run).rejects.toMatchObject({
      code: 'ENGINE_CRASHED',
      message: expect.stringMatching(/while loading.*SIGKILL/),
    });
    const victims = new Set<number>();
    await until('the engine gives up', () => {
      const { pid, state } = engine.status();
      if (pid !== null && !victims.has(pid)) {
        victims.add(pid);
        process.kill(pid, 'SIGKILL');
      }
      return state === 'dead';
    });
    await outcome;
    expect(victims.size).toBe(3);
    await engine.run(quickJob(folder));
    expect(engine.status()).toMatchObject({ state: 'idle', starts: 4 });
  });
});

describe('a child that hangs', () => {
  it('during a job is killed by the heartbeat rule and replaced', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, { minSilenceMs: 1500, silenceFactor: 1 });
    let victim = 0;
    const run = engine.run(slowJob(folder), {
      onProgress: once('denoising', 2, () => {
        victim = pidOf(engine);
        process.kill(victim, 'SIGSTOP');
      }),
    });
    await expect(run).rejects.toMatchObject({ code: 'ENGINE_HUNG' });
    expect(isRunning(victim)).toBe(false);
    expect(filesIn(folder)).toEqual([]);
    await engine.run(quickJob(folder));
    expect(pidOf(engine)).not.toBe(victim);
  });

  it('while loading is given up at its own deadline', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, { loadDeadlineMs: 1000 });
    const victim = pidOf(engine);
    process.kill(victim, 'SIGSTOP');
    await expect(engine.ready()).rejects.toMatchObject({ code: 'ENGINE_HUNG' });
    expect(isRunning(victim)).toBe(false);
    expect(engine.status()).toMatchObject({ state: 'dead', starts: 1 });
  });
});

describe('cancelling', () => {
  const shared = sharedEngine();

  it.each(['denoising', 'decoding', 'finishing'] as const)(
    'during %s leaves nothing, and the child warm',
    async (phase) => {
      const folder = temporaryFolder();
      const engine = shared();
      const pid = pidOf(engine);
      const controller = new AbortController();
      const job = phase === 'denoising' ? slowJob(folder) : smoothJob(folder);
      const run = engine.run(job, {
        signal: controller.signal,
        onProgress: once(phase, phase === 'finishing' ? 0 : 1, () => controller.abort()),
      });
      await expect(run).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(filesIn(folder)).toEqual([]);
      expect(ffmpegIn(folder)).toEqual([]);
      await engine.run(quickJob(folder));
      expect(pidOf(engine)).toBe(pid);
    },
  );

  it.each(['decoding', 'finishing'] as const)(
    'is not needed when ffmpeg dies during %s: that job fails, the child stays',
    async (phase) => {
      const folder = temporaryFolder();
      const engine = shared();
      const pid = pidOf(engine);
      const run = engine.run(smoothJob(folder), {
        onProgress: once(phase, phase === 'finishing' ? 0 : 4, () => {
          for (const ffmpeg of ffmpegIn(folder)) process.kill(ffmpeg, 'SIGKILL');
        }),
      });
      await expect(run).rejects.toMatchObject({ code: 'ENCODE_FAILED' });
      expect(filesIn(folder)).toEqual([]);
      await engine.run(quickJob(folder));
      expect(pidOf(engine)).toBe(pid);
    },
  );

  it('a child that does not listen ends by force', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, { cancelGraceMs: 300 });
    const controller = new AbortController();
    let victim = 0;
    const run = engine.run(slowJob(folder), {
      signal: controller.signal,
      onProgress: once('denoising', 1, () => {
        victim = pidOf(engine);
        process.kill(victim, 'SIGSTOP');
        controller.abort();
      }),
    });
    await expect(run).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(isRunning(victim)).toBe(false);
    expect(filesIn(folder)).toEqual([]);
    await engine.run(quickJob(folder));
  });

  it('a job that waits for the child to load does not disturb the next', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder);
    const controller = new AbortController();
    const waiting = engine.run(quickJob(folder, { id: 'waiting' }), { signal: controller.signal });
    controller.abort(); // the child is still loading
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    await engine.run(quickJob(folder, { id: 'later' }));
    await expect(engine.run(quickJob(folder), { signal: controller.signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(engine.status()).toMatchObject({ jobsServed: 1 });
  });
});

describe('a parent that goes away', () => {
  const parents: ChildProcess[] = [];
  afterEach(() => {
    for (const parent of parents.splice(0)) parent.kill('SIGKILL');
  });

  /** A process of its own that runs one job and prints what happens, one JSON object a line. */
  function startParent(folder: string, job: unknown) {
    const script = fileURLToPath(new URL('../helpers/parent-process.ts', import.meta.url));
    const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
    const parent = spawn(
      process.execPath,
      ['--import', loader, script, JSON.stringify({ options: engineOptions(folder), job })],
      { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    parents.push(parent);
    const state = { enginePid: 0, phase: '', done: -1 };
    let rest = '';
    parent.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) Object.assign(state, JSON.parse(line)); // throws if anything else reaches stdout
    });
    return { parent, state };
  }

  it.each([
    ['killed during denoising', 'SIGKILL', 'denoising'],
    ['killed while ffmpeg works', 'SIGKILL', 'finishing'],
    ['interrupted', 'SIGINT', 'denoising'],
  ] as const)(
    '%s: engine, ffmpeg and temporary files are gone within two seconds',
    async (_what, signal, phase) => {
      const folder = temporaryFolder();
      const { parent, state } = startParent(
        folder,
        phase === 'denoising' ? slowJob(folder) : smoothJob(folder),
      );
      await until(`the job reaches ${phase}`, () => state.phase === phase && state.enginePid !== 0);
      if (phase === 'finishing') expect(ffmpegIn(folder)).toHaveLength(1);
      parent.kill(signal);
      await until(
        'engine and ffmpeg are gone',
        () => !isRunning(state.enginePid) && ffmpegIn(folder).length === 0,
        2000,
      );
      expect(filesIn(folder)).toEqual([]);
    },
  );

  it('killed while the engine sits in a native run: it cannot hear of it, and goes all the same', async () => {
    const folder = temporaryFolder();
    // One step of the largest size that the tiny pack makes blocks the child for seconds.
    const job = slowJob(folder, { width: 512, height: 512, numFrames: 32 });
    const { parent, state } = startParent(folder, job);
    await until('the first step begins', () => state.phase === 'denoising');
    await new Promise((resolve) => setTimeout(resolve, 200));
    parent.kill('SIGKILL');
    await until(
      'the engine is gone',
      () => !isRunning(state.enginePid) && ffmpegIn(folder).length === 0,
      2000,
    );
    expect(filesIn(folder)).toEqual([]);
  });

  it('ending normally without stop(): the engine ends too', async () => {
    const folder = temporaryFolder();
    const { parent, state } = startParent(folder, null);
    await until('the parent has ended', () => parent.exitCode !== null);
    expect(parent.exitCode).toBe(0);
    expect(state.enginePid).toBeGreaterThan(0);
    await until('the engine is gone', () => !isRunning(state.enginePid), 2000);
  });
});
