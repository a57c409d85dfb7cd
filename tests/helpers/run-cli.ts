/** Runs the real command line in a process of its own, with the tiny pack and a data folder of the test's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { tinyPackPath } from './golden.ts';

const ownEntry = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly folder: string;
  readonly environment?: NodeJS.ProcessEnv;
  /** Another file than that of this checkout. */
  readonly entry?: string;
  /** Called with every piece of stderr; may signal the process. */
  readonly onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

export async function runCli(
  args: readonly string[],
  { folder, environment, entry = ownEntry, onStderr }: CliOptions,
): Promise<CliResult> {
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      KINORA_DATA_DIR: `${folder}/data`,
      KINORA_MODEL: tinyPackPath,
      KINORA_THREADS: '2',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    onStderr?.(stderr, (signal) => child.kill(signal));
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
