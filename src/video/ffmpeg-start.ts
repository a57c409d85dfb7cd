/**
 * Starts ffmpeg without stopping a large process for it. On Linux a process is started by copying the page tables of
 * the one that starts it: with a model in memory that takes 40 ms and more, in which no thread can get new memory, and
 * every page is written more slowly for the first time after it. So a shell is started while there is nothing to do,
 * and becomes ffmpeg, by exec, when there are frames: same process id, same pipes, same exit code. Knows no video.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

/** Takes one argument per line and, at an empty line, becomes that program. Reads no byte more; ends with its input. */
const script = 'while IFS= read -r line; do [ -n "$line" ] || exec "$@"; set -- "$@" "$line"; done';

/** Exit codes of a shell that cannot become a program: not executable, not found. */
const execFailures: Readonly<Record<number, string>> = { 126: 'EACCES', 127: 'ENOENT' };

/** As for every run: frames in, nothing out, messages. */
const stdio: SpawnOptions['stdio'] = ['pipe', 'ignore', 'pipe'];

let waiting: ChildProcess | undefined;

/** Makes the next start quick. To be called when nobody waits; does nothing where it would not help. */
export function prepareStart(): void {
  if (process.platform !== 'linux' || waiting) return;
  const shell = spawn('/bin/sh', ['-c', script], { stdio });
  waiting = shell;
  const forget = (): void => {
    if (waiting === shell) waiting = undefined;
  };
  shell.once('error', forget); // no such shell: ffmpeg is started directly
  shell.once('exit', forget);
  shell.stdin?.on('error', () => {});
  // It must not keep this process alive, and ends with it.
  for (const handle of handlesOf(shell)) handle.unref();
}

export interface StartedFfmpeg {
  readonly child: ChildProcess;
  /** What an exit code says about the start, in the words of the operating system. */
  readonly startErrno: (code: number | null | undefined) => string | undefined;
}

/** ffmpeg, fed through stdin, in the process group of this process. */
export function startFfmpeg(path: string, args: readonly string[]): StartedFfmpeg {
  const shell = waiting;
  const words = [path, ...args];
  if (!shell || words.some((word) => word === '' || /[\n\0]/.test(word))) {
    return { child: spawn(path, args, { stdio, windowsHide: true }), startErrno: () => undefined };
  }
  waiting = undefined;
  for (const handle of handlesOf(shell)) handle.ref();
  shell.stdin?.write(`${words.join('\n')}\n\n`);
  return { child: shell, startErrno: (code) => execFailures[code ?? 0] };
}

function handlesOf(child: ChildProcess): { ref(): unknown; unref(): unknown }[] {
  // Pipes of a child are sockets, though not typed so.
  return [child, child.stdin as Socket | null, child.stderr as Socket | null].filter(
    (handle) => handle !== null,
  );
}
