/**
 * Requests whose people were told "not available" and that Redis has not heard of yet, kept with the files of jobs: the process
 * that told them may end before Redis is back, and the bot that leads withdraws them.
 */
import type { Logger } from '../log.ts';
import type { Storage } from '../storage/storage.ts';

/** Not the name of a job's folder. */
const folder = 'withdrawn';

export interface Withdrawal {
  readonly jobId: string;
  /** Of JobClient.submit(). */
  readonly callId: string;
}

/** All that there is to say is in the name. */
const nameOf = ({ jobId, callId }: Withdrawal): string => `${callId}.${jobId}`;

export class Withdrawals {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Keeps one until `work` has brought it to Redis; where that fails, for the bot that leads. */
  async keepDuring(withdrawal: Withdrawal, work: Promise<unknown>): Promise<void> {
    const keeping = this.#storage.put({ folder, name: nameOf(withdrawal) }, '').catch(() => false);
    await work;
    if (await keeping) await this.remove(withdrawal);
  }

  async remove(withdrawal: Withdrawal): Promise<void> {
    await this.#storage.remove(folder, [nameOf(withdrawal)]);
  }

  async has(withdrawal: Withdrawal): Promise<boolean> {
    return (await this.#storage.head({ folder, name: nameOf(withdrawal) })) !== undefined;
  }

  /** @param withdraw resolves to whether there was something to withdraw */
  async makeLeft(withdraw: (withdrawal: Withdrawal) => Promise<boolean>, log: Logger): Promise<void> {
    for (const withdrawal of await this.left()) {
      const isWithdrawn = await withdraw(withdrawal);
      await this.remove(withdrawal);
      if (!isWithdrawn) continue;
      log.info({ jobId: withdrawal.jobId }, 'withdrew a request that was answered as Redis was away');
    }
  }

  async left(): Promise<Withdrawal[]> {
    const { files = [] } = (await this.#storage.look(folder)) ?? {};
    return files.flatMap(({ name }) => {
      const [callId, jobId] = name.split('.');
      return callId && jobId ? { jobId, callId } : [];
    });
  }
}
