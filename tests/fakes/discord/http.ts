/** The HTTP side: finds the route, reads JSON and multipart bodies, writes every call down, and makes trouble on order. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, unauthorized } from './api-error.ts';
import { parseBody, readAll } from './body.ts';
import { Fault, type FaultOptions, matches, type Trouble } from './faults.ts';
import type { FakeFile } from './files.ts';
import { complaint } from './official.ts';
import { RateLimits } from './rate-limits.ts';

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** The part of the path that the template names. */
  param(name: string): string;
  readonly json: unknown;
  /** By the n of files[n]. */
  readonly files: ReadonlyMap<string, FakeFile>;
}

export interface Reply {
  readonly status: number;
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Route {
  readonly method: string;
  /** For example "/channels/:channel/messages". */
  readonly template: string;
  /** Whether the bot's token must come with it. */
  readonly auth: 'bot' | 'none';
  readonly handle: (request: Request) => Reply;
}

/** What the bot asked for, and what it got. */
export interface Call {
  readonly method: string;
  readonly path: string;
  /** The route's template; empty for a route that the fake does not know. */
  readonly route: string;
  readonly at: number;
  readonly json: unknown;
  readonly files: readonly FakeFile[];
  /** Undefined as long as there is no answer, and for ever when it was lost. */
  status: number | undefined;
  /** Discord's error code, when the answer was a refusal. */
  code: number | undefined;
}

const apiPrefix = '/api/v10';
const majorParameters = ['channel', 'guild', 'token'];

export class FakeHttp {
  readonly calls: Call[] = [];
  readonly server: Server;
  readonly limits = new RateLimits();
  /** The first mistake of the fake itself. */
  crash: unknown;
  readonly #routes: readonly Route[];
  readonly #token: string;
  readonly #faults: Fault[] = [];

  constructor(routes: readonly Route[], token: string) {
    this.#routes = routes;
    this.#token = token;
    this.server = createServer((incoming, outgoing) => {
      this.#serve(incoming, outgoing).catch((error: unknown) => {
        if (!outgoing.headersSent) outgoing.writeHead(500);
        outgoing.end(String(error));
      });
    });
  }

  /** @returns the base URL */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    // A server that listens on a port has this form of address.
    const { port } = this.server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  async close(): Promise<void> {
    for (const fault of this.#faults) fault.lift();
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  fail(options: FaultOptions): Fault {
    const fault = new Fault(options);
    this.#faults.push(fault);
    return fault;
  }

  called(filter: { method?: string; route?: string | RegExp }): Call[] {
    return this.calls.filter((call) => matches(filter, call));
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://fake');
    const path = decodeURIComponent(url.pathname.replace(apiPrefix, ''));
    const method = incoming.method ?? 'GET';
    const found = findRoute(this.#routes, method, path);
    const { json, files } = parseBody(await readAll(incoming), incoming.headers['content-type'] ?? '');
    const call: Call = {
      method,
      path,
      route: found?.route.template ?? '',
      at: Date.now(),
      json,
      files: [...files.values()],
      status: undefined,
      code: undefined,
    };
    this.calls.push(call);

    const param = (name: string): string => {
      const value = found?.params.get(name);
      if (value === undefined) throw new Error(`the route ${call.route} has no :${name}`);
      return value;
    };
    const major = majorParameters.map((name) => found?.params.get(name) ?? '').join(':');
    const { headers, retryAfter } = this.limits.take(call, major);
    const fault = this.#faults.find((each) => each.strikes(call));
    const trouble = fault?.options.status;
    if (fault?.options.delayMs) await sleep(fault.options.delayMs);

    const before = fault ? replyInstead(fault.options) : undefined;
    if (trouble === 'hang') return;
    if (trouble === 'reset') return cut(incoming);
    const request = { method, path, query: url.searchParams, param, json, files };
    const deed = (): Reply =>
      retryAfter === undefined
        ? this.#handle(found?.route, request, incoming)
        : rateLimited(retryAfter, false);
    if (before && fault?.options.applied) deed();
    const reply = before ?? deed();
    if (trouble === 'after') return cut(incoming);
    const answer = (): void => {
      call.status = reply.status;
      call.code = codeOf(reply);
      this.#holdAgainstDescription(call);
      send(outgoing, { ...reply, headers: { ...headers, ...reply.headers } }, trouble);
    };
    if (trouble === 'held') fault?.hold(answer);
    else answer();
  }

  /** Unless the fake has refused it for its form, as a test may want. */
  #holdAgainstDescription(call: Call): void {
    if (call.status === 400 || call.route === '') return;
    const wrong = complaint(call, call.json);
    if (wrong !== undefined) this.crash ??= new Error(`Discord does not describe this call: ${wrong}`);
  }

  #handle(route: Route | undefined, request: Request, { headers }: IncomingMessage): Reply {
    try {
      if (!route)
        throw new ApiError(400, 0, `The fake Discord has no route ${request.method} ${request.path}`);
      if (route.auth === 'bot' && headers.authorization !== `Bot ${this.#token}`) throw unauthorized();
      return route.handle(request);
    } catch (error) {
      if (error instanceof ApiError) return { status: error.status, json: error };
      this.crash ??= error;
      return { status: 500, json: { message: `The fake Discord broke: ${String(error)}`, code: 0 } };
    }
  }
}

function findRoute(routes: readonly Route[], method: string, path: string) {
  const parts = path.split('/');
  for (const route of routes) {
    const names = route.template.split('/');
    if (route.method !== method || names.length !== parts.length) continue;
    if (!names.every((name, index) => name.startsWith(':') || name === parts[index])) continue;
    const params = new Map<string, string>();
    for (const [index, name] of names.entries())
      if (name.startsWith(':')) params.set(name.slice(1), parts[index] ?? '');
    return { route, params };
  }
  return undefined;
}

function replyInstead({
  status,
  retryAfter = 1,
  global = false,
  code = 0,
  headers,
}: FaultOptions): Reply | undefined {
  if (typeof status !== 'number') return undefined;
  if (status === 429) return rateLimited(retryAfter, global);
  return { status, json: new ApiError(status, code, `${status}: on order`), ...(headers && { headers }) };
}

function rateLimited(seconds: number, global: boolean): Reply {
  return {
    status: 429,
    json: { message: 'You are being rate limited.', retry_after: seconds, global },
    headers: {
      'retry-after': String(seconds),
      'x-ratelimit-scope': global ? 'global' : 'user',
      ...(global && { 'x-ratelimit-global': 'true' }),
    },
  };
}

function codeOf({ status, json }: Reply): number | undefined {
  return status >= 400 && json instanceof ApiError ? json.code : undefined;
}

function cut({ socket }: IncomingMessage): void {
  socket.resetAndDestroy();
}

/** An empty answer must not call itself JSON: the client would try to read it. */
function send(
  outgoing: ServerResponse,
  { status, json, bytes, headers }: Reply,
  trouble: Trouble | undefined,
): void {
  const body = bytes ?? (json === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(json)));
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  outgoing.writeHead(status, { ...type, 'content-length': body.byteLength, ...headers });
  if (trouble === 'stall') outgoing.write(body.subarray(0, body.byteLength / 2));
  else outgoing.end(body);
}
