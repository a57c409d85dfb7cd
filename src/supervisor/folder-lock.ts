/**
 * A folder for one process at a time. The kernel holds the lock (flock), so it ends with its process, however that ends,
 * and a copy of the folder is free. The file stays when the lock goes: who removed it could take it from the next owner.
 */
import { type SpawnSyncOptions, spawnSync } from 'node:child_process';
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KinoraError } from '../errors.ts';
import { programEnvironment } from '../program-environment.ts';

/** BSD and macOS lock a file as they open it; these flags of theirs have no name in Node. */
const openLocked = process.platform === 'linux' ? undefined : 0x20 | constants.O_NONBLOCK;
const { O_RDWR, O_CREAT } = constants;

/** A service's PATH may be short. */
const flockPlaces = ['flock', '/usr/bin/flock', '/bin/flock'];

/** Locks of this process. */
const held = new Map<string, number>();

/**
 * Locks the folder for this process; what it has locked already stays locked.
 * @returns gives the lock back
 * @throws KinoraError INVALID_CONFIG when another process has it
 */
export async function lockFolder(folder: string): Promise<() => void> {
  const path = join(folder, 'owner.pid');
  if (!held.has(path)) {
    const file = openLocked === undefined ? openWithFlock(path) : openWithFlag(path, openLocked);
    if (file === undefined) throw new KinoraError('INVALID_CONFIG', await ownerSentence(path, folder));
    noteOwner(file);
    held.set(path, file);
  }
  return () => {
    const file = held.get(path);
    held.delete(path);
    if (file !== undefined) closeSync(file);
  };
}

/** The lock belongs to the open file, which this process shares with flock(1) for a moment. */
function openWithFlock(path: string): number | undefined {
  const file = openSync(path, O_RDWR | O_CREAT, 0o600);
  let status: number | null = null;
  for (const program of flockPlaces) {
    const options: SpawnSyncOptions = {
      env: programEnvironment(),
      stdio: ['ignore', 'ignore', 'ignore', file],
    };
    ({ status } = spawnSync(program, ['-n', '3'], options));
    if (status !== null) break;
  }
  if (status === 0) return file;
  closeSync(file);
  if (status === 1) return undefined;
  const reason = status === null ? 'the program flock is missing (util-linux)' : `flock ended with ${status}`;
  throw new KinoraError('INVALID_CONFIG', `${path} cannot be locked: ${reason}.`);
}

function openWithFlag(path: string, flag: number): number | undefined {
  try {
    return openSync(path, O_RDWR | O_CREAT | flag, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** For the sentence of whoever comes later. */
function noteOwner(file: number): void {
  try {
    ftruncateSync(file);
    writeSync(file, String(process.pid), 0);
  } catch {
    // On a full disk the lock holds without it.
  }
}

/** A moment after the lock was taken, its file still names the owner before. */
async function ownerSentence(path: string, folder: string): Promise<string> {
  for (let look = 0; look < 20; look++) {
    const pid = Number(readFileSync(path, 'latin1'));
    if (pid > 0 && isAlive(pid)) return `Another Kinora (process ${pid}) already runs on ${folder}.`;
    await sleep(50);
  }
  return `Another Kinora already runs on ${folder}, perhaps in a container.`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
