/**
 * Main memory for a model on the CPU. Without enough of it the operating system kills the engine in the middle, and
 * nobody learns why; so it is looked at before anything is loaded.
 */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { KinoraError } from '../../errors.ts';
import { graphsOf, type PackManifest } from '../packs/manifest.ts';

/** A plain I2VGen-XL, with 10 GB of weights, takes 13 GB when it is loaded and 17 GB in a clip of the standard preset. */
const loadedShare = 1.3;
const clipShare = 1.7;

export interface MainMemory {
  /** Bytes that the process takes when the model is loaded, and in a clip of the standard preset. */
  readonly loadedBytes: number;
  readonly clipBytes: number;
}

export function mainMemoryOf(manifest: PackManifest): MainMemory {
  const folders = graphsOf(manifest).map((graph) => `${graph}/`);
  const weights = manifest.files
    .filter((file) => folders.some((folder) => file.path.startsWith(folder)))
    .reduce((sum, file) => sum + file.bytes, 0);
  return { loadedBytes: loadedShare * weights, clipBytes: clipShare * weights };
}

export const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(bytes < 10e9 ? 1 : 0);

export const moreMemory =
  'Close other programs, take a machine with more memory or a GPU, or choose a smaller model: --model builtin.';

/** @throws KinoraError DEVICE_UNAVAILABLE when the model cannot be loaded on the CPU */
export async function assertMainMemory(
  manifest: PackManifest,
  free: () => Promise<number> = freeMainMemory,
): Promise<void> {
  const { loadedBytes } = mainMemoryOf(manifest);
  const bytes = await free();
  if (bytes >= loadedBytes) return;
  throw new KinoraError(
    'DEVICE_UNAVAILABLE',
    `The model ${manifest.id} takes about ${gigabytes(loadedBytes)} GB of memory on the CPU, and ${gigabytes(bytes)} GB are free.`,
    { remedy: moreMemory },
  );
}

/** Bytes that the machine and the container can give. Swap counts: it is slow, but nothing is killed. */
export async function freeMainMemory(): Promise<number> {
  const machine = await fieldsOf('/proc/meminfo');
  const available = machine.get('MemAvailable');
  // Elsewhere "free" leaves out what the system would give back, so all of it is the best bound.
  const free = available === undefined ? os.totalmem() : 1024 * (available + (machine.get('SwapFree') ?? 0));
  return Math.min(free, await freeInControlGroup());
}

/** What the control groups of version 2 that this process is in leave to it; Infinity without a limit. */
async function freeInControlGroup(root = '/sys/fs/cgroup'): Promise<number> {
  const [, own = '/'] = /^0::(\/.*)$/m.exec(await readText('/proc/self/cgroup')) ?? [];
  let free = Number.POSITIVE_INFINITY;
  for (let group = path.join(root, own); group.startsWith(root); group = path.dirname(group)) {
    const limit = Number.parseInt(await readText(path.join(group, 'memory.max')), 10); // "max" without one
    const used = Number.parseInt(await readText(path.join(group, 'memory.current')), 10);
    if (Number.isNaN(limit) || Number.isNaN(used)) continue;
    // What was read from files counts as used, and is given back when it is needed.
    const fromFiles = (await fieldsOf(path.join(group, 'memory.stat'))).get('file') ?? 0;
    free = Math.min(free, limit - used + fromFiles);
  }
  return free;
}

/** Lines such as "MemAvailable:   123 kB" or "file 123". */
async function fieldsOf(file: string): Promise<ReadonlyMap<string, number>> {
  const lines = (await readText(file)).matchAll(/^(\w+):?\s+(\d+)/gm);
  return new Map([...lines].map(([, name = '', value]) => [name, Number(value)]));
}

const readText = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
