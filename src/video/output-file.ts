/** The files of a video: their temporary names, and what is said when they cannot be written. Knows no video. */
import { randomBytes } from 'node:crypto';
import { open, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { replaceFile } from '../atomic-file.ts';
import { KinoraError } from '../errors.ts';

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'its folder is a file',
  EISDIR: 'a folder has that name',
  ENOTEMPTY: 'a folder has that name',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its folder is a circle of links',
  EINVAL: 'the name is not valid here',
  EIO: 'the disk reports an error',
};

/** The error for a failed write to `outPath`. Names the file, not its folder: chat users may read it. */
export function outputError(errno: string | undefined, outPath: string, cause?: unknown): KinoraError {
  const name = basename(outPath);
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new KinoraError('DISK_FULL', `There is no space left to write ${name}.`, { cause });
  }
  const reason = reasons[errno ?? ''];
  if (reason !== undefined) {
    return new KinoraError('OUTPUT_UNWRITABLE', `${name} cannot be written: ${reason}.`, { cause });
  }
  return new KinoraError('ENCODE_FAILED', `${name} cannot be written (${errno ?? 'unknown reason'}).`, {
    cause,
  });
}

/** Wraps a file operation of Node so that its errno becomes one of ours. */
export async function writing<T>(outPath: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    throw outputError(typeof code === 'string' ? code : undefined, outPath, error);
  }
}

const temporaryMark = '.kinora-';

/** A hidden name beside `outPath`; nothing else uses it as long as `unique` (12 hex digits) is. */
export function temporaryName(outPath: string, unique = randomBytes(6).toString('hex')): string {
  const absolute = resolve(outPath);
  // Long names are cut so that the mark still fits into the 255 bytes of a file name.
  const stem = Buffer.from(basename(absolute))
    .subarray(0, 180)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
  return join(dirname(absolute), `.${stem}${temporaryMark}${unique}`);
}

/** Every file that encoding into `temporaryPath` may have on disk. */
export interface TemporaryFiles {
  readonly video: string;
  /** While a byte budget is met. */
  readonly candidate: string;
  readonly kept: string;
  /** While an earlier video is continued: the new frames, the earlier ones encoded again, and the list of both. */
  readonly added: string;
  readonly before: string;
  readonly list: string;
}

export function temporaryFilesOf(temporaryPath: string): TemporaryFiles {
  return {
    video: temporaryPath,
    candidate: `${temporaryPath}.candidate`,
    kept: `${temporaryPath}.kept`,
    added: `${temporaryPath}.added`,
    before: `${temporaryPath}.before`,
    list: `${temporaryPath}.list`,
  };
}

/**
 * Removes what a killed process left of `outPath`. Only for names that no running process is writing.
 * A missing folder is not an error.
 */
export async function removeTemporaryFiles(outPath: string): Promise<void> {
  const sample = temporaryName(outPath);
  const prefix = basename(sample).slice(0, -12);
  const folder = dirname(sample);
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (name.startsWith(prefix)) await rm(join(folder, name), { force: true });
  }
}

/**
 * Creates the temporary file (so that an unwritable place is reported before any work), hands it to `write`, and
 * renames it to `outPath` after that. Whatever fails, nothing is left.
 *
 * @throws KinoraError OUTPUT_UNWRITABLE or DISK_FULL; what `write` throws passes through.
 */
export async function writeAtomically<T>(
  outPath: string,
  write: (temporaryPath: string) => Promise<T>,
  temporaryPath = temporaryName(outPath),
): Promise<T> {
  const existing = await writing(outPath, stat(outPath).catch(ignoreMissing));
  if (existing?.isDirectory()) throw outputError('EISDIR', outPath);
  const handle = await writing(outPath, open(temporaryPath, 'w'));
  await handle.close();
  try {
    return await replaceFile(outPath, write, temporaryPath);
  } catch (error) {
    const isRename = error instanceof Error && 'syscall' in error && error.syscall === 'rename';
    if (isRename) return await writing(outPath, Promise.reject(error));
    throw error;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
