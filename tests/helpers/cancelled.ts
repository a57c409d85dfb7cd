import { KinoraError } from '../../src/errors.ts';

/** What a Generate function throws when its signal was aborted. */
export const cancelledError = (): KinoraError => new KinoraError('CANCELLED', 'The job was cancelled.');
