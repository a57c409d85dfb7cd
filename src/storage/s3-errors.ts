/** What an S3 service answers, in sentences: without its own words, which may hold keys. */
import { KinoraError } from '../errors.ts';

const codeOf = (error: unknown): string => {
  if (typeof error !== 'object' || error === null) return '';
  // Those of the service have a name; those of the network a code.
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'name' in error && typeof error.name === 'string' ? error.name : '';
};

function statusOf(error: unknown): number {
  const metadata =
    typeof error === 'object' && error !== null && '$metadata' in error ? error.$metadata : undefined;
  const isKnown = typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata;
  return isKnown ? Number(metadata.httpStatusCode) : 0;
}

export function isAbsent(error: unknown): boolean {
  return statusOf(error) === 404 && codeOf(error) !== 'NoSuchBucket';
}

/** There is one, where a file may only be put if there is none. */
export const isThereAlready = (error: unknown): boolean => statusOf(error) === 412;

/** Somebody else is putting or removing the same object just now: this call did nothing. */
export const isConflict = (error: unknown): boolean => statusOf(error) === 409;

const fullCodes: ReadonlySet<string> = new Set([
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'InsufficientStorage',
  'StorageFull',
]);
const clockCodes: ReadonlySet<string> = new Set(['RequestTimeTooSkewed', 'RequestExpired']);
const keyCodes: ReadonlySet<string> = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'InvalidToken',
]);
const noKeys = 'CredentialsProviderError';
const regionCodes: ReadonlySet<string> = new Set([
  'AuthorizationHeaderMalformed',
  'PermanentRedirect',
  'IllegalLocationConstraintException',
]);
const passingCodes: ReadonlySet<string> = new Set([
  'RequestTimeout',
  'SlowDown',
  'TooManyRequests',
  ...clockCodes,
]);

/** Whether the same call may succeed soon. The client corrects its idea of the time by each answer. */
export function isPassing(error: unknown): boolean {
  if (error instanceof KinoraError) return false;
  const status = statusOf(error);
  if (fullCodes.has(codeOf(error)) || status === 507 || status === 501) return false;
  if (codeOf(error) === noKeys) return false;
  // Without a status nobody answered.
  return status === 0 || status === 409 || status === 429 || status >= 500 || passingCodes.has(codeOf(error));
}

/** @param what came instead, such as "status 404" */
export const wrongAnswer = (what: string): KinoraError =>
  new KinoraError('STORAGE_FAILED', `The storage does not answer as it should (${what}).`);

/** @param bucket its name, for the sentence */
export function toKinoraError(error: unknown, bucket: string): KinoraError {
  if (error instanceof KinoraError) return error;
  const code = codeOf(error);
  const status = statusOf(error);
  const failed = (sentence: string, remedy?: string): KinoraError =>
    new KinoraError('STORAGE_FAILED', sentence, { remedy });
  if (fullCodes.has(code) || status === 507) {
    const remedy = 'Make room in the bucket, or raise its quota.';
    return new KinoraError('DISK_FULL', 'The storage of this Kinora is full.', { remedy });
  }
  if (code === 'NoSuchBucket')
    return failed(`The bucket ${bucket} does not exist.`, 'Make it, or correct KINORA_STORAGE.');
  if (clockCodes.has(code))
    return failed(
      'The clock of this machine and that of the storage differ too much.',
      "Set this machine's clock, best by NTP.",
    );
  if (keyCodes.has(code))
    return failed(
      'The storage does not know the keys.',
      'Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    );
  if (code === noKeys)
    return failed('There are no keys for the storage.', 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.');
  if (regionCodes.has(code) || status === 301)
    return failed(`The bucket ${bucket} is in another region.`, 'Correct AWS_REGION or AWS_ENDPOINT_URL.');
  if (status === 401 || status === 403)
    return failed(
      `The storage does not let Kinora use the bucket ${bucket}.`,
      'Its keys must allow to list the bucket, and to get, put and delete objects.',
    );
  return wrongAnswer(status === 0 ? code || 'no answer' : `status ${status}`);
}
