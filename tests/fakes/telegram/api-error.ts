/** Refusals in Telegram's own words; clients and bots read the description. */

export interface ErrorParameters {
  readonly retry_after?: number;
  readonly migrate_to_chat_id?: number;
}

export class ApiError extends Error {
  readonly status: number;
  readonly parameters: ErrorParameters | undefined;

  constructor(status: number, description: string, parameters?: ErrorParameters) {
    super(description);
    this.status = status;
    this.parameters = parameters;
  }

  toJSON() {
    return {
      ok: false,
      error_code: this.status,
      description: this.message,
      ...(this.parameters && { parameters: this.parameters }),
    };
  }
}

export function badRequest(what: string): ApiError {
  return new ApiError(400, `Bad Request: ${what}`);
}

export function forbidden(why: string): ApiError {
  return new ApiError(403, `Forbidden: ${why}`);
}

export function conflict(why: string): ApiError {
  return new ApiError(409, `Conflict: ${why}`);
}

export function notFound(what = 'Not Found'): ApiError {
  return new ApiError(404, what);
}

/** Telegram tells whole seconds; a fake may be quicker. */
export function tooManyRequests(seconds: number): ApiError {
  return new ApiError(429, `Too Many Requests: retry after ${seconds}`, { retry_after: seconds });
}

const descriptions = new Map([
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [403, 'Forbidden: bot was blocked by the user'],
  [404, 'Not Found'],
  [409, 'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running'],
  [413, 'Request Entity Too Large'],
  [500, 'Internal Server Error'],
  [502, 'Bad Gateway'],
]);

/** What Telegram usually says with this status. */
export function usualError(status: number): ApiError {
  return new ApiError(status, descriptions.get(status) ?? `Error ${status}`);
}
