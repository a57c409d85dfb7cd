/**
 * A private redis-server for installations without one: a child process on a unix socket in the data folder, with an
 * append-only file, which ends with its parent. Knows nothing of jobs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { lockFolder } from './folder-lock.ts';

const startDeadlineMs = 30_000;
const stopDeadlineMs = 10_000;
/** Linux refuses longer unix socket paths. */
const longestSocketPath = 100;

/** Where the private server of a data folder listens. */
export function privateSocket(dataDir: string): string {
  return join(dataDir, 'redis', 'redis.sock');
}

export interface PrivateRedis {
  readonly socketPath: string;
  readonly pid: number;
  /** Settles when the server has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Saves and stops the server, and frees the folder for another owner. */
  stop(): Promise<void>;
}

/**
 * Starts the server in `<dataDir>/redis`.
 * @throws KinoraError INVALID_CONFIG when another live process owns the folder or redis-server is not installed.
 */
export async function startPrivateRedis(dataDir: string, log: Logger): Promise<PrivateRedis> {
  const socketPath = privateSocket(dataDir);
  const folder = dirname(socketPath);
  if (Buffer.byteLength(socketPath) > longestSocketPath) {
    throw new KinoraError(
      'INVALID_CONFIG',
      `The data folder's path is too long for a unix socket: ${folder}.`,
    );
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const release = await lockFolder(folder);
  try {
    await stopLeftover(socketPath);
    // Detached, so that Ctrl-C in a terminal does not end the server while the running job goes back to the queue.
    const child = spawn('/bin/sh', ['-c', watchedByParent, 'kinora-redis', folder, socketPath], {
      stdio: ['pipe', 'ignore', 'pipe'],
      detached: true,
    });
    return await untilReady(child, socketPath, release, log);
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * The server must end with this process, even after kill -9: a shell reads from a pipe whose other end this process
 * holds, and asks the server to save and stop when the pipe closes. "appendfsync everysec" could lose a second of
 * accepted jobs on power loss; with few jobs per second "always" costs nothing.
 */
const watchedByParent = `
command -v redis-server >/dev/null || exit 127
exec 3<&0
redis-server --dir "$1" --unixsocket "$2" --unixsocketperm 700 --port 0 --appendonly yes --appendfsync always \\
  --save "" --maxmemory-policy noeviction --loglevel warning --daemonize no </dev/null 3<&- &
server=$!
echo "$server" >&2
trap 'kill -TERM $server 2>/dev/null' TERM INT
( cat <&3 >/dev/null; kill -TERM $server 2>/dev/null ) &
watcher=$!
wait $server
status=$?
kill $watcher 2>/dev/null
exit $status
`;

async function untilReady(
  child: ChildProcess,
  socketPath: string,
  release: () => Promise<void>,
  log: Logger,
): Promise<PrivateRedis> {
  let serverPid = 0;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    serverPid ||= Number(/^\d+/.exec(text)?.[0] ?? 0);
    const lines = text.replace(/^\d+\n/, '').trim();
    if (lines) log.warn({ lines }, 'redis-server');
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  let exitCode: number | null | undefined;
  void exited.then((code) => {
    exitCode = code;
  });

  const deadline = Date.now() + startDeadlineMs;
  while (!(await answers(socketPath))) {
    if (exitCode === 127) {
      throw new KinoraError(
        'INVALID_CONFIG',
        'redis-server is not installed: "sudo apt install redis-server" (or "brew install redis"), or set REDIS_URL.',
      );
    }
    if (exitCode !== undefined || Date.now() > deadline) {
      child.kill('SIGTERM');
      throw new KinoraError(
        'INVALID_CONFIG',
        `The private redis-server did not start in ${dirname(socketPath)}.`,
      );
    }
    await sleep(25);
  }

  const ended = exited.then(() => release());
  return {
    socketPath,
    pid: serverPid,
    ended,
    stop: async () => {
      child.stdin?.end();
      const inTime = await Promise.race([
        ended.then(() => true),
        sleep(stopDeadlineMs, false, { ref: false }),
      ]);
      if (!inTime && serverPid) process.kill(serverPid, 'SIGKILL');
      await ended;
    },
  };
}

async function answers(socketPath: string): Promise<boolean> {
  const probe = new Redis({
    path: socketPath,
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 1_000,
  });
  probe.on('error', () => {}); // a server that is not there yet is expected
  try {
    await probe.connect();
    // LOADING is answered while the append-only file is read.
    return (await probe.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    probe.disconnect();
  }
}

/** A server whose parent was killed a moment ago may still be saving: the next one starts when it has ended. */
async function stopLeftover(socketPath: string): Promise<void> {
  const deadline = Date.now() + stopDeadlineMs;
  while (await answers(socketPath)) {
    if (Date.now() > deadline) {
      throw new KinoraError(
        'INVALID_CONFIG',
        'Another redis-server is using the data folder; stop it first.',
      );
    }
    await sleep(100);
  }
  await rm(socketPath, { force: true });
}
