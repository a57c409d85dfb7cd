/** The exit codes of the command line, from the catalogue of errors. */
import { type ErrorCode, errorCatalogue } from '../errors.ts';

const meanings: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'a fault in Kinora itself, or a failed check of doctor',
  2: 'an option, prompt or setting is out of range',
  3: 'the picture cannot be used',
  4: 'the model pack is missing or damaged',
  5: 'the device is missing, or its memory is too small',
  6: 'the engine died, hung or computed nonsense',
  7: 'the video cannot be written',
  130: 'interrupted',
};

/** Lines of "code  meaning  (errors)". */
export function describeExitCodes(): string {
  return Object.entries(meanings)
    .map(([exitCode, meaning]) => {
      const codes = (Object.keys(errorCatalogue) as ErrorCode[]).filter(
        (code) => errorCatalogue[code].exitCode === Number(exitCode),
      );
      return `${exitCode.padStart(4)}  ${meaning}${codes.length > 0 ? ` (${codes.join(', ')})` : ''}`;
    })
    .join('\n');
}
