/** Two bots over one Redis: one leads, the other takes over, however the first one goes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, type TestContext, vi } from 'vitest';
import type { BotProcessSettings } from '../helpers/bot-process.ts';
import { photo as discordPhoto, Stage } from '../helpers/discord-stage.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { freePort, TestRedis } from '../helpers/redis-server.ts';
import { Bot, patienceMs } from '../helpers/several-bots.ts';
import { photo, TelegramWorld } from '../helpers/telegram-world.ts';

vi.setConfig({ testTimeout: 2 * patienceMs });
/** As it is promised, from the end of the leader to the beginning of the other. */
const takeoverMs = 15_000;
/** For the processes to be run, on a busy machine. */
const slackMs = 15_000;

const command = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));

/** Two machines: each bot has a data folder of its own. */
async function beginTelegram({ onTestFinished }: TestContext) {
  const world = await TelegramWorld.start();
  await world.stopBot();
  const { fake, redis, folder, ffmpegPath } = world;
  const proxy = await FaultyProxy.start(redis.socketPath);
  const bots: Bot[] = [];
  onTestFinished(async () => {
    await Promise.all(bots.map((bot) => bot.end()));
    await proxy.stop();
    const logged = bots.map((bot) => bot.logged).join('');
    const leaked = fake.secrets().filter((secret) => logged.includes(secret));
    await world.stop();
    if (leaked.length > 0) throw new Error('a secret was logged');
  });
  const start = async (address: BotProcessSettings['address'] = redis.address): Promise<Bot> => {
    const dataFolder = await mkdtemp(join(folder, 'machine-'));
    const { token, apiRoot: server } = fake;
    const bot = Bot.of({ platform: 'telegram', token, server, address, dataFolder, folder, ffmpegPath });
    bots.push(bot);
    return bot;
  };
  const first = await (await start({ url: proxy.url })).until('ready');
  const second = await (await start()).until('stands by');
  // One that has not heard of the other goes on alone when Redis is gone.
  const connection = redis.connect();
  const before = await connection.get('{kinora}:leader');
  await eventually('a renewal', async () => (await connection.get('{kinora}:leader')) !== before);
  const isSettled = async (): Promise<boolean> => (await redis.connect().zcard('{kinora}:pending')) === 0;
  return { world, fake, proxy, first, second, isSettled };
}

describe.concurrent('Telegram: the bot that leads', () => {
  it.for(['is killed', 'is frozen', 'is cut off from Redis'] as const)(
    '%s: each request is answered once',
    async (how, test) => {
      const { world, fake, proxy, first, second, isSettled } = await beginTelegram(test);
      const chats = Array.from({ length: 3 }, () => fake.privateChat({ user: fake.user() }));
      const [running, late, later] = chats;
      if (!running || !late || !later) throw new Error('no chats');
      world.isHeld = true;
      await running.sendsPhoto(await photo(), 'waves');
      await fake.until(() => world.runs.length === 1, patienceMs);
      // Its person has been told so: what is refused as Redis goes is another matter.
      const id = world.runs[0]?.id ?? '';
      await fake.until(async () => (await world.artifacts.accepted(id)) !== undefined, patienceMs);
      const goneAt = performance.now();
      if (how === 'is killed') first.signal('SIGKILL');
      else if (how === 'is frozen') first.signal('SIGSTOP');
      else {
        proxy.silentForNewcomers = true;
        proxy.hang();
      }
      await late.sendsPhoto(await photo(), 'waves');
      await second.until('ready');
      expect(second.leadsSince - goneAt).toBeLessThan(takeoverMs);
      world.isHeld = false;
      await later.sendsPhoto(await photo(), 'waves');
      await fake.until(async () => world.runs.length >= 2 && (await isSettled()), patienceMs);
      first.signal('SIGCONT');
      await first.exited;
      // Who is cut off from Redis leaves to the other one what comes meanwhile.
      await fake.until(() => chats.every((chat) => world.videos(chat).length > 0), patienceMs);
      expect(chats.map((chat) => world.videos(chat).length)).toEqual([1, 1, 1]);
      expect(chats.map((chat) => fake.answers(chat).length)).toEqual([1, 1, 1]);
      expect(new Set(world.runs.map(({ id }) => id)).size).toBe(world.runs.length);
    },
  );

  it('is asked to end: the other one leads at once', async (test) => {
    const { world, fake, first, second } = await beginTelegram(test);
    const chat = fake.privateChat();
    await world.animated(chat);
    const goneAt = performance.now();
    first.signal('SIGTERM');
    await second.until('ready');
    expect(second.leadsSince - goneAt).toBeLessThan(5_000 + slackMs);
    await world.animated(chat);
    expect(world.videos(chat)).toHaveLength(2);
    await first.exited;
    expect(first.exitCode).toBe(0);
  });
});

describe.concurrent('Discord: the bot that leads', () => {
  it('is frozen: a private answer comes in its place, once', async ({ onTestFinished }) => {
    const stage = await Stage.start({ generate: 'nobody' });
    await stage.stopBot();
    const { server, redis, folder, ffmpegPath, ada, channel } = stage;
    const bots: Bot[] = [];
    onTestFinished(async () => {
      await Promise.all(bots.map((bot) => bot.end()));
      const logged = bots.map((bot) => bot.logged).join('');
      const leaked = server.secrets().filter((secret) => logged.includes(secret));
      await stage.stop();
      if (leaked.length > 0) throw new Error('a secret was logged');
    });
    const start = (name: string): Bot => {
      const { token, cdn } = server;
      const machine = { dataFolder: join(folder, name), folder, ffmpegPath, address: redis.address };
      const bot = Bot.of({ platform: 'discord', token, server: cdn, ...machine });
      bots.push(bot);
      return bot;
    };
    const first = await start('first').until('ready');
    const second = await start('second').until('stands by');
    await server.until(() => server.gateway.connected, patienceMs);
    const options = { image: discordPhoto, prompt: 'waves rolling' };
    const asked = ada.runs('/animate', { ...options, private: true }, { channel });
    await stage.said(asked, /^Accepted/);
    const { identifies } = server.gateway;
    const goneAt = performance.now();
    first.signal('SIGSTOP');
    await second.until('ready');
    expect(second.leadsSince - goneAt).toBeLessThan(takeoverMs);
    await server.until(() => server.gateway.identifies > identifies, patienceMs);
    // Discord sends it to both connections, and the frozen one finds it when it wakes.
    const later = ada.runs('/animate', options, { channel });
    await stage.startWorker(stage.clips({ steps: 3 }));
    const shown = await stage.video(asked);
    expect(shown).toBe(asked.original);
    expect(shown.ephemeral).toBe(true);
    await stage.video(later);
    const said = [asked.replies().length, later.replies().length];
    first.signal('SIGCONT');
    await first.exited;
    expect(first.exitCode).toBe(1);
    expect([asked.replies().length, later.replies().length]).toEqual(said);
    expect((await stage.video(asked)).attachments).toHaveLength(1);
    expect((await stage.video(later)).attachments).toHaveLength(1);
    expect(channel.visible).toHaveLength(1);
  });
});

it('kinora bot: the page of one that stands by sends everybody to the leader', async ({ onTestFinished }) => {
  const redis = await TestRedis.start('--maxmemory-policy', 'noeviction');
  const folder = await mkdtemp(join(tmpdir(), 'kinora-standby-'));
  const bots: Bot[] = [];
  onTestFinished(async () => {
    await Promise.all(bots.map((bot) => bot.end()));
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const envFile = join(folder, 'settings.env');
  await writeFile(envFile, '');
  const start = async (name: string) => {
    const [port, metricsPort] = [await freePort(), await freePort()];
    const bot = new Bot([command, 'bot'], {
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: join(folder, name),
      KINORA_WEB_PORT: String(port),
      KINORA_METRICS_PORT: String(metricsPort),
      REDIS_URL: `unix://${redis.socketPath}`,
    });
    bots.push(bot);
    const get = async (path: string, at = port): Promise<{ status: number; text: string }> => {
      const answer = await fetch(`http://127.0.0.1:${at}${path}`).catch(() => undefined);
      return { status: answer?.status ?? 0, text: (await answer?.text()) ?? '' };
    };
    return { bot, get, metrics: async () => (await get('/metrics', metricsPort)).text };
  };
  const first = await start('first');
  await eventually('the first leads', async () => (await first.get('/v1/models')).status === 401);
  const second = await start('second');
  await eventually('the second stands by', async () => (await second.get('/health')).status === 200);
  for (const path of ['/ready', '/leading']) {
    expect(await second.get(path)).toEqual({ status: 503, text: '{"status":"standing_by"}' });
  }
  expect((await first.get('/leading')).status).toBe(200);
  const refused = await second.get('/v1/videos');
  expect(refused.status).toBe(503);
  expect(JSON.parse(refused.text)).toMatchObject({ error: { code: 'unavailable' } });
  expect(await first.metrics()).toMatch(/^kinora_bot_leading 1$/m);
  const ofSecond = await second.metrics();
  expect(ofSecond).toMatch(/^kinora_bot_leading 0$/m);
  expect(ofSecond).not.toMatch(/^kinora_queue_open /m);
  first.bot.signal('SIGTERM');
  await eventually('the second leads', async () => (await second.get('/v1/models')).status === 401);
  expect(await second.metrics()).toMatch(/^kinora_bot_leading 1$/m);
  await first.bot.exited;
  expect(first.bot.exitCode).toBe(0);
  // Asked to end while it stands by, one leaves no trace.
  const third = await start('third');
  await eventually('the third stands by', async () => (await third.get('/health')).status === 200);
  third.bot.signal('SIGTERM');
  await third.bot.exited;
  expect(third.bot.exitCode).toBe(0);
  expect(await redis.connect().hlen('{kinora}:bots')).toBe(1);
});
