/** One bot leads: however it ends, another one begins, and never before the first has stopped. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, type TestContext } from 'vitest';
import { botEntries } from '../../src/queue/bot-registry.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Lease } from '../../src/queue/lease.ts';
import { connectRedis, type Redis } from '../../src/queue/redis.ts';
import { processSpace } from '../../src/queue/worker-registry.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually, log } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const keys = new Keys('t');
const times = { lastsMs: 5_000, marginMs: 1_000, renewEveryMs: 200, lookEveryMs: 100 };

/** One Redis with its bots. */
class World {
  readonly redis: TestRedis;
  readonly bots: Bot[] = [];
  /** Who began and who stopped, in that order. */
  readonly story: string[] = [];

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

  bot(name: string, connection = this.redis.failFast()): Bot {
    const bot = new Bot(name, connection, this.story);
    this.bots.push(bot);
    return bot;
  }

  async standingBy(name: string): Promise<Bot> {
    const bot = this.bot(name).start();
    await eventually(`${name} stands by`, () => bot.isStandingBy);
    return bot;
  }

  /** Behind a network that can be cut. */
  async behindProxy(name: string): Promise<{ bot: Bot; proxy: FaultyProxy }> {
    const proxy = await FaultyProxy.start(this.redis.socketPath);
    return {
      bot: this.bot(
        name,
        connectRedis({ url: proxy.url }, 'fail-fast', () => {}),
      ),
      proxy,
    };
  }

  /** The leader has seen that it is not alone. */
  async isWatched(): Promise<void> {
    await eventually('two bots', async () => (await botEntries(this.redis.connect(), keys)).length === 2);
    await sleep(3 * times.renewEveryMs);
  }
}

class Bot {
  readonly lease: Lease;
  readonly #name: string;
  readonly #story: string[];
  readonly #redis: Redis;
  readonly #stopping = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  isStandingBy = false;

  constructor(name: string, connection: Redis, story: string[]) {
    this.#name = name;
    this.#redis = connection;
    this.#story = story;
    this.lease = new Lease(connection, keys, log, undefined, times);
  }

  start(): this {
    const stand = async (): Promise<void> => {
      this.isStandingBy = true;
    };
    const lost = () => this.#story.push(`${this.#name} stops`);
    this.#running = this.lease.lead(this.#stopping.signal, stand, lost).then((leads) => {
      if (leads) this.#story.push(`${this.#name} begins`);
    });
    return this;
  }

  async begun(): Promise<this> {
    await eventually(`${this.#name} begins`, () => this.#story.includes(`${this.#name} begins`));
    return this;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.lease.leave();
    this.#redis.disconnect();
  }
}

describe.concurrent('the lease of the bot that leads', () => {
  it('goes at once to the next when its bot ends', async (test) => {
    const world = await World.start(test);
    const { redis } = world;
    const first = await world.bot('A').start().begun();
    const second = await world.standingBy('B');
    await first.lease.leave();
    await second.begun();
    expect(await first.lease.mayAct()).toBe(false);
    expect(await second.lease.mayAct()).toBe(true);
    const left = await botEntries(redis.connect(), keys);
    expect(left.map(({ leads, isAlive }) => ({ leads, isAlive }))).toEqual([{ leads: true, isAlive: true }]);
  });

  it('is given up by a bot that is cut off before another one begins', async (test) => {
    const world = await World.start(test);
    const { story } = world;
    const { bot, proxy } = await world.behindProxy('A');
    await bot.start().begun();
    const second = await world.standingBy('B');
    await world.isWatched();
    proxy.silentForNewcomers = true;
    proxy.hang();
    const cutAt = performance.now();
    await second.begun();
    expect(performance.now() - cutAt).toBeGreaterThan(
      times.lastsMs - 2 * times.renewEveryMs - times.lookEveryMs,
    );
    expect(story).toEqual(['A begins', 'A stops', 'B begins']);
    expect(await bot.lease.mayAct()).toBe(false);
    await proxy.stop();
  });

  it('is given up by a bot that is cut off also where the other one was cut off before', async (test) => {
    const world = await World.start(test);
    const first = await world.behindProxy('A');
    await first.bot.start().begun();
    const second = await world.behindProxy('B');
    second.bot.start();
    await world.isWatched();
    for (const { proxy } of [second, first]) {
      proxy.silentForNewcomers = true;
      proxy.hang();
      await sleep(times.lastsMs + 500);
    }
    expect(world.story).toEqual(['A begins', 'A stops']);
    await Promise.all([first.proxy.stop(), second.proxy.stop()]);
  });

  it('survives a Redis that restarts, or forgets everything', async (test) => {
    const world = await World.start(test);
    const { redis, story } = world;
    const first = await world.bot('A').start().begun();
    const second = await world.standingBy('B');
    await world.isWatched();
    await redis.connect().flushall();
    await redis.crashAndRestart(100);
    await eventually('a lease', async () => (await redis.connect().get(keys.leader)) !== null);
    // Longer than a lease: who would take over has done so.
    await sleep(times.lastsMs + 1_000);
    expect(story).toEqual(['A begins']);
    expect(await first.lease.mayAct()).toBe(true);
    expect(second.lease.leads).toBe(false);
  });

  it('is kept without Redis by a bot that was alone, until another one has it', async (test) => {
    const world = await World.start(test);
    const { redis, story } = world;
    // Its predecessor, which was killed a moment ago.
    const killed = { beatAt: Date.now(), pid: 2 ** 22 + 1, host: processSpace() };
    await redis.connect().hset(keys.bots, 'killed', JSON.stringify(killed));
    const { bot, proxy } = await world.behindProxy('A');
    await bot.start().begun();
    await eventually(
      'no trace of the killed one',
      async () => !(await redis.connect().hexists(keys.bots, 'killed')),
    );
    await sleep(3 * times.renewEveryMs);
    proxy.silentForNewcomers = true;
    proxy.hang();
    await sleep(times.lastsMs + 1_000);
    expect(await bot.lease.mayAct()).toBe(true);
    expect(story).toEqual(['A begins']);
    const second = await world.bot('B').start().begun();
    proxy.silentForNewcomers = false;
    proxy.reset();
    await eventually('A stops', () => story.includes('A stops'));
    expect(await bot.lease.mayAct()).toBe(false);
    expect(await second.lease.mayAct()).toBe(true);
    await proxy.stop();
  });

  it('is led without by the only bot where Redis takes no writes; one of two stands by', async (test) => {
    const world = await World.start(test);
    const { redis, story } = world;
    const admin = redis.connect();
    await admin.config('SET', 'maxmemory', '1');
    const first = await world.bot('A').start().begun();
    await sleep(times.lastsMs);
    expect(await first.lease.mayAct()).toBe(true);
    await admin.config('SET', 'maxmemory', '0');
    await eventually('a lease', async () => (await admin.get(keys.leader)) !== null);
    await world.standingBy('B');
    await world.isWatched();
    await admin.config('SET', 'maxmemory', '1');
    await eventually('A stops', () => story.includes('A stops'));
    const third = await world.standingBy('C');
    await sleep(3 * times.lookEveryMs);
    expect(third.lease.leads).toBe(false);
    expect(story).toEqual(['A begins', 'A stops']);
  });

  it('is taken at once where its process died on this machine', async (test) => {
    const world = await World.start(test);
    const { redis } = world;
    const text = JSON.stringify({ beatAt: Date.now(), pid: 2 ** 22 + 1, host: 'elsewhere' });
    await redis.connect().hset(keys.bots, 'dead', text);
    await redis.connect().set(keys.leader, 'dead 7');
    const bot = await world.standingBy('B');
    const own = (await botEntries(redis.connect(), keys)).find(({ id }) => id !== 'dead');
    const here = { beatAt: Date.now(), pid: 2 ** 22 + 1, host: own?.host };
    await redis.connect().hset(keys.bots, 'dead', JSON.stringify(here));
    await redis.connect().set(keys.leader, 'dead 8');
    const seenAt = performance.now();
    await bot.begun();
    expect(performance.now() - seenAt).toBeLessThan(times.lastsMs);
  });

  it('is not taken at once where Redis has lost it, and another bot lives', async (test) => {
    const world = await World.start(test);
    const redis = world.redis.connect();
    const beat = JSON.stringify({ beatAt: Date.now(), pid: 1, host: 'elsewhere' });
    await redis.hset(keys.bots, 'other', beat);
    const beganAt = performance.now();
    await (await world.standingBy('B')).begun();
    expect(performance.now() - beganAt).toBeGreaterThan(times.lastsMs - times.lookEveryMs);
  });

  it('is taken from a dead bot also where Redis does not let it expire', async (test) => {
    const world = await World.start(test);
    const { redis } = world;
    await redis.connect().set(keys.leader, 'dead 7');
    await (await world.standingBy('B')).begun();
    expect(await redis.connect().get(keys.leader)).toMatch(/^[0-9a-f-]{36} \d+$/);
  });
});
