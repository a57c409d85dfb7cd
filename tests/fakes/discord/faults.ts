/** Trouble on order: answers that are errors, slow, cut off, or lost after the deed was done. */
import { type Schedule, ScheduledFault } from '../scheduled-fault.ts';

/**
 * reset: the connection dies before anything was done. after: it dies when all was done, the answer is lost.
 * hang: nothing is done, no answer comes. held: all is done, the answer waits for release(). stall: half of it comes.
 */
export type Trouble = number | 'reset' | 'hang' | 'after' | 'held' | 'stall';

export interface FaultOptions extends Schedule {
  /** Part of the route's template or of the path, for example "/webhooks/" or "/channels/:channel/messages". */
  readonly route?: string | RegExp;
  readonly method?: string;
  /** An HTTP status or a kind of trouble; without it the answer is only delayed. */
  readonly status?: Trouble;
  /** With an HTTP status: the deed is done all the same, as behind a gateway that gave up too early. */
  readonly applied?: true;
  /** Seconds, for 429. */
  readonly retryAfter?: number;
  /** A 429 of all routes rather than of one bucket. */
  readonly global?: boolean;
  /** Discord's code in the body of an error. */
  readonly code?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly delayMs?: number;
}

export class Fault extends ScheduledFault<FaultOptions> {
  /** True when this request meets the fault; counts it. */
  strikes(request: Addressed): boolean {
    return matches(this.options, request) && this.isDue();
  }
}

export interface Addressed {
  readonly method: string;
  readonly path: string;
  readonly route: string;
}

export function matches(
  { method, route }: { readonly method?: string; readonly route?: string | RegExp },
  request: Addressed,
): boolean {
  if (method !== undefined && method.toUpperCase() !== request.method) return false;
  if (route === undefined) return true;
  if (typeof route !== 'string') return route.test(request.path) || route.test(request.route);
  return request.route.includes(route) || request.path.includes(route);
}
