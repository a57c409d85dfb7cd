import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { assertTrustworthy, connectRedis } from '../../src/queue/redis.ts';
import { type PrivateRedis, startPrivateRedis } from '../../src/supervisor/private-redis.ts';
import { SupervisedRedis } from '../../src/supervisor/supervised-redis.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { mountSmallDisk } from '../helpers/small-disk.ts';

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
    // Who adopts a process may be late to ask how it ended.
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
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

function spawnOwner() {
  return spawn(
    process.execPath,
    [
      '--import',
      createRequire(import.meta.url).resolve('tsx'),
      fileURLToPath(new URL('../helpers/private-redis-owner.ts', import.meta.url)),
      folder,
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
}

it('refuses a second owner of the folder', async () => {
  const owner = spawnOwner();
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

it('is not kept out by a dead owner, and never has two', async () => {
  await mkdir(join(folder, 'redis'));
  // The number of a process that lives, as after a restart of the machine.
  await writeFile(join(folder, 'redis', 'owner.pid'), `${process.ppid}`);
  const owners = Array.from({ length: 4 }, () => spawnOwner());
  const outcomes = await Promise.all(
    owners.map(async (owner) => {
      const [text] = (await Promise.race([once(owner.stdout, 'data'), once(owner, 'exit')])) as [unknown];
      return Buffer.isBuffer(text) ? 'owner' : 'refused';
    }),
  );
  expect(outcomes.sort()).toEqual(['owner', 'refused', 'refused', 'refused']);
  for (const owner of owners) {
    if (owner.exitCode !== null) continue;
    owner.kill('SIGKILL');
    await once(owner, 'exit');
  }
  await start();
  expect(await readFile(join(folder, 'redis', 'owner.pid'), 'utf8')).toBe(String(process.pid));
});

it('starts over a copy of a folder that is in use', async () => {
  const first = await start();
  await withClient(first.socketPath, (redis) => redis.set('kept', 'yes'));
  const copy = await mkdtemp(join(tmpdir(), 'kinora-copy-'));
  try {
    execFileSync('cp', ['-a', `${folder}/.`, copy]);
    const second = await startPrivateRedis(copy, log);
    running.push(second);
    expect(await withClient(second.socketPath, (redis) => redis.get('kept'))).toBe('yes');
    await second.stop();
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
});

describe('a server that was left behind', () => {
  /** Kills the shells around the server, as an overeager clean-up would. */
  async function orphan({ pid }: PrivateRedis): Promise<void> {
    const parent = /^PPid:\s*(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
    const siblings = (await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8')).trim().split(' ');
    for (const shell of [parent, ...siblings])
      if (Number(shell) !== pid) process.kill(Number(shell), 'SIGKILL');
  }

  it('is shut down by the next start, and loses nothing', async () => {
    const first = await start();
    await withClient(first.socketPath, (redis) => redis.set('kept', 'yes'));
    await orphan(first);
    await first.ended;
    expect(isAlive(first.pid)).toBe(true);
    const second = await start();
    expect(isAlive(first.pid)).toBe(false);
    expect(await withClient(second.socketPath, (redis) => redis.get('kept'))).toBe('yes');
  });

  it('is named when it does not answer, and its file is not touched', async () => {
    const first = await start();
    await orphan(first);
    await first.ended;
    process.kill(first.pid, 'SIGSTOP');
    try {
      await expect(startPrivateRedis(folder, log)).rejects.toThrow(
        `redis-server (process ${first.pid}) uses`,
      );
    } finally {
      process.kill(first.pid, 'SIGKILL');
    }
    await start();
  });
});

it('says what is wrong with a damaged file, and what repairs it', async () => {
  const first = await start();
  await withClient(first.socketPath, async (redis) => {
    for (let i = 0; i < 50; i++) await redis.rpush('list', `entry ${i}`);
  });
  await first.stop();
  const files = join(folder, 'redis', 'appendonlydir');
  const name = (await readdir(files)).find((candidate) => candidate.endsWith('.incr.aof')) ?? '';
  const content = await readFile(join(files, name));
  content.fill('x', 400, 420);
  await writeFile(join(files, name), content);
  await expect(startPrivateRedis(folder, log)).rejects.toThrow(
    /did not start in .*: .*Bad file format.*redis-check-aof --fix .*manifest/,
  );
});

it('waits while the disk is full, says so in the words of the server, and recovers by itself', async () => {
  const disk = join(folder, 'disk');
  const unmount = await mountSmallDisk(disk, 4_096);
  const said: string[] = [];
  const listening = createLogger('test', 'warn', { write: (line: string) => void said.push(line) });
  const filler = join(disk, 'filler');
  const fill = async (): Promise<void> => {
    // Up to the last block, as another program would.
    const block = Buffer.alloc(4_096);
    while (
      await appendFile(filler, block).then(
        () => true,
        () => false,
      )
    );
  };
  try {
    await fill();
    const starting = SupervisedRedis.start(disk, listening, new Promise(() => {}));
    await eventually('a word', () => said.some((line) => /is full.*Waiting until/.test(line)));
    await rm(filler);
    const server = await starting;
    const write = async (value: string): Promise<boolean> =>
      await withClient(server.socketPath, (redis) => redis.set('kept', value)).then(
        () => true,
        () => false,
      );
    expect(await write('yes')).toBe(true);
    await fill();
    await eventually('its death', async () => !(await write('x'.repeat(10_000))));
    await eventually('its words', () => said.some((line) => /AOF write error/.test(line)));
    await rm(filler);
    await eventually('its return', () => write('again'));
    await server.stop();
  } finally {
    unmount();
  }
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
});

it('gives no token of the environment to the server or to the shells around it', async () => {
  process.env['KINORA_TELEGRAM_TOKEN'] = '1:secret-of-the-environment';
  try {
    await start();
  } finally {
    delete process.env['KINORA_TELEGRAM_TOKEN'];
  }
  const commands: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, environment] = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
    );
    if (Number(pid) === process.pid || !command?.includes(folder)) continue;
    commands.push(command);
    expect(environment).not.toContain('secret-of-the-environment');
  }
  expect(commands.some((command) => command.includes('redis-server'))).toBe(true);
});
