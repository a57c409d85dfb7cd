/** Bots as processes of their own, of which one leads. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { BotProcessSettings } from './bot-process.ts';
import { eventually } from './queue-harness.ts';

/** Bounds a wait for ever, on a machine that may be busy with other things. */
export const patienceMs = 120_000;

const script = fileURLToPath(new URL('bot-process.ts', import.meta.url));

export class Bot {
  readonly #process: ChildProcess;
  said = '';
  logged = '';
  leadsSince = Number.NaN;
  readonly exited: Promise<unknown>;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#process = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.exited = once(this.#process, 'exit');
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      this.said += chunk.toString();
      if (Number.isNaN(this.leadsSince) && this.says('leads')) this.leadsSince = performance.now();
    });
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.logged += chunk.toString();
    });
  }

  static of(settings: Omit<BotProcessSettings, 'isOneOfSeveral'>): Bot {
    return new Bot(['--import', 'tsx', script, JSON.stringify({ ...settings, isOneOfSeveral: true })]);
  }

  says(line: string): boolean {
    return this.said.split('\n').includes(line);
  }

  async until(line: string): Promise<this> {
    try {
      await eventually(`a bot ${line}`, () => this.says(line), patienceMs);
    } catch (error) {
      throw new Error(`${this.said}\n${this.logged.slice(-2_000)}`, { cause: error });
    }
    return this;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get exitCode(): number | null {
    return this.#process.exitCode;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGCONT');
    this.#process.kill('SIGKILL');
    await this.exited;
  }
}
