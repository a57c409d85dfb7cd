/** Answers within a time, or none. */
import { setTimeout as sleep } from 'node:timers/promises';

/** The result of `work`, or what `late` returns or throws when it takes longer than `ms`. The work itself goes on. */
export async function withDeadline<T, L>(ms: number, work: Promise<T>, late: () => L): Promise<T | L> {
  const timer = new AbortController();
  try {
    return await Promise.race([work, sleep(ms, undefined, { signal: timer.signal }).then(late)]);
  } finally {
    timer.abort();
  }
}
