/** One process of `kinora start`, started again whenever it dies. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { errorCatalogue } from '../errors.ts';
import type { Logger } from '../log.ts';

const entry = fileURLToPath(new URL('../kinora.mjs', import.meta.url));
const firstRestartDelayMs = 500;
/** The delay doubles with every restart, up to this; a process that ran for longer begins with the first delay again. */
const longestRestartDelayMs = 30_000;
/** Exit codes of a process that refuses a setting, the model pack or the device. */
const refusals: ReadonlySet<number> = new Set(
  (['INVALID_CONFIG', 'PACK_INVALID', 'DEVICE_UNAVAILABLE'] as const).map(
    (code) => errorCatalogue[code].exitCode,
  ),
);

export class SupervisedProcess {
  readonly #command: 'bot' | 'worker';
  readonly #environment: NodeJS.ProcessEnv;
  readonly #log: Logger;
  readonly #done: Promise<void>;
  /** Resolves with the exit code when the first start ended with a refusal, which another start would only repeat. */
  readonly refused: Promise<number>;
  #refuse: (code: number) => void = () => {};
  #child: ChildProcess | null = null;
  readonly #stopping = new AbortController();

  constructor(command: 'bot' | 'worker', environment: NodeJS.ProcessEnv, log: Logger) {
    this.#command = command;
    this.#environment = environment;
    this.#log = log;
    this.refused = new Promise((resolve) => {
      this.#refuse = resolve;
    });
    this.#done = this.#keepRunning();
  }

  async #keepRunning(): Promise<void> {
    const { signal: stopping } = this.#stopping;
    let isFirst = true;
    for (let failures = 0; !stopping.aborted; failures++) {
      const startedAt = performance.now();
      // A process group of its own: Ctrl-C in a terminal reaches this process alone, which ends the others in order.
      const child = spawn(process.execPath, [entry, this.#command], {
        env: this.#environment,
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        detached: true,
      });
      this.#child = child;
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      if (stopping.aborted) return;
      if (isFirst && code !== null && refusals.has(code)) return this.#refuse(code);
      isFirst = false;
      if (performance.now() - startedAt > longestRestartDelayMs) failures = 0;
      const delayMs = Math.min(firstRestartDelayMs * 2 ** failures, longestRestartDelayMs);
      this.#log.error(
        { process: this.#command, code, signal, delayMs },
        'a process ended; starting it again',
      );
      await sleep(delayMs, undefined, { signal: stopping }).catch(() => {}); // stop() ends the wait
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#child?.kill('SIGTERM');
    await this.#done;
  }
}
