/**
 * A folder for one process at a time. proper-lockfile judges by the age of a file that the holder touches every few
 * seconds: after kill -9 the next start would wait for its timeout, and a process that is suspended for longer loses the
 * lock while it still uses the folder. This lock names its process, by id and start time, so a dead holder is recognised
 * at once and a suspended one is respected. The folder must not be shared between machines.
 */
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KinoraError } from '../errors.ts';

/**
 * Creates the lock file `owner.pid` in the folder, or takes over that of a dead process.
 * @returns removes the lock
 * @throws KinoraError INVALID_CONFIG when another live process has the lock
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const lockPath = join(folder, 'owner.pid');
  // link() makes the lock appear with its content, in one step.
  const ownPath = `${lockPath}.${process.pid}`;
  await writeFile(ownPath, `${process.pid} ${await startOf(process.pid)}`, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        await link(ownPath, lockPath);
        return () => rm(lockPath, { force: true });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        const owner = await livingOwner(await readFile(lockPath, 'utf8').catch(() => ''));
        if (owner !== undefined) {
          throw new KinoraError(
            'INVALID_CONFIG',
            `Another Kinora (process ${owner}) already runs on ${folder}.`,
          );
        }
        await rm(lockPath, { force: true });
      }
    }
  } finally {
    await rm(ownPath, { force: true });
  }
  throw new KinoraError('INVALID_CONFIG', `Another Kinora is starting on ${folder}.`);
}

/** The id of the process that wrote a lock, if that process lives: after a reboot the id may be another process's. */
async function livingOwner(lock: string): Promise<number | undefined> {
  const [pid, start = ''] = lock.split(' ');
  const owner = Number(pid);
  if (!owner || owner === process.pid || !isAlive(owner)) return undefined;
  return start === '' || start === (await startOf(owner)) ? owner : undefined;
}

/** When a process began, in clock ticks since boot; empty where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // The program's name is in brackets and may hold anything; after it, the start time is the twentieth field.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
