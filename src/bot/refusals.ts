/** Why somebody does not get what they asked for, as values. sentences/render.ts has the sentences. */
import type { ErrorDetail } from '../error-details.ts';
import { isKinoraError, KinoraError, type SerializedError, serializeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Submission } from '../queue/client.ts';
import type { BrokenRule } from './admin/rules.ts';

/** What the queue answers to a request that it does not take. */
export type QueueRefusal = Exclude<Submission, { decision: 'accepted' | 'duplicate' }>;

export type Refusal =
  | {
      readonly kind:
        | 'notYours'
        | 'notAdmin'
        /** The job, its files, or the id of the button is not known here. */
        | 'gone'
        | 'finished'
        /** Redis does not answer. */
        | 'unavailable'
        | 'noPicture';
    }
  /** `objection`: to an address that the person gave; the platforms' own are trusted. */
  | { readonly kind: 'notDownloaded'; readonly objection?: UrlObjection }
  | { readonly kind: 'tooLarge'; readonly megabytes: number }
  /** `backInMs`: until the next day of the allowance begins, or a place is free, where that can be told. */
  | { readonly kind: 'queue'; readonly submission: QueueRefusal; readonly backInMs: number | undefined }
  | { readonly kind: 'rule'; readonly rule: BrokenRule }
  | { readonly kind: 'failure'; readonly failure: SerializedError };

/** Why an address gave no picture. */
export type UrlObjection =
  | { readonly kind: 'malformed' }
  /** Of this machine or a private network. */
  | { readonly kind: 'notPublic' }
  | { readonly kind: 'redirects'; readonly most: number }
  /** With another status than those of success. */
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'silent'; readonly seconds: number };

export interface Refused {
  readonly kind: 'refused';
  readonly reason: Refusal;
}

export function refused(reason: Refusal | 'gone' | 'notYours' | 'finished' | 'unavailable'): Refused {
  return { kind: 'refused', reason: typeof reason === 'string' ? { kind: reason } : reason };
}

/** A value that is not allowed. */
export function invalid(detail: ErrorDetail): Refused {
  return failed(new KinoraError('INVALID_OPTION', detail));
}

/** Anything thrown, as a reason. Errors that are not ours become INTERNAL. */
export function failed(error: unknown): Refused {
  return refused({ kind: 'failure', failure: serializeError(error) });
}

/** The same where only Redis can fail: errors that are not ours mean that it does not answer, and are logged. */
export function failedOrUnavailable(error: unknown, log: Logger): Refused {
  if (isKinoraError(error)) return failed(error);
  log.warn({ err: String(error) }, 'a question to the queue failed');
  return refused('unavailable');
}
