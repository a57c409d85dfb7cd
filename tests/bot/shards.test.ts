/** Two bots share the shards of Discord: each server is answered by one, whichever leads, however the other one goes. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it, type TestContext, vi } from 'vitest';
import { loginPace } from '../../src/bot/discord/login-pace.ts';
import { botEntries } from '../../src/queue/bot-registry.ts';
import { Keys } from '../../src/queue/keys.ts';
import { servedShards } from '../../src/queue/shard-leases.ts';
import type { FakeChannel } from '../fakes/discord/channel.ts';
import { shardOf } from '../fakes/discord/world.ts';
import { photo, Stage } from '../helpers/discord-stage.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { freePort, TestRedis } from '../helpers/redis-server.ts';
import { Bot, patienceMs } from '../helpers/several-bots.ts';

vi.setConfig({ testTimeout: 3 * patienceMs });
const shards = 4;
/** As it is promised, from the end of a bot until another one has its shards. */
const takeoverMs = 15_000;
/** For the processes to be run, on a busy machine. */
const slackMs = 15_000;
const keys = new Keys();
const command = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
const picture = { image: photo, prompt: 'waves rolling' };

async function begin({ onTestFinished }: TestContext) {
  const stage = await Stage.start({ generate: 'nobody', shards, maxConcurrency: shards });
  await stage.stopBot();
  const { server, redis, folder, ffmpegPath } = stage;
  const bots: Bot[] = [];
  onTestFinished(async () => {
    await Promise.all(bots.map((bot) => bot.end()));
    const logged = bots.map((bot) => bot.logged).join('');
    const leaked = server.secrets().filter((secret) => logged.includes(secret));
    await stage.stop();
    if (leaked.length > 0) throw new Error('a secret was logged');
  });
  const channels: FakeChannel[] = [];
  while (Object.keys(channels).length < shards) {
    const guild = server.guild();
    channels[shardOf(guild.id, shards)] ??= guild.channel();
    await sleep(1); // ids count milliseconds
  }
  const channelOf = (shard: number | undefined): FakeChannel => {
    const channel = channels[shard ?? -1];
    if (!channel) throw new Error(`no server of shard ${shard}`);
    return channel;
  };
  const connection = redis.connect();
  const start = (name: string, token = server.token): Bot => {
    const machine = { dataFolder: join(folder, name), folder, ffmpegPath, address: redis.address, shards };
    const bot = Bot.of({ platform: 'discord', token, server: server.cdn, ...machine });
    bots.push(bot);
    return bot;
  };
  const shardsOf = async (bot: Bot): Promise<readonly number[]> => {
    const entry = (await botEntries(connection, keys)).find(({ pid }) => pid === bot.pid);
    return (entry && (await servedShards(connection, keys)).get(entry.id)) ?? [];
  };
  /** Both the lease and the connection. */
  const untilServing = async (bot: Bot, count: number): Promise<void> => {
    const isServing = async (): Promise<boolean> => {
      const own = await shardsOf(bot);
      return own.length === count && own.every((shard) => server.gateway.isConnected(shard));
    };
    await eventually(`${count} shards`, isServing, patienceMs).catch((error: unknown) => {
      throw new Error(`${bot.said}\n${bot.logged.slice(-3_000)}`, { cause: error });
    });
  };
  return { stage, server, channelOf, start, shardsOf, untilServing };
}

it.concurrent('two bots answer each server once, though either of them dies', async (test) => {
  const { stage, server, channelOf, start, shardsOf, untilServing } = await begin(test);
  const { ada } = stage;
  server.gateway.logins.length = 0;
  // One that Discord refuses ends, and leaves its shards.
  const wrong = start('wrong', `${'a'.repeat(24)}.${'b'.repeat(6)}.${'c'.repeat(38)}`);
  await wrong.exited;
  expect(wrong.exitCode).toBe(2);
  expect(wrong.logged).toMatch(/KINORA_DISCORD_TOKEN/);
  // Discord does not let anybody log in yet: the first bot leads all the same.
  const silent = server.fail({ route: '/gateway/bot', status: 'held', times: 1_000 });
  const first = await start('first').until('ready');
  expect(server.gateway.logins).toEqual([]);
  silent.lift();
  await untilServing(first, shards);
  const second = await start('second').until('stands by');
  await untilServing(second, shards / 2);
  await untilServing(first, shards / 2);
  const [own, other] = [await shardsOf(first), await shardsOf(second)];
  expect([...own, ...other].sort()).toEqual([0, 1, 2, 3]);
  expect(server.gateway.logins.every(([, count]) => count === shards)).toBe(true);

  // A server of the bot that does not lead: its request is taken there, and answered by the leader.
  const channel = channelOf(other[0]);
  const cancelled = ada.runs('/animate', picture, { channel });
  await stage.said(cancelled, /^Accepted/);
  if (!cancelled.original) throw new Error('no answer');
  await stage.said(ada.presses(cancelled.original, 'Cancel'), /Stopping/);
  await stage.said(cancelled, /^Cancelled/);
  const asked = ada.runs('/animate', picture, { channel });
  await stage.said(asked, /^Accepted/);
  await stage.startWorker(stage.clips({ steps: 3 }));
  const shown = await stage.video(asked);
  expect(shown).toBe(asked.original);
  const pressed = ada.presses(shown, 'Remix');
  const form = await server.until(() => pressed.modal(), patienceMs);
  await stage.video(ada.submits(form, { prompt: 'camera zooming out' }));

  // Its acceptance is late, and the leader's video is not overwritten by it.
  server.fail({ method: 'PATCH', route: '/webhooks/', delayMs: 3_000, times: 1 });
  const late = await stage.video(ada.runs('/animate', picture, { channel }));
  expect(late.history.some(({ content }) => content.startsWith('Accepted'))).toBe(true);

  // The one that does not lead freezes: the leader has its shards, and the frozen one says nothing when it wakes.
  const frozenAt = performance.now();
  second.signal('SIGSTOP');
  await eventually('all shards', async () => (await shardsOf(first)).length === shards, patienceMs);
  expect(performance.now() - frozenAt).toBeLessThan(takeoverMs + slackMs);
  await untilServing(first, shards);
  await server.until(() => server.gateway.connectionsOf(other[0] ?? -1) === 2, patienceMs);
  // Discord sends it to both connections, and the frozen one finds it when it wakes.
  const meanwhile = ada.runs('/animate', picture, { channel });
  await stage.video(meanwhile);
  const said = meanwhile.replies().length;
  second.signal('SIGCONT');
  await second.exited;
  expect(second.exitCode).toBe(1);
  expect(meanwhile.replies()).toHaveLength(said);

  // The leader dies while another one holds shards.
  const third = await start('third').until('stands by');
  await untilServing(third, shards / 2);
  const dead = channelOf((await shardsOf(first))[0]);
  first.signal('SIGKILL');
  await third.until('ready');
  await untilServing(third, shards);
  await stage.video(ada.runs('/animate', picture, { channel: dead }));
  await stage.video(ada.runs('/animate', picture, { dm: true }));
  // No acceptance waited for Discord to tell of its channel.
  expect(server.calls({ method: 'GET', route: /^\/channels\/[^/]+$/ })).toEqual([]);
  third.signal('SIGTERM');
  await third.exited;
  expect(third.exitCode).toBe(0);
  expect([...(await servedShards(stage.redis.connect(), keys))]).toEqual([]);
});

it.concurrent('kinora bot: metrics do not call a shard served that nobody is connected to', async ({
  onTestFinished,
}) => {
  const redis = await TestRedis.start('--maxmemory-policy', 'noeviction');
  const folder = await mkdtemp(join(tmpdir(), 'kinora-shards-'));
  const bots: Bot[] = [];
  onTestFinished(async () => {
    await Promise.all(bots.map((bot) => bot.end()));
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const connection = redis.connect();
  const envFile = join(folder, 'settings.env');
  await writeFile(envFile, '');
  const start = async (name: string, settings: NodeJS.ProcessEnv) => {
    const metricsPort = await freePort();
    const bot = new Bot([command, 'bot'], {
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: join(folder, name),
      KINORA_METRICS_PORT: String(metricsPort),
      REDIS_URL: `unix://${redis.socketPath}`,
      KINORA_DISCORD_TOKEN: `${'a'.repeat(24)}.${'b'.repeat(6)}.${'c'.repeat(38)}`,
      // Discord cannot be reached: nobody listens there.
      HTTPS_PROXY: `http://127.0.0.1:${await freePort()}`,
      ...settings,
    });
    bots.push(bot);
    const metrics = async (): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).catch(() => undefined);
      return (await answer?.text()) ?? '';
    };
    const held = async (): Promise<string> => {
      const entry = (await botEntries(connection, keys)).find(({ pid }) => pid === bot.pid);
      return (entry && (await servedShards(connection, keys)).get(entry.id))?.join() ?? '';
    };
    return { bot, metrics, held };
  };
  // One that is asked to end while it starts, as what it asks of Discord gets no answer, frees its shards.
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  onTestFinished(() => void silent.close());
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const hasty = await start('hasty', { KINORA_DISCORD_SHARDS: '2', HTTPS_PROXY: `http://127.0.0.1:${port}` });
  const leases = async (): Promise<string[]> => Object.values(await connection.hgetall(keys.shards));
  await eventually('leases', async () => (await leases()).length === 2, patienceMs);
  hasty.bot.signal('SIGTERM');
  await eventually('no lease', async () => (await leases()).join() === 'free,free', patienceMs);

  // Newcomers get nothing for long: this one has a half, and leaves it to the second.
  const begin = async (shard: number): Promise<NodeJS.Timeout> => {
    let beats = 0;
    const beat = async (): Promise<void> => {
      const bot = { beatAt: Date.now(), pid: 1, host: 'elsewhere', shards: 2 };
      const lease = `other ${++beats}`;
      await connection
        .multi()
        .hset(keys.bots, 'other', JSON.stringify(bot))
        .hset(keys.shards, String(shard), lease)
        .exec();
    };
    await beat();
    return setInterval(() => void beat().catch(() => {}), 500); // the test may be over
  };
  const other = await begin(1);
  const first = await start('first', { KINORA_DISCORD_SHARDS: '2' });
  await eventually('a half', async () => (await first.held()) === '0', patienceMs);
  const second = await start('second', { KINORA_DISCORD_SHARDS: '2' });
  await eventually('three bots', async () => (await botEntries(connection, keys)).length === 3, patienceMs);
  clearInterval(other);
  await connection.multi().hdel(keys.bots, 'other').hset(keys.shards, '1', 'free').exec();
  await eventually('a half', async () => (await second.held()) === '1', patienceMs);
  expect(await first.held()).toBe('0');
  expect(await second.metrics()).toMatch(/^kinora_bot_leading 0$/m);
  expect(await second.metrics()).toMatch(/^kinora_discord_shard\{shard="1"\} 0$/m);
  first.bot.signal('SIGTERM');
  await first.bot.exited;
  expect(first.bot.exitCode).toBe(0);
  await eventually('all shards', async () => (await second.held()) === '0,1', patienceMs);
  second.bot.signal('SIGTERM');
  await second.bot.exited;
  // One that would serve all of Discord beside a bot that serves a shard does not start.
  const last = await begin(0);
  onTestFinished(() => clearInterval(last));
  const third = await start('third', {});
  await third.bot.exited;
  expect(third.bot.exitCode).toBe(2);
  expect(third.bot.logged).toMatch(/set KINORA_DISCORD_SHARDS to the same number here/);
});

it.concurrent('logins keep the pace that Discord sets, over all bots', async ({ onTestFinished }) => {
  const redis = await TestRedis.start();
  onTestFinished(() => redis.stop());
  const manager = { fetchGatewayInformation: async () => ({ session_start_limit: { max_concurrency: 2 } }) };
  const pace = async (): Promise<(shard: number) => Promise<void>> => {
    // Of the manager of discord.js it asks this alone.
    const throttler = await loginPace(redis.failFast(), keys)(manager as never);
    return (shard) => throttler.waitForIdentify(shard, new AbortController().signal);
  };
  const [one, other] = [await pace(), await pace()];
  const startedAt = performance.now();
  await Promise.all([one(0), other(1)]);
  const order: number[] = [];
  const login = async (wait: Promise<void>, shard: number): Promise<void> => {
    await wait;
    order.push(shard);
  };
  const late = [login(other(2), 2), login(one(4), 4)];
  await Promise.race(late);
  expect(performance.now() - startedAt).toBeGreaterThan(5_000);
  expect(order).toHaveLength(1);
  await Promise.all(late);
  expect(performance.now() - startedAt).toBeGreaterThan(10_000);
  // Where Redis takes no writes, they ask now and then.
  const admin = redis.connect();
  await admin.flushall();
  await admin.config('SET', 'maxmemory', '1');
  await admin.config('RESETSTAT');
  const asked = async (): Promise<number> =>
    Number(/cmdstat_set:.*rejected_calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0);
  const askedAt = performance.now();
  const waiting = one(0);
  await eventually('two refusals', async () => (await asked()) >= 2);
  const refusals = await asked();
  expect(refusals).toBeLessThan(2 + (performance.now() - askedAt) / 900);
  await admin.config('SET', 'maxmemory', '0');
  await waiting;
});
