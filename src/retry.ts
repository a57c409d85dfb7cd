/** Repeats what may succeed later. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Repeats `work` until it succeeds, or until its error is one that does not pass.
 * @param pauseMs time until the next attempt, or undefined to give up; attempts count from 1
 * @throws the last error of `work`, or the reason of `signal`
 */
export async function retry<T>(
  work: () => Promise<T>,
  pauseMs: (error: unknown, attempt: number) => number | undefined,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const ms = pauseMs(error, attempt);
      if (ms === undefined) throw error;
      await sleep(ms, undefined, signal ? { signal } : {});
    }
  }
}
