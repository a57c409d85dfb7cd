/** One job in the hands of the supervisor, from run() until its promise settles. Knows no child process. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { KinoraError } from '../errors.ts';
import type { ProgressEvent } from '../inference/image-to-video.ts';
import { removeTemporaryFiles, temporaryFilesOf, temporaryName } from '../video/output-file.ts';
import type { EngineJob, EngineResult } from './protocol.ts';
import type { Watchdog } from './watchdog.ts';

export class RunningJob {
  readonly job: EngineJob;
  readonly leastMemory: boolean;
  /** Where the MP4 grows. */
  readonly tempPath: string;
  readonly settled: Promise<EngineResult>;
  readonly #onProgress: (event: ProgressEvent) => void;
  #resolve: (result: EngineResult) => void = () => {};
  #reject: (error: KinoraError) => void = () => {};
  /** Present once the child has the job. */
  watchdog: Watchdog | undefined;
  /** Set just before the child is told to end the job, or is killed: the error for the caller. */
  #verdict: KinoraError | undefined;
  #loadingSince: number | undefined;
  #loadMs = 0;

  /** @param onProgress must not throw */
  constructor(job: EngineJob, leastMemory: boolean, onProgress: (event: ProgressEvent) => void) {
    this.job = withAbsolutePaths(job);
    this.leastMemory = leastMemory;
    this.tempPath = temporaryName(this.job.outPath);
    this.#onProgress = onProgress;
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Proportional to the work of one denoising step. */
  get work(): number {
    const { width, height, numFrames, guidanceScale } = this.job;
    return width * height * numFrames * (guidanceScale > 1 ? 2 : 1);
  }

  report(event: ProgressEvent): void {
    this.watchdog?.note(event);
    if (!this.watchdog?.isCancelled) this.#onProgress(event);
  }

  /** It waits until a child has loaded the first pack. */
  waitForLoad(): void {
    this.#loadingSince = performance.now();
    this.report({ phase: 'loading', done: 0, total: 1 });
  }

  /** The child gets the job. */
  begin(watchdog: Watchdog): void {
    if (this.#loadingSince !== undefined) this.#loadMs = performance.now() - this.#loadingSince;
    this.watchdog = watchdog;
  }

  /** From now on the job fails with this error, unless one was set before or it succeeds all the same. */
  condemn(verdict: KinoraError): void {
    this.#verdict ??= verdict;
  }

  resolve(result: EngineResult): void {
    const { load = 0, ...timings } = result.timings;
    const loadMs = this.#loadMs + load;
    this.#resolve(loadMs > 0 ? { ...result, timings: { load: loadMs, ...timings } } : result);
  }

  reject(error: KinoraError): void {
    this.#reject(this.#verdict ?? error);
  }

  /** After the child died with the job: removes its temporary files, then rejects. */
  async rejectAfterCrash(how: string, ranOutOfMemory: boolean): Promise<void> {
    const { thumbnailPath } = this.job;
    await Promise.allSettled([
      ...Object.values(temporaryFilesOf(this.tempPath)).map((file) => rm(file, { force: true })),
      ...(thumbnailPath === undefined ? [] : [removeTemporaryFiles(thumbnailPath)]),
    ]);
    const during = this.watchdog?.during ?? '';
    if (ranOutOfMemory) {
      const message = `The engine process ran out of memory${during} (${how}).`;
      return this.reject(new KinoraError('OUT_OF_MEMORY', message));
    }
    const hint = how === 'signal SIGKILL' ? '; the system kills processes this way when memory runs out' : '';
    const message = `The engine process ended unexpectedly${during}: ${how}${hint}.`;
    this.reject(new KinoraError('ENGINE_CRASHED', message));
  }
}

/** The child has another working directory, so it must not be given relative paths. */
function withAbsolutePaths(job: EngineJob): EngineJob {
  return {
    ...job,
    imagePath: path.resolve(job.imagePath),
    ...(job.maskPath === undefined ? {} : { maskPath: path.resolve(job.maskPath) }),
    outPath: path.resolve(job.outPath),
    ...(job.thumbnailPath === undefined ? {} : { thumbnailPath: path.resolve(job.thumbnailPath) }),
  };
}

export const cancelledError = (): KinoraError => new KinoraError('CANCELLED', 'The job was cancelled.');
export const stoppedError = (): KinoraError => new KinoraError('CANCELLED', 'The engine was stopped.');
