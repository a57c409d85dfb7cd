/**
 * From where a browser calls. A call without a key must be made to a name of this server, so that a page of another
 * site cannot reach it under a name of its own (DNS rebinding); one that changes something must come from its own page.
 */
import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { ProblemError } from './problem.ts';

export interface OwnAddress {
  /** Of KINORA_PUBLIC_URL; undefined where it is not set. */
  readonly publicUrl: string | undefined;
  /** Where the server listens. */
  readonly host: string;
}

const loopbackNames: ReadonlySet<string> = new Set(['localhost', 'localhost.localdomain']);
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
const sessionCookie = 'kinora_session';
/** Browsers take it over TLS only, and from no neighbouring name. */
const secureCookie = `__Host-${sessionCookie}`;
/** All that a session was ever kept in, and whether over TLS only. */
export const cookieNames = [
  [sessionCookie, false],
  [secureCookie, true],
] as const;

/** Somebody typed an address, or followed a link: programs ask for no HTML. */
export function isNavigation({ method, url, headers }: FastifyRequest): boolean {
  return method === 'GET' && !url.startsWith('/v1/') && /\btext\/html\b/.test(headers.accept ?? '');
}

export class Origins {
  readonly #publicUrl: URL | undefined;
  readonly #boundHost: string;

  constructor({ publicUrl, host }: OwnAddress) {
    this.#publicUrl = publicUrl === undefined ? undefined : new URL(publicUrl);
    this.#boundHost = host.toLowerCase();
  }

  /**
   * Looks at the header itself: what a proxy says of it could be said by a page, too.
   * @throws ProblemError for a name that is none of this server's
   */
  checkHost({ headers }: FastifyRequest): void {
    if (!this.#isOwnHost(headers.host ?? '')) throw new ProblemError({ kind: 'unknownHost' });
  }

  /** @throws ProblemError for a call that changes something and does not come from a page of this server */
  checkSameOrigin(request: FastifyRequest): void {
    if (safeMethods.has(request.method)) return;
    const { origin, 'sec-fetch-site': site } = request.headers;
    const isOwn =
      (site === undefined || site === 'same-origin') &&
      (origin === undefined ? site !== undefined : this.#isOwnOrigin(origin, request));
    if (!isOwn) throw new ProblemError({ kind: 'otherOrigin' });
  }

  /** The names under which a browser may send its session, the one to trust most first. */
  cookieNames(request: FastifyRequest): readonly string[] {
    if (this.#publicUrl?.protocol !== 'https:') return [sessionCookie];
    // Whoever keeps the machine may also call it directly, without TLS.
    return isLoopback(hostnameOf(request.headers.host ?? ''))
      ? [secureCookie, sessionCookie]
      : [secureCookie];
  }

  /** How a session is given to the browser that makes this call. */
  cookieFor({ headers }: FastifyRequest): { readonly name: string; readonly isSecure: boolean } {
    const isSecure = headers.origin?.startsWith('https:') ?? false;
    const isPublic = isSecure && this.#publicUrl?.protocol === 'https:';
    return { name: isPublic ? secureCookie : sessionCookie, isSecure };
  }

  #isOwnHost(host: string): boolean {
    const name = hostnameOf(host);
    // An address is no name that somebody else could point here.
    return isLoopback(name) || isIP(name) !== 0 || name === this.#boundHost || host === this.#publicUrl?.host;
  }

  #isOwnOrigin(origin: string, { headers }: FastifyRequest): boolean {
    if (origin === this.#publicUrl?.origin) return true;
    if (headers.host === this.#publicUrl?.host || !URL.canParse(origin)) return false;
    const { protocol, host } = new URL(origin);
    return /^https?:$/.test(protocol) && host === headers.host?.toLowerCase();
  }
}

/** "localhost" in "localhost:7080"; an IPv6 address without its brackets. */
function hostnameOf(host: string): string {
  return host
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
}

export function isLoopback(name: string): boolean {
  return (
    loopbackNames.has(name) ||
    name.endsWith('.localhost') ||
    name === '::1' ||
    (isIP(name) === 4 && name.startsWith('127.'))
  );
}
