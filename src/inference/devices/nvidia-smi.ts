/** Runs nvidia-smi, the only way to ask NVIDIA's driver that every machine with one has. */
import { execFile } from 'node:child_process';
import { programEnvironment } from '../../program-environment.ts';

/** Why there is no answer about GPUs. */
export type NoGpus =
  | { readonly kind: 'noNvidiaSmi' }
  /** No answer in time: the driver hangs. */
  | { readonly kind: 'noAnswer' }
  /** `words`: the first line that nvidia-smi printed, or its exit code. */
  | { readonly kind: 'failed'; readonly words: string }
  | { readonly kind: 'noGpu' };

/**
 * @param columns as in `nvidia-smi --help-query-gpu`, with commas between
 * @returns a line per GPU, with commas between the values
 */
export async function queryGpus(
  columns: string,
  timeoutMs: number,
): Promise<{ readonly kind: 'rows'; readonly text: string } | NoGpus> {
  const args = [`--query-gpu=${columns}`, '--format=csv,noheader,nounits'];
  return await new Promise((resolve) => {
    const options = { env: programEnvironment(), timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
    execFile('nvidia-smi', args, options, (error, stdout, stderr) => {
      if (!error) return resolve({ kind: 'rows', text: stdout });
      if (error.code === 'ENOENT') return resolve({ kind: 'noNvidiaSmi' });
      if (error.killed) return resolve({ kind: 'noAnswer' });
      const line = `${stdout}\n${stderr}`.trim().split('\n')[0]?.trim().replace(/\.$/, '').slice(0, 200);
      resolve({ kind: 'failed', words: line || `exit code ${error.code}` });
    });
  });
}
