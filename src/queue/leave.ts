/** What a process does with jobs whose records are newer than it: they wait for a process of the newer version. */
import { DelayedError, type Job } from 'bullmq';
import type { Logger } from '../log.ts';
import { NewerRecord } from './contract.ts';
import { untilRedisCan } from './redis.ts';

/** After which a process takes such a job in hand again; if it is newer itself, it serves it. */
const pauseMs = { least: 5_000, most: 60_000 };
/** Many that wait for long would keep a worker from its own jobs. */
const pausePerAge = 0.1;
/** One line for all that wait, not one for each and every look. */
const tellEveryMs = 60_000;

let toldAt = Number.NEGATIVE_INFINITY;

/** Says in the log why a job waits. */
export function tellOfNewer(log: Logger, jobId: string): void {
  if (performance.now() - toldAt < tellEveryMs) return;
  toldAt = performance.now();
  log.warn(
    { jobId },
    'what a newer version of Kinora wrote is left alone: it waits for a process of that version',
  );
}

/**
 * Serves a job of BullMQ. Where its records are newer it goes back instead, for whoever takes it after a pause: no attempt
 * is counted, and the ledger hears nothing.
 */
export async function leavingNewer(
  job: Job,
  token: string | undefined,
  log: Logger,
  serve: () => Promise<void>,
): Promise<void> {
  try {
    await serve();
  } catch (error) {
    if (!(error instanceof NewerRecord)) throw error;
    tellOfNewer(log, job.id ?? '');
    const now = Date.now();
    const pause = Math.min(pauseMs.most, Math.max(pauseMs.least, (now - job.timestamp) * pausePerAge));
    await untilRedisCan(() => job.moveToDelayed(now + Math.round(pause), token));
    throw new DelayedError();
  }
}
