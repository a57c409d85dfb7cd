/**
 * The proxies through which the chats and their files are reached, by the settings HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
 * NO_PROXY: the oldest Node that is supported does not read them.
 */
import http from 'node:http';
import https from 'node:https';
import { BlockList, isIP, type Socket } from 'node:net';
import tls from 'node:tls';
import { Agent, buildConnector, getGlobalDispatcher, setGlobalDispatcher } from 'undici';
import { openTunnel } from './tunnel.ts';

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
  {
    protocol,
    hostname,
    port,
  }: { readonly protocol: string; readonly hostname: string; readonly port: string },
  settings: ProxySettings,
): URL | undefined {
  const proxy = (protocol === 'https:' ? settings.https : settings.http) ?? settings.all;
  const exceptions = (settings.no ?? '').split(/[\s,]+/).filter((entry) => entry !== '');
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
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
  const [address = '', prefix] = subnet.split('/');
  const [family, ownFamily] = [isIP(address), isIP(host)];
  if (prefix === undefined || family === 0 || ownFamily === 0) return false;
  const type = (version: number) => (version === 6 ? 'ipv6' : 'ipv4');
  const bits = Number(prefix);
  if (!Number.isInteger(bits) || bits > (family === 6 ? 128 : 32)) return false;
  const list = new BlockList();
  list.addSubnet(address, bits, type(family));
  return list.check(host, type(ownFamily));
}

/**
 * Sends the requests of this process through the proxies: those of undici (discord.js, downloads) and those of node:http
 * and node:https (telegraf, and the gateway's WebSocket, whose library takes no agent). Redis is reached as before.
 * @returns a function that undoes it
 */
export function useProxies(settings: ProxySettings): () => void {
  const before = getGlobalDispatcher();
  setGlobalDispatcher(dispatcher(settings));
  const restore = [
    route(http, routed(new http.Agent({ keepAlive: true }), 'http:', settings)),
    route(https, routed(new https.Agent({ keepAlive: true }), 'https:', settings)),
  ];
  return () => {
    setGlobalDispatcher(before);
    for (const undo of restore) undo();
  };
}

function dispatcher(settings: ProxySettings): Agent {
  const direct = buildConnector({});
  return new Agent({
    connect: (options, callback) => {
      const { protocol, hostname, port } = options;
      const proxy = proxyFor(options, settings);
      if (!proxy) return direct(options, callback);
      openTunnel(proxy, hostname, Number(port || defaultPorts[protocol])).then(
        (socket) => {
          if (protocol === 'https:') direct({ ...options, httpSocket: socket }, callback);
          else callback(null, socket);
        },
        (error: Error) => callback(error, null),
      );
    },
  });
}

type Connected = (error: Error | null, socket?: Socket) => void;
type Connect = (options: tls.ConnectionOptions, callback: Connected) => Socket | undefined;

function routed<A extends http.Agent>(agent: A, protocol: 'http:' | 'https:', settings: ProxySettings): A {
  // A method of every agent that Node documents and its types leave out.
  const { createConnection } = agent as A & { readonly createConnection: Connect };
  const connect: Connect = (options, callback) => {
    const { host: hostname = 'localhost', port = defaultPorts[protocol] } = options;
    const proxy = proxyFor({ protocol, hostname, port: String(port) }, settings);
    if (!proxy) return createConnection.call(agent, options, callback);
    openTunnel(proxy, hostname, Number(port)).then(
      (socket) => callback(null, protocol === 'https:' ? tls.connect({ ...options, socket }) : socket),
      (error: Error) => callback(error),
    );
    return undefined;
  };
  return Object.assign(agent, { createConnection: connect });
}

/** A request that wants a connection of its own, by `agent: false`, is left alone: so does the way to the proxy. */
function route(module: typeof http | typeof https, agent: http.Agent): () => void {
  const { request } = module;
  type Callback = (response: http.IncomingMessage) => void;
  const withAgent = (
    first: URL | string | http.RequestOptions,
    second?: http.RequestOptions | Callback,
    third?: Callback,
  ) => {
    const isUrl = typeof first === 'string' || first instanceof URL;
    const options = isUrl ? (typeof second === 'object' ? second : {}) : first;
    const callback = typeof second === 'function' ? second : third;
    const own = { ...options, agent: options.agent === false ? false : agent };
    return isUrl ? request(first, own, callback) : request(own, callback);
  };
  Object.assign(module, { request: withAgent });
  return () => void Object.assign(module, { request });
}
