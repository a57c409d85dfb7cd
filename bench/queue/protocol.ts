/** Messages between the bench of the queue and its worker process. */

export interface WorkerOptions {
  readonly socketPath: string;
  readonly packPath: string;
  readonly threads: number;
  readonly jobsFolder: string;
  readonly cacheFolder: string;
}

/** How late timers of the worker's event loop were, in ms. */
export interface Lag {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export type ToBench =
  | { readonly type: 'serving' }
  /** Clock of the whole machine, in ms. */
  | { readonly type: 'started'; readonly jobId: string; readonly at: number }
  | { readonly type: 'made'; readonly jobId: string; readonly totalMs: number; readonly stepMs: number }
  | { readonly type: 'lag'; readonly lag: Lag };

/** `reset` starts a new measurement, `lag` asks for its result. */
export type ToWorker = 'reset' | 'lag' | 'stop';

/** A clock that two processes share (CLOCK_MONOTONIC), in ms. */
export const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6;
