/** `kinora bot` while it starts: it waits for a Redis that is away, and ends properly when it is asked to meanwhile. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, type TestContext, vi } from 'vitest';
import { Keys } from '../../src/queue/keys.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { ended, freePort, TestRedis } from '../helpers/redis-server.ts';
import { Bot, patienceMs } from '../helpers/several-bots.ts';

vi.setConfig({ testTimeout: 2 * patienceMs });
const keys = new Keys();
const command = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
/** "Within seconds", on a machine that is busy with other things. */
const endsWithinMs = 20_000;

async function begin({ onTestFinished }: TestContext) {
  const redis = await TestRedis.start('--maxmemory-policy', 'noeviction');
  const folder = await mkdtemp(join(tmpdir(), 'kinora-starting-'));
  const bots: Bot[] = [];
  // Discord takes connections, and never answers.
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  onTestFinished(async () => {
    await Promise.all(bots.map((bot) => bot.end()));
    silent.close();
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const envFile = join(folder, 'settings.env');
  await writeFile(envFile, '');
  const start = (settings: NodeJS.ProcessEnv): Bot => {
    const bot = new Bot([command, 'bot'], {
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: join(folder, 'data'),
      KINORA_LOG_LEVEL: 'info',
      REDIS_URL: `unix://${redis.socketPath}`,
      ...settings,
    });
    bots.push(bot);
    return bot;
  };
  const discord = {
    KINORA_DISCORD_TOKEN: `${'a'.repeat(24)}.${'b'.repeat(6)}.${'c'.repeat(38)}`,
    HTTPS_PROXY: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
  };
  const waiting = async (settings: NodeJS.ProcessEnv): Promise<Bot> => {
    await ended(redis.process);
    const bot = start(settings);
    await eventually('it misses Redis', () => /ENOENT|ECONNREFUSED/.test(bot.logged), patienceMs);
    return bot;
  };
  return { redis, discord, start, waiting };
}

async function endsCleanly(bot: Bot): Promise<void> {
  const askedAt = performance.now();
  bot.signal('SIGTERM');
  await bot.exited;
  expect(performance.now() - askedAt).toBeLessThan(endsWithinMs);
  expect(bot.exitCode).toBe(0);
}

describe.concurrent('a bot that starts', () => {
  it('waits for a Redis that is away, and leads when it has come', async (test) => {
    const { redis, waiting } = await begin(test);
    const port = String(await freePort());
    const bot = await waiting({ KINORA_WEB_PORT: port });
    await redis.crashAndRestart(0);
    const leads = async (): Promise<boolean> => {
      const answer = await fetch(`http://127.0.0.1:${port}/leading`).catch(() => undefined);
      return answer?.status === 200;
    };
    await eventually('it leads', leads, patienceMs);
    await endsCleanly(bot);
  });

  it('ends when it is asked to while Redis is away', async (test) => {
    const { discord, waiting } = await begin(test);
    await endsCleanly(await waiting(discord));
  });

  it('leaves no lease behind in a Redis that comes after it was asked to end', async (test) => {
    const { redis, discord, waiting } = await begin(test);
    const bot = await waiting({ ...discord, KINORA_DISCORD_SHARDS: '2' });
    const ending = endsCleanly(bot);
    await redis.crashAndRestart(0);
    await ending;
    const leases = Object.values(await redis.connect().hgetall(keys.shards));
    expect(leases.filter((lease) => lease !== 'free')).toEqual([]);
  });

  it('gives the lease back when it is asked to end while Redis does not tell it who serves shards', async (test) => {
    const { redis, discord, start } = await begin(test);
    const proxy = await FaultyProxy.start(redis.socketPath);
    test.onTestFinished(() => proxy.stop());
    const connection = redis.connect();
    const entry = { beatAt: Date.now(), pid: 1, host: 'elsewhere' };
    await connection
      .multi()
      .hset(keys.bots, 'other', JSON.stringify(entry))
      .set(keys.leader, 'other 1')
      .exec();
    const bot = start({ ...discord, REDIS_URL: proxy.url });
    await eventually('it stands by', () => bot.logged.includes('standing by'), patienceMs);
    proxy.silentForNewcomers = true;
    const { connections } = proxy;
    await connection.multi().hdel(keys.bots, 'other').set(keys.leader, 'free').exec();
    await eventually('it asks', () => proxy.connections > connections, patienceMs);
    await endsCleanly(bot);
    expect(await connection.get(keys.leader)).toBe('free');
  });
});
