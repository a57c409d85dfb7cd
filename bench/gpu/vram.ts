/**
 * Memory of the card in use, by nvidia-smi: CUDA context and the allocator's reserve count, on both sides. Without
 * nvidia-smi there are no numbers.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const intervalMs = 50;
const startDeadlineMs = 10_000;
/** nvidia-smi buffers its output, so each line carries its own time. */
const lateDeadlineMs = 15_000;

interface Sample {
  readonly atMs: number;
  readonly mib: number;
}

/** "2026/11/21 08:31:46.123, 1024": local time. */
export function parseSample(line: string): Sample | undefined {
  const match = /^(\d{4})\/(\d\d)\/(\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?),\s*(\d+)/.exec(line);
  if (!match) return undefined;
  const [, year, month, day, time, mib] = match;
  return { atMs: new Date(`${year}-${month}-${day}T${time}`).getTime(), mib: Number(mib) };
}

export class VramMeter {
  readonly #ordinal: number | undefined;
  readonly #child: ChildProcess | undefined;
  readonly #samples: Sample[] = [];
  #isOver = false;

  private constructor(ordinal: number | undefined) {
    this.#ordinal = ordinal;
    if (ordinal === undefined) return;
    const child = spawn(
      'nvidia-smi',
      [...query('timestamp,memory.used', ordinal), '-lms', String(intervalMs)],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const over = (): void => {
      this.#isOver = true;
    };
    child.on('error', over);
    child.on('exit', over);
    createInterface(child.stdout).on('line', (line) => {
      const sample = parseSample(line);
      if (sample) this.#samples.push(sample);
    });
    this.#child = child;
  }

  /** `ordinal` of the card; undefined for a device that nvidia-smi does not know. */
  static async start(ordinal: number | undefined): Promise<VramMeter> {
    const meter = new VramMeter(ordinal);
    for (let waited = 0; ordinal !== undefined && waited < startDeadlineMs; waited += intervalMs) {
      if (meter.#samples.length > 0 || meter.#isOver) break;
      await sleep(intervalMs);
    }
    return meter;
  }

  get works(): boolean {
    return this.#samples.length > 0 && !this.#isOver;
  }

  /** GiB in use right now, or undefined. */
  now(): number | undefined {
    if (this.#ordinal === undefined) return undefined;
    const { stdout } = spawnSync('nvidia-smi', query('memory.used', this.#ordinal), { encoding: 'utf8' });
    return /^\d+/.test(stdout ?? '') ? Number.parseInt(stdout, 10) / 1024 : undefined;
  }

  /** The most that was in use between two moments (Unix milliseconds), in GiB; undefined without samples. */
  async peak(fromMs: number, toMs: number): Promise<number | undefined> {
    if (!this.works) return undefined;
    for (let waited = 0; waited < lateDeadlineMs && !this.#isOver; waited += intervalMs) {
      if ((this.#samples.at(-1)?.atMs ?? 0) >= toMs) break;
      await sleep(intervalMs);
    }
    const inside = this.#samples.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs);
    return inside.length > 0 ? Math.max(...inside.map(({ mib }) => mib)) / 1024 : undefined;
  }

  stop(): void {
    this.#child?.kill();
  }
}

const query = (fields: string, ordinal: number): string[] => [
  `--query-gpu=${fields}`,
  '--format=csv,noheader,nounits',
  ...['-i', String(ordinal)],
];
