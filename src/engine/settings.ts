/** How long the supervisor waits for its child, and when it replaces it. Pure decisions; knows no process. */
import type { WatchdogSettings } from './watchdog.ts';

export interface EngineSettings extends WatchdogSettings {
  /** From fork to "ready". Large packs are read from slow disks. */
  readonly loadDeadlineMs: number;
  /** How long the child may take to leave when asked to. */
  readonly stopGraceMs: number;
  /** The child is replaced, between jobs, after this many. */
  readonly maxJobsPerChild: number;
  /** The child is replaced, between jobs, when its memory, cache aside, has grown by more than this since its first job. */
  readonly maxRssGrowthBytes: number;
  /** Children in a row that may die without serving before the engine gives up. */
  readonly maxStartAttempts: number;
  /** Wait before the second attempt; doubled for each one after. */
  readonly restartDelayMs: number;
  /** An idle child leaves after this, so that others may use the device; undefined: it stays. */
  readonly idleUnloadMs?: number | undefined;
}

export const defaultEngineSettings: EngineSettings = {
  minSilenceMs: 15_000,
  silenceFactor: 5,
  firstStepMs: 600_000,
  loadDeadlineMs: 600_000,
  // With the watchdog's tick: ten seconds at worst.
  cancelGraceMs: 9_000,
  stopGraceMs: 5_000,
  maxJobsPerChild: 500,
  maxRssGrowthBytes: 1024 ** 3,
  maxStartAttempts: 3,
  restartDelayMs: 500,
};

/** Failures to start that may pass by themselves. A missing pack will still be missing in a second. */
const retryableStartCodes: ReadonlySet<string> = new Set(['INTERNAL', 'OUT_OF_MEMORY', 'ENGINE_CRASHED']);
/** After these a session or a device may be in a bad state (a failed CUDA context stays failed), so start afresh. */
const recycleAfterCodes: ReadonlySet<string> = new Set(['INTERNAL', 'OUT_OF_MEMORY', 'DEVICE_UNAVAILABLE']);

/** What the present child has done since it started, after the job with this error or none. */
interface Served {
  readonly errorCode: string | undefined;
  readonly jobs: number;
  /** Growth of its memory since its first job, less what the cache may take. */
  readonly rssGrowthBytes: number;
}

/** Why the child is to be replaced before the next job; undefined when it may go on. */
export function recycleReason(
  { errorCode, jobs, rssGrowthBytes }: Served,
  { maxJobsPerChild, maxRssGrowthBytes }: EngineSettings,
): string | undefined {
  if (errorCode !== undefined && recycleAfterCodes.has(errorCode)) return `error ${errorCode}`;
  if (jobs >= maxJobsPerChild) return `${jobs} jobs`;
  if (rssGrowthBytes > maxRssGrowthBytes)
    return `memory grown by ${Math.round(rssGrowthBytes / 2 ** 20)} MiB`;
  return undefined;
}

/**
 * Wait before the next start after the `failures`-th in a row failed with this code, in milliseconds; undefined when
 * there is no point in another.
 */
export function restartDelay(
  code: string,
  failures: number,
  { maxStartAttempts, restartDelayMs }: EngineSettings,
): number | undefined {
  if (!retryableStartCodes.has(code) || failures >= maxStartAttempts) return undefined;
  return restartDelayMs * 2 ** (failures - 1);
}
