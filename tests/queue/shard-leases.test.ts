/** Bots share the shards of Discord: each shard has one bot, however bots come and go, and never two at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, type TestContext } from 'vitest';
import { mayActInDiscord } from '../../src/commands/chats.ts';
import { botEntries } from '../../src/queue/bot-registry.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Lease } from '../../src/queue/lease.ts';
import { connectRedis, type Redis } from '../../src/queue/redis.ts';
import { runScript } from '../../src/queue/scripts.ts';
import { ShardLeases } from '../../src/queue/shard-leases.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually, log } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const keys = new Keys('t');
const times = { lastsMs: 5_000, marginMs: 1_000, renewEveryMs: 200, lookEveryMs: 100 };
const all = [0, 1, 2, 3];

class World {
  readonly redis: TestRedis;
  readonly bots: Bot[] = [];
  /** Who serves each shard, by what the bots were told. */
  readonly serving = new Map<number, string>();
  /** What must never be. */
  readonly faults: string[] = [];

  private constructor(redis: TestRedis) {
    this.redis = redis;
  }

  static async start({ onTestFinished }: TestContext): Promise<World> {
    const world = new World(await TestRedis.start());
    onTestFinished(async () => {
      await Promise.all(world.bots.map((bot) => bot.stop()));
      await world.redis.stop();
    });
    return world;
  }

  async bot(name: string, options: Parameters<World['prepare']>[1] = {}): Promise<Bot> {
    const bot = this.prepare(name, options);
    await bot.start();
    return bot;
  }

  prepare(name: string, { count = 4, probationMs = 500, connection = this.redis.failFast() } = {}): Bot {
    const bot = new Bot(this, name, connection, { count, probationMs });
    this.bots.push(bot);
    return bot;
  }

  /** Behind a network that can be cut. */
  async behindProxy(name: string): Promise<{ bot: Bot; proxy: FaultyProxy }> {
    const proxy = await FaultyProxy.start(this.redis.socketPath);
    const connection = connectRedis({ url: proxy.url }, 'fail-fast', () => {});
    return { bot: await this.bot(name, { connection }), proxy };
  }

  shardsOf(name: string): number[] {
    return [...this.serving].flatMap(([shard, by]) => (by === name ? [shard] : [])).sort();
  }

  async untilShared(shares: Readonly<Record<string, number>>): Promise<void> {
    const isShared = () =>
      Object.entries(shares).every(([name, share]) => this.shardsOf(name).length === share);
    await eventually(`shares of ${JSON.stringify(shares)}`, isShared);
  }
}

class Bot {
  readonly leases: ShardLeases;
  isLost = false;
  readonly #world: World;
  readonly #name: string;
  readonly #connection: Redis;
  readonly lease: Lease;
  readonly #stopping = new AbortController();
  #leading: Promise<unknown> = Promise.resolve();

  constructor(
    world: World,
    name: string,
    connection: Redis,
    { count, probationMs }: Readonly<Record<'count' | 'probationMs', number>>,
  ) {
    this.#world = world;
    this.#name = name;
    this.#connection = connection;
    this.lease = new Lease(connection, keys, log, count, times);
    const isAlone = (): boolean => !this.lease.isFollowed;
    const options = { count, probationMs, botId: this.lease.id, isAlone };
    this.leases = new ShardLeases(connection, keys, log, options, () => this.#lose(), times);
  }

  async start(): Promise<void> {
    const nothing = async (): Promise<void> => {};
    this.#leading = this.lease.lead(this.#stopping.signal, nothing, () => {});
    await this.leases.start({
      begin: (shard) => {
        const before = this.#world.serving.get(shard);
        if (before !== undefined) this.#world.faults.push(`${this.#name} begins ${shard} beside ${before}`);
        this.#world.serving.set(shard, this.#name);
      },
      end: async (shard) => {
        await sleep(50);
        this.#world.serving.delete(shard);
      },
    });
  }

  /** As a process that ends serves nothing. */
  #lose(): void {
    this.isLost = true;
    for (const shard of this.#world.shardsOf(this.#name)) this.#world.serving.delete(shard);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#leading;
    await this.leases.giveUp();
    await this.leases.leave();
    await this.lease.leave();
    this.#connection.disconnect();
  }
}

describe.concurrent('the shards of Discord', () => {
  it('are renewed with the first beat after an answer was lost, and all freed at the end', async (test) => {
    const { redis } = await World.start(test);
    const beat = async (wish: object) =>
      await runScript(redis.connect(), 'shards', keys, {}, ['A', 2, times.lastsMs, JSON.stringify(wish)]);
    const take = [[0, '']];
    await beat({ hold: [], free: [], take });
    expect(await beat({ hold: [], free: [], take })).toEqual([[], 0, ['A 2', '']]);
    expect(await beat({ hold: [0], free: [], take: [] })).toEqual([[], 0, ['A 3', '']]);
    expect(await beat({ hold: [], free: [0, 1], take: [] })).toEqual([[], 0, ['free', '']]);
  });

  it('are left in the middle of a beat, and not taken afterwards', async (test) => {
    const world = await World.start(test);
    const bot = world.prepare('A');
    const starting = bot.leases.start({ begin: () => {}, end: async () => {} });
    await bot.leases.leave();
    await starting;
    const leases = async () => Object.values(await world.redis.connect().hgetall(keys.shards));
    expect((await leases()).filter((lease) => lease !== 'free')).toEqual([]);
    await bot.leases.start({ begin: () => {}, end: async () => {} });
    expect((await leases()).filter((lease) => lease !== 'free')).toEqual([]);
  });

  it('are shared alike, and go over at once from a bot that ends', async (test) => {
    const world = await World.start(test);
    const first = await world.bot('A');
    expect(world.shardsOf('A')).toEqual(all);
    await world.bot('B');
    await world.untilShared({ A: 2, B: 2 });
    await world.bot('C');
    await sleep(5 * times.renewEveryMs);
    expect(world.shardsOf('C')).toEqual([]);
    const endedAt = performance.now();
    await first.stop();
    await world.untilShared({ B: 2, C: 2 });
    expect(performance.now() - endedAt).toBeLessThan(times.lastsMs);
    expect(await first.leases.mayAct()).toBe(false);
    expect(world.faults).toEqual([]);
  });

  it('stay where they are beside bots that end soon after each start', async (test) => {
    const world = await World.start(test);
    await world.bot('A', { probationMs: 3_000 });
    const redis = world.redis.connect();
    for (let start = 0; start < 12; start++) {
      const beat = { beatAt: Date.now(), pid: 1, host: 'elsewhere', shards: 4 };
      // The one before counts as living when the next one comes, as where it is started again within seconds.
      await redis
        .multi()
        .hset(keys.bots, String(start), JSON.stringify(beat))
        .hdel(keys.bots, String(start - 2))
        .exec();
      await sleep(2 * times.renewEveryMs);
      expect(world.shardsOf('A')).toEqual(all);
    }
  });

  it('are no leave to act to a bot that led and does not any more', async (test) => {
    const world = await World.start(test);
    const bot = await world.bot('A');
    await eventually('a leader', () => bot.lease.leads);
    expect(await mayActInDiscord(bot.lease, bot.leases)).toBe(true);
    // One that stands by serves its shards.
    const other = await world.bot('B');
    expect(await mayActInDiscord(other.lease, other.leases)).toBe(true);
    await bot.lease.leave();
    expect(await bot.leases.mayAct()).toBe(true);
    expect(await mayActInDiscord(bot.lease, bot.leases)).toBe(false);
  });

  it('of a bot that is cut off are served by the others, after it has stopped', async (test) => {
    const world = await World.start(test);
    const { bot, proxy } = await world.behindProxy('A');
    await world.bot('B');
    await world.untilShared({ A: 2, B: 2 });
    proxy.silentForNewcomers = true;
    proxy.hang();
    await world.untilShared({ B: 4 });
    expect(bot.isLost).toBe(true);
    expect(await bot.leases.mayAct()).toBe(false);
    expect(world.faults).toEqual([]);
    await proxy.stop();
  });

  it('stay where they are when Redis restarts and forgets everything', async (test) => {
    const world = await World.start(test);
    const first = await world.bot('A');
    const second = await world.bot('B');
    await world.untilShared({ A: 2, B: 2 });
    const before = new Map(world.serving);
    await world.redis.connect().flushall();
    await world.redis.crashAndRestart(100);
    const known = async () => (await world.redis.connect().hlen(keys.shards)) === 4;
    await eventually('all leases', known);
    // Longer than a lease: who would take over has done so.
    await sleep(times.lastsMs + 1_000);
    expect(world.serving).toEqual(before);
    expect([await first.leases.mayAct(), await second.leases.mayAct()]).toEqual([true, true]);
    expect(world.faults).toEqual([]);
  });

  it('stay without Redis with a bot that is alone', async (test) => {
    const world = await World.start(test);
    const { bot, proxy } = await world.behindProxy('A');
    await eventually('a leader', async () => (await world.redis.connect().exists(keys.leader)) === 1);
    await sleep(3 * times.renewEveryMs);
    proxy.silentForNewcomers = true;
    proxy.hang();
    await sleep(times.lastsMs + 1_000);
    expect(await bot.leases.mayAct()).toBe(true);
    expect(world.shardsOf('A')).toEqual(all);
    await proxy.stop();
  });

  it('are not taken beside a bot that divides Discord otherwise, until that is gone', async (test) => {
    const world = await World.start(test);
    const first = await world.bot('A', { count: 2 });
    expect(world.shardsOf('A')).toEqual([0, 1]);
    await world.bot('B');
    await sleep(5 * times.renewEveryMs);
    expect(world.shardsOf('B')).toEqual([]);
    await first.stop();
    await world.untilShared({ B: 4 });
    expect(world.faults).toEqual([]);
    expect((await botEntries(world.redis.connect(), keys)).map(({ shards }) => shards)).toEqual([4]);
  });
});
