/** Who calls: the key of a request, and the limits of how often keys and addresses may call. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Person } from '../bot/people.ts';
import type { ApiKey, ApiKeyScope, ApiKeys } from '../queue/api-keys.ts';
import { ProblemError } from './problem.ts';

export interface Caller {
  readonly key: ApiKey;
  readonly person: Person;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Absent on public routes only. */
    caller: Caller | undefined;
  }
  interface FastifyContextConfig {
    /** Answered without a key. */
    isPublic?: true;
  }
}

/** Calls in a minute. */
export interface CallLimits {
  readonly perKey: number;
  /** Calls without a valid key, by address. */
  readonly perAddress: number;
}
export const defaultCallLimits: CallLimits = { perKey: 6_000, perAddress: 300 };

const windowMs = 60_000;

/**
 * Refuses every call without a valid key, but for routes that are public. Routes that do not exist are refused like
 * others, so nobody learns which do.
 */
export function requireKeys(
  app: FastifyInstance,
  apiKeys: ApiKeys,
  { perKey, perAddress }: CallLimits,
): void {
  const limiter = (max: number, keyGenerator: (request: FastifyRequest) => string) => {
    const check = app.createRateLimit({ max, timeWindow: windowMs, keyGenerator });
    return async (request: FastifyRequest): Promise<void> => {
      const limit = await check(request);
      if (limit.isAllowed || !limit.isExceeded) return;
      const seconds = windowMs / 1000;
      throw new ProblemError({ kind: 'rateLimited', calls: max, seconds, retryAfterMs: limit.ttl });
    };
  };
  const limitAddress = limiter(perAddress, ({ ip }) => ip);
  const limitKey = limiter(perKey, ({ caller }) => caller?.key.id ?? '');
  app.decorateRequest('caller', undefined);
  app.addHook('onRequest', async (request) => {
    const key = await keyOf(request, apiKeys);
    if (key) {
      request.caller = { key, person: personOf(key, localeOf(request)) };
      return await limitKey(request);
    }
    await limitAddress(request);
    if (!request.routeOptions.config?.isPublic) throw new ProblemError({ kind: 'invalidKey' });
  });
}

async function keyOf({ headers }: FastifyRequest, apiKeys: ApiKeys): Promise<ApiKey | undefined> {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  const token = bearer ?? headers['x-api-key'];
  if (typeof token !== 'string') return undefined;
  return await apiKeys.find(token).catch(() => {
    throw new ProblemError({ kind: 'unavailable' });
  });
}

/** A key acts for its user alone: what admins may do is asked for elsewhere. */
function personOf({ userKey }: ApiKey, locale: string): Person {
  return { userKey, roleKeys: [], locale, isAdmin: false };
}

/** The first language of a request: "de" in "de;q=0.9, en". */
export function localeOf({ headers }: FastifyRequest): string {
  return /^\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)/.exec(headers['accept-language'] ?? '')?.[1] ?? 'en';
}

/** @throws ProblemError when the key of the request may not do this */
export function callerWith({ caller }: FastifyRequest, scope: ApiKeyScope): Caller {
  if (!caller) throw new ProblemError({ kind: 'invalidKey' });
  if (!caller.key.scopes.includes(scope)) throw new ProblemError({ kind: 'wrongScope' });
  return caller;
}
