/**
 * Runs one ffmpeg process to its end, and never longer than it should. Knows processes and pipes, no video.
 *
 * The only import of fluent-ffmpeg, and of it only the command-line builder. Its own runner is left alone because
 * it hangs for ever when its input stream is destroyed without an error, crashes the process (an uncaught
 * TypeError) when ffmpeg cannot be started, ends ffmpeg by SIGTERM without waiting for it, keeps one path per
 * process, and starts ffmpeg twice more to list formats and encoders. Seen in 2.1.3, the last release.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { basename } from 'node:path';
import ffmpeg from 'fluent-ffmpeg';
import { KinoraError } from '../errors.ts';
import { startFfmpeg } from './ffmpeg-start.ts';
import { outputError } from './output-file.ts';

/** How much of stderr is kept: the last lines hold the reason. */
const stderrLimit = 16 * 1024;
/** What `-progress` writes beside the errors: the last line comes when the file is written, closed or flushed. */
const progressLine =
  /^(?:frame|fps|stream_\w+|bitrate|total_size|out_time\w*|dup_frames|drop_frames|speed|progress)=/;
const endLine = 'progress=end';
/** Windows renames no file that somebody still has open. */
const waitsForExit = process.platform === 'win32';
/** SIGKILL is immediate, except for a process that sleeps inside a dead file system; that one is not waited for. */
const killGraceMs = 5_000;

export interface FfmpegRun {
  readonly ffmpegPath: string;
  /** A file, or the frames that go to ffmpeg's stdin in this order. */
  readonly source: { readonly file: string } | { readonly frames: AsyncIterator<Uint8Array> };
  readonly inputOptions: readonly string[];
  readonly filter: string;
  readonly outputOptions: readonly string[];
  /** Overwritten; the caller removes it when the run fails. */
  readonly target: string;
  /** For messages only. */
  readonly outPath: string;
  readonly signal?: AbortSignal | undefined;
  /** The longest that ffmpeg may take for one thing: to accept a frame, or to finish after the last one. */
  readonly deadlineMs: number;
  /** Leaves ffmpeg in the caller's process group, for callers that are themselves ended as a group. */
  readonly sharesProcessGroup?: boolean | undefined;
}

interface Exit {
  readonly startError?: NodeJS.ErrnoException;
  readonly code?: number | null;
  readonly signal?: NodeJS.Signals | null;
}

/**
 * Resolves when ffmpeg has written its file after it was given every frame: it then says so, or ends with exit code 0.
 * (From the one to the other it gives memory back, for up to ten milliseconds. An ffmpeg that somebody else ends says so,
 * too: whether all frames are in the file, the file tells.) Otherwise the process is dead and the frames' iterator has
 * been told to stop before this rejects.
 *
 * @throws KinoraError FFMPEG_MISSING, CANCELLED, DISK_FULL, OUTPUT_UNWRITABLE or ENCODE_FAILED; whatever the
 * frames' iterator throws passes through unchanged.
 */
export async function runFfmpeg(run: FfmpegRun): Promise<void> {
  const frames = 'frames' in run.source ? run.source.frames : undefined;
  const cancelled = () => new KinoraError('CANCELLED', 'Writing the video was cancelled.');
  if (run.signal?.aborted) {
    await stopIterator(frames, false);
    throw cancelled();
  }

  // Its own process group, so that a wrapper script dies together with the ffmpeg it started.
  const args = commandLine(run);
  const { child, startErrno } =
    frames && run.sharesProcessGroup
      ? startFfmpeg(run.ffmpegPath, args)
      : {
          child: spawn(run.ffmpegPath, args, {
            stdio: [frames ? 'pipe' : 'ignore', 'ignore', 'pipe'],
            detached: leadsGroup(run),
            windowsHide: true,
          }),
          startErrno: () => undefined,
        };
  let stderr = '';
  let onWritten: (exit: Exit) => void = () => {};
  const written = new Promise<Exit>((resolve) => {
    onWritten = resolve;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (stderr + text).split('\n');
    const unfinished = lines.pop() ?? '';
    const said = lines.filter((line) => !progressLine.test(line));
    stderr = [...said, unfinished].join('\n').slice(-stderrLimit);
    // After an error, and when it ends before it should, its exit says more.
    const isWhole = fed && failure === undefined && stderr.trim() === '';
    if (lines.includes(endLine) && isWhole && !waitsForExit) onWritten({ code: 0, signal: null });
  });
  // EPIPE after ffmpeg's death; its exit says more.
  child.stdin?.on('error', () => {});
  let hasExited = false;
  const exited = new Promise<Exit>((resolve) => {
    child.on('error', (startError) => resolve({ startError }));
    child.once('close', (code, signal) => resolve({ code, signal }));
  }).then((exit) => {
    hasExited = true;
    return exit;
  });

  let failure: { readonly error: unknown } | undefined;
  let giveUp: () => void = () => {};
  const abandoned = new Promise<Exit>((resolve) => {
    giveUp = () => resolve({});
  });
  let killTimer: NodeJS.Timeout | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
    killGroup(child, leadsGroup(run));
    killTimer ??= setTimeout(giveUp, killGraceMs);
  };

  let deadline: NodeJS.Timeout | undefined;
  const expectProgress = () => {
    clearTimeout(deadline);
    deadline = setTimeout(() => {
      const seconds = Math.round(run.deadlineMs / 100) / 10;
      fail(new KinoraError('ENCODE_FAILED', `ffmpeg made no progress for ${seconds} s and was stopped.`));
    }, run.deadlineMs);
  };
  const onAbort = () => fail(cancelled());
  run.signal?.addEventListener('abort', onAbort, { once: true });

  let fed = frames === undefined;
  let isWaitingForFrame = false;
  const ended = Promise.race([exited, abandoned]);
  const feed = async (iterator: AsyncIterator<Uint8Array>) => {
    try {
      while (!hasExited && failure === undefined) {
        isWaitingForFrame = true;
        const next = await Promise.race([iterator.next(), ended.then(() => undefined)]);
        if (next === undefined) return;
        isWaitingForFrame = false;
        if (next.done === true) {
          fed = true;
          expectProgress();
          child.stdin?.end();
          return;
        }
        expectProgress();
        // Waits until the pipe has taken every byte: at most one frame is ever held here.
        await Promise.race([writeFully(child, next.value), ended]);
        clearTimeout(deadline);
      }
    } catch (error) {
      isWaitingForFrame = false;
      fail(error);
    }
  };

  try {
    if (frames) void feed(frames);
    else expectProgress();
    const exit = await Promise.race([ended, written]);
    if (failure) throw failure.error;
    if (exit.startError) throw startFailure(exit.startError);
    const startCode = startErrno(exit.code);
    if (startCode !== undefined) throw startFailure(Object.assign(new Error(stderr), { code: startCode }));
    // On a full disk ffmpeg may fail to write the index, say so, and still end with exit code 0.
    const errno = outputErrnoIn(stderr);
    if (errno !== undefined) throw outputError(errno, run.outPath);
    if (exit.code !== 0) throw exitFailure(exit, stderr, run);
    if (!fed) throw new KinoraError('ENCODE_FAILED', 'ffmpeg stopped before it had taken every frame.');
  } finally {
    clearTimeout(deadline);
    clearTimeout(killTimer);
    run.signal?.removeEventListener('abort', onAbort);
    if (!fed) await stopIterator(frames, isWaitingForFrame);
    if (!hasExited) endSoon(child, exited, leadsGroup(run));
  }
}

/** It has nothing left to do. */
function endSoon(child: ChildProcess, exited: Promise<Exit>, isLeader: boolean): void {
  const timer = setTimeout(() => killGroup(child, isLeader), killGraceMs);
  void exited.then(() => clearTimeout(timer));
}

/** The command line, built by fluent-ffmpeg. Two-argument calls only: it splits lone options at spaces. */
export function commandLine(run: Omit<FfmpegRun, 'ffmpegPath' | 'signal' | 'deadlineMs'>): string[] {
  // "file:" keeps names such as "a:b.mp4" or "-x.mp4" from being read as protocols or options.
  const input = 'file' in run.source ? `file:${run.source.file}` : 'pipe:0';
  const command = ffmpeg(input)
    .inputOptions('-hide_banner', '-nostdin', '-v', 'error', '-progress', 'pipe:2', ...run.inputOptions)
    .videoFilters(run.filter)
    .outputOptions('-y', '-an', ...run.outputOptions)
    .output(`file:${run.target}`);
  return command._getArguments();
}

/** Resolves when the pipe has taken every byte. Never after a failed write: ffmpeg is gone then, and its end is awaited. */
function writeFully(child: ChildProcess, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    child.stdin?.write(data, (error) => {
      if (!error) resolve();
    });
  });
}

function leadsGroup(run: FfmpegRun): boolean {
  return process.platform !== 'win32' && run.sharesProcessGroup !== true;
}

function killGroup(child: ChildProcess, isLeader: boolean): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    if (isLeader) process.kill(-child.pid, 'SIGKILL');
    else child.kill('SIGKILL');
  } catch {
    // Already gone.
  }
}

/** A generator that is busy with next() cannot be waited for: it may hang, and it stops after that frame. */
async function stopIterator(frames: AsyncIterator<Uint8Array> | undefined, isBusy: boolean): Promise<void> {
  const stopped = Promise.resolve(frames?.return?.()).catch(() => {});
  if (!isBusy) await stopped;
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

function exitFailure(exit: Exit, stderr: string, run: FfmpegRun): KinoraError {
  const how = exit.signal ? `was killed by ${exit.signal}` : `failed with exit code ${exit.code}`;
  const line = lastUsefulLine(stderr, run);
  return new KinoraError('ENCODE_FAILED', `ffmpeg ${how}${line === '' ? '' : ` (${line})`}.`);
}

/** The last line that says something, without paths of this machine. */
function lastUsefulLine(stderr: string, run: FfmpegRun): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter(
      (line) =>
        line !== '' &&
        !progressLine.test(line) &&
        !/^(Conversion failed!?|Last message repeated .*)$/.test(line),
    );
  let line = lines.at(-1) ?? '';
  line = line
    .replaceAll(`file:${run.target}`, basename(run.outPath))
    .replaceAll(run.target, basename(run.outPath));
  if ('file' in run.source) {
    line = line.replaceAll(`file:${run.source.file}`, 'the input').replaceAll(run.source.file, 'the input');
  }
  return line.replace(/ @ 0x[0-9a-f]+/g, '').slice(0, 300);
}
