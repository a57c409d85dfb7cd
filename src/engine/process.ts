/**
 * One engine child as the parent sees it: fork, messages, kill with everything it started. Knows nothing of jobs, queues
 * or retries; see supervisor.ts.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Logger, scrubSecrets } from '../log.ts';
import { childEnvironment } from './child-environment.ts';
import type { FromEngine, ToEngine } from './protocol.ts';

export type EngineLogger = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export const silentLogger: EngineLogger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
};

export interface EngineProcessEvents {
  readonly onMessage: (message: FromEngine) => void;
  /** Called once, after the process was waited for. `how` is the end of a sentence: "signal SIGKILL". */
  readonly onGone: (how: string) => void;
}

/** tsx by its own path, so that it is found from any working directory and under any test runner. */
const loaderUrl = pathToFileURL(createRequire(import.meta.url).resolve('tsx/esm')).href;
const entryPath = fileURLToPath(new URL('./child/main.ts', import.meta.url));
/** tsx reads tsconfig.json from the working directory. The user's own folder may be deleted meanwhile. */
const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

/** A leader of its own group: Ctrl-C in a terminal does not reach it or its ffmpeg, and one kill ends both. */
const ownGroup = process.platform !== 'win32';
const maxLogLineLength = 2000;
const keptLines = 20;
/** How long a child that closed its channel may take to exit. */
const disconnectGraceMs = 2000;
/** How long the output of a dead child is waited for. Another process may hold its pipes open. */
const lastWordsMs = 500;
/** V8, C++ and GLib print this before they abort because they got no memory. They throw no exception. */
const outOfMemory = /out of memory|allocation failed|bad_alloc|failed to allocate/i;

export class EngineProcess {
  readonly #child: ChildProcess;
  readonly #logger: EngineLogger;
  /** Resolves when the process is gone and was waited for. */
  readonly gone: Promise<void>;
  #isGone = false;
  /** The child's last output: the reason, when a native library ends it. */
  readonly lastLines: string[] = [];
  #saidOutOfMemory = false;
  readonly #killAtExit = (): void => this.kill();

  constructor(events: EngineProcessEvents, logger: EngineLogger) {
    this.#logger = logger;
    this.#child = fork(entryPath, [String(process.pid)], {
      cwd: projectRoot,
      env: childEnvironment(process.env),
      execArgv: ['--import', loaderUrl],
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: ownGroup,
    });
    this.#forward(this.#child.stdout, 'stdout');
    this.#forward(this.#child.stderr, 'stderr');
    process.once('exit', this.#killAtExit);

    this.gone = new Promise((resolve) => {
      const onGone = (how: string): void => {
        if (this.#isGone) return;
        this.#isGone = true;
        process.removeListener('exit', this.#killAtExit);
        events.onGone(how);
        resolve();
      };
      this.#child.once('exit', (code, signal) => {
        // Kills ffmpeg too, which would only exit at the end of its input.
        this.#killGroup();
        const how = signal ? `signal ${signal}` : `exit code ${code}`;
        const timer = setTimeout(() => onGone(how), lastWordsMs);
        this.#child.once('close', () => {
          clearTimeout(timer);
          onGone(how);
        });
      });
      this.#child.on('error', (error) => {
        // "error" also reports failed sends and kills; only a process that never came to be has no exit event.
        if (this.#child.pid === undefined) onGone(`it could not be started: ${error.message}`);
        else this.#logger.debug({ pid: this.pid, reason: error.message }, 'engine channel error');
      });
    });
    this.#child.on('message', (message) => {
      if (!this.#isGone) events.onMessage(message as FromEngine); // our own child; see protocol.ts
    });
    this.#child.once('disconnect', () => {
      setTimeout(() => this.kill(), disconnectGraceMs).unref();
    });
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  get canHear(): boolean {
    const { connected, exitCode, signalCode } = this.#child;
    return connected && exitCode === null && signalCode === null;
  }

  /** Whether it aborted because it got no memory, in V8's heap or in a native thread. */
  get diedOutOfMemory(): boolean {
    return this.#isGone && this.#child.signalCode !== 'SIGKILL' && this.#saidOutOfMemory;
  }

  /** Sends a message. No error when the channel is closed: the child is about to be reported as gone. */
  send(message: ToEngine): void {
    // An earlier job may have run out of memory and survived: that does not explain a death during this one.
    if (message.type === 'job') this.#saidOutOfMemory = false;
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  /** SIGKILL for the child and everything it started: a native run ignores other signals. */
  kill(): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    this.#killGroup();
    this.#child.kill('SIGKILL');
  }

  #killGroup(): void {
    if (!ownGroup || this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch {
      // ESRCH: the group has no process left.
    }
  }

  #forward(stream: Readable | null, name: 'stdout' | 'stderr'): void {
    if (!stream) return;
    forwardLines(stream, (text) => {
      this.#logger.debug({ pid: this.pid, stream: name }, text);
      this.#saidOutOfMemory ||= outOfMemory.test(text);
      this.lastLines.push(text);
      if (this.lastLines.length > keptLines) this.lastLines.shift();
    });
  }
}

/**
 * Calls `onLine` for every line that is not blank, without secrets and cut to a sensible length. Output of
 * native libraries must not reach the user's stdout.
 */
export function forwardLines(stream: Readable, onLine: (text: string) => void): void {
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
    // Scrubbed before it is cut: half a token is not recognised as one.
    const text = scrubSecrets(line).trim().slice(0, maxLogLineLength);
    if (text !== '') onLine(text);
  });
}
