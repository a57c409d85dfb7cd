/**
 * Renews the locks of the jobs that a worker of BullMQ has. BullMQ's own renewal compares times of the machine's clock:
 * when that is set back it renews nothing until the old time has come again, and running jobs are made twice. Timers
 * know no clock.
 */
import type { Worker } from 'bullmq';

export class LockRenewal {
  readonly #tokens = new Map<string, string>();
  readonly #timer: NodeJS.Timeout;

  /** @param worker made with `skipLockRenewal` */
  constructor(
    worker: Pick<Worker, 'extendJobLocks'>,
    lockDurationMs: number,
    onError: (error: Error) => void,
  ) {
    const renew = async (): Promise<void> => {
      if (this.#tokens.size === 0) return;
      const [ids, tokens] = [[...this.#tokens.keys()], [...this.#tokens.values()]];
      const lost = await worker.extendJobLocks(ids, tokens, lockDurationMs);
      // One that has ended meanwhile has no lock.
      const held = lost.filter((jobId) => this.#tokens.has(jobId));
      if (held.length > 0) onError(new Error(`could not renew the locks of ${held.join(', ')}`));
    };
    this.#timer = setInterval(() => void renew().catch(onError), lockDurationMs / 3).unref();
  }

  /** Keeps a job's lock for as long as `work` takes. */
  async during<T>(jobId: string, token: string | undefined, work: () => Promise<T>): Promise<T> {
    if (token !== undefined) this.#tokens.set(jobId, token);
    try {
      return await work();
    } finally {
      if (this.#tokens.get(jobId) === token) this.#tokens.delete(jobId);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
