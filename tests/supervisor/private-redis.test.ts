import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { assertTrustworthy, connectRedis } from '../../src/queue/redis.ts';
import { type PrivateRedis, startPrivateRedis } from '../../src/supervisor/private-redis.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const log = createLogger('test', 'silent');
let folder: string;
let running: PrivateRedis[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-data-'));
});
afterEach(async () => {
  for (const server of running) await server.stop();
  running = [];
  await rm(folder, { recursive: true, force: true });
});

async function start(): Promise<PrivateRedis> {
  const server = await startPrivateRedis(folder, log);
  running.push(server);
  return server;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

async function withClient<T>(
  socketPath: string,
  use: (redis: ReturnType<typeof connectRedis>) => Promise<T>,
): Promise<T> {
  const redis = connectRedis({ socketPath }, 'fail-fast', () => {});
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

it('keeps its data over a restart and passes its own inspection', async () => {
  const first = await start();
  await withClient(first.socketPath, async (redis) => {
    await assertTrustworthy(redis);
    await redis.set('kept', 'yes');
  });
  await first.stop();
  expect(isAlive(first.pid)).toBe(false);
  const second = await start();
  expect(await withClient(second.socketPath, (redis) => redis.get('kept'))).toBe('yes');
});

it('keeps every acknowledged write when the server is killed', async () => {
  const first = await start();
  await withClient(first.socketPath, async (redis) => {
    for (let i = 0; i < 50; i++) await redis.rpush('list', i);
  });
  process.kill(first.pid, 'SIGKILL');
  await first.ended;
  const second = await start();
  expect(await withClient(second.socketPath, (redis) => redis.llen('list'))).toBe(50);
});

it('refuses a second owner of the folder', async () => {
  const owner = spawn(
    process.execPath,
    [
      '--import',
      createRequire(import.meta.url).resolve('tsx'),
      fileURLToPath(new URL('../helpers/private-redis-owner.ts', import.meta.url)),
      folder,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const serverPid = Number(String((await once(owner.stdout, 'data'))[0]));
  await expect(startPrivateRedis(folder, log)).rejects.toMatchObject({ code: 'INVALID_CONFIG' });

  // Killed without a chance to clean up: the server follows, and the folder is free for the next owner.
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  for (let i = 0; i < 100 && isAlive(serverPid); i++) await sleep(50);
  expect(isAlive(serverPid)).toBe(false);
  const next = await start();
  expect(await withClient(next.socketPath, (redis) => redis.get('kept'))).toBe('yes');
});

it('is not kept out by a dead owner whose number another process has now', async () => {
  const lock = join(folder, 'redis', 'owner.pid');
  await mkdir(join(folder, 'redis'));
  await writeFile(lock, `${process.ppid}`);
  await expect(startPrivateRedis(folder, log)).rejects.toThrow(`process ${process.ppid}`);
  await writeFile(lock, `${process.ppid} 1`);
  const server = await start();
  expect((await readFile(lock, 'utf8')).split(' ')[0]).toBe(String(process.pid));
  await server.stop();
  expect((await readdir(join(folder, 'redis'))).filter((name) => name.startsWith('owner'))).toEqual([]);
});

it('says how to install redis-server where it is missing', async () => {
  const path = process.env['PATH'];
  // `sh` and `cat` must still be found, redis-server must not.
  process.env['PATH'] = '/nonexistent';
  try {
    await expect(startPrivateRedis(folder, log)).rejects.toThrow(/install redis-server|not installed/);
  } finally {
    process.env['PATH'] = path;
  }
});

it('refuses a Redis that would evict jobs', async () => {
  const server = await TestRedis.start('--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru');
  try {
    await expect(assertTrustworthy(server.connect())).rejects.toThrow(/noeviction/);
  } finally {
    await server.stop();
  }
});

it('refuses a Redis that is too old', async () => {
  // What a server of that age says about itself; all else is none of the inspection's business.
  const info = '# Server\r\nredis_version:6.0.16\r\nmaxmemory_policy:noeviction\r\n';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      for (const command of data
        .toString()
        .split(/^\*\d+\r\n/m)
        .slice(1)) {
        socket.write(/info/i.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n');
      }
    });
  });
  const socketPath = join(folder, 'old.sock');
  server.listen(socketPath);
  try {
    await withClient(socketPath, async (redis) => {
      await expect(assertTrustworthy(redis)).rejects.toThrow(
        'Redis 6.0.16 is too old: Kinora needs 6.2 or newer.',
      );
    });
  } finally {
    server.close();
  }
});

it('answers a fail-fast caller within three seconds when Redis is frozen or gone', async () => {
  const server = await TestRedis.start();
  const redis = connectRedis({ socketPath: server.socketPath }, 'fail-fast', () => {});
  await redis.ping();
  server.process.kill('SIGSTOP');
  await expect(redis.ping()).rejects.toThrow();
  server.process.kill('SIGCONT');
  await server.stop();
  await expect(redis.ping()).rejects.toThrow();
  redis.disconnect();
}, 20_000);
