/**
 * A private redis-server for installations without one: a child process on a unix socket in the data folder, with an
 * append-only file, which ends with its parent. Knows nothing of jobs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freeSpace, isDiskFull, whatIsFull } from '../disk-space.ts';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { programEnvironment } from '../program-environment.ts';
import { lockFolder } from './folder-lock.ts';

/** For a first answer; reading a large file may take longer, and is answered. */
const startDeadlineMs = 30_000;
const stopDeadlineMs = 10_000;
const answerDeadlineMs = 1_000;
/** With less, the server would end at its first write. */
const neededBytes = 512 * 1024;
/** What the server says at every start, also where all is well. */
const saidAlways = /^(WARNING |Configuration loaded|Server initialized)/;
/** Lines of the server's log that are kept to say why it ended. */
const keptLines = 3;
/** Linux refuses longer unix socket paths. */
const longestSocketPath = 100;

/** Where the private server of a data folder listens. */
export function privateSocket(dataDir: string): string {
  return join(dataDir, 'redis', 'redis.sock');
}

export interface PrivateRedis {
  readonly socketPath: string;
  readonly pid: number;
  /** Resolves when the server has ended, for whatever reason, with its own last words. */
  readonly ended: Promise<string>;
  /** Saves and stops the server, and frees the folder for another owner. */
  stop(): Promise<void>;
}

/**
 * Starts the server in `<dataDir>/redis`. This process owns that folder from then on, until stop().
 * @throws KinoraError INVALID_CONFIG when another process owns the folder, redis-server is not installed, or it does not
 * start; DISK_FULL while there is no room for it to write
 */
export async function startPrivateRedis(dataDir: string, log: Logger): Promise<PrivateRedis> {
  const socketPath = privateSocket(dataDir);
  const folder = dirname(socketPath);
  if (Buffer.byteLength(socketPath) > longestSocketPath) {
    throw refusal(`The path is too long for a unix socket: ${folder}; set KINORA_DATA_DIR to a shorter one.`);
  }
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const release = await lockFolder(folder);
    await stopServer(socketPath);
    const problem = whatIsFull(await freeSpace(folder), neededBytes);
    if (problem !== undefined) throw new KinoraError('DISK_FULL', `The disk of ${folder} ${problem}.`);
    // Detached, so that Ctrl-C in a terminal does not end the server while the running job goes back to the queue.
    const child = spawn('/bin/sh', ['-c', watchedByParent, 'kinora-redis', folder, socketPath], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: programEnvironment(),
    });
    return await untilReady(child, socketPath, release, log);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    throw new KinoraError('DISK_FULL', `The disk of ${folder} is full.`, { cause: error });
  }
}

const refusal = (sentence: string): KinoraError => new KinoraError('INVALID_CONFIG', sentence);

/**
 * The server must end with this process, even after kill -9: a shell reads from a pipe whose other end this process
 * holds, and asks the server to save and stop when the pipe closes. "appendfsync everysec" could lose a second of
 * accepted jobs on power loss; with few jobs per second "always" costs nothing.
 */
const watchedByParent = `
command -v redis-server >/dev/null || exit 127
exec 3<&0
redis-server --dir "$1" --unixsocket "$2" --unixsocketperm 700 --port 0 --appendonly yes --appendfsync always \\
  --save "" --maxmemory-policy noeviction --loglevel warning --daemonize no --pidfile "$1/redis.pid" \\
  </dev/null 3<&- &
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
  release: () => void,
  log: Logger,
): Promise<PrivateRedis> {
  let serverPid = 0;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    serverPid ||= Number(/^\d+/.exec(text)?.[0] ?? 0);
    const lines = text.replace(/^\d+\n/, '').trim();
    if (lines) log.warn({ lines }, 'redis-server');
  });
  const words: string[] = [];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = text.split('\n').map((line) => line.replace(/^\d+:\w .*? [*#] /, ''));
    words.push(...lines.filter((line) => line !== '' && !saidAlways.test(line)));
    words.splice(0, words.length - keptLines);
  });
  let exitCode: number | null | undefined;
  // Not 'exit': its last words may still be in the pipe. A killed shell leaves the server behind with the pipe open.
  const ended = once(child, 'exit').then(async ([code]) => {
    await Promise.race([once(child, 'close'), sleep(100)]);
    exitCode = code as number | null;
    return words.join(' ');
  });

  const deadline = performance.now() + startDeadlineMs;
  for (let answer: string | undefined; answer !== '+PONG'; await sleep(25)) {
    answer = await ask(socketPath, 'PING');
    if (exitCode !== undefined) throw startFailure(exitCode, await ended, dirname(socketPath));
    if (!answer && performance.now() > deadline) {
      child.kill('SIGTERM');
      throw refusal(`The private redis-server did not answer in ${dirname(socketPath)}.`);
    }
  }

  return {
    socketPath,
    pid: serverPid,
    ended,
    stop: async () => {
      if (exitCode === undefined) {
        child.stdin?.end();
        const inTime = await Promise.race([
          ended.then(() => true),
          sleep(stopDeadlineMs, false, { ref: false }),
        ]);
        if (!inTime && serverPid) process.kill(serverPid, 'SIGKILL');
        await ended;
        await stopServer(socketPath);
      }
      release();
    },
  };
}

/** Why the server ended at its start, as far as its own last words tell. */
function startFailure(exitCode: number | null, words: string, folder: string): KinoraError {
  if (exitCode === 127) {
    return refusal(
      'redis-server is not installed: "sudo apt install redis-server" (or "brew install redis"), or set REDIS_URL.',
    );
  }
  const sentence = `The private redis-server did not start in ${folder}: ${words || 'it said nothing'}`;
  if (/no space left|quota exceeded/i.test(words)) return new KinoraError('DISK_FULL', sentence);
  if (!/append.?only|\bAOF\b/i.test(words)) return refusal(sentence);
  const manifest = join(folder, 'appendonlydir', 'appendonly.aof.manifest');
  return refusal(
    `${sentence} Its file is damaged: copy ${folder} first, then run "redis-check-aof --fix ${manifest}", which drops what follows the damage.`,
  );
}

/**
 * The first line of the answer to a command, '' when there is none in time, undefined when nobody listens.
 * Without a client library: this asks servers that load, hang or end.
 */
async function ask(socketPath: string, command: string): Promise<string | undefined> {
  const socket = connect(socketPath);
  try {
    return await new Promise((resolve) => {
      socket.once('error', ({ code }: NodeJS.ErrnoException) => {
        resolve(code === 'ENOENT' || code === 'ECONNREFUSED' ? undefined : '');
      });
      socket.once('end', () => resolve(''));
      socket.setTimeout(answerDeadlineMs, () => resolve(''));
      socket.once('data', (data) => resolve(data.toString('latin1').trimEnd()));
      socket.write(`${command}\r\n`);
    });
  } finally {
    socket.destroy();
  }
}

/**
 * Ends a server on our socket: the shell that should have ended it was killed itself. The folder is locked, so the server
 * is nobody else's.
 */
async function stopServer(socketPath: string): Promise<void> {
  const folder = dirname(socketPath);
  const deadline = performance.now() + stopDeadlineMs;
  while ((await ask(socketPath, 'SHUTDOWN NOSAVE')) !== undefined) {
    if (performance.now() > deadline) {
      const pid = (await readFile(join(folder, 'redis.pid'), 'utf8').catch(() => 'unknown')).trim();
      throw refusal(`redis-server (process ${pid}) uses ${folder} and does not end; end it first.`);
    }
    await sleep(100);
  }
  await rm(socketPath, { force: true });
}
