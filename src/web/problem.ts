/**
 * Why a call is not answered with what it asked for, as values, and as the error objects of the API. Codes are a closed
 * list: those of the error catalogue, in capitals, and those of HTTP and the queue. Sentences come from the catalogues.
 */
import { z } from 'zod';
import type { QueueRefusal, Refusal, UrlObjection } from '../bot/refusals.ts';
import { type Messages, messagesFor } from '../bot/sentences/catalogue.ts';
import { renderRefusal } from '../bot/sentences/render.ts';
import type { ErrorDetail } from '../error-details.ts';
import { type ErrorCode, errorCatalogue, KinoraError, type SerializedError } from '../errors.ts';
import { parameterOf } from './videos/schemas.ts';

/** Status, type and code of what HTTP itself refuses. */
const httpProblems = {
  badRequest: [400, 'invalid_request_error', 'bad_request'],
  invalidKey: [401, 'authentication_error', 'invalid_api_key'],
  signedOut: [401, 'authentication_error', 'signed_out'],
  linkUsed: [410, 'authentication_error', 'sign_in_expired'],
  nameNeeded: [400, 'invalid_request_error', 'name_needed'],
  sessionNeeded: [403, 'permission_error', 'session_needed'],
  keyNotFound: [404, 'not_found_error', 'key_not_found'],
  keyLimit: [409, 'conflict_error', 'key_limit'],
  sessionNotFound: [404, 'not_found_error', 'session_not_found'],
  otherOrigin: [403, 'permission_error', 'other_origin'],
  unknownHost: [403, 'permission_error', 'unknown_host'],
  wrongScope: [403, 'permission_error', 'missing_scope'],
  notFound: [404, 'not_found_error', 'not_found'],
  noUploads: [404, 'not_found_error', 'uploads_not_offered'],
  uploadLimit: [409, 'conflict_error', 'upload_limit'],
  methodNotAllowed: [405, 'invalid_request_error', 'method_not_allowed'],
  videoNotFound: [404, 'not_found_error', 'video_not_found'],
  notReady: [409, 'conflict_error', 'video_not_ready'],
  hasFailed: [409, 'conflict_error', 'video_failed'],
  finished: [409, 'conflict_error', 'video_finished'],
  otherBody: [422, 'invalid_request_error', 'idempotency_key_reused'],
  idempotencyForm: [400, 'invalid_request_error', 'invalid_idempotency_key'],
  webhookUrl: [400, 'invalid_request_error', 'invalid_webhook_url'],
  webhookNotFound: [404, 'not_found_error', 'webhook_not_found'],
  webhookLimit: [409, 'conflict_error', 'webhook_limit'],
  variantNotMade: [404, 'not_found_error', 'variant_not_found'],
  transforming: [429, 'rate_limit_error', 'too_many_transforms'],
  expired: [410, 'not_found_error', 'video_expired'],
  noPicture: [400, 'invalid_request_error', 'invalid_input_reference'],
  unknownModel: [404, 'not_found_error', 'model_not_found'],
  tooManyUploads: [429, 'rate_limit_error', 'too_many_uploads'],
  tooManyStreams: [429, 'rate_limit_error', 'too_many_streams'],
  bodyTooLarge: [413, 'invalid_request_error', 'body_too_large'],
  mediaType: [415, 'invalid_request_error', 'unsupported_media_type'],
  range: [416, 'invalid_request_error', 'range_not_satisfiable'],
  unavailable: [503, 'server_error', 'unavailable'],
} as const;
export type HttpProblem = Exclude<
  keyof typeof httpProblems,
  'unknownModel' | 'tooManyUploads' | 'tooManyStreams'
>;

/** The same of what the queue refuses. */
const queueProblems = {
  banned: [403, 'permission_error', 'banned'],
  'queue-full': [429, 'rate_limit_error', 'queue_full'],
  'user-full': [429, 'rate_limit_error', 'user_limit'],
  'community-full': [429, 'rate_limit_error', 'community_limit'],
  cooldown: [429, 'rate_limit_error', 'cooldown'],
  quota: [429, 'rate_limit_error', 'quota_exceeded'],
  paused: [503, 'server_error', 'paused'],
  draining: [503, 'server_error', 'draining'],
  unavailable: [503, 'server_error', 'unavailable'],
  'disk-full': [503, 'server_error', 'DISK_FULL'],
} as const satisfies Readonly<Record<QueueRefusal['decision'], readonly [number, string, string]>>;

/** The same of addresses of pictures. */
const urlProblems = {
  malformed: [400, 'invalid_request_error', 'invalid_image_url'],
  notPublic: [400, 'invalid_request_error', 'image_url_not_public'],
  redirects: [400, 'invalid_request_error', 'image_url_redirects'],
  answered: [400, 'invalid_request_error', 'image_url_refused'],
  silent: [400, 'invalid_request_error', 'image_url_unreachable'],
} as const satisfies Readonly<Record<UrlObjection['kind'], readonly [number, string, string]>>;

const rateLimited = [429, 'rate_limit_error', 'rate_limit_exceeded'] as const;

const catalogueCodes = Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]];
const codesOf = (table: Readonly<Record<string, readonly [number, string, string]>>): string[] =>
  Object.values(table).map(([, , code]) => code);
/** Every code that an error of the API may have. */
export const errorCodes: readonly string[] = [
  ...new Set([
    ...catalogueCodes,
    ...[httpProblems, queueProblems, urlProblems].flatMap(codesOf),
    rateLimited[2],
  ]),
];

/** The codes of a status. */
export function codesByStatus(status: number): string[] {
  const own = [
    ...[httpProblems, queueProblems, urlProblems, { rateLimited }].flatMap((table) => Object.values(table)),
    ...catalogueCodes.map(failureStatus),
  ];
  return [...new Set(own.flatMap(([of, , code]) => (of === status ? [code] : [])))];
}

export const errorSchema = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      /** The parameter that is wrong, where it is one. */
      param: z.string().nullable(),
      code: z.enum(errorCodes as [string, ...string[]]), // never empty
    }),
  })
  .meta({ id: 'Error' });
export type ErrorBody = z.infer<typeof errorSchema>;

const pictureParam = 'input_reference';

/** What a refusal of the queue, or of what all surfaces share, is here. */
export function refusalProblem(reason: Refusal): ProblemError {
  switch (reason.kind) {
    case 'queue':
      return new ProblemError({ kind: 'queue', refusal: reason });
    case 'failure': {
      const { code, detail } = reason.failure;
      const param = code.startsWith('IMAGE_') ? pictureParam : parameterOf(detail);
      return new ProblemError({ kind: 'failure', failure: reason.failure, ...(param ? { param } : {}) });
    }
    case 'notDownloaded':
      return new ProblemError({
        kind: 'pictureUrl',
        objection: reason.objection ?? { kind: 'malformed' },
        param: pictureParam,
      });
    case 'tooLarge':
      return new ProblemError({ kind: 'tooLarge', megabytes: reason.megabytes, param: pictureParam });
    case 'unavailable':
      return new ProblemError({ kind: 'unavailable' });
    case 'finished':
      return new ProblemError({ kind: 'finished' });
    case 'gone':
      return new ProblemError({ kind: 'expired' });
    case 'noPicture':
      return new ProblemError({ kind: 'noPicture', param: pictureParam });
    case 'notYours':
      return new ProblemError({ kind: 'videoNotFound' });
    default:
      return new ProblemError({ kind: 'badRequest' });
  }
}

export type Problem =
  | { readonly kind: HttpProblem; readonly param?: string; readonly retryAfterMs?: number }
  | { readonly kind: 'unknownModel'; readonly models: readonly string[] }
  | { readonly kind: 'pictureUrl'; readonly objection: UrlObjection; readonly param: string }
  | { readonly kind: 'tooLarge'; readonly megabytes: number; readonly param: string }
  | { readonly kind: 'tooManyUploads'; readonly megabytes: number }
  | { readonly kind: 'tooManyStreams'; readonly streams: number }
  | {
      readonly kind: 'rateLimited';
      readonly calls: number;
      readonly seconds: number;
      readonly retryAfterMs: number;
    }
  | { readonly kind: 'failure'; readonly failure: SerializedError; readonly param?: string }
  | { readonly kind: 'queue'; readonly refusal: Extract<Refusal, { kind: 'queue' }> };

/** Thrown where a call ends; the server's error handler answers with it. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.kind);
    this.problem = problem;
  }
}

/** A parameter of the call that is not allowed. */
export function invalidParameter(param: string, detail: ErrorDetail): ProblemError {
  const { code, message } = new KinoraError('INVALID_OPTION', detail);
  return new ProblemError({ kind: 'failure', failure: { code, message, detail }, param });
}

/** Pauses after which a call may be repeated, where nobody knows better. */
const retrySoonMs = 30_000;
const retryAtOnceMs = 1_000;
/** About as long as smoothing takes. */
const retryTransformMs = 5_000;

export interface RenderedProblem {
  readonly status: number;
  readonly body: ErrorBody;
  readonly retryAfterSeconds: number | undefined;
}

/** @param locale as Accept-Language names it */
export function renderProblem(problem: Problem, locale: string): RenderedProblem {
  const say = messagesFor(locale);
  const [[status, type, code], message, retryAfterMs] = describe(problem, say);
  const param = problem.kind === 'unknownModel' ? 'model' : ('param' in problem && problem.param) || null;
  const retryAfterSeconds =
    retryAfterMs === undefined ? undefined : Math.max(1, Math.ceil(retryAfterMs / 1000));
  return { status, body: { error: { message, type, param, code } }, retryAfterSeconds };
}

type Described = readonly [readonly [number, string, string], string, number | undefined];

function describe(problem: Problem, say: Messages): Described {
  switch (problem.kind) {
    case 'failure':
      return [failureStatus(problem.failure.code), say.failure(problem.failure), undefined];
    case 'queue': {
      const { submission, backInMs } = problem.refusal;
      return [
        queueProblems[submission.decision],
        renderRefusal(problem.refusal, say),
        backIn(submission, backInMs),
      ];
    }
    case 'unknownModel':
      return [httpProblems.unknownModel, say.api.unknownModel(problem.models.join(', ')), undefined];
    case 'pictureUrl':
      return [urlProblems[problem.objection.kind], objectionText(problem.objection, say), undefined];
    case 'tooLarge':
      return [failureStatus('IMAGE_TOO_LARGE'), say.refusal.tooLarge(problem.megabytes), undefined];
    case 'tooManyUploads':
      return [httpProblems.tooManyUploads, say.api.tooManyUploads(problem.megabytes), retryAtOnceMs];
    case 'tooManyStreams':
      return [httpProblems.tooManyStreams, say.api.tooManyStreams(problem.streams), retrySoonMs];
    case 'rateLimited': {
      const { calls, seconds, retryAfterMs } = problem;
      return [rateLimited, say.api.rateLimited(calls, seconds), retryAfterMs];
    }
    default:
      return [httpProblems[problem.kind], say.api[problem.kind], retryAfterOf(problem)];
  }
}

function objectionText(objection: UrlObjection, { api: { pictureUrl } }: Messages): string {
  switch (objection.kind) {
    case 'redirects':
      return pictureUrl.redirects(objection.most);
    case 'answered':
      return pictureUrl.answered(objection.status);
    case 'silent':
      return pictureUrl.silent(objection.seconds);
    default:
      return pictureUrl[objection.kind];
  }
}

function retryAfterOf({ kind, retryAfterMs }: Extract<Problem, { kind: HttpProblem }>): number | undefined {
  if (kind === 'transforming') return retryTransformMs;
  return retryAfterMs ?? (kind === 'unavailable' ? retrySoonMs : undefined);
}

function backIn(submission: QueueRefusal, backInMs: number | undefined): number | undefined {
  switch (submission.decision) {
    case 'banned':
      return undefined;
    case 'cooldown':
      return submission.waitMs;
    case 'quota':
      return backInMs;
    default:
      return backInMs ?? retrySoonMs;
  }
}

function failureStatus(code: ErrorCode): readonly [number, string, ErrorCode] {
  switch (code) {
    case 'IMAGE_TOO_LARGE':
      return [413, 'invalid_request_error', code];
    case 'IMAGE_UNSUPPORTED':
      return [415, 'invalid_request_error', code];
    case 'DISK_FULL':
    case 'STORAGE_FAILED':
      return [503, 'server_error', code];
    case 'INVALID_OPTION':
    case 'INVALID_PROMPT':
    case 'IMAGE_UNREADABLE':
    case 'IMAGE_TOO_SMALL':
    case 'VIDEO_NOT_FOUND':
      return [400, 'invalid_request_error', code];
    default:
      return [500, 'server_error', code];
  }
}
