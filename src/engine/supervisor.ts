/**
 * The supervisor of the engine child: hands it one job at a time, watches its heartbeat, and replaces it when it hangs,
 * dies or has grown too large. Used by the command line and by the queue's worker. Knows no model and no chat.
 *
 * A job given while another runs waits its turn (first in, first out); a job given while the child loads waits for that.
 * Every promise settles: with a result, or with a KinoraError whose code is in the catalogue.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { deserializeError, KinoraError, type SerializedError } from '../errors.ts';
import type { ProgressEvent } from '../inference/image-to-video.ts';
import { removeTemporaryFiles } from '../video/output-file.ts';
import { temporaryFiles } from './job-files.ts';
import { type EngineLogger, EngineProcess } from './process.ts';
import type { EngineJob, EngineOptions, EngineResult, FromEngine } from './protocol.ts';
import { SilenceLimit, type SilenceSettings, scaleStepMs } from './silence-limit.ts';
import { shrink } from './smaller-jobs.ts';

export interface EngineSettings extends SilenceSettings {
  /** From fork to "ready". Large packs are read from slow disks. */
  readonly loadDeadlineMs: number;
  /** How long a cancelled job may go on before the child is killed, even in the middle of a step that takes longer. */
  readonly cancelGraceMs: number;
  /** How long the child may take to leave when asked to. */
  readonly stopGraceMs: number;
  /** The child is replaced, between jobs, after this many. */
  readonly maxJobsPerChild: number;
  /** The child is replaced, between jobs, when its memory, cache aside, has grown by more than this since its first job. */
  readonly maxRssGrowthBytes: number;
  /** Children in a row that may die without serving before the engine gives up. */
  readonly maxStartAttempts: number;
  /** Wait before the second attempt; doubled for each one after. */
  readonly restartDelayMs: number;
}

export const defaultEngineSettings: EngineSettings = {
  minSilenceMs: 15_000,
  silenceFactor: 5,
  firstStepMs: 600_000,
  loadDeadlineMs: 600_000,
  // With the watch's tick: ten seconds at worst.
  cancelGraceMs: 9_000,
  stopGraceMs: 5_000,
  maxJobsPerChild: 500,
  maxRssGrowthBytes: 1024 ** 3,
  maxStartAttempts: 3,
  restartDelayMs: 500,
};

export interface RunHooks {
  /** Aborting it ends the job at the next step boundary; run() then rejects with CANCELLED once nothing is left behind. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
}

export interface EngineStatus {
  /** `dead`: it could not be started; the next run() tries again. `stopped`: by stop(), for good. */
  readonly state: 'loading' | 'idle' | 'busy' | 'dead' | 'stopped';
  readonly pid: number | null;
  /** Jobs waiting for their turn, the running one not counted. */
  readonly waiting: number;
  /** Jobs that the present child has answered, with a result or an error. */
  readonly jobsServed: number;
  /** Children started so far. */
  readonly starts: number;
  /** Resident memory of the child when it last reported, in bytes. */
  readonly rssBytes: number;
  /** Why the engine is dead. */
  readonly error: SerializedError | null;
}

interface Pending {
  /** As it was given. */
  readonly asked: EngineJob;
  /** As it is tried next: smaller than it was given, when memory ran out. */
  readonly job: EngineJob;
  /** It ran out of memory before. */
  readonly leanest: boolean;
  /** The smaller preset that it was reduced to. */
  readonly reducedTo: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (event: ProgressEvent) => void;
  readonly resolve: (result: EngineResult) => void;
  readonly reject: (error: KinoraError) => void;
  readonly onAbort: () => void;
}

interface Running extends Pending {
  readonly silence: SilenceLimit;
  /** Milliseconds of silence so far, counted in ticks. */
  silentMs: number;
  /** Milliseconds since cancel was sent, or null. */
  cancelledForMs: number | null;
  last: ProgressEvent | null;
  /** Set just before we kill the child ourselves: what to tell the caller. */
  verdict: KinoraError | null;
}

/** Failures to start that may pass by themselves. A pack that is not there will not be there in a second either. */
const retryableStartCodes: ReadonlySet<string> = new Set(['INTERNAL', 'OUT_OF_MEMORY', 'ENGINE_CRASHED']);
/** After these a session or a device may be in a bad state (a failed CUDA context stays failed), so start afresh. */
const recycleAfterCodes: ReadonlySet<string> = new Set(['INTERNAL', 'OUT_OF_MEMORY', 'DEVICE_UNAVAILABLE']);

const silentLogger: EngineLogger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export class Engine {
  readonly #options: EngineOptions;
  readonly #settings: EngineSettings;
  readonly #logger: EngineLogger;

  #state: EngineStatus['state'] = 'loading';
  #child: EngineProcess | null = null;
  #running: Running | null = null;
  readonly #waiting: Pending[] = [];

  #starts = 0;
  #jobsServed = 0;
  #rssBytes = 0;
  #rssAfterFirstJob = 0;
  /** Children in a row that died without serving a job. */
  #fruitlessStarts = 0;
  #startError: SerializedError | null = null;
  /** Set while a child that we asked to leave is on its way out. */
  #leaving = false;
  #stopped: Promise<void> | null = null;
  #loadTimer: NodeJS.Timeout | null = null;
  #restartTimer: NodeJS.Timeout | null = null;
  #leaveTimer: NodeJS.Timeout | null = null;
  #watchTimer: NodeJS.Timeout | null = null;
  /** The usual step of the last job that came as far as two steps, and how much work a step was. */
  #measured: { stepMs: number; work: number } | null = null;
  readonly #readyWaiters: { resolve: () => void; reject: (error: KinoraError) => void }[] = [];

  private constructor(options: EngineOptions, settings: EngineSettings, logger: EngineLogger) {
    this.#options = options;
    this.#settings = settings;
    this.#logger = logger;
  }

  /** Forks the child at once; run() may be called straight away. Call stop() when done, or the process stays alive. */
  static start(
    options: EngineOptions,
    settings: Partial<EngineSettings> = {},
    logger: EngineLogger = silentLogger,
  ): Engine {
    const engine = new Engine(
      {
        ...options,
        packPath: path.resolve(options.packPath),
        cachePath: path.resolve(options.cachePath),
        // A bare name is looked up in PATH.
        ffmpegPath: /[\\/]/.test(options.ffmpegPath) ? path.resolve(options.ffmpegPath) : options.ffmpegPath,
      },
      { ...defaultEngineSettings, ...settings },
      logger,
    );
    engine.#spawn();
    return engine;
  }

  /** Resolves when the model is loaded; rejects with the reason when it cannot be. Optional: run() waits by itself. */
  ready(): Promise<void> {
    if (this.#state === 'idle' || this.#state === 'busy') return Promise.resolve();
    if (this.#state === 'stopped') return Promise.reject(stoppedError());
    if (this.#state === 'dead') return Promise.reject(this.#deadError());
    return new Promise((resolve, reject) => {
      this.#readyWaiters.push({ resolve, reject });
    });
  }

  /**
   * Makes one clip. Rejects with CANCELLED, ENGINE_CRASHED, ENGINE_HUNG, or whatever the job itself failed with;
   * in every case nothing half-written is left. A job that runs out of memory is tried again in a fresh child with as
   * little of it as possible, and then as a smaller one, if it has any: the result says so.
   */
  run(job: EngineJob, hooks: RunHooks = {}): Promise<EngineResult> {
    if (this.#state === 'stopped') return Promise.reject(stoppedError());
    const { signal, onProgress } = hooks;
    if (signal?.aborted) return Promise.reject(cancelledError());
    return new Promise((resolve, reject) => {
      const asked = absolutePaths(job);
      const pending: Pending = {
        asked,
        job: asked,
        leanest: false,
        reducedTo: undefined,
        signal,
        onProgress: (event) => {
          try {
            onProgress?.(event);
          } catch (error) {
            this.#logger.warn({ reason: String(error) }, 'progress listener failed');
          }
        },
        resolve,
        reject,
        onAbort: () => this.#cancel(asked),
      };
      signal?.addEventListener('abort', pending.onAbort, { once: true });
      this.#waiting.push(pending);
      if (this.#state === 'dead') this.#revive();
      if (this.#state === 'loading') pending.onProgress({ phase: 'loading', done: 0, total: 1 });
      this.#next();
    });
  }

  status(): EngineStatus {
    return {
      state: this.#state,
      pid: this.#child?.pid ?? null,
      waiting: this.#waiting.length,
      jobsServed: this.#jobsServed,
      starts: this.#starts,
      rssBytes: this.#rssBytes,
      error: this.#startError,
    };
  }

  /** Cancels what runs and waits, ends the child and waits until it is gone. May be called more than once. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#state = 'stopped';
    this.#clearRestart();
    for (const pending of this.#waiting.splice(0))
      this.#settle(pending, () => pending.reject(stoppedError()));
    this.#rejectReadyWaiters(stoppedError());
    if (this.#running) this.#running.verdict ??= stoppedError();
    const child = this.#child;
    if (!child) return;
    this.#askToLeave(child);
    await child.gone;
    await this.#tidied;
  }

  // --- the child -----------------------------------------------------------------------------------------------

  #spawn(): void {
    this.#state = 'loading';
    this.#starts += 1;
    this.#jobsServed = 0;
    this.#rssAfterFirstJob = 0;
    this.#leaving = false;
    this.#startError = null;
    let child: EngineProcess;
    try {
      child = new EngineProcess(
        {
          onMessage: (message) => this.#onMessage(child, message),
          onGone: (how) => this.#onGone(child, how),
        },
        this.#logger,
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
      case 'ready':
        this.#clearLoad();
        this.#rssBytes = message.rssBytes;
        this.#logger.info(
          { pid: child.pid, loadMs: message.loadMs, model: message.model, warmUp: message.warmUp },
          'engine ready',
        );
        if (this.#state !== 'loading') return;
        this.#state = 'idle';
        for (const { resolve } of this.#readyWaiters.splice(0)) resolve();
        this.#next();
        return;
      case 'failed-to-start':
        this.#clearLoad();
        this.#startError = message.error;
        this.#askToLeave(child);
        return;
      case 'progress':
        this.#onProgress(message.jobId, { phase: message.phase, done: message.done, total: message.total });
        return;
      case 'alive':
        if (this.#running?.job.id === message.jobId) this.#running.silentMs = 0;
        return;
      case 'result':
        this.#rssBytes = message.rssBytes;
        this.#onAnswer(message.result.jobId, null, ({ reducedTo, resolve }) =>
          resolve({ ...message.result, ...(reducedTo === undefined ? {} : { reducedTo }) }),
        );
        return;
      case 'error': {
        this.#rssBytes = message.rssBytes;
        const { code } = message.error;
        const error = deserializeError(message.error);
        this.#onAnswer(message.jobId, code, (running) => running.reject(running.verdict ?? error));
        return;
      }
    }
  }

  #onProgress(jobId: string, event: ProgressEvent): void {
    const running = this.#running;
    if (running?.job.id !== jobId) return;
    running.silence.note(event, performance.now());
    running.silentMs = 0;
    running.last = event;
    if (running.cancelledForMs === null) running.onProgress(event);
  }

  /** The job in hand was answered; the child is free again. */
  #onAnswer(jobId: string, errorCode: string | null, settle: (running: Running) => void): void {
    const running = this.#running;
    if (running?.job.id !== jobId) return;
    this.#running = null;
    this.#stopWatching();
    this.#learnPace(running);
    this.#jobsServed += 1;
    this.#fruitlessStarts = 0;
    if (this.#jobsServed === 1) this.#rssAfterFirstJob = this.#rssBytes;
    // Refused for its size, before the device was asked for anything: the child is as good as before.
    const wasRefused = errorCode === 'OUT_OF_MEMORY' && running.last === null;
    if (this.#state === 'busy') {
      this.#state = 'idle';
      if (!wasRefused) this.#recycleIfDue(errorCode);
    }
    const again = errorCode === 'OUT_OF_MEMORY' ? this.#smaller(running, wasRefused) : undefined;
    if (again) this.#tryAgain(again);
    else this.#settle(running, () => settle(running));
    this.#next();
  }

  #tryAgain(pending: Pending): void {
    this.#waiting.unshift(pending);
    if (this.#state === 'dead') this.#revive(); // given up while it was tidied up
    if (this.#state === 'loading') pending.onProgress({ phase: 'loading', done: 0, total: 1 });
  }

  /** How a job that ran out of memory is tried again, or undefined when it has had its chances. */
  #smaller(running: Running, wasRefused: boolean): Pending | undefined {
    const { asked, job, leanest, reducedTo, signal, onProgress, resolve, reject, onAbort } = running;
    if (running.verdict || this.#state === 'stopped') return undefined;
    const rest = { asked, signal, onProgress, resolve, reject, onAbort };
    if (!wasRefused && !leanest) {
      this.#logger.warn({ jobId: job.id }, 'out of memory: once more with as little as possible');
      return { ...rest, job, leanest: true, reducedTo };
    }
    // What was refused cost nothing, so every smaller version may be asked for; what failed at work gets one.
    if (!wasRefused && reducedTo !== undefined) return undefined;
    const shrunk = shrink(job);
    if (!shrunk) return undefined;
    const { width, height, numFrames } = shrunk.job;
    this.#logger.warn(
      { jobId: job.id, preset: shrunk.preset, width, height, numFrames },
      'out of memory: once more as a smaller clip',
    );
    return { ...rest, job: shrunk.job, leanest, reducedTo: shrunk.preset };
  }

  #learnPace({ silence, job }: Running): void {
    const stepMs = silence.stepMs();
    if (stepMs !== null) this.#measured = { stepMs, work: workOf(job) };
  }

  #recycleIfDue(errorCode: string | null): void {
    const child = this.#child;
    if (!child) return;
    const { maxJobsPerChild, maxRssGrowthBytes } = this.#settings;
    const grownBy = this.#rssBytes - this.#rssAfterFirstJob;
    let reason: string;
    if (errorCode !== null && recycleAfterCodes.has(errorCode)) reason = `error ${errorCode}`;
    else if (this.#jobsServed >= maxJobsPerChild) reason = `${this.#jobsServed} jobs`;
    else if (grownBy > maxRssGrowthBytes + this.#options.cacheMemoryBytes)
      reason = `memory grown by ${Math.round(grownBy / 2 ** 20)} MiB`;
    else return;
    this.#logger.info({ pid: child.pid, reason }, 'engine child is replaced');
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

  #tidied: Promise<void> = Promise.resolve();

  #onGone(child: EngineProcess | null, how: string): void {
    if (child !== this.#child) return;
    this.#child = null;
    this.#clearLoad();
    this.#stopWatching();
    if (this.#leaveTimer) clearTimeout(this.#leaveTimer);
    this.#leaveTimer = null;
    const running = this.#running;
    this.#running = null;
    const wasAsked = this.#leaving;
    if (running) {
      this.#learnPace(running);
      this.#logger.error(
        { pid: child?.pid, how, jobId: running.job.id, lastLines: child?.lastLines },
        'engine child ended during a job',
      );
      const outOfMemory = child?.diedOutOfMemory === true;
      this.#tidied = removeLeftovers(running.job).then(() => {
        if (running.signal?.aborted) running.verdict ??= cancelledError(); // while it was tidied up
        const again = outOfMemory ? this.#smaller(running, false) : undefined;
        const error = running.verdict ?? crashError(how, running.last, outOfMemory);
        if (again) this.#tryAgain(again);
        else this.#settle(running, () => running.reject(error));
        this.#next();
      });
    }
    if (this.#state === 'stopped') return;
    if (running || (wasAsked && this.#startError === null)) {
      // A death during a job is bounded by whoever gives the jobs; a recycled child is no death at all.
      this.#spawn();
      return;
    }
    this.#fruitlessStarts += 1;
    const doing = this.#state === 'loading' ? 'loading the model pack' : 'idle';
    this.#startError ??= child?.diedOutOfMemory
      ? { code: 'OUT_OF_MEMORY', message: `The engine process ran out of memory while ${doing} (${how}).` }
      : { code: 'ENGINE_CRASHED', message: `The engine process ended while ${doing} (${how}).` };
    const hopeless = !retryableStartCodes.has(this.#startError.code);
    if (hopeless || this.#fruitlessStarts >= this.#settings.maxStartAttempts) {
      this.#giveUp();
      return;
    }
    const delayMs = this.#settings.restartDelayMs * 2 ** (this.#fruitlessStarts - 1);
    this.#logger.warn(
      { reason: this.#startError.message, delayMs, lastLines: child?.lastLines },
      'engine child is started again',
    );
    this.#state = 'loading';
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = null;
      this.#spawn();
    }, delayMs);
  }

  #giveUp(): void {
    this.#state = 'dead';
    const error = this.#deadError();
    this.#logger.error({ code: error.code, reason: error.message }, 'engine cannot be started');
    this.#rejectReadyWaiters(error);
    for (const pending of this.#waiting.splice(0)) this.#settle(pending, () => pending.reject(error));
  }

  /** A dead engine tries once more when a job asks for it: the pack or the device may be back. */
  #revive(): void {
    this.#fruitlessStarts = this.#settings.maxStartAttempts - 1;
    this.#spawn();
  }

  #deadError(): KinoraError {
    const { code, message } = this.#startError ?? {
      code: 'ENGINE_CRASHED',
      message: 'The engine is not running.',
    };
    return new KinoraError(code, message);
  }

  // --- jobs ----------------------------------------------------------------------------------------------------

  #next(): void {
    const child = this.#child;
    // One that has just ended is reported a moment later: the job waits for the next.
    if (this.#state !== 'idle' || !child?.canHear || this.#running) return;
    const pending = this.#waiting.shift();
    if (!pending) return;
    const work = workOf(pending.job);
    const expected = this.#measured ? scaleStepMs(this.#measured.stepMs, this.#measured.work, work) : null;
    this.#running = {
      ...pending,
      silence: new SilenceLimit(this.#settings, expected),
      silentMs: 0,
      cancelledForMs: null,
      last: null,
      verdict: null,
    };
    this.#state = 'busy';
    this.#watch();
    child.send({ type: 'job', job: pending.job, leanest: pending.leanest });
  }

  #cancel(asked: EngineJob): void {
    const index = this.#waiting.findIndex((pending) => pending.asked === asked);
    const [waiting] = index < 0 ? [] : this.#waiting.splice(index, 1);
    if (waiting) {
      this.#settle(waiting, () => waiting.reject(cancelledError()));
      return;
    }
    const running = this.#running;
    if (running?.asked !== asked || running.cancelledForMs !== null) return;
    running.cancelledForMs = 0;
    running.verdict ??= cancelledError();
    this.#child?.send({ type: 'cancel', jobId: asked.id });
  }

  /**
   * Counts silence in ticks, each worth at most twice its length, so that neither a laptop that slept nor a parent that
   * was busy itself is held against the child.
   */
  #watch(): void {
    const { minSilenceMs, cancelGraceMs } = this.#settings;
    const tickMs = Math.max(20, Math.min(1000, minSilenceMs / 8, cancelGraceMs / 8));
    let lastTick = performance.now();
    this.#watchTimer = setInterval(() => {
      const running = this.#running;
      if (!running) return;
      const now = performance.now();
      const elapsed = Math.min(now - lastTick, 2 * tickMs);
      lastTick = now;
      running.silentMs += elapsed;
      if (running.cancelledForMs !== null) {
        running.cancelledForMs += elapsed;
        if (running.cancelledForMs > cancelGraceMs) this.#child?.kill();
        return;
      }
      const limitMs = running.silence.limitMs();
      if (running.silentMs <= limitMs) return;
      const seconds = Math.max(1, Math.round(limitMs / 1000));
      running.verdict ??= new KinoraError(
        'ENGINE_HUNG',
        `The engine gave no sign of life for ${seconds} s${during(running.last)}.`,
      );
      this.#child?.kill();
    }, tickMs);
  }

  #stopWatching(): void {
    if (this.#watchTimer) clearInterval(this.#watchTimer);
    this.#watchTimer = null;
  }

  #settle(pending: Pending, how: () => void): void {
    pending.signal?.removeEventListener('abort', pending.onAbort);
    how();
  }

  #rejectReadyWaiters(error: KinoraError): void {
    for (const { reject } of this.#readyWaiters.splice(0)) reject(error);
  }

  #clearLoad(): void {
    if (this.#loadTimer) clearTimeout(this.#loadTimer);
    this.#loadTimer = null;
  }

  #clearRestart(): void {
    if (this.#restartTimer) clearTimeout(this.#restartTimer);
    this.#restartTimer = null;
  }
}

/** The child has another working directory, so it must not be handed relative paths. */
function absolutePaths(job: EngineJob): EngineJob {
  return {
    ...job,
    imagePath: path.resolve(job.imagePath),
    outPath: path.resolve(job.outPath),
    ...(job.thumbnailPath === undefined ? {} : { thumbnailPath: path.resolve(job.thumbnailPath) }),
  };
}

/** Proportional to the work of one denoising step. */
function workOf(job: EngineJob): number {
  return job.width * job.height * job.numFrames * (job.guidanceScale > 1 ? 2 : 1);
}

/** What a dead child may have left of a job. */
async function removeLeftovers(job: EngineJob): Promise<void> {
  await Promise.allSettled([
    ...temporaryFiles(job).map((file) => rm(file, { force: true })),
    ...(job.thumbnailPath === undefined ? [] : [removeTemporaryFiles(job.thumbnailPath)]),
  ]);
}

function during(last: ProgressEvent | null): string {
  return last ? ` during ${last.phase} (${last.done} of ${last.total})` : '';
}

function crashError(how: string, last: ProgressEvent | null, outOfMemory: boolean): KinoraError {
  if (outOfMemory) {
    return new KinoraError('OUT_OF_MEMORY', `The engine process ran out of memory${during(last)} (${how}).`);
  }
  const hint = how === 'signal SIGKILL' ? '; the system kills processes this way when memory runs out' : '';
  return new KinoraError(
    'ENGINE_CRASHED',
    `The engine process ended unexpectedly${during(last)}: ${how}${hint}.`,
  );
}

const cancelledError = (): KinoraError => new KinoraError('CANCELLED', 'The job was cancelled.');
const stoppedError = (): KinoraError => new KinoraError('CANCELLED', 'The engine was stopped.');
