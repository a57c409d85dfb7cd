/** The bot is killed without a word, and started again: what people see afterwards. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, type TestContext, vi } from 'vitest';
import type { BotProcessSettings } from '../helpers/bot-process.ts';
import { photo as discordPhoto, Stage } from '../helpers/discord-stage.ts';
import type { TestRedis } from '../helpers/redis-server.ts';
import { photo, TelegramWorld } from '../helpers/telegram-world.ts';

/** Six bots start at once, on a machine that may be busy with other things: this only bounds a wait for ever. */
const patienceMs = 120_000;
vi.setConfig({ testTimeout: 3 * patienceMs });

const script = fileURLToPath(new URL('../helpers/bot-process.ts', import.meta.url));

/** The bot of one test, alive or dead. */
class Bot {
  readonly #settings: BotProcessSettings;
  readonly #redis: TestRedis;
  #process: ChildProcess | undefined;
  logged = '';

  constructor(settings: Omit<BotProcessSettings, 'address'>, redis: TestRedis) {
    this.#settings = { ...settings, address: { socketPath: redis.socketPath } };
    this.#redis = redis;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(this.#settings)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    child.stderr.on('data', (chunk: Buffer) => {
      this.logged += chunk.toString();
    });
    await once(child.stdout, 'data');
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    // Half a minute passes: its locks expire, and what it was delivering has been seen without one.
    const redis = this.#redis.connect();
    const [active] = await redis.keys('*:deliver:active');
    if (active === undefined) return;
    const queue = active.replace(/:active$/, '');
    for (const id of await redis.lrange(active, 0, -1)) {
      await redis.multi().del(`${queue}:${id}:lock`).sadd(`${queue}:stalled`, id).exec();
    }
    await redis.del(`${queue}:stalled-check`);
  }
}

describe.concurrent('Discord: a bot that is killed', () => {
  async function begin({ onTestFinished }: TestContext) {
    const stage = await Stage.start({ generate: 'nobody' });
    await stage.stopBot();
    const { server, redis, folder, ffmpegPath } = stage;
    const dataFolder = join(folder, 'data');
    const { token, cdn } = server;
    const bot = new Bot({ platform: 'discord', token, server: cdn, dataFolder, folder, ffmpegPath }, redis);
    onTestFinished(async () => {
      await bot.kill();
      const leaked = server.secrets().filter((secret) => bot.logged.includes(secret));
      await stage.stop();
      if (leaked.length > 0) throw new Error('a secret was logged');
    });
    await bot.start();
    await server.until(() => server.gateway.connected, patienceMs);
    const asked = stage.ada.runs(
      '/animate',
      { image: discordPhoto, prompt: 'waves rolling' },
      { channel: stage.channel },
    );
    await stage.said(asked, /^Accepted/);
    return { stage, server, bot, asked };
  }
  const isSettled = async (stage: Stage): Promise<boolean> =>
    (await stage.redis.connect().zcard('{kinora}:pending')) === 0;

  it.for([
    ['by the interaction', { method: 'PATCH', route: '/webhooks/' }],
    ['by the bot', { method: 'PATCH', route: '/channels/' }],
    ['as a new message', { method: 'POST', route: '/channels/' }],
  ] as const)(
    'while its upload %s was taken but not yet confirmed posts once',
    async ([way, route], test) => {
      const { stage, server, bot, asked } = await begin(test);
      if (way !== 'by the interaction') server.expireTokens();
      if (way === 'as a new message' && asked.original) stage.root.deletes(asked.original);
      const fault = server.fail({ ...route, status: 'held' });
      await stage.startWorker(stage.clips({ steps: 0 }));
      await server.until(() => fault.hits === 1, patienceMs);
      await bot.kill();
      fault.lift();
      const before = stage.channel.visible.length;
      expect(before).toBe(1);
      await bot.start();
      await server.until(() => isSettled(stage), patienceMs);
      const { visible } = stage.channel;
      expect(visible).toHaveLength(1);
      expect(visible[0]?.attachments).toHaveLength(1);
      expect(visible[0]?.text).toContain('seed');
    },
  );
});

describe.concurrent('Telegram: a bot that is killed', () => {
  async function begin({ onTestFinished }: TestContext) {
    const world = await TelegramWorld.start();
    await world.stopBot();
    const { fake, redis, folder, ffmpegPath } = world;
    const { token, apiRoot: server } = fake;
    const files = { dataFolder: folder, folder, ffmpegPath };
    const bot = new Bot({ platform: 'telegram', token, server, ...files }, redis);
    onTestFinished(async () => {
      await bot.kill();
      const leaked = fake.secrets().filter((secret) => bot.logged.includes(secret));
      await world.stop();
      if (leaked.length > 0) throw new Error('a secret was logged');
    });
    return { world, fake, bot };
  }
  const isSettled = async (world: TelegramWorld): Promise<boolean> =>
    world.runs.length > 0 && (await world.redis.connect().zcard('{kinora}:pending')) === 0;

  it('while its upload was taken but not yet confirmed posts once', async (test) => {
    const { world, fake, bot } = await begin(test);
    await bot.start();
    const chat = fake.privateChat();
    const fault = fake.fail({ method: 'editMessageMedia', status: 'held' });
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => fault.hits === 1, patienceMs);
    await bot.kill();
    fault.lift();
    await bot.start();
    await fake.until(() => isSettled(world), patienceMs);
    expect(world.videos(chat)).toHaveLength(1);
    expect(fake.answers(chat)).toHaveLength(1);
    expect(world.runs).toHaveLength(1);
  });

  it('while its upload as a new message was taken posts it twice at worst', async (test) => {
    const { world, fake, bot } = await begin(test);
    await bot.start();
    const chat = fake.privateChat();
    world.isHeld = true;
    await chat.sendsPhoto(await photo(), 'waves');
    const status = await fake.until(() => world.last(chat));
    await fake.until(() => world.runs.length === 1, patienceMs);
    chat.deletes(status);
    const fault = fake.fail({ method: 'sendVideo', status: 'held' });
    world.isHeld = false;
    await fake.until(() => fault.hits === 1, patienceMs);
    await bot.kill();
    fault.lift();
    await bot.start();
    await fake.until(() => isSettled(world), patienceMs);
    // The Bot API has nothing by which it would know a repetition.
    expect(world.videos(chat).length).toBeGreaterThanOrEqual(1);
    expect(world.videos(chat).length).toBeLessThanOrEqual(2);
    expect(world.runs).toHaveLength(1);
  });

  it('before it confirmed its updates makes each job once, and answers each message once', async (test) => {
    const { world, fake, bot } = await begin(test);
    const chats = Array.from({ length: 10 }, () => fake.privateChat({ user: fake.user() }));
    for (const chat of chats) {
      await chat.sendsPhoto(await photo(), 'waves');
      chat.sendsText('/queue');
    }
    // The first poll of the first bot brings them all; none that would confirm them ever arrives.
    const always = { status: 'hang', times: Number.POSITIVE_INFINITY } as const;
    const unconfirmed = fake.fail({ method: 'getUpdates', afterCalls: 1, ...always });
    await bot.start();
    await fake.until(() => unconfirmed.hits > 0 && world.runs.length > 3, patienceMs);
    expect(fake.pendingUpdates).toBe(20);
    await bot.kill();
    unconfirmed.lift();
    await bot.start();
    await fake.until(() => chats.every((chat) => world.videos(chat).length > 0), patienceMs);
    await fake.until(() => chats.every((chat) => fake.answers(chat).length >= 2), patienceMs);
    expect(world.runs).toHaveLength(10);
    expect(chats.map((chat) => world.videos(chat).length)).toEqual(Array(10).fill(1));
    expect(fake.pendingUpdates).toBe(0);
  });
});
