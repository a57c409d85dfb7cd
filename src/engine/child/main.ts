/**
 * Entry of the engine child: owns the ONNX sessions, loads the pack once and serves one job after another. Talks over the
 * IPC channel only (protocol.ts) and reads no configuration.
 *
 * It exits on "stop" and when the channel closes. While a native run blocks the main thread, a watching thread ends it
 * when the parent is gone. It ignores the signals that a service manager sends to the whole group: the parent acts.
 */
import { Worker } from 'node:worker_threads';
import { isKinoraError, serializeError } from '../../errors.ts';
import { temporaryFilesOf } from '../../video/output-file.ts';
import type { EngineJob, EngineOptions, FromEngine, ToEngine } from '../protocol.ts';
import type { LoadedEngine } from './load.ts';

/** The child outlives its parent by poll + grace at most: well under two seconds. */
const parentPollMs = 250;
const parentGraceMs = 1000;

const parentPid = Number(process.argv[2] ?? process.ppid);
const parentWatch = new Worker(new URL('./parent-watch.mjs', import.meta.url), {
  workerData: { parentPid, pollMs: parentPollMs, graceMs: parentGraceMs },
  execArgv: [],
});
parentWatch.unref();

let loaded: LoadedEngine | null = null;
let current: {
  readonly job: EngineJob;
  readonly abort: AbortController;
  readonly done: Promise<void>;
} | null = null;
let leaving = false;

/** Resolves when the message was handed to the operating system. */
function send(message: FromEngine): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected || !process.send) resolve();
    else process.send(message, () => resolve());
  });
}

async function load(options: EngineOptions): Promise<void> {
  const startedAt = performance.now();
  try {
    // Not imported at the top: a native library that cannot be loaded must become a message, not a silent exit.
    const { loadEngine } = await import('./load.ts');
    loaded = await loadEngine(options);
  } catch (error) {
    await send({ type: 'failed-to-start', error: serializeError(error) });
    return;
  }
  await send({
    type: 'ready',
    model: loaded.model,
    warmUp: loaded.warmUp,
    loadMs: performance.now() - startedAt,
    ...standing(),
  });
}

const standing = () => ({ rssBytes: process.memoryUsage.rss(), loaded: loaded?.loaded() ?? [] });

async function serve(
  engine: LoadedEngine,
  { job, tempPath, leastMemory }: Extract<ToEngine, { type: 'job' }>,
  signal: AbortSignal,
): Promise<void> {
  parentWatch.postMessage(Object.values(temporaryFilesOf(tempPath)));
  let answer: FromEngine;
  try {
    const result = await engine.runJob(job, {
      tempPath,
      signal,
      leastMemory,
      onProgress: ({ phase, done, total }) => {
        void send({ type: 'progress', jobId: job.id, phase, done, total });
      },
      onAlive: () => {
        void send({ type: 'alive', jobId: job.id });
      },
    });
    answer = { type: 'result', result, ...standing() };
  } catch (error) {
    if (!isKinoraError(error)) console.error(error); // the parent logs it; the user gets the sentence only
    const serialized = signal.aborted
      ? ({ code: 'CANCELLED', message: 'The job was cancelled.' } as const)
      : serializeError(error);
    answer = { type: 'error', jobId: job.id, error: serialized, ...standing() };
  }
  parentWatch.postMessage([]);
  current = null;
  await send(answer);
}

async function leave(): Promise<never> {
  if (!leaving) {
    leaving = true;
    current?.abort.abort();
    await current?.done;
    await loaded?.close();
    process.exit(0);
  }
  return new Promise(() => {});
}

process.on('message', (message: ToEngine) => {
  switch (message.type) {
    case 'start':
      void load(message.options);
      return;
    case 'job': {
      if (leaving || !loaded || current) {
        // A fault of the supervisor: it must get an answer all the same.
        const error = {
          code: 'INTERNAL',
          message: 'The engine was given a job while it could not take one.',
        } as const;
        void send({ type: 'error', jobId: message.job.id, error, ...standing() });
        return;
      }
      const abort = new AbortController();
      const engine = loaded;
      // A microtask later, so that `current` is set whatever the job does first.
      const done = Promise.resolve().then(() => serve(engine, message, abort.signal));
      current = { job: message.job, abort, done };
      return;
    }
    case 'cancel':
      if (current?.job.id === message.jobId) current.abort.abort();
      return;
    case 'forget':
      loaded?.forget(message.named); // a cache that is not there yet holds nothing
      return;
    case 'stop':
      void leave();
      return;
  }
});

process.on('disconnect', () => void leave());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error) => {
    // State unknown: the supervisor sees the exit, says so and starts another child.
    console.error(event, error);
    process.exit(70);
  });
}
