/** Calls of the API. A call that is not answered with what it asked for throws an ApiError. */
import { language } from '../state/preferences.ts';
import { createStore } from '../state/store.ts';
import type { ErrorBody } from './types.ts';

/** How the page knows that it has lost its server, or its session: the shell shows both. */
export const connection = createStore<'fine' | 'unreachable' | 'no-queue' | 'signed-out'>('fine');

export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** 0 where no answer came. */
  readonly status: number;
  /** A code of the API, or "unreachable". */
  readonly code: string;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    { status, code, param, retryAfterMs }: Pick<ApiError, 'status' | 'code' | 'param' | 'retryAfterMs'>,
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface CallOptions {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Sent as JSON, or as it is where it is a form. */
  readonly body?: unknown;
  readonly idempotencyKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** @throws ApiError, and what `signal` was aborted with */
export async function call<T>(path: string, options: CallOptions = {}): Promise<T> {
  const response = await open(path, options);
  // The server's own schema has checked what it answers with.
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** The answer itself, for those that are no JSON. */
export async function open(path: string, options: CallOptions = {}): Promise<Response> {
  const { method = 'GET', body, idempotencyKey, headers, signal } = options;
  const isForm = body instanceof FormData;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: {
        'accept-language': language.get(),
        ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
        ...(idempotencyKey ? { 'idempotency-key': idempotencyKey } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    signal?.throwIfAborted();
    connection.set('unreachable');
    throw new ApiError(String(error), {
      status: 0,
      code: 'unreachable',
      param: undefined,
      retryAfterMs: undefined,
    });
  }
  if (response.ok) {
    connection.set('fine');
    return response;
  }
  throw await errorOf(response);
}

/** Answers of a proxy whose Kinora is away have no JSON. */
async function errorOf(response: Response): Promise<ApiError> {
  const { status } = response;
  const body = (await response.json().catch(() => undefined)) as Partial<ErrorBody> | undefined;
  const { message = '', code, param } = body?.error ?? {};
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  if (status === 401) connection.set('signed-out');
  else if (code === undefined && status >= 500) connection.set('unreachable');
  else connection.set(code === 'unavailable' ? 'no-queue' : 'fine');
  return new ApiError(message, {
    status,
    code: code ?? 'unreachable',
    param: param ?? undefined,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
  });
}
