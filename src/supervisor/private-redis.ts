/**
 * A redis-server of our own for installations without one: a child process on a unix socket in the data folder,
 * with an append-only file, gone with its parent. Knows nothing of jobs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';

const startDeadlineMs = 30_000;
const stopDeadlineMs = 10_000;
/** Linux refuses longer unix socket paths. */
const longestSocketPath = 100;

export interface PrivateRedis {
  readonly socketPath: string;
  readonly pid: number;
  /** Settles when the server ends, wanted or not. */
  readonly ended: Promise<void>;
  /** Saves and stops the server, and frees the folder for another owner. */
  stop(): Promise<void>;
}

/**
 * Starts the server in `<dataDir>/redis`.
 * @throws KinoraError INVALID_CONFIG when another live process owns the folder or redis-server is not installed.
 */
export async function startPrivateRedis(dataDir: string, log: Logger): Promise<PrivateRedis> {
  const folder = join(dataDir, 'redis');
  const socketPath = join(folder, 'redis.sock');
  if (Buffer.byteLength(socketPath) > longestSocketPath) {
    throw new KinoraError(
      'INVALID_CONFIG',
      `The data folder's path is too long for a unix socket: ${folder}.`,
    );
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const release = await ownFolder(folder);
  try {
    await stopLeftover(socketPath);
    // Detached, so that Ctrl-C in a terminal does not take the server away while the last job is being handed back.
    // "everysec" could lose a second of accepted jobs on power loss; at our rate "always" costs nothing.
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
 * The server must not outlive us, not even after kill -9: a shell holds our end of a pipe, and when that closes it
 * asks the server to save and stop.
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
        `The private redis-server did not start in ${join(socketPath, '..')}.`,
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
  probe.on('error', () => {}); // not there yet is the expected answer
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

/** A server whose parent was killed a moment ago may still be saving: let it finish before the next one starts. */
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

/**
 * Writes who we are into a lock file, which comes into being with its content; one left by a dead process is taken over.
 */
async function ownFolder(folder: string): Promise<() => Promise<void>> {
  const lockPath = join(folder, 'owner.pid');
  const ownPath = `${lockPath}.${process.pid}`;
  await writeFile(ownPath, `${process.pid} ${await startOf(process.pid)}`, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        await link(ownPath, lockPath);
        return () => rm(lockPath, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        const owner = await livingOwner(await readFile(lockPath, 'utf8').catch(() => ''));
        if (owner !== undefined) {
          throw new KinoraError(
            'INVALID_CONFIG',
            `Another Kinora (process ${owner}) already runs on ${folder}.`,
          );
        }
        await rm(lockPath, { force: true });
      }
    }
  } finally {
    await rm(ownPath, { force: true });
  }
  throw new KinoraError('INVALID_CONFIG', `Another Kinora is starting on ${folder}.`);
}

/** The number of the process that wrote a lock, if it still lives: after a reboot its number may be another's. */
async function livingOwner(lock: string): Promise<number | undefined> {
  const [pid, start = ''] = lock.split(' ');
  const owner = Number(pid);
  if (!owner || owner === process.pid || !isAlive(owner)) return undefined;
  return start === '' || start === (await startOf(owner)) ? owner : undefined;
}

/** When a process began, in the kernel's own count; empty where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // After the program's name, which stands in brackets and may hold anything, it is the twentieth field.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
