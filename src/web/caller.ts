/** Who calls: by the key of a request or the cookie of a browser, and how often keys and addresses may call. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Person } from '../bot/people.ts';
import type { ApiKey, ApiKeyScope, ApiKeys } from '../queue/api-keys.ts';
import type { Session, Sessions } from '../queue/sessions.ts';
import { isNavigation, type Origins } from './origin.ts';
import { ProblemError } from './problem.ts';

export interface Caller {
  /** Of the key or session. */
  readonly id: string;
  readonly person: Person;
  readonly scopes: readonly ApiKeyScope[];
  readonly by:
    | { readonly kind: 'key'; readonly key: ApiKey }
    | { readonly kind: 'session'; readonly session: Session };
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Absent on public routes only. */
    caller: Caller | undefined;
    /** Looks the key or session up again, for an answer that goes on for long. Rejects where Redis does not answer. */
    findCaller: () => Promise<Caller | undefined>;
  }
  interface FastifyContextConfig {
    /** Answered to everybody, without a look at who calls. */
    isPublic?: true;
    /** Of those, answered under any name of this machine: for programs that watch over it. */
    isForAnyHost?: true;
    /** A file that lies in memory: it costs nothing, and one page has many. */
    isFile?: true;
  }
}

/** Calls in a minute. */
export interface CallLimits {
  /** By key or session. */
  readonly perKey: number;
  /** Calls without a valid key or session, by address. */
  readonly perAddress: number;
}
export const defaultCallLimits: CallLimits = { perKey: 6_000, perAddress: 300 };

const windowMs = 60_000;

export interface CallerTools {
  readonly apiKeys: ApiKeys;
  readonly sessions: Sessions;
  readonly origins: Origins;
  /** Whether a user of a chat is an admin of Kinora there, now. */
  readonly isAdmin: (userKey: string) => Promise<boolean>;
}

/**
 * Refuses every call without a valid key or session, but for routes that are public. Routes that do not exist are
 * refused like others, so nobody learns which do.
 */
export function requireCaller(app: FastifyInstance, tools: CallerTools, limits: CallLimits): void {
  const limiter = (max: number, keyGenerator: (request: FastifyRequest) => string) => {
    const check = app.createRateLimit({ max, timeWindow: windowMs, keyGenerator });
    let last: Promise<unknown> = Promise.resolve();
    return async (request: FastifyRequest): Promise<void> => {
      // One after the other: the library's count is one object, which calls at the same time would raise for each other.
      const checked = last.then(() => check(request));
      last = checked.catch(() => {});
      const limit = await checked;
      if (limit.isAllowed || !limit.isExceeded) return;
      const seconds = windowMs / 1000;
      throw new ProblemError({ kind: 'rateLimited', calls: max, seconds, retryAfterMs: limit.ttl });
    };
  };
  const limitAddress = limiter(limits.perAddress, ({ ip }) => ip);
  const limitCaller = limiter(limits.perKey, ({ caller }) => caller?.id ?? '');
  const { origins } = tools;
  app.decorateRequest('caller', undefined);
  app.decorateRequest('findCaller', async () => undefined);
  app.addHook('onRequest', async (request) => {
    const { isPublic = false, isForAnyHost = false, isFile = false } = request.routeOptions.config ?? {};
    const token = keyIn(request);
    if (token === undefined && !isForAnyHost) origins.checkHost(request);
    if (isPublic || (request.is404 && isNavigation(request))) {
      if (!isFile) await limitAddress(request);
      return origins.checkSameOrigin(request);
    }
    request.findCaller = () =>
      token === undefined ? bySession(request, tools) : byKey(request, token, tools);
    const caller = await request.findCaller();
    if (!caller) {
      await limitAddress(request);
      throw new ProblemError({
        kind: token === undefined && request.headers.cookie ? 'signedOut' : 'invalidKey',
      });
    }
    request.caller = caller;
    await limitCaller(request);
    if (caller.by.kind === 'session') origins.checkSameOrigin(request);
  });
}

/** "" for a header in another form. */
function keyIn({ headers }: FastifyRequest): string | undefined {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  const token = bearer ?? headers['x-api-key'];
  if (typeof token === 'string') return token;
  return headers.authorization === undefined ? undefined : '';
}

async function byKey(
  request: FastifyRequest,
  token: string,
  { apiKeys }: CallerTools,
): Promise<Caller | undefined> {
  const key = await apiKeys.find(token).catch(unavailable);
  return key && { id: key.id, person: personOf(key, request), scopes: key.scopes, by: { kind: 'key', key } };
}

async function bySession(request: FastifyRequest, tools: CallerTools): Promise<Caller | undefined> {
  const session = await sessionIn(request, tools).catch(unavailable);
  return session && (await callerOf(session, request, tools));
}

/**
 * The session that a browser sends.
 * @throws what Redis throws
 */
export async function sessionIn(
  request: FastifyRequest,
  { sessions, origins }: Pick<CallerTools, 'sessions' | 'origins'>,
): Promise<Session | undefined> {
  const { cookies } = request;
  const names = origins.cookieNames(request);
  const token = names.map((name) => cookies[name]).find((value) => value !== undefined);
  return token === undefined ? undefined : await sessions.find(token);
}

/** Asked at each call: whoever is no admin of a chat any more is none here either. */
export async function callerOf(
  session: Session,
  request: FastifyRequest,
  { isAdmin }: Pick<CallerTools, 'isAdmin'>,
): Promise<Caller> {
  const { id, userKey, scopes: own } = session;
  const isChatAdmin = !own.includes('admin') && (await isAdmin(userKey));
  const scopes = isChatAdmin ? [...own, 'admin' as const] : own;
  return { id, person: personOf(session, request), scopes, by: { kind: 'session', session } };
}

function unavailable(): never {
  throw new ProblemError({ kind: 'unavailable' });
}

/** Acts for its user alone: what admins may do is asked for elsewhere. */
function personOf(
  { userKey, name }: { readonly userKey: string; readonly name?: string },
  request: FastifyRequest,
): Person {
  return { userKey, name, roleKeys: [], locale: localeOf(request), isAdmin: false };
}

/** The first language of a request: "de" in "de;q=0.9, en". */
export function localeOf({ headers }: FastifyRequest): string {
  return languageOf(headers['accept-language']);
}

export function languageOf(acceptLanguage = ''): string {
  return /^\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)/.exec(acceptLanguage)?.[1] ?? 'en';
}

/** @throws ProblemError when the key or session of the request may not do this */
export function callerWith({ caller }: FastifyRequest, scope: ApiKeyScope): Caller {
  if (!caller) throw new ProblemError({ kind: 'invalidKey' });
  if (!caller.scopes.includes(scope)) throw new ProblemError({ kind: 'wrongScope' });
  return caller;
}
