/**
 * The proxies through which the chats and their files are reached, by the settings HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
 * NO_PROXY: the oldest Node that is supported does not read them.
 */
import http from 'node:http';
import https from 'node:https';
import { BlockList, isIP, type LookupFunction, Socket } from 'node:net';
import { SocksClient } from 'socks';
import { Agent, buildConnector, Client, getGlobalDispatcher, setGlobalDispatcher } from 'undici';

export interface ProxySettings {
  /** For https:// and wss://. */
  readonly https?: string | undefined;
  /** For http:// and ws://. */
  readonly http?: string | undefined;
  /** For both. */
  readonly all?: string | undefined;
  /** Hosts that are reached without a proxy, with commas between: "example.com" with all below it, addresses, "*". */
  readonly no?: string | undefined;
}

const defaultPorts: Readonly<Record<string, string>> = { 'https:': '443', 'http:': '80' };

/** Undefined: without a proxy. */
export function proxyFor(
  { protocol, hostname, port }: Pick<URL, 'protocol' | 'hostname' | 'port'>,
  settings: ProxySettings,
): URL | undefined {
  const proxy = (protocol === 'https:' ? settings.https : settings.http) ?? settings.all;
  const exceptions = (settings.no ?? '').split(/[\s,]+/).filter((entry) => entry !== '');
  const host = bare(hostname).toLowerCase();
  const isExcepted = exceptions.some((entry) => isMeant(entry, host, port || (defaultPorts[protocol] ?? '')));
  return proxy === undefined || isExcepted ? undefined : new URL(proxy);
}

function isMeant(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, bracketed, plain = '', onlyPort] = /^(?:\[(.+)\]|(.+?))(?::(\d+))?$/.exec(entry) ?? [];
  if (isIP(entry) === 6) return host === entry.toLowerCase();
  if (onlyPort !== undefined && onlyPort !== port) return false;
  const name = (bracketed ?? plain).replace(/^\*?\./, '').toLowerCase();
  return host === name || host.endsWith(`.${name}`) || isInSubnet(host, name);
}

function isInSubnet(host: string, subnet: string): boolean {
  const [address = '', bits = ''] = subnet.split('/');
  const family = (text: string) => (isIP(text) === 6 ? 'ipv6' : 'ipv4');
  try {
    const list = new BlockList();
    list.addSubnet(address, bits === '' ? Number.NaN : Number(bits), family(address));
    return list.check(host, family(host));
  } catch {
    return false; // no subnet, or no address
  }
}

/**
 * Sends the requests of this process through the proxies: those of undici (discord.js, downloads) and those of node:http
 * and node:https (telegraf, and the gateway's WebSocket). Redis is reached as before.
 * @returns a function that undoes it
 */
export function useProxies(settings: ProxySettings): () => void {
  const before = getGlobalDispatcher();
  const connect = connector(settings);
  setGlobalDispatcher(new Agent({ connect }));
  const restore = [route(http, 'http:', connect), route(https, 'https:', connect)];
  return () => {
    setGlobalDispatcher(before);
    for (const undo of restore) undo();
  };
}

/** Until the proxy has made its connection. */
const deadlineMs = 15_000;

const direct = buildConnector({});

/**
 * Connections as the proxies' settings want them.
 * @param lookup finds the address of every name, or refuses it; without it a proxy is given the name, and knows better
 */
export function connector(settings: ProxySettings, lookup?: LookupFunction): buildConnector.connector {
  const withoutProxy = lookup ? buildConnector({ lookup }) : direct;
  return (options, callback) => {
    const { protocol, hostname, port } = options;
    const proxy = proxyFor(options, settings);
    if (!proxy) return withoutProxy(options, callback);
    const open = proxy.protocol.startsWith('socks') ? openSocks : openConnect;
    const opened = addressOf(bare(hostname), lookup).then((host) =>
      open(proxy, host, Number(port || defaultPorts[protocol])),
    );
    opened.then(
      (socket) => {
        if (protocol === 'https:') direct({ ...options, httpSocket: socket }, callback);
        else callback(null, socket);
      },
      (error: Error) => callback(error, null),
    );
  };
}

async function addressOf(host: string, lookup: LookupFunction | undefined): Promise<string> {
  if (!lookup || isIP(host) !== 0) return host;
  return await new Promise((resolve, reject) => {
    lookup(host, {}, (error, address) => {
      if (error) reject(error);
      else resolve(String(address));
    });
  });
}

/** By CONNECT of HTTP (RFC 9110). */
async function openConnect(proxy: URL, host: string, port: number): Promise<Socket> {
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const { user, password } = credentialsOf(proxy);
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  // Left to itself it would ask the certificate of the proxy for the name of the target.
  const connect: typeof direct = (options, callback) => direct({ ...options, servername: '' }, callback);
  const client = new Client(proxy.origin, { connect });
  try {
    const { statusCode, socket } = await client.connect({
      path: authority,
      headers: { host: authority, ...(user === '' ? {} : { 'proxy-authorization': authorization }) },
      signal: AbortSignal.timeout(deadlineMs),
    });
    if (statusCode === 200 && socket instanceof Socket) return socket;
    socket.on('error', () => {}).destroy();
    throw new Error(`The proxy refuses the connection: ${statusCode}`);
  } finally {
    // Closes what the deadline has left open; a connection that is made is no longer the client's.
    void client.destroy();
  }
}

/** The proxy resolves the name: here it may resolve to nothing, or to something else. */
async function openSocks(proxy: URL, host: string, port: number): Promise<Socket> {
  const { user, password } = credentialsOf(proxy);
  try {
    const { socket } = await SocksClient.createConnection({
      command: 'connect',
      destination: { host, port },
      timeout: deadlineMs,
      proxy: {
        type: 5,
        host: bare(proxy.hostname),
        port: Number(proxy.port || 1080),
        userId: user,
        password,
      },
    });
    return socket;
  } catch (error) {
    // The library's error holds the password.
    throw new Error(error instanceof Error ? error.message : 'The proxy refuses the connection.');
  }
}

function credentialsOf({ username, password }: URL) {
  return { user: decodeURIComponent(username), password: decodeURIComponent(password) };
}

/** An address of IPv6 without its brackets. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/** The gateway's library connects by itself unless its request is given an agent, which it cannot be told. */
function route(
  module: typeof http | typeof https,
  protocol: string,
  connect: buildConnector.connector,
): () => void {
  const { request } = module;
  // A method of every agent that Node documents and its types leave out.
  const createConnection = (
    { host, port, servername = '' }: http.ClientRequestArgs & { readonly servername?: string },
    callback: buildConnector.Callback,
  ) => connect({ protocol, hostname: host ?? 'localhost', port: String(port ?? ''), servername }, callback);
  const agent = Object.assign(new module.Agent({ keepAlive: true }), { createConnection });
  type Callback = (response: http.IncomingMessage) => void;
  const withAgent = (
    first: URL | string | http.RequestOptions,
    second?: http.RequestOptions | Callback,
    third?: Callback,
  ) => {
    const callback = typeof second === 'function' ? second : third;
    if (typeof first !== 'string' && !(first instanceof URL)) return request({ ...first, agent }, callback);
    return request(first, { ...(typeof second === 'object' ? second : {}), agent }, callback);
  };
  Object.assign(module, { request: withAgent });
  return () => void Object.assign(module, { request });
}
