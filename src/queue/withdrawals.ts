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

interface KeptWithdrawal extends Withdrawal {
  /** Of its file: one that was being written as the process died is called otherwise. */
  readonly name: string;
}

export class Withdrawals {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Keeps one until `work` has brought it to Redis; where that fails, for the bot that leads. */
  async keepDuring(withdrawal: Withdrawal, work: Promise<unknown>): Promise<void> {
    const keeping = this.#storage.put({ folder, name: nameOf(withdrawal) }, '').catch(() => false);
    await work;
    if (await keeping) await this.#remove(nameOf(withdrawal));
  }

  async #remove(name: string): Promise<void> {
    await this.#storage.remove(folder, [name]);
  }

  async has(withdrawal: Withdrawal): Promise<boolean> {
    return (await this.#storage.head({ folder, name: nameOf(withdrawal) })) !== undefined;
  }

  /**
   * Makes those that are left, and forgets them. One that fails is left for the next time.
   * @param withdraw resolves to whether there was something to withdraw
   */
  async makeLeft(withdraw: (withdrawal: Withdrawal) => Promise<boolean>, log: Logger): Promise<void> {
    for (const { name, jobId, callId } of await this.left()) {
      try {
        const isWithdrawn = await withdraw({ jobId, callId });
        await this.#remove(name);
        if (isWithdrawn) log.info({ jobId }, 'withdrew a request that was answered as Redis was away');
      } catch (error) {
        log.warn({ jobId, err: String(error) }, 'a request could not be withdrawn; it is tried again');
      }
    }
  }

  async left(): Promise<KeptWithdrawal[]> {
    const { files = [] } = (await this.#storage.look(folder)) ?? {};
    return files.flatMap(({ name }) => {
      const [callId, jobId] = name.split('.');
      return callId && jobId ? { name, jobId, callId } : [];
    });
  }
}
