/** Runs a process that measures and prints JSON lines: diffusers_side.py or sessions.ts. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { lineSchema, type Measurements, type SideName } from './measurements.ts';
import type { VramMeter } from './vram.ts';

export interface HelperCommand {
  readonly side: SideName;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Records each result with the peak of GPU memory meanwhile, less what was in use before. */
export async function runHelper(
  { side, program, args, env = process.env }: HelperCommand,
  measurements: Measurements,
  vram: VramMeter,
): Promise<void> {
  const before = vram.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env });
  const end = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', end);
  const gone = new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', (error) => reject(new Error(`${program} cannot be started: ${error.message}`)));
  });
  gone.catch(() => {}); // seen below
  try {
    let begunAt = Date.now();
    const peaks: Promise<void>[] = [];
    for await (const text of createInterface(child.stdout)) {
      const line = lineSchema.parse(JSON.parse(text));
      if ('mark' in line) {
        begunAt = line.at;
        continue;
      }
      const { part, key, values } = line;
      measurements.add(side, part, key, values);
      const peak = vram.peak(begunAt, line.at).then((gib) => {
        if (gib === undefined || before === undefined) return;
        measurements.extend(side, part, key, { peakGiB: gib - before });
      });
      peaks.push(peak);
    }
    await Promise.all(peaks);
    const code = await gone;
    if (code !== 0) throw new Error(`${program} ended with ${code}.`);
  } finally {
    end();
    process.off('exit', end);
  }
}
