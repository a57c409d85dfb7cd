/** The test's end of engine-worker.ts: starts the process, hears what it says, ends it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { JobRequest } from '../../src/queue/jobs.ts';
import { filesOf } from '../helpers/job-files.ts';
import { eventually, type Harness } from '../helpers/queue-harness.ts';
import type { EngineWorkerEvent, EngineWorkerOptions } from './engine-worker.ts';

const script = fileURLToPath(new URL('./engine-worker.ts', import.meta.url));
const picture = fileURLToPath(new URL('../fixtures/pictures/grey.jpg', import.meta.url));

export type Heard = Extract<EngineWorkerEvent, { type: 'progress' }>;

export class EngineWorkerHandle {
  readonly process: ChildProcess;
  enginePid: number | null = null;
  loadMs = 0;
  maxLagMs = 0;
  maxOwnLagMs = 0;
  /** When the engine first worked on a job, in ms since the epoch; a model that loads is no work. */
  firstWorkAt: number | null = null;
  /** Called for every progress that the worker reports. */
  onProgress: (progress: Heard) => void = () => {};
  #isServing = false;

  private constructor(options: EngineWorkerOptions) {
    const loader = createRequire(import.meta.url).resolve('tsx');
    this.process = spawn(process.execPath, ['--import', loader, script, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (!this.process.stdout) throw new Error('a piped child has stdout');
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      this.#hear(JSON.parse(line) as EngineWorkerEvent); // our own child
    });
  }

  /** Does not wait until it serves. Whoever starts it ends it. */
  static start(
    harness: Harness,
    over: Partial<Pick<EngineWorkerOptions, 'graceMs' | 'engine'>> = {},
  ): EngineWorkerHandle {
    const { folder, runLog, server } = harness;
    return new EngineWorkerHandle({
      address: server.address,
      folder,
      runLog,
      graceMs: 0,
      engine: {},
      ...over,
    });
  }

  #hear(event: EngineWorkerEvent): void {
    if (event.type === 'engine') this.enginePid = event.pid;
    if (event.type === 'lag') {
      this.maxLagMs = event.maxMs;
      this.maxOwnLagMs = event.maxOwnMs;
    }
    if (event.type === 'serving') {
      this.#isServing = true;
      this.loadMs = event.loadMs;
    }
    if (event.type === 'progress') {
      if (event.phase !== 'loading') this.firstWorkAt ??= Date.now();
      this.onProgress(event);
    }
  }

  async serving(): Promise<this> {
    await eventually('the worker serves', () => this.#isServing);
    return this;
  }

  get isAlive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  signalEngine(signal: NodeJS.Signals): void {
    if (this.enginePid === null) return;
    try {
      process.kill(this.enginePid, signal);
    } catch {
      // It has just ended by itself.
    }
  }

  /** Sends the signal and waits for the end. Resolves with the exit code. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.isAlive) return this.process.exitCode;
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    await ended;
    // One that we froze cannot see that its parent is gone.
    this.signalEngine('SIGCONT');
    return this.process.exitCode;
  }
}

/** A request that the tiny pack answers within a second; `over` makes it longer. */
export async function engineRequest(
  harness: Harness,
  id: string,
  userKey = 'test:ann',
  over: Partial<JobRequest['generation']> = {},
): Promise<JobRequest> {
  const { folder, image } = filesOf(harness.artifacts, `t-${id}`);
  await mkdir(folder, { recursive: true });
  await copyFile(picture, image);
  const generation = {
    prompt: 'zoom in',
    preset: 'fast',
    seed: 1,
    size: '64',
    numFrames: 4,
    numInferenceSteps: 2,
    ...over,
  };
  return { id: `t-${id}`, userKey, generation, replyTo: {} };
}

/** Of many steps: there is time to do something to it. */
export const longGeneration = { size: '128', numFrames: 16, numInferenceSteps: 50 } as const;
