/** Real engine children on the tiny pack, and a look at the process table. Linux and macOS (`ps`). */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ffmpegInstaller from '@ffmpeg-installer/ffmpeg';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { EngineJob, EngineOptions } from '../../src/engine/protocol.ts';
import type { EngineSettings } from '../../src/engine/settings.ts';
import { Engine } from '../../src/engine/supervisor.ts';
import type { ProgressEvent } from '../../src/inference/image-to-video.ts';

/** The build of the npm package, since a fresh machine has no other. */
export const ffmpegPath = ffmpegInstaller.path;

const root = fileURLToPath(new URL('../../', import.meta.url));
export const tinyPack = path.join(root, 'tests/fixtures/packs/tiny');
export const picture = path.join(root, 'examples/cat.jpg');

const engines: Engine[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.stop()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'kinora engine ')); // with a space, on purpose
  folders.push(folder);
  return folder;
}

export function engineOptions(folder: string, overrides: Partial<EngineOptions> = {}): EngineOptions {
  return {
    packPath: tinyPack,
    device: 'cpu',
    threads: 1,
    cachePath: path.join(folder, 'cache'),
    cacheMemoryBytes: 64 * 2 ** 20,
    cacheDiskBytes: 64 * 2 ** 20,
    ffmpegPath,
    ...overrides,
  };
}

/** An engine that afterEach stops. */
export function startEngine(
  folder: string,
  settings: Partial<EngineSettings> = {},
  options: Partial<EngineOptions> = {},
  onInfo: (fields: object) => void = () => {},
): Engine {
  const quiet = () => {};
  const logger = { debug: quiet, info: onInfo, warn: quiet, error: quiet };
  const engine = Engine.start(engineOptions(folder, options), { restartDelayMs: 50, ...settings }, logger);
  engines.push(engine);
  return engine;
}

/** One warm engine for a whole describe block: most of a test's time is loading the pack. */
export function sharedEngine(): () => Engine {
  let engine: Engine | undefined;
  let folder = '';
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'kinora shared '));
    engine = Engine.start(engineOptions(folder), { restartDelayMs: 50 });
    await engine.ready();
  });
  afterAll(async () => {
    await engine?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    if (!engine) throw new Error('the shared engine starts in beforeAll');
    return engine;
  };
}

/** A clip of well under a second. */
export function quickJob(folder: string, overrides: Partial<EngineJob> = {}): EngineJob {
  return {
    id: 'quick',
    imagePath: picture,
    outPath: path.join(folder, 'quick.mp4'),
    prompt: 'camera slowly zooming in',
    negativePrompt: '',
    seed: 1,
    width: 64,
    height: 64,
    numFrames: 4,
    numInferenceSteps: 2,
    guidanceScale: 9,
    guidanceEnd: 1,
    targetFps: 8,
    scheduler: 'ddim',
    featureReuse: 1,
    decodeChunkSize: 2,
    fps: 8,
    loop: false,
    smooth: 1,
    ...overrides,
  };
}

/** A clip that takes many seconds, in steps of about a tenth of a second. */
export function slowJob(folder: string, overrides: Partial<EngineJob> = {}): EngineJob {
  return quickJob(folder, {
    id: 'slow',
    outPath: path.join(folder, 'slow.mp4'),
    width: 128,
    height: 128,
    numFrames: 16,
    numInferenceSteps: 100,
    decodeChunkSize: 1,
    ...overrides,
  });
}

/** Calls `act` once, when the job reports the phase with at least `done` steps done. */
export function once(
  phase: ProgressEvent['phase'],
  done: number,
  act: () => void,
): (event: ProgressEvent) => void {
  let isDone = false;
  return (event) => {
    if (isDone || event.phase !== phase || event.done < done) return;
    isDone = true;
    act();
  };
}

/** Names of all files in a folder but the cache, sorted. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name !== 'cache')
    .sort();
}

interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  readonly command: string;
}

/** All running processes, without zombies. */
export function processes(): ProcessEntry[] {
  return execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null && !match[3]?.startsWith('Z'))
    .map((match) => ({ pid: Number(match?.[1]), parentPid: Number(match?.[2]), command: match?.[4] ?? '' }));
}

export function isRunning(pid: number): boolean {
  return processes().some((entry) => entry.pid === pid);
}

/** The ffmpeg processes whose command line names the folder. */
export function ffmpegIn(folder: string): number[] {
  return processes()
    .filter(({ command }) => /^\S*\bffmpeg /.test(command) && command.includes(folder))
    .map(({ pid }) => pid);
}

/** Waits until the condition holds; fails the test with `what` when it does not in time. */
export async function until(what: string, condition: () => boolean, deadlineMs = 120_000): Promise<void> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > deadlineMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
