/**
 * Supervises the engine child: gives it one job at a time and replaces it when it hangs, dies or has grown too large.
 * Used by the command line and by the queue's worker. Knows no model and no chat.
 *
 * Every promise settles: with a result, or with a KinoraError from the catalogue.
 */
import { deserializeError, KinoraError, type SerializedError } from '../errors.ts';
import type { ProgressEvent } from '../inference/image-to-video.ts';
import { ChildRecord } from './child-record.ts';
import { MeasuredSteps } from './measured-steps.ts';
import { type EngineLogger, EngineProcess, silentLogger } from './process.ts';
import {
  type EngineJob,
  type EngineOptions,
  type EngineResult,
  type FromEngine,
  withAbsoluteFolders,
} from './protocol.ts';
import { cancelledError, RunningJob, stoppedError } from './running-job.ts';
import { defaultEngineSettings, type EngineSettings, recycleReason, restartDelay } from './settings.ts';
import type { EngineStatus } from './status.ts';
import { Watchdog } from './watchdog.ts';

export interface RunHooks {
  /** Aborting it ends the job at the next step boundary; run() then rejects with CANCELLED once nothing is left behind. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
  /** As GenerateHooks.leastMemory. */
  readonly leastMemory?: boolean;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #settings: EngineSettings;
  readonly logger: EngineLogger;

  #state: EngineStatus['state'] = 'loading';
  #child: EngineProcess | null = null;
  #running: RunningJob | null = null;
  #starts = 0;
  #record = new ChildRecord();
  #rssBytes = 0;
  #loadMs: number | null = null;
  #loaded: readonly string[] = [];
  /** Children in a row that died without serving a job. */
  #fruitlessStarts = 0;
  #startError: SerializedError | null = null;
  /** Set while a child that was asked to leave is on its way out. */
  #leaving = false;
  #stopped: Promise<void> | null = null;
  #tidied: Promise<void> = Promise.resolve();
  #loadTimer: NodeJS.Timeout | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #leaveTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  readonly #steps = new MeasuredSteps();
  readonly #readyWaiters: { resolve: () => void; reject: (error: KinoraError) => void }[] = [];

  private constructor(options: EngineOptions, settings: EngineSettings, logger: EngineLogger) {
    this.#options = options;
    this.#settings = settings;
    this.logger = logger;
  }

  /** Forks the child at once; run() may be called straight away. Call stop() when done, or the process stays alive. */
  static start(
    options: EngineOptions,
    settings: Partial<EngineSettings> = {},
    logger: EngineLogger = silentLogger,
  ): Engine {
    const engine = new Engine(
      withAbsoluteFolders(options),
      { ...defaultEngineSettings, ...settings },
      logger,
    );
    engine.#spawn();
    return engine;
  }

  /** Resolves when the model is loaded; rejects with the reason when it cannot be. Optional: run() waits by itself. */
  async ready(): Promise<void> {
    if (this.#state === 'idle' || this.#state === 'busy') return;
    if (this.#state === 'stopped') throw stoppedError();
    if (this.#state === 'dead') throw this.#deadError();
    this.#loadAgain();
    await new Promise<void>((resolve, reject) => this.#readyWaiters.push({ resolve, reject }));
  }

  /**
   * Makes one clip; waits while the child loads. Rejects with CANCELLED, ENGINE_CRASHED, ENGINE_HUNG, the error of the
   * job itself, or INTERNAL while another job runs. In every case nothing half-written is left.
   */
  async run(
    job: EngineJob,
    { signal, onProgress, leastMemory = false }: RunHooks = {},
  ): Promise<EngineResult> {
    if (this.#state === 'stopped') throw stoppedError();
    if (signal?.aborted) throw cancelledError();
    if (this.#running)
      throw new KinoraError('INTERNAL', 'The engine was given a job while it had another one.');
    const running = new RunningJob(job, leastMemory, (event) => {
      try {
        onProgress?.(event);
      } catch (error) {
        this.logger.warn({ reason: String(error) }, 'progress listener failed');
      }
    });
    const onAbort = (): void => this.#cancel(running);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#running = running;
    if (this.#state === 'dead') this.#revive();
    this.#loadAgain();
    if (this.#state === 'loading') running.waitForLoad();
    this.#dispatch();
    try {
      return await running.settled;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  status(): EngineStatus {
    return {
      state: this.#state,
      pid: this.#child?.pid ?? null,
      jobsServed: this.#record.jobs,
      starts: this.#starts,
      rssBytes: this.#rssBytes,
      loadMs: this.#loadMs,
      loaded: this.#loaded,
      error: this.#startError,
    };
  }

  /** Ends an idle child: a GPU's memory is given back whole only when the process is gone. The next run() forks another. */
  unload(): void {
    const child = this.#child;
    // With a job in hand the child is on its way out by itself.
    if (this.#state !== 'idle' || this.#running || !child) return;
    this.logger.info({ pid: child.pid }, 'idle engine is unloaded');
    this.#state = 'unloaded';
    this.#loaded = [];
    this.#askToLeave(child);
  }

  /** Removes entries from the memory of the child's cache, as forgetEntries does from the disk. */
  forget(named: ReadonlySet<string> | 'all'): void {
    this.#child?.send({ type: 'forget', named: named === 'all' ? named : [...named] });
  }

  /** Cancels the job, ends the child and waits until it is gone. May be called more than once. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#state = 'stopped';
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#idleTimer);
    this.#rejectWaiting(stoppedError());
    this.#running?.condemn(stoppedError());
    const child = this.#child;
    if (child) {
      this.#askToLeave(child);
      await child.gone;
    }
    await this.#tidied;
  }

  // --- the child -----------------------------------------------------------------------------------------------

  #spawn(): void {
    this.#state = 'loading';
    this.#starts += 1;
    this.#record = new ChildRecord();
    this.#loaded = [];
    this.#leaving = false;
    this.#startError = null;
    let child: EngineProcess;
    try {
      child = new EngineProcess(
        {
          onMessage: (message) => this.#onMessage(child, message),
          onGone: (how) => this.#onGone(child, how),
        },
        this.logger,
      );
    } catch (error) {
      // Some reasons not to get a process (no memory left) are thrown, the others come as an event.
      this.#child = null;
      setImmediate(() => this.#onGone(null, `it could not be started: ${String(error)}`));
      return;
    }
    this.#child = child;
    this.#loadTimer = setTimeout(() => {
      const seconds = Math.round(this.#settings.loadDeadlineMs / 1000);
      this.#startError = {
        code: 'ENGINE_HUNG',
        message: `The model pack was not loaded within ${seconds} s.`,
      };
      child.kill();
    }, this.#settings.loadDeadlineMs);
    child.send({ type: 'start', options: this.#options });
  }

  #onMessage(child: EngineProcess, message: FromEngine): void {
    if (child !== this.#child) return;
    switch (message.type) {
      case 'ready': {
        const { loadMs, model, warmUp } = message;
        clearTimeout(this.#loadTimer);
        this.#note(message);
        this.logger.info({ pid: child.pid, loadMs, model, warmUp }, 'engine ready');
        if (this.#state !== 'loading') return;
        this.#loadMs = loadMs;
        this.#becomeIdle();
        for (const { resolve } of this.#readyWaiters.splice(0)) resolve();
        this.#dispatch();
        return;
      }
      case 'failed-to-start':
        clearTimeout(this.#loadTimer);
        this.#startError = message.error;
        this.#askToLeave(child);
        return;
      case 'progress': {
        const { jobId, phase, done, total } = message;
        this.#runningAs(jobId)?.report({ phase, done, total });
        return;
      }
      case 'alive':
        this.#runningAs(message.jobId)?.watchdog?.noteAlive();
        return;
      case 'result':
        this.#note(message);
        this.#onAnswer(message.result.jobId)?.resolve(message.result);
        return;
      case 'error': {
        const { jobId, error } = message;
        this.#note(message);
        this.#onAnswer(jobId, error.code)?.reject(deserializeError(error));
        return;
      }
    }
  }

  #note({ rssBytes, loaded }: { readonly rssBytes: number; readonly loaded: readonly string[] }): void {
    this.#rssBytes = rssBytes;
    this.#loaded = loaded;
  }

  #recycleIfDue(errorCode: string | undefined): void {
    const rssGrowthBytes = this.#record.growth(this.#rssBytes) - this.#options.cacheMemoryBytes;
    const served = { errorCode, jobs: this.#record.jobs, rssGrowthBytes };
    const reason = recycleReason(served, this.#settings);
    const child = this.#child;
    if (reason === undefined || !child) return;
    this.logger.info({ pid: child.pid, reason }, 'engine child is replaced');
    // The new one is forked when the old one is gone: two of them might not fit into memory.
    this.#state = 'loading';
    this.#askToLeave(child);
  }

  /** Asks the child to tidy up and exit, and kills it if it does not. */
  #askToLeave(child: EngineProcess): void {
    if (this.#leaving) return;
    this.#leaving = true;
    child.send({ type: 'stop' });
    this.#leaveTimer = setTimeout(() => child.kill(), this.#settings.stopGraceMs);
  }

  #onGone(child: EngineProcess | null, how: string): void {
    if (child !== this.#child) return;
    this.#child = null;
    this.#loaded = [];
    clearTimeout(this.#loadTimer);
    clearTimeout(this.#leaveTimer);
    const running = this.#running?.watchdog ? this.#running : null;
    if (running) {
      const { job } = running;
      const context = { pid: child?.pid, how, jobId: job.id, lastLines: child?.lastLines };
      this.logger.error(context, 'engine child ended during a job');
      this.#endWatch(running);
      this.#running = null;
      this.#tidied = running.rejectAfterCrash(how, child?.diedOutOfMemory === true);
    }
    if (this.#state === 'stopped' || this.#state === 'unloaded') return;
    // The queue bounds deaths during a job; a recycled child did not die.
    if (running || (this.#leaving && this.#startError === null)) this.#spawn();
    else this.#startAgain(child, how);
  }

  /** After a child that died without a job: tries again a few times, each time after a longer wait. */
  #startAgain(child: EngineProcess | null, how: string): void {
    this.#fruitlessStarts += 1;
    const doing = this.#state === 'loading' ? 'loading the model pack' : 'idle';
    this.#startError ??= child?.diedOutOfMemory
      ? { code: 'OUT_OF_MEMORY', message: `The engine process ran out of memory while ${doing} (${how}).` }
      : { code: 'ENGINE_CRASHED', message: `The engine process ended while ${doing} (${how}).` };
    const { code, message } = this.#startError;
    const delayMs = restartDelay(code, this.#fruitlessStarts, this.#settings);
    if (delayMs === undefined) {
      this.#state = 'dead';
      this.logger.error({ code, reason: message }, 'engine cannot be started');
      this.#rejectWaiting(this.#deadError());
      return;
    }
    this.logger.warn(
      { reason: message, delayMs, lastLines: child?.lastLines },
      'engine child is started again',
    );
    this.#state = 'loading';
    this.#restartTimer = setTimeout(() => this.#spawn(), delayMs);
  }

  /** A dead engine tries once more when there is a job: the pack or the device may be back. */
  #revive(): void {
    this.#fruitlessStarts = this.#settings.maxStartAttempts - 1;
    this.#spawn();
  }

  #loadAgain(): void {
    if (this.#state !== 'unloaded') return;
    this.#state = 'loading';
    // While the old child is on its way out, its end starts the next one.
    if (!this.#child) this.#spawn();
  }

  #becomeIdle(): void {
    this.#state = 'idle';
    const { idleUnloadMs } = this.#settings;
    clearTimeout(this.#idleTimer);
    if (idleUnloadMs !== undefined) this.#idleTimer = setTimeout(() => this.unload(), idleUnloadMs);
  }

  #deadError(): KinoraError {
    return deserializeError(
      this.#startError ?? { code: 'ENGINE_CRASHED', message: 'The engine is not running.' },
    );
  }

  // --- the job -------------------------------------------------------------------------------------------------

  /** Hands the job to the child, if both are there. */
  #dispatch(): void {
    const [child, running] = [this.#child, this.#running];
    // The end of a child is reported a moment later: then the job waits for the next child.
    if (this.#state !== 'idle' || !child?.canHear || !running) return;
    const { job, tempPath, leastMemory } = running;
    const expectedMs = this.#steps.expectedMs(running);
    const onSilence = (reason?: KinoraError): void => {
      if (reason) running.condemn(reason);
      child.kill();
    };
    running.begin(new Watchdog(this.#settings, expectedMs, onSilence));
    this.#state = 'busy';
    clearTimeout(this.#idleTimer);
    child.send({ type: 'job', job, tempPath, leastMemory });
  }

  #runningAs(jobId: string): RunningJob | null {
    return this.#running?.job.id === jobId ? this.#running : null;
  }

  /** The job in hand was answered; the child is free again. */
  #onAnswer(jobId: string, errorCode?: string): RunningJob | null {
    const running = this.#runningAs(jobId);
    if (!running) return null;
    this.#running = null;
    this.#endWatch(running);
    this.#fruitlessStarts = 0;
    this.#record.note(running.job.model ?? '', this.#rssBytes);
    if (this.#state === 'busy') {
      this.#becomeIdle();
      // A job that was refused for its size, before the device was asked for anything, leaves the child as it was.
      const wasRefused = errorCode === 'OUT_OF_MEMORY' && running.watchdog?.hasBegun === false;
      if (!wasRefused) this.#recycleIfDue(errorCode);
    }
    return running;
  }

  #endWatch(running: RunningJob): void {
    running.watchdog?.stop();
    this.#steps.note(running);
  }

  #cancel(running: RunningJob): void {
    running.condemn(cancelledError());
    if (running !== this.#running) return; // its child is gone, and its files are being removed
    if (!running.watchdog) {
      this.#running = null;
      running.reject(cancelledError());
    } else if (!running.watchdog.isCancelled) {
      running.watchdog.noteCancelled();
      this.#child?.send({ type: 'cancel', jobId: running.job.id });
    }
  }

  /** Rejects everything that waits for a child. */
  #rejectWaiting(error: KinoraError): void {
    for (const { reject } of this.#readyWaiters.splice(0)) reject(error);
    const running = this.#running;
    if (!running || running.watchdog) return;
    this.#running = null;
    running.reject(error);
  }
}
