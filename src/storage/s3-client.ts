/** The client of an S3-compatible service. */
import { S3Client } from '@aws-sdk/client-s3';

export interface S3Settings {
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  readonly region: string;
  /** Of another service than Amazon's. */
  readonly endpoint?: string | undefined;
  /** The same as people reach it; undefined: they do not. */
  readonly publicEndpoint?: string | undefined;
  /** Of this machine, for working copies. */
  readonly workFolder: string;
  /** Undefined: those of the machine, such as a role that Amazon gave it. */
  readonly credentials?:
    | {
        readonly accessKeyId: string;
        readonly secretAccessKey: string;
        readonly sessionToken?: string;
      }
    | undefined;
}

export interface S3Patience {
  readonly connectMs: number;
  /** Without a byte in either direction. */
  readonly silenceMs: number;
  readonly attempts: number;
  /** Before the second attempt, at most; doubled for each one after it. */
  readonly firstPauseMs: number;
}

const silent = (): void => {};

export function s3Client(
  { region, endpoint, credentials }: S3Settings,
  { connectMs, silenceMs }: Pick<S3Patience, 'connectMs' | 'silenceMs'>,
): S3Client {
  return new S3Client({
    region,
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(credentials ? { credentials } : {}),
    // It would write to the console, in words of its own.
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    // S3Storage repeats calls, also those with a body that is a file.
    maxAttempts: 1,
    requestHandler: { connectionTimeout: connectMs, socketTimeout: silenceMs },
    // Many services other than Amazon's do not know the newer checksums.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}
