/** Ranges that numbers of a request must be in. */
import { KinoraError } from '../errors.ts';

/** Both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** @throws KinoraError INVALID_OPTION with the range */
export function within(what: string, value: number, { min, max }: Range, isWhole = false): number {
  const isAllowed = value >= min && value <= max && (!isWhole || Number.isSafeInteger(value));
  if (isAllowed) return value;
  throw new KinoraError('INVALID_OPTION', { kind: 'outOfRange', what, min, max, isWhole, got: value });
}

/** @throws KinoraError INVALID_OPTION with the range */
export function whole(what: string, value: number, range: Range): number {
  return within(what, value, range, true);
}
