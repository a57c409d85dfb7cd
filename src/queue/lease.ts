/**
 * Of several bots over one Redis one leads: it alone talks to the chats, but for shards of Discord that bots share (see
 * shard-leases.ts). Redis is only the register in which the leader counts its renewals; how long the last one holds is
 * judged by monotonic clocks on both sides, so no clock that is set lets two lead. docs/decisions/0017-one-bot-leads.md says
 * what that rests on, and what remains.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import { type BotBeat, type BotEntry, botEntries } from './bot-registry.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { runScript } from './scripts.ts';
import { writeJson } from './stored-json.ts';
import {
  answered,
  checkEveryMs,
  idOf,
  type LeaseTimes,
  steadyNow,
  tellEveryMs,
  usualTimes,
  WatchedLease,
} from './watched-lease.ts';
import { diedHere, processSpace } from './worker-registry.ts';

/** Redis answers, but takes no writes: full, without a disk, or without a replica. In older ones the code comes later. */
const takesNoWrites = /\b(OOM|MISCONF|NOREPLICAS) /;
const replySchema = z.tuple([z.string(), z.int()]);

export class Lease {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #log: Logger;
  readonly #times: LeaseTimes;
  /** Of this bot, for as long as its process lives. */
  readonly id = randomUUID();
  #onLost: (() => void) | undefined;
  #state: 'standing by' | 'leading' | 'over' = 'standing by';
  #heldUntil = Number.NEGATIVE_INFINITY;
  /** Whether no other bot had been heard of for two minutes at the last answer. */
  #isAlone = false;
  /** Attempts in a row that failed, of those begun after the lease was over. */
  #failures = 0;
  #renewing: Promise<void> | undefined;
  #timers: NodeJS.Timeout[] = [];
  readonly #watched: WatchedLease;
  readonly #shards: number | undefined;
  /** Since when every look was answered. */
  #steadySince = Number.POSITIVE_INFINITY;
  #toldAt = Number.NEGATIVE_INFINITY;

  /**
   * @param redis a fail-fast connection of its own, so that nothing delays a renewal; the caller closes it
   * @param shards into how many all bots divide Discord; absent where they do not
   */
  constructor(redis: Redis, keys: Keys, log: Logger, shards?: number, times: LeaseTimes = usualTimes) {
    this.#redis = redis;
    this.#keys = keys;
    this.#log = log;
    this.#times = times;
    this.#watched = new WatchedLease(times);
    this.#shards = shards;
  }

  get leads(): boolean {
    return this.#state === 'leading';
  }

  /** Whether it leads, or did. */
  get hasBegun(): boolean {
    return this.#heldUntil > Number.NEGATIVE_INFINITY;
  }

  /** Whether another bot leads next when this one ends. */
  get isFollowed(): boolean {
    return !this.#isAlone;
  }

  /**
   * Stands by until this process leads, and renews the lease from then on.
   * @param signal ends the wait
   * @param onStandingBy called once when it cannot lead at once; what it throws ends the wait, too
   * @param onLost called once when this one does not lead any more: before it returns, everything has to end
   * @returns whether it leads
   */
  async lead(signal: AbortSignal, onStandingBy: () => Promise<void>, onLost: () => void): Promise<boolean> {
    this.#onLost = onLost;
    let isStandingBy = false;
    while (!signal.aborted) {
      await this.#look();
      if (this.leads) return true;
      if (!isStandingBy) {
        isStandingBy = true;
        this.#log.info('standing by: another bot leads, did so a moment ago, or Redis does not say');
        await onStandingBy();
      }
      await sleep(this.#times.lookEveryMs, undefined, { signal }).catch(() => {});
    }
    await this.leave();
    return false;
  }

  async #look(): Promise<void> {
    try {
      const expected = await this.#watched.takeable(this.#steadySince, () => this.#others());
      const sentAt = steadyNow();
      const { lease, others } = await this.#ask('take', expected);
      if (idOf(lease) === this.id) {
        this.#begin(sentAt, others);
        if (others > 0) void this.#removeDead().catch(() => {}); // they are forgotten after two minutes
      } else {
        this.#steadySince = Math.min(this.#steadySince, sentAt);
        this.#watched.note(lease);
      }
    } catch (error) {
      this.#steadySince = Number.POSITIVE_INFINITY;
      this.#tell(error, 'Redis does not say which bot leads, or takes no writes');
      if (takesNoWrites.test(String(error)) && (await this.#isOnly().catch(() => false))) {
        this.#begin(steadyNow(), 0);
      }
    }
  }

  /** One line a minute, with the words of Redis. */
  #tell(error: unknown, what: string): void {
    if (steadyNow() - this.#toldAt < tellEveryMs) return;
    this.#toldAt = steadyNow();
    this.#log.warn({ err: String(error) }, what);
  }

  /** Whether Redis knows of no other bot at all: then this one tells people why Kinora is not available. */
  async #isOnly(): Promise<boolean> {
    if (await this.#redis.get(this.#keys.leader)) return false;
    const bots = await botEntries(this.#redis, this.#keys);
    const gone = bots.filter((bot) => bot.id === this.id || diedHere(bot));
    return (await this.#redis.hlen(this.#keys.bots)) === gone.length;
  }

  async #others(): Promise<BotEntry[]> {
    return (await botEntries(this.#redis, this.#keys)).filter(({ id }) => id !== this.id);
  }

  /** Those that died here lead nothing again: without their entries the next renewal finds this bot alone, if it is. */
  async #removeDead(): Promise<void> {
    const dead = (await this.#others()).filter(diedHere).map(({ id }) => id);
    if (dead.length > 0) await this.#redis.hdel(this.#keys.bots, ...dead);
  }

  #begin(sentAt: number, others: number): void {
    if (this.#state === 'over') return; // it was left while the answer was on its way
    this.#state = 'leading';
    this.#hold(sentAt, others);
    const renew = setInterval(() => void this.#renew(), this.#times.renewEveryMs);
    const check = setInterval(() => this.#isHeld(), checkEveryMs);
    this.#timers = [renew, check];
  }

  #hold(sentAt: number, others: number): void {
    const { lastsMs, marginMs } = this.#times;
    this.#heldUntil = Math.max(this.#heldUntil, sentAt + lastsMs - marginMs);
    this.#isAlone = others === 0;
    this.#failures = 0;
  }

  /** Resolves when an answer has come, or none. */
  #renew(): Promise<void> {
    this.#renewing ??= this.#tryToRenew().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  async #tryToRenew(): Promise<void> {
    const sentAt = steadyNow();
    try {
      const { lease, others } = await this.#ask('hold');
      if (idOf(lease) === this.id) this.#hold(sentAt, others);
      else this.#lose('another bot leads now');
    } catch (error) {
      if (sentAt > this.#heldUntil) this.#failures++;
      this.#tell(error, 'the lease could not be renewed');
    }
  }

  /** Ends the leadership where somebody else may have begun. */
  #isHeld(): boolean {
    if (steadyNow() <= this.#heldUntil) return true;
    if (!this.#isAlone) this.#lose('the lease could not be renewed in time, and another bot stands by');
    return false;
  }

  /**
   * To be asked before anything is said to a chat: a process that was frozen may go on in the middle of what it did. Where
   * no other bot was heard of, one that cannot reach Redis goes on: nobody else could tell people that Kinora is not available.
   */
  async mayAct(): Promise<boolean> {
    if (this.leads && this.#isHeld()) return true;
    // It has slept, unless attempts since then have failed; the first one may only have found that its connection is dead.
    while (this.leads && steadyNow() > this.#heldUntil && this.#failures < 2) await this.#renew();
    return this.leads;
  }

  #lose(why: string): void {
    if (this.#state !== 'leading') return;
    this.#end();
    this.#log.error(`${why}: this one stops at once`);
    this.#onLost?.();
  }

  #end(): void {
    this.#state = 'over';
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** Lets another bot begin at once. Called when nothing is done any more. */
  async leave(): Promise<void> {
    this.#end();
    await this.#ask('leave').catch(() => {}); // it runs out by itself
  }

  async #ask(act: 'hold' | 'take' | 'leave', expected = ''): Promise<{ lease: string; others: number }> {
    const shards = this.#shards === undefined ? {} : { shards: this.#shards };
    const beat: Omit<BotBeat, 'beatAt'> = { pid: process.pid, host: processSpace(), ...shards };
    const args = [this.id, writeJson(beat), this.#times.lastsMs, act, expected];
    const reply = runScript(this.#redis, 'lead', this.#keys, {}, args);
    const [lease, others] = replySchema.parse(await answered(reply));
    return { lease, others };
  }
}
