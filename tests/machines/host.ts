/** One host: a network namespace, and a process namespace for as long as it is switched on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Plug } from './network.ts';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Names the host, starts the program again when it ends, and takes in orphans. */
const init = `
  echo "$0" > /proc/sys/kernel/hostname
  while :; do
    "$@" &
    wait $!
    echo "ended with $?" >&2
    sleep 1
  done`;

export class Host {
  readonly plug: Plug;
  readonly #program: Program;
  readonly #log: WriteStream;
  #process: ChildProcess | undefined;

  /** @param log file for all that it prints */
  constructor(plug: Plug, program: Program, log: string) {
    this.plug = plug;
    this.#program = program;
    this.#log = createWriteStream(log, { flags: 'a' });
  }

  get name(): string {
    return this.plug.name;
  }

  get address(): string {
    return this.plug.address;
  }

  /** @param env in addition, until it is switched off */
  switchOn(env: Readonly<Record<string, string>> = {}): void {
    const { command, args, env: usual } = this.#program;
    const own = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--uts'];
    const words = [`--net=${this.plug.file}`, ...own, 'sh', '-c', init, this.name, command, ...args];
    const child = spawn('nsenter', words, {
      env: { PATH: process.env['PATH'], ...usual, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) stream.pipe(this.#log, { end: false });
    this.#process = child;
  }

  /** The plug is pulled: every process ends at once, with no last word. */
  async switchOff(): Promise<void> {
    const child = this.#process;
    if (!child) return;
    this.#process = undefined;
    // With the last of its processes, the other ends of its pipes are gone.
    const gone = once(child, 'close');
    child.kill('SIGKILL');
    await gone;
  }

  /** Every process of it stops where it is, or goes on. */
  async signal(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const { pid } = this.#process ?? {};
    if (pid === undefined) return;
    const space = await readlink(`/proc/${pid}/ns/pid_for_children`);
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const own = await readlink(`/proc/${entry}/ns/pid`).catch(() => '');
      if (own !== space) continue;
      try {
        process.kill(Number(entry), signal);
      } catch {
        // It has just ended.
      }
    }
  }

  async said(): Promise<string> {
    return await readFile(this.#log.path, 'utf8');
  }
}
