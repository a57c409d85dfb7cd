/** Buckets as Discord keeps them: per route and major parameter, announced in the headers of every answer. */
import { type Addressed, matches } from './faults.ts';

export interface LimitOptions {
  readonly route?: string | RegExp;
  readonly method?: string;
  readonly requests: number;
  readonly perMs: number;
}

interface Window {
  readonly endsAt: number;
  used: number;
}

export interface Verdict {
  readonly headers: Readonly<Record<string, string>>;
  /** Seconds to wait when the bucket is empty. */
  readonly retryAfter: number | undefined;
}

export class RateLimits {
  readonly #limits: LimitOptions[] = [];
  readonly #windows = new Map<string, Window>();

  add(options: LimitOptions): void {
    this.#limits.push(options);
  }

  take(request: Addressed, majorParameter: string): Verdict {
    const index = this.#limits.findIndex((limit) => matches(limit, request));
    const limit = this.#limits[index];
    if (!limit) return { headers: {}, retryAfter: undefined };
    const key = `${index}:${majorParameter}`;
    const now = Date.now();
    const open = this.#windows.get(key);
    const window = open && open.endsAt > now ? open : { endsAt: now + limit.perMs, used: 0 };
    this.#windows.set(key, window);
    const seconds = (window.endsAt - now) / 1000;
    const refused = window.used >= limit.requests;
    if (!refused) window.used += 1;
    return {
      headers: {
        'x-ratelimit-limit': String(limit.requests),
        'x-ratelimit-remaining': String(limit.requests - window.used),
        'x-ratelimit-reset': String(window.endsAt / 1000),
        'x-ratelimit-reset-after': String(seconds),
        'x-ratelimit-bucket': `fake${index}`,
        ...(refused && { 'x-ratelimit-scope': 'user' }),
      },
      retryAfter: refused ? seconds : undefined,
    };
  }
}
