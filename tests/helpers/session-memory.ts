/**
 * Decodes too many frames at once in a process whose address space is about to end, for session.test.ts: prints
 * how each batch went, "ok" or the error's code. The argument is the model file.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { isKinoraError } from '../../src/errors.ts';
import { OnnxSession } from '../../src/inference/sessions/session.ts';

const session = await OnnxSession.open('vae_decoder', process.argv[2] ?? '', { device: 'cpu', threads: 1 });

async function decode(frames: number): Promise<string> {
  const latent = { data: new Float32Array(frames * 4 * 64 * 64), dims: [frames, 4, 64, 64] };
  try {
    await session.run({ latent });
    return 'ok';
  } catch (error) {
    return isKinoraError(error) ? error.code : String(error);
  }
}

const before = await decode(1);
const kibibytes = Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
execFileSync('prlimit', ['--pid', String(process.pid), `--as=${kibibytes * 1024 + 400_000_000}`]);
const batches = [before, await decode(64), await decode(1)];
process.stdout.write(`${JSON.stringify(batches)}\n`);
