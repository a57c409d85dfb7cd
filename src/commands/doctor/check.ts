import { remedyOf, serializeError } from '../../errors.ts';

/** One line of `kinora doctor`. */
export interface Check {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do; absent when all is well. */
  readonly remedy?: string;
}

/** A check that threw, with the remedy of the error's code. */
export function failedCheck(name: string, error: unknown): Check {
  const failure = serializeError(error);
  return { name, state: 'fail', detail: failure.message, remedy: remedyOf(failure) };
}
