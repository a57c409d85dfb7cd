/** A real redis-server for one test file: a free port on the loopback, nothing kept on disk, stopped by pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { connectRedis } from '../../src/queue/redis.ts';

export interface TestRedis {
  readonly socketPath: string;
  readonly process: ChildProcess;
  /** A new connection; closed by stop(). */
  connect(): Redis;
  /** The kind of connection that adapters use. */
  failFast(): Redis;
  stop(): Promise<void>;
}

export async function startTestRedis(...extraArguments: string[]): Promise<TestRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'kinora-redis-'));
  const socketPath = join(folder, 'redis.sock');
  const server = spawn(
    'redis-server',
    ['--port', '0', '--unixsocket', socketPath, '--dir', folder, '--save', '', ...extraArguments],
    { stdio: 'ignore' },
  );
  const connections: Redis[] = [];
  const connect = (): Redis => {
    const redis = new Redis({ path: socketPath, maxRetriesPerRequest: null, retryStrategy: () => 50 });
    redis.on('error', () => {}); // the server may be stopped on purpose
    connections.push(redis);
    return redis;
  };
  const probe = connect();
  await Promise.race([
    probe.ping(),
    sleep(10_000).then(() => {
      throw new Error('redis-server did not start');
    }),
  ]);
  return {
    socketPath,
    process: server,
    connect,
    failFast: () => {
      const redis = connectRedis({ socketPath }, 'fail-fast', () => {});
      connections.push(redis);
      return redis;
    },
    stop: async () => {
      for (const redis of connections) redis.disconnect();
      if (server.exitCode === null) {
        const ended = new Promise((resolve) => server.once('exit', resolve));
        server.kill('SIGCONT');
        server.kill('SIGKILL');
        await ended;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
