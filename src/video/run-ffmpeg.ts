/**
 * Runs one ffmpeg process to its end. Knows processes and pipes, no video.
 *
 * The only import of fluent-ffmpeg, and only of its command-line builder (`_getArguments`, not part of its public
 * interface; the package is archived, so it will not change). Its runner is not used: it never settles when its input
 * stream is destroyed without an error, crashes the process (an uncaught TypeError) when ffmpeg cannot be started, ends
 * ffmpeg by SIGTERM without waiting for it, keeps one path per process, and starts ffmpeg twice more to list formats and
 * encoders (version 2.1.3, the last release).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { basename } from 'node:path';
import ffmpeg from 'fluent-ffmpeg';
import { KinoraError } from '../errors.ts';
import { programEnvironment } from '../program-environment.ts';
import { outputError } from './output-file.ts';

/** How much of stderr is kept: the last lines hold the reason. */
const stderrLimit = 16 * 1024;
/** SIGKILL is immediate, except for a process that sleeps inside a dead file system; that one is not waited for. */
const killGraceMs = 5_000;

export interface FfmpegRun {
  readonly ffmpegPath: string;
  /** A file, or the frames that go to ffmpeg's stdin in this order. `return` must not wait for a pending `next`. */
  readonly source: { readonly file: string } | { readonly frames: AsyncIterator<Uint8Array> };
  readonly inputOptions: readonly string[];
  /** Absent where nothing is decoded. */
  readonly filter?: string;
  readonly outputOptions: readonly string[];
  /** Overwritten; the caller removes it when the run fails. */
  readonly target: string;
  /** For messages only. */
  readonly outPath: string;
  readonly signal?: AbortSignal | undefined;
  /** The longest that ffmpeg may take for one thing: to accept a frame, or to finish after the last one. */
  readonly deadlineMs: number;
  /** Leaves ffmpeg in the caller's process group, for callers that are themselves killed as a group. */
  readonly sharesProcessGroup?: boolean | undefined;
}

interface Exit {
  readonly startError?: NodeJS.ErrnoException;
  readonly code?: number | null;
  readonly signal?: NodeJS.Signals | null;
}

/**
 * Resolves when ffmpeg was given every frame and ended with exit code 0. Otherwise the process is dead and the frames'
 * iterator was told to stop before this rejects.
 *
 * @throws KinoraError FFMPEG_MISSING, CANCELLED, DISK_FULL, OUTPUT_UNWRITABLE or ENCODE_FAILED; an error of the frames'
 * iterator passes through unchanged.
 */
export async function runFfmpeg(run: FfmpegRun): Promise<void> {
  const frames = 'frames' in run.source ? run.source.frames : undefined;
  const cancelled = (): KinoraError => new KinoraError('CANCELLED', 'Writing the video was cancelled.');
  let isFed = false;
  try {
    if (run.signal?.aborted) throw cancelled();
    const running = new FfmpegProcess(run);
    const onAbort = (): void => running.fail(cancelled());
    run.signal?.addEventListener('abort', onAbort, { once: true });
    isFed = frames === undefined || (await feed(running, frames));
    if (isFed) running.endInput();
    const exit = await running.ended;
    run.signal?.removeEventListener('abort', onAbort);
    running.throwFailure(exit);
    if (!isFed) throw new KinoraError('ENCODE_FAILED', 'ffmpeg stopped before it had taken every frame.');
  } finally {
    if (!isFed) await frames?.return?.().catch(() => {});
  }
}

/** Hands over all frames, one at a time. Returns false when ffmpeg ended first, or was stopped. */
async function feed(running: FfmpegProcess, frames: AsyncIterator<Uint8Array>): Promise<boolean> {
  try {
    while (!running.isOver) {
      const next = await Promise.race([frames.next(), running.ended]);
      if (!('done' in next)) return false;
      if (next.done === true) return true;
      await running.write(next.value);
    }
  } catch (error) {
    running.fail(error);
  }
  return false;
}

class FfmpegProcess {
  readonly #run: FfmpegRun;
  readonly #child: ChildProcess;
  /** Its own process group, so that a wrapper script dies together with the ffmpeg it started. */
  readonly #leadsGroup: boolean;
  /** Resolves when the process is gone, or could not be killed. */
  readonly ended: Promise<Exit>;
  #onEnded: (exit: Exit) => void = () => {};
  #hasEnded = false;
  /** The first reason why it was killed. */
  #failure: { readonly error: unknown } | undefined;
  #stderr = '';
  #deadline: NodeJS.Timeout | undefined;
  #killTimer: NodeJS.Timeout | undefined;

  constructor(run: FfmpegRun) {
    this.#run = run;
    this.#leadsGroup = process.platform !== 'win32' && run.sharesProcessGroup !== true;
    this.ended = new Promise((resolve) => {
      this.#onEnded = (exit) => {
        this.#hasEnded = true;
        clearTimeout(this.#deadline);
        clearTimeout(this.#killTimer);
        resolve(exit);
      };
    });
    this.#child = spawn(run.ffmpegPath, commandLine(run), {
      stdio: ['frames' in run.source ? 'pipe' : 'ignore', 'ignore', 'pipe'],
      env: programEnvironment(),
      detached: this.#leadsGroup,
      windowsHide: true,
    });
    this.#child.on('error', (startError) => this.#onEnded({ startError }));
    this.#child.once('close', (code, signal) => this.#onEnded({ code, signal }));
    this.#child.stdin?.on('error', () => {}); // EPIPE after its death; the exit says more
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-stderrLimit);
    });
  }

  /** It has ended, or is being killed. */
  get isOver(): boolean {
    return this.#hasEnded || this.#failure !== undefined;
  }

  /** Resolves when the pipe has taken every byte, so one frame at most is held here, or when the process has ended. */
  async write(data: Uint8Array): Promise<void> {
    this.#startDeadline();
    const written = new Promise<void>((resolve) => {
      this.#child.stdin?.write(data, (error) => {
        if (!error) resolve();
      });
    });
    await Promise.race([written, this.ended]);
    clearTimeout(this.#deadline);
  }

  /** ffmpeg has all its input now. */
  endInput(): void {
    if (this.isOver) return;
    this.#startDeadline();
    this.#child.stdin?.end();
  }

  /** Kills the process. `error` becomes the error of the run, unless there was one before. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    if (this.#hasEnded) return;
    this.#kill();
    this.#killTimer ??= setTimeout(() => this.#onEnded({}), killGraceMs);
  }

  /** Throws the reason why the file is not written, if there is one. */
  throwFailure(exit: Exit): void {
    if (this.#failure) throw this.#failure.error;
    if (exit.startError) throw startFailure(exit.startError);
    // On a full disk ffmpeg may fail to write the index, say so, and still end with exit code 0.
    const errno = outputErrnoIn(this.#stderr);
    if (errno !== undefined) throw outputError(errno, this.#run.outPath);
    if (exit.code !== 0) throw exitFailure(exit, this.#stderr, this.#run);
  }

  #startDeadline(): void {
    const { deadlineMs } = this.#run;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      const seconds = Math.round(deadlineMs / 100) / 10;
      this.fail(
        new KinoraError('ENCODE_FAILED', `ffmpeg made no progress for ${seconds} s and was stopped.`),
      );
    }, deadlineMs);
  }

  #kill(): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      if (this.#leadsGroup) process.kill(-pid, 'SIGKILL');
      else this.#child.kill('SIGKILL');
    } catch {
      // It is gone already.
    }
  }
}

/** The command line, built by fluent-ffmpeg. Two-argument calls only: it splits lone options at spaces. */
function commandLine(run: Omit<FfmpegRun, 'ffmpegPath' | 'signal' | 'deadlineMs'>): string[] {
  // "file:" keeps names such as "a:b.mp4" or "-x.mp4" from being read as protocols or options.
  const input = 'file' in run.source ? `file:${run.source.file}` : 'pipe:0';
  const command = ffmpeg(input)
    .inputOptions('-hide_banner', '-nostdin', '-v', 'error', ...run.inputOptions)
    .videoFilters(run.filter ?? [])
    .outputOptions('-y', '-an', ...run.outputOptions)
    .output(`file:${run.target}`);
  return command._getArguments();
}

function startFailure(error: NodeJS.ErrnoException): KinoraError {
  const missing = error.code === 'ENOENT' || error.code === 'EACCES' || error.code === 'ENOEXEC';
  return missing
    ? new KinoraError('FFMPEG_MISSING', `ffmpeg cannot be started (${error.code}).`, { cause: error })
    : new KinoraError('ENCODE_FAILED', `ffmpeg cannot be started (${error.code ?? error.message}).`, {
        cause: error,
      });
}

const outputErrnos: readonly (readonly [RegExp, string])[] = [
  [/No space left on device/, 'ENOSPC'],
  [/Disk quota exceeded/, 'EDQUOT'],
  [/Read-only file system/, 'EROFS'],
  [/Permission denied/, 'EACCES'],
  [/Is a directory/, 'EISDIR'],
  [/Input\/output error/, 'EIO'],
];

function outputErrnoIn(stderr: string): string | undefined {
  return outputErrnos.find(([pattern]) => pattern.test(stderr))?.[1];
}

/** ffmpeg ends itself with 255 on SIGTERM and SIGINT; a shell around it ends with 128 and the signal's number. */
function signalOf(exitCode: number): string | undefined {
  if (exitCode === 255) return 'a signal';
  const [name] = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128) ?? [];
  return name;
}

function exitFailure(exit: Exit, stderr: string, run: FfmpegRun): KinoraError {
  const by = exit.signal ?? signalOf(exit.code ?? 0);
  if (by !== undefined) return new KinoraError('ENCODE_FAILED', { kind: 'encoderKilled', by });
  const line = lastUsefulLine(stderr, run);
  const reason = line === '' ? '' : ` (${line})`;
  return new KinoraError('ENCODE_FAILED', `ffmpeg failed with exit code ${exit.code}${reason}.`);
}

/** The last line that says something, without paths of this machine. */
function lastUsefulLine(stderr: string, run: FfmpegRun): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(Conversion failed!?|Last message repeated .*)$/.test(line));
  let line = lines.at(-1) ?? '';
  line = line
    .replaceAll(`file:${run.target}`, basename(run.outPath))
    .replaceAll(run.target, basename(run.outPath));
  if ('file' in run.source) {
    line = line.replaceAll(`file:${run.source.file}`, 'the input').replaceAll(run.source.file, 'the input');
  }
  return line.replace(/ @ 0x[0-9a-f]+/g, '').slice(0, 300);
}
