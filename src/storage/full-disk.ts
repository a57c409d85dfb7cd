/** A full disk of this machine, as the error that every storage throws. */
import { isDiskFull } from '../disk-space.ts';
import { KinoraError } from '../errors.ts';

/** KinoraError DISK_FULL for an error of the file system that says so; any other as it is. */
export function asFull(error: unknown): unknown {
  if (!isDiskFull(error)) return error;
  return new KinoraError('DISK_FULL', 'The disk of this Kinora is full.', { cause: error });
}
