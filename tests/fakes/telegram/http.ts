/** The fake's HTTP side: paths, tokens, faults, and a record of every call. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, notFound, tooManyRequests, usualError } from './api-error.ts';
import { parseBody, readBody } from './body.ts';
import { Fault, type FaultOptions, matches, type Trouble } from './faults.ts';
import { Limits } from './limits.ts';
import type { Methods } from './method.ts';
import { complaint } from './official.ts';
import { Params, type Upload } from './params.ts';
import type { World } from './world.ts';

/** What the bot asked for, and what it got. */
export interface Call {
  /** Of the API, as the bot wrote it; "file" for a download. */
  readonly method: string;
  readonly chatId: number | undefined;
  /** With JSON inside forms decoded. Of a download: its path. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly uploads: readonly Upload[];
  readonly at: number;
  /** Undefined as long as there is no answer, and for ever when it was lost. */
  status: number | undefined;
  /** Telegram's description, when the answer was a refusal. */
  error: string | undefined;
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
  readonly error?: string;
}

interface Address {
  readonly token: string;
  readonly method: string;
  readonly filePath: string;
}

export class FakeHttp {
  readonly calls: Call[] = [];
  readonly limits = new Limits();
  /** The first mistake of the fake itself. */
  crash: unknown;
  readonly #world: World;
  readonly #methods: ReadonlyMap<string, Methods[string]>;
  readonly #server: Server;
  readonly #faults: Fault[] = [];
  readonly #host: string;
  #port = 0;

  constructor(world: World, methods: Methods, host: string) {
    this.#world = world;
    this.#host = host;
    this.#methods = new Map(Object.entries(methods).map(([name, method]) => [name.toLowerCase(), method]));
    this.#server = createServer((incoming, outgoing) => {
      this.#serve(incoming, outgoing).catch((error: unknown) => {
        this.crash ??= error;
        incoming.socket.destroy();
      });
    });
  }

  /** On the same port as before, if there was one. @returns the base URL */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, this.#host, resolve));
    // A server that listens on a port has this form of address.
    this.#port = (this.#server.address() as AddressInfo).port;
    return `http://${this.#host}:${this.#port}`;
  }

  async close(): Promise<void> {
    for (const fault of this.#faults) fault.lift();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** An open poll ends, so that the next one meets the trouble. */
  fail(options: FaultOptions): Fault {
    const fault = new Fault(options);
    this.#faults.push(fault);
    if (matches(options, { method: 'getUpdates', chatId: undefined })) this.#world.updates.wake();
    return fault;
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const hangUp = new AbortController();
    outgoing.once('close', () => hangUp.abort());
    const url = new URL(incoming.url ?? '/', 'http://fake');
    const address = readAddress(decodeURIComponent(url.pathname));
    const body = await readBody(incoming).catch(() => 'hung up' as const);
    if (body === 'hung up') return;
    const request = readParams(url.searchParams, body, incoming.headers['content-type'] ?? '');
    const params = request instanceof Params ? request : new Params({});
    const { method = '', filePath = '' } = address ?? {};
    const call: Call = {
      method,
      chatId: params.values['chat_id'] === undefined ? undefined : Number(params.values['chat_id']),
      params: filePath === '' ? decoded(params) : { path: filePath },
      uploads: [...params.uploads.values()],
      at: Date.now(),
      status: undefined,
      error: undefined,
    };
    this.calls.push(call);

    const fault = this.#faults.find((each) => each.strikes(call));
    const { status: trouble, delayMs, applied, headers } = fault?.options ?? {};
    if (delayMs) await sleep(delayMs);
    if (trouble === 'hang') return;
    if (trouble === 'reset') return cut(incoming);
    const deed = async (): Promise<Reply> =>
      request instanceof Params ? this.#answer(address, params, hangUp.signal) : refusal(request);
    const instead = fault && replyInstead(fault);
    if (instead && applied) await deed();
    const reply = instead ?? (await deed());
    if (trouble === 'after') return cut(incoming);
    const answer = (): void => {
      call.status = reply.status;
      call.error = reply.error;
      if (filePath === '') this.#holdAgainstDescription(call, params);
      send(outgoing, reply, { trouble, headers });
    };
    if (trouble === 'held') fault?.hold(answer);
    else answer();
  }

  /** Unless the fake has refused it, as a test may want. */
  #holdAgainstDescription({ method, status = 0 }: Call, params: Params): void {
    if ([400, 404, 413].includes(status) || method === '') return;
    const wrong = complaint(method, params);
    if (wrong !== undefined) this.crash ??= new Error(`Telegram does not describe this call: ${wrong}`);
  }

  async #answer(address: Address | undefined, params: Params, signal: AbortSignal): Promise<Reply> {
    try {
      if (!address || !/^\d+:[\w-]{30,}$/.test(address.token)) throw notFound();
      const { token, method, filePath } = address;
      if (token !== this.#world.token) throw filePath === '' ? usualError(401) : notFound();
      if (filePath !== '') return this.#download(filePath);
      const run = this.#methods.get(method.toLowerCase());
      if (!run) throw notFound(`Not Found: method not found (the fake Telegram has no ${method})`);
      const wait = this.limits.take({ method, chatId: Number(params.text('chat_id') ?? Number.NaN) });
      if (wait !== undefined) throw tooManyRequests(wait);
      const result = await run({ world: this.#world, params, signal });
      return { status: 200, ...json({ ok: true, result }) };
    } catch (error) {
      if (error instanceof ApiError) return refusal(error);
      this.crash ??= error;
      return refusal(new ApiError(500, `The fake Telegram broke: ${String(error)}`));
    }
  }

  #download(path: string): Reply {
    const file = this.#world.files.open(path);
    if (!file) throw notFound();
    return { status: 200, type: 'application/octet-stream', body: file.bytes };
  }
}

/** /bot<token>/<method> or /file/bot<token>/<path> */
function readAddress(path: string): Address | undefined {
  const [, file, token = '', rest = ''] = /^\/(file\/)?bot([^/]+)\/(.+)$/.exec(path) ?? [];
  if (token === '') return undefined;
  return file ? { token, method: 'file', filePath: rest } : { token, method: rest, filePath: '' };
}

function readParams(query: URLSearchParams, body: Buffer | undefined, type: string): Params | ApiError {
  try {
    return body ? parseBody(query, body, type) : usualError(413);
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
}

/** Objects inside forms are JSON text; a record of calls reads better without. */
function decoded({ values }: Params): Record<string, unknown> {
  const read = (value: unknown): unknown => {
    if (typeof value !== 'string' || !/^[[{]/.test(value)) return value;
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, read(value)]));
}

function replyInstead({ error, options }: Fault): Reply | undefined {
  const { status, body } = options;
  if (error) return refusal(error);
  if (typeof status !== 'number' || !body) return undefined;
  return { status, type: 'application/octet-stream', body };
}

function refusal(error: ApiError): Reply {
  return { status: error.status, ...json(error), error: error.message };
}

function json(value: object) {
  return { type: 'application/json', body: Buffer.from(JSON.stringify(value)) };
}

function cut({ socket }: IncomingMessage): void {
  socket.resetAndDestroy();
}

function send(
  outgoing: ServerResponse,
  { status, type, body }: Reply,
  {
    trouble,
    headers,
  }: { trouble: Trouble | undefined; headers: Readonly<Record<string, string>> | undefined },
): void {
  const bytes = trouble === 'garbage' ? Buffer.from('<html>Bad Gateway</html>') : body;
  outgoing.writeHead(status, { 'content-type': type, 'content-length': bytes.byteLength, ...headers });
  if (trouble === 'stall') outgoing.write(bytes.subarray(0, bytes.byteLength / 2));
  else outgoing.end(bytes);
}
