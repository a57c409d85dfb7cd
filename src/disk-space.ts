/** Room on a disk, in bytes and in files: a disk without inodes is as full as one without blocks. */
import { statfs } from 'node:fs/promises';

export interface FreeSpace {
  readonly bytes: number;
  /** Files that can still be made; Infinity where the file system does not count them. */
  readonly inodes: number;
}

export async function freeSpace(folder: string): Promise<FreeSpace> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  return { bytes: bavail * bsize, inodes: files > 0 ? ffree : Number.POSITIVE_INFINITY };
}

/** A job's folder has fewer. */
const neededInodes = 16;

/** What is missing on the disk, as the end of a sentence about it; undefined while there is room. */
export function whatIsFull({ bytes, inodes }: FreeSpace, neededBytes: number): string | undefined {
  if (inodes < neededInodes) return 'has no room for more files: its inodes are used up';
  return bytes < neededBytes ? `is full: ${Math.floor(bytes / 1024)} KiB are free` : undefined;
}

/** Whether an error of the file system says that there is no room: of the disk, or of the user's share of it. */
export function isDiskFull(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
