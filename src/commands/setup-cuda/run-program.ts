/** Programs that the set-up runs, and how it fails. */
import { spawn } from 'node:child_process';
import { CommandError } from '../command-error.ts';

export class SetupError extends CommandError {
  constructor(message: string) {
    super(message, 'DEVICE_UNAVAILABLE');
  }
}

/** One installation under way. */
export interface Setup {
  /** Temporary folder for downloads. */
  readonly staging: string;
  /** Folder inside of it that becomes the installation. */
  readonly made: string;
  readonly say: (line: string) => void;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/**
 * Runs a program and shows its output in the terminal.
 * @returns its exit code; undefined when there is no such program
 * @throws the signal's reason, once the program has ended
 */
export function run(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
  environment: NodeJS.ProcessEnv = {},
  output: 'shown' | 'hidden' = 'shown',
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const stream = output === 'shown' ? 'inherit' : 'ignore';
    const child = spawn(program, args, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', stream, stream],
      signal,
    });
    child.once('error', (error) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') resolve(undefined);
      // After an abort the program may still be writing: its exit settles the promise.
      else if (!signal.aborted) reject(error);
    });
    child.once('exit', (code) => (signal.aborted ? reject(signal.reason) : resolve(code ?? -1)));
  });
}
