/**
 * The closed list of failures that a user may ever see, each with one sentence that says what to do now.
 * Knows nothing of chat platforms, queues or models.
 *
 * Errors cross process borders as plain objects: compare `error.code`, never `instanceof`.
 */
import { calledAs } from './called-as.ts';
import { isDiskFull } from './disk-space.ts';
import { type ErrorDetail, englishDetails, englishRemedies, renderDetail } from './error-details.ts';

interface ErrorEntry {
  /** Exit code of the command line. Several codes may share one; the README lists them. */
  readonly exitCode: number;
  /** What the person should do now, whatever the message is. remedyOf() knows better ones. */
  readonly remedy: string;
}

export const errorCatalogue = {
  INTERNAL: { exitCode: 1, remedy: 'This is a fault in Kinora; please report it with the log lines above.' },
  INVALID_OPTION: { exitCode: 2, remedy: 'Correct that and try again.' },
  INVALID_PROMPT: {
    exitCode: 2,
    remedy: 'Write a short prompt in plain text, for example "camera slowly zooming in".',
  },
  INVALID_CONFIG: { exitCode: 2, remedy: 'Correct the setting in .env or the environment and start again.' },
  VIDEO_NOT_FOUND: { exitCode: 2, remedy: 'Animate the picture again; only recent videos can be varied.' },
  IMAGE_NOT_FOUND: { exitCode: 3, remedy: 'Check the path of the picture, and that you may read it.' },
  IMAGE_UNSUPPORTED: { exitCode: 3, remedy: 'Send the picture as JPEG, PNG or WebP.' },
  IMAGE_UNREADABLE: {
    exitCode: 3,
    remedy: 'The picture seems damaged; save it again as JPEG or PNG and retry.',
  },
  IMAGE_TOO_LARGE: { exitCode: 3, remedy: 'Scale the picture down and try again.' },
  IMAGE_TOO_SMALL: { exitCode: 3, remedy: 'Send a larger picture.' },
  PACK_NOT_FOUND: { exitCode: 4, remedy: `Run "${calledAs('models', 'list')}" to see what is installed.` },
  PACK_INVALID: {
    exitCode: 4,
    remedy: `Run "${calledAs('models', 'verify')}" and install the model pack again.`,
  },
  DEVICE_UNAVAILABLE: {
    exitCode: 5,
    remedy: `Run "${calledAs('doctor')}" to see what is missing, or choose --device cpu.`,
  },
  OUT_OF_MEMORY: { exitCode: 5, remedy: 'Choose a smaller preset, a smaller size or fewer frames.' },
  ENGINE_CRASHED: { exitCode: 6, remedy: 'The engine was restarted; try again.' },
  ENGINE_HUNG: {
    exitCode: 6,
    remedy: 'The engine was restarted; try again, with a smaller preset if it happens twice.',
  },
  BAD_NUMBERS: {
    exitCode: 6,
    remedy: 'Try another seed or a lower guidance; if it persists, verify the model pack.',
  },
  OUTPUT_UNWRITABLE: { exitCode: 7, remedy: 'Choose an output path that you may write to.' },
  DISK_FULL: { exitCode: 7, remedy: 'Free some disk space and try again.' },
  STORAGE_FAILED: {
    exitCode: 7,
    remedy: `Run "${calledAs('doctor')}" to see what is wrong with the storage, then try again.`,
  },
  FFMPEG_MISSING: { exitCode: 7, remedy: 'Install ffmpeg, or set FFMPEG_PATH to it.' },
  ENCODE_FAILED: { exitCode: 7, remedy: `Run "${calledAs('doctor')}" to check ffmpeg, then try again.` },
  EXPIRED: { exitCode: 6, remedy: 'Its credits were given back; ask again when the queue is shorter.' },
  CANCELLED: { exitCode: 130, remedy: 'Nothing was kept; start again whenever you like.' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorCatalogue;

/** What survives structured cloning between processes. */
export interface SerializedError {
  readonly code: ErrorCode;
  readonly message: string;
  /** What exactly is wrong, for a sentence in another language. */
  readonly detail?: ErrorDetail | undefined;
  /** What to do about this one, where the remedy of its code does not say it. */
  readonly remedy?: string | undefined;
}

/** A failure with a code from the catalogue. The message is one specific English sentence without secrets. */
export class KinoraError extends Error {
  override readonly name = 'KinoraError';
  readonly code: ErrorCode;
  readonly detail: ErrorDetail | undefined;
  readonly remedy: string | undefined;

  /**
   * @param what the message, or the detail that it is made of
   * @param options remedy: as SerializedError.remedy
   */
  constructor(
    code: ErrorCode,
    what: string | ErrorDetail,
    options: { readonly cause?: unknown; readonly remedy?: string | undefined } = {},
  ) {
    super(typeof what === 'string' ? what : renderDetail(englishDetails, what), options);
    this.remedy = options.remedy;
    this.code = code;
    this.detail = typeof what === 'string' ? undefined : what;
  }
}

/** True for errors that carry one of our codes, also after they crossed a process border. */
export function isKinoraError(error: unknown): error is Error & SerializedError {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    typeof error.code === 'string' &&
    Object.hasOwn(errorCatalogue, error.code)
  );
}

/** Reduces anything thrown to a code and a sentence; unknown errors become INTERNAL, full memory and disks their own. */
export function serializeError(error: unknown): SerializedError {
  if (isKinoraError(error)) {
    const { code, message, detail, remedy } = error;
    return { code, message, ...(detail ? { detail } : {}), ...(remedy ? { remedy } : {}) };
  }
  // A plain Error where it was thrown in another thread.
  if (error instanceof Error && /allocation failed/i.test(error.message)) {
    return { code: 'OUT_OF_MEMORY', message: 'There is not enough memory for this.' };
  }
  if (isDiskFull(error)) return { code: 'DISK_FULL', message: 'The disk of this Kinora is full.' };
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** The opposite of serializeError(). */
export function deserializeError({ code, message, detail, remedy }: SerializedError): KinoraError {
  return new KinoraError(code, detail ?? message, { remedy });
}

/** What to do about a failure: the remedy that fits it best. */
export function remedyOf({ code, detail, remedy }: SerializedError): string {
  return remedy ?? (detail && englishRemedies[detail.kind]) ?? errorCatalogue[code].remedy;
}

/** The two sentences a user reads: what happened, and what to do now. */
export function describeError(failure: SerializedError): string {
  return `${failure.message} ${remedyOf(failure)}`;
}
