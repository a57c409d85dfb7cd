/** A lease that another bot may hold, as a watcher sees it: by the watcher's own clock, whatever the time is elsewhere. */
import { uptime } from 'node:os';
import { withDeadline } from '../deadline.ts';
import type { BotEntry } from './bot-registry.ts';
import { diedHere } from './worker-registry.ts';

export interface LeaseTimes {
  /** After the last renewal. A failover of Redis takes 3 to 7 s. */
  readonly lastsMs: number;
  /** Its holder stops so long before somebody else may begin: clocks differ, and ending takes its moment. */
  readonly marginMs: number;
  readonly renewEveryMs: number;
  /** How often a bot that stands by looks. */
  readonly lookEveryMs: number;
}

export const usualTimes: LeaseTimes = {
  lastsMs: 10_000,
  marginMs: 1_000,
  renewEveryMs: 1_000,
  lookEveryMs: 500,
};

/** A look or a renewal that is not answered by then failed: Redis is away. */
export const answerWithinMs = 2_000;
/** How often it is said that Redis does not take what the holder of a lease, or one that would hold it, has to write. */
export const tellEveryMs = 60_000;
/** How often the holder of a lease asks its clock whether it still holds it. */
export const checkEveryMs = 200;

/** @throws Error when Redis does not answer in time */
export async function answered(reply: Promise<unknown>): Promise<unknown> {
  const late = (): never => {
    throw new Error('Redis does not answer');
  };
  return await withDeadline(answerWithinMs, reply, late);
}

/** A dead bot's lease is taken after looks over so long, without a failed one: the first may come from a lagging replica. */
const steadyMs = 1_500;

/** What a lease says whose bot gave it up. */
export const free = 'free';

/** The id of a bot, and how often it has renewed its lease. */
export const idOf = (lease: string): string => lease.split(' ')[0] ?? '';

const began = { ms: performance.now(), upS: uptime() };
/**
 * Ms by clocks that nobody sets. The monotonic one stops while a machine sleeps, in which time another bot may have taken
 * over; that of the uptime goes on.
 */
export const steadyNow = (): number => Math.max(performance.now() - began.ms, (uptime() - began.upS) * 1_000);

export class WatchedLease {
  readonly #times: LeaseTimes;
  /** As it was last seen, '' where there is none. */
  #lease = '';
  /** When another bot's renewal was last seen first, or may last have been made. */
  #changedAt = Number.NEGATIVE_INFINITY;

  constructor(times: LeaseTimes) {
    this.#times = times;
  }

  /** What a look found. */
  note(lease: string): void {
    const isRenewed = lease !== '' && lease !== free && lease !== this.#lease;
    // Redis has lost it: since the last look another bot may have taken what was free.
    const isLost = lease === '' && this.#lease === free;
    if (isRenewed || isLost) this.#changedAt = steadyNow();
    this.#lease = lease;
  }

  get isFree(): boolean {
    return this.#lease === free;
  }

  /**
   * What the lease has to be so that it may be replaced now; one that was given up always may.
   * @param steadySince since when every look was answered
   * @param others the other bots, asked for where they matter
   */
  async takeable(steadySince: number, others: () => Promise<readonly BotEntry[]>): Promise<string> {
    const lease = this.#lease;
    const now = steadyNow();
    const { lastsMs, marginMs } = this.#times;
    if (lease === free) return free;
    if (this.#changedAt === Number.NEGATIVE_INFINITY) {
      // Nobody was ever seen to hold it: the database is new, its bot died long ago, or Redis has lost the lease.
      const isAccompanied = async (): Promise<boolean> =>
        (await others()).some((bot) => bot.isAlive && !diedHere(bot));
      return now - steadySince >= lastsMs || !(await isAccompanied()) ? '' : free;
    }
    // Redis has let it expire, as far as its clock can be trusted; where it has not, it is late.
    const isOver = now - this.#changedAt >= (lease === '' ? lastsMs : lastsMs + marginMs);
    if (isOver && now - steadySince >= steadyMs) return lease;
    const holder = lease === '' ? undefined : (await others()).find(({ id }) => id === idOf(lease));
    return holder && diedHere(holder) ? lease : free;
  }
}
