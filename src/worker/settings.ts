/** What a JobWorker may be told; everything has a default. */
import type { Artifact } from '../queue/jobs.ts';

export interface WorkerSettings {
  /** BullMQ's lock; renewed at a third of it. */
  readonly lockDurationMs: number;
  readonly stalledIntervalMs: number;
  /** How often jobs of dead workers are taken back. */
  readonly reclaimEveryMs: number;
  /** Deaths of the engine or its ffmpeg under one job before the job is given up. */
  readonly maxEngineDeaths: number;
  /** How often a running job checks whether it was cancelled: the message may be lost. */
  readonly cancelPollMs: number;
  /** How long a job waits that met a full disk, or a storage that did not answer. */
  readonly fullDiskWaitMs: number;
  readonly device: string;
  /** The models whose jobs it makes; the first also makes those that name none. */
  readonly models: readonly string[];
  /** Those of them that are ready: they are preferred among jobs that are about equally next. */
  readonly loaded: () => readonly string[];
  /** For how long it begins no job. */
  readonly quietMs: () => number;
  /** Hears of each video whose record is stored. */
  readonly onMade: (jobId: string, artifact: Artifact) => void;
  /** Credits per preset, for videos that had to be made smaller than they were asked for. */
  readonly costs: Readonly<Record<string, number>>;
}

export const defaultWorkerSettings: WorkerSettings = {
  lockDurationMs: 60_000,
  stalledIntervalMs: 3_000,
  reclaimEveryMs: 5_000,
  maxEngineDeaths: 3,
  cancelPollMs: 1_000,
  fullDiskWaitMs: 10_000,
  device: 'cpu',
  models: [],
  loaded: () => [],
  quietMs: () => 0,
  onMade: () => {},
  costs: {},
};
