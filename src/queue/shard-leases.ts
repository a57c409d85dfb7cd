/**
 * Which of several bots serves which of Discord's shards. Each shard has a lease like that of the bot that leads, judged by
 * the same clocks. Every bot takes its share; a bot that loses one, or cannot renew in time, has to end as a whole.
 * docs/decisions/0018-shards-by-leases.md says why.
 */
import { z } from 'zod';
import type { Logger } from '../log.ts';
import { type BotEntry, botEntries } from './bot-registry.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { runScript } from './scripts.ts';
import { writeJson } from './stored-json.ts';
import {
  answered,
  checkEveryMs,
  free,
  idOf,
  type LeaseTimes,
  steadyNow,
  tellEveryMs,
  usualTimes,
  WatchedLease,
} from './watched-lease.ts';
import { diedHere } from './worker-registry.ts';

/** Of life until a newcomer is given shards: one that fails soon after each of its starts would cost all others their logins. */
const usualProbationMs = 30_000;

const replySchema = z.tuple([z.array(z.string()), z.int(), z.array(z.string())]);

export interface ShardOptions {
  /** Into how many shards all bots divide Discord. */
  readonly count: number;
  /** Of this bot, as its beats name it. */
  readonly botId: string;
  /** Whether no other bot has been heard of for long: then this one goes on without Redis. */
  readonly isAlone: () => boolean;
  readonly probationMs?: number;
}

/** Who serves the shards that this bot holds. */
export interface ShardServer {
  begin(shard: number): void;
  /** Resolves when nothing of the shard is taken any more, so that another bot may begin. */
  end(shard: number): Promise<void>;
}

/** Which shards each of the living bots serves, by id. */
export async function servedShards(
  redis: Redis,
  keys: Keys,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const [leases, bots] = await Promise.all([redis.hgetall(keys.shards), botEntries(redis, keys)]);
  const living = bots.filter((bot) => bot.isAlive && !diedHere(bot));
  const shardsOf = (id: string): number[] =>
    Object.entries(leases).flatMap(([shard, lease]) => (idOf(lease) === id ? [Number(shard)] : []));
  return new Map(living.map(({ id }) => [id, shardsOf(id).sort((a, b) => a - b)]));
}

export class ShardLeases {
  readonly count: number;
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #log: Logger;
  readonly #options: ShardOptions;
  readonly #times: LeaseTimes;
  readonly #onLost: () => void;
  readonly #watched: readonly WatchedLease[];
  /** Shards whose lease is this bot's, those included that it is about to give up. */
  readonly #held = new Set<number>();
  readonly #ending = new Set<number>();
  /** Shards that nothing is taken of any more, and whose lease is given up by the next beat. */
  readonly #ended = new Set<number>();
  #server: ShardServer | undefined;
  #isOver = false;
  #isLeaving = false;
  /** Other living bots that share the shards, as of the last answer: id → since when each was heard of in every one. */
  #sharers: ReadonlyMap<string, number> = new Map();
  #heldUntil = Number.NEGATIVE_INFINITY;
  /** Attempts in a row that failed, of those begun after the leases were over. */
  #failures = 0;
  #steadySince = Number.POSITIVE_INFINITY;
  #toldAt = Number.NEGATIVE_INFINITY;
  #beating: Promise<void> | undefined;
  #timers: NodeJS.Timeout[] = [];

  /**
   * @param redis a fail-fast connection of its own, so that nothing delays a renewal; the caller closes it
   * @param onLost called once when this bot may not act any more: before it returns, everything has to end
   */
  constructor(
    redis: Redis,
    keys: Keys,
    log: Logger,
    options: ShardOptions,
    onLost: () => void,
    times: LeaseTimes = usualTimes,
  ) {
    this.#redis = redis;
    this.#keys = keys;
    this.#log = log;
    this.#options = options;
    this.#onLost = onLost;
    this.#times = times;
    this.count = options.count;
    this.#watched = Array.from({ length: options.count }, () => new WatchedLease(times));
  }

  /** Those that this bot serves now. */
  get held(): readonly number[] {
    return [...this.#held].filter((shard) => !this.#ending.has(shard));
  }

  /** Takes its share as it becomes free, and gives up what is more than that once the others have lived for a while. */
  async start(server: ShardServer): Promise<void> {
    if (this.#isOver) return; // its process was asked to end meanwhile
    this.#server = server;
    const beat = setInterval(() => void this.#beat(), this.#times.renewEveryMs);
    const check = setInterval(() => this.#isHeld(), checkEveryMs);
    this.#timers = [beat, check];
    await this.#beat();
  }

  /**
   * To be asked before anything is said in Discord: a process that was frozen may go on in the middle of what it did. A bot
   * that is alone goes on without Redis.
   */
  async mayAct(): Promise<boolean> {
    if (!this.#isOver && this.#isHeld()) return true;
    // It has slept, unless attempts since then have failed; the first one may only have found that its connection is dead.
    while (!this.#isOver && steadyNow() > this.#heldUntil && this.#failures < 2) await this.#beat();
    return !this.#isOver && (steadyNow() <= this.#heldUntil || this.#options.isAlone());
  }

  /** Gives all shards up and takes no more, but goes on to act until leave(). */
  async giveUp(): Promise<void> {
    this.#isLeaving = true;
    await Promise.all(this.held.map((shard) => this.#end(shard)));
    await this.#beating;
    await this.#beat();
  }

  /** Called when nothing is done any more. */
  async leave(): Promise<void> {
    this.#stop();
    // Also those of which it has not heard yet that they are its own.
    for (let shard = 0; shard < this.count; shard++) this.#ended.add(shard);
    await this.#ask([]).catch(() => {}); // they run out by themselves
  }

  /** Resolves when an answer has come, or none. */
  #beat(): Promise<void> {
    this.#beating ??= this.#tryToBeat().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #tryToBeat(): Promise<void> {
    let sentAt = steadyNow();
    try {
      const take = await this.#takeable();
      if (this.#isOver) return;
      sentAt = steadyNow();
      const [sharers, strangers, leases] = await this.#ask(take);
      if (this.#isOver) return;
      this.#heldUntil = Math.max(this.#heldUntil, sentAt + this.#times.lastsMs - this.#times.marginMs);
      this.#failures = 0;
      this.#steadySince = Math.min(this.#steadySince, sentAt);
      const others = sharers.filter((id) => id !== this.#options.botId);
      this.#sharers = new Map(others.map((id) => [id, this.#sharers.get(id) ?? sentAt]));
      for (const [shard, lease] of leases.entries()) this.#note(shard, lease);
      if (strangers > 0) this.#tell({ strangers }, 'another bot has another KINORA_DISCORD_SHARDS, or none');
      if (this.#isLeaving) return;
      const { probationMs = usualProbationMs } = this.#options;
      const proven = [...this.#sharers.values()].filter((since) => sentAt - since >= probationMs);
      for (const shard of this.held.slice(this.#shareBeside(proven.length))) void this.#end(shard);
    } catch (error) {
      this.#steadySince = Number.POSITIVE_INFINITY;
      if (sentAt > this.#heldUntil) this.#failures++;
      this.#tell({ err: String(error) }, 'the leases of the shards could not be renewed');
    }
  }

  #note(shard: number, lease: string): void {
    if (this.#isOver) return;
    const isHeld = this.#held.has(shard);
    if (idOf(lease) === this.#options.botId) {
      if (isHeld) return;
      this.#held.add(shard);
      this.#log.info({ shard }, 'this bot serves a shard of Discord');
      this.#server?.begin(shard);
      return;
    }
    this.#watched[shard]?.note(lease);
    if (this.#ended.has(shard)) {
      for (const set of [this.#held, this.#ending, this.#ended]) set.delete(shard);
    } else if (isHeld) this.#lose(`another bot serves shard ${shard} of Discord now`);
  }

  #shareBeside(others: number): number {
    return Math.ceil(this.count / (others + 1));
  }

  async #end(shard: number): Promise<void> {
    this.#ending.add(shard);
    await this.#server?.end(shard);
    this.#ended.add(shard);
    this.#log.info({ shard }, 'this bot has given a shard of Discord up');
  }

  /** Shards that may be taken now, as many as are missing, each with what its lease has to be. */
  async #takeable(): Promise<[shard: number, lease: string][]> {
    const missing = this.#isLeaving ? 0 : this.#shareBeside(this.#sharers.size) - this.held.length;
    let asked: Promise<BotEntry[]> | undefined;
    const others = async (): Promise<BotEntry[]> => {
      asked ??= botEntries(this.#redis, this.#keys);
      return (await asked).filter(({ id }) => id !== this.#options.botId);
    };
    const found: [number, string][] = [];
    for (const [shard, watched] of this.#watched.entries()) {
      if (found.length >= missing) break;
      if (this.#held.has(shard)) continue;
      const lease = await watched.takeable(this.#steadySince, others);
      if (lease !== free || watched.isFree) found.push([shard, lease]);
    }
    return found;
  }

  /** Ends everything where another bot may have begun. */
  #isHeld(): boolean {
    if (steadyNow() <= this.#heldUntil) return true;
    const hasBegun = this.#heldUntil > Number.NEGATIVE_INFINITY;
    if (hasBegun && !this.#options.isAlone())
      this.#lose('the leases of its shards could not be renewed in time');
    return false;
  }

  #lose(why: string): void {
    if (this.#isOver) return;
    this.#stop();
    this.#log.error(`${why}: this one stops at once`);
    this.#onLost();
  }

  #stop(): void {
    this.#isOver = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  #tell(details: object, what: string): void {
    if (steadyNow() - this.#toldAt < tellEveryMs) return;
    this.#toldAt = steadyNow();
    this.#log.warn(details, what);
  }

  async #ask(take: readonly (readonly [number, string])[]): Promise<z.infer<typeof replySchema>> {
    const hold = [...this.#held].filter((shard) => !this.#ended.has(shard));
    const wish = writeJson({ hold, free: [...this.#ended], take });
    const args = [this.#options.botId, this.count, this.#times.lastsMs, wish];
    const reply = runScript(this.#redis, 'shards', this.#keys, {}, args);
    return replySchema.parse(await answered(reply));
  }
}
