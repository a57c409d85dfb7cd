/** Starts worker.ts as a child process, reads its messages and ends it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Lag, ToBench, ToWorker, WorkerOptions } from './protocol.ts';

const script = fileURLToPath(new URL('worker.ts', import.meta.url));

export class WorkerHandle {
  /** When each job was started, by the clock of the machine in ms. */
  readonly startedAt = new Map<string, number>();
  /** What the engine needed for each job, in ms. */
  readonly made = new Map<string, { readonly totalMs: number; readonly stepMs: number }>();
  /** Starts of a job after its first. */
  repetitions = 0;
  readonly #child: ChildProcess;

  private constructor(options: WorkerOptions) {
    this.#child = fork(script, [JSON.stringify(options)], { execArgv: ['--import', 'tsx'] });
    this.#child.on('message', (message: ToBench) => {
      if (message.type === 'started') {
        if (this.startedAt.has(message.jobId)) this.repetitions++;
        this.startedAt.set(message.jobId, message.at);
      }
      if (message.type === 'made') this.made.set(message.jobId, message);
    });
  }

  /** Resolves when the worker serves. The caller stops it. */
  static async start(options: WorkerOptions): Promise<WorkerHandle> {
    const handle = new WorkerHandle(options);
    await handle.#next('serving');
    return handle;
  }

  async #next<T extends ToBench['type']>(type: T): Promise<Extract<ToBench, { type: T }>> {
    const ended = once(this.#child, 'exit').then(([code]) => {
      throw new Error(`the worker of the bench ended with ${code}`);
    });
    ended.catch(() => {}); // after the race its result is not used
    for (;;) {
      const [message] = (await Promise.race([once(this.#child, 'message'), ended])) as [ToBench];
      if (message.type === type) return message as Extract<ToBench, { type: T }>;
    }
  }

  #tell(message: ToWorker): void {
    this.#child.send(message);
  }

  /** Begins to measure the event loop anew. */
  resetLag(): void {
    this.#tell('reset');
  }

  /** How late the event loop was since resetLag(). */
  async lag(): Promise<Lag> {
    const answer = this.#next('lag');
    this.#tell('lag');
    return (await answer).lag;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#tell('stop');
    await ended;
  }
}
