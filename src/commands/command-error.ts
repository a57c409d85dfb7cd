import { type ErrorCode, errorCatalogue } from '../errors.ts';

/** A failure whose sentence includes the remedy: those of the catalogue are for people who make videos. */
export class CommandError extends Error {
  readonly exitCode: number;

  /** @param code of the catalogue, for its exit code */
  constructor(message: string, code: ErrorCode) {
    super(message);
    this.exitCode = errorCatalogue[code].exitCode;
  }
}
