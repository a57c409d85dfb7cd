/** A TCP connection through a proxy: CONNECT of HTTP (RFC 9110), or SOCKS5 (RFC 1928, with the passwords of RFC 1929). */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { connect, type Socket } from 'node:net';

/** Until the proxy has made its connection. */
const deadlineMs = 15_000;

/**
 * The proxy resolves the name: here it may resolve to nothing, or to something else.
 * @param proxy http://, https://, socks5:// or socks5h://, with user and password where it asks for them
 * @throws Error without the address of the proxy, which may hold a password
 */
export async function openTunnel(proxy: URL, host: string, port: number): Promise<Socket> {
  const signal = AbortSignal.timeout(deadlineMs);
  return await (proxy.protocol.startsWith('socks')
    ? openSocks(proxy, host, port, signal)
    : openConnect(proxy, host, port, signal));
}

const credentialsOf = ({ username, password }: URL) => ({
  user: decodeURIComponent(username),
  password: decodeURIComponent(password),
});

async function openConnect(proxy: URL, host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const { user, password } = credentialsOf(proxy);
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  const request = (proxy.protocol === 'https:' ? https : http).request({
    method: 'CONNECT',
    host: bare(proxy.hostname),
    port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
    path: authority,
    headers: { host: authority, ...(user === '' ? {} : { 'proxy-authorization': authorization }) },
    agent: false,
    signal,
  });
  request.end();
  const [response, socket] = (await once(request, 'connect')) as [http.IncomingMessage, Socket];
  if (response.statusCode === 200) return socket;
  socket.destroy();
  throw new Error(`The proxy refuses the connection: ${response.statusCode}`);
}

const socksVersion = 5;
const noPassword = 0;
const userAndPassword = 2;
const toName = 3;
const ipv4 = 1;
const ipv6 = 4;

async function openSocks(proxy: URL, host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host: bare(proxy.hostname), port: Number(proxy.port || 1080), signal });
  try {
    await once(socket, 'connect', { signal });
    const { user, password } = credentialsOf(proxy);
    const method = user === '' ? noPassword : userAndPassword;
    socket.write(Buffer.from([socksVersion, 1, method]));
    const [, chosen] = await take(socket, 2, signal);
    if (chosen !== method) throw new Error('The proxy asks for another way to log in.');
    if (method === userAndPassword) {
      socket.write(Buffer.concat([Buffer.from([1]), counted(user), counted(password)]));
      const [, status] = await take(socket, 2, signal);
      if (status !== 0) throw new Error('The proxy refuses the user or the password.');
    }
    const target = Buffer.concat([Buffer.from([socksVersion, 1, 0, toName]), counted(host)]);
    socket.write(Buffer.concat([target, Buffer.from([port >> 8, port & 0xff])]));
    const [, status, , kind] = await take(socket, 4, signal);
    if (status !== 0) throw new Error(`The proxy refuses the connection: ${status}`);
    const length = kind === ipv4 ? 4 : kind === ipv6 ? 16 : ((await take(socket, 1, signal))[0] ?? 0);
    await take(socket, length + 2, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function counted(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

/** The next bytes; those behind them stay in the socket. */
async function take(socket: Socket, length: number, signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    const bytes: Buffer | null = socket.read(length);
    if (bytes) return bytes;
    if (socket.readableEnded) throw new Error('The proxy ended the connection.');
    await Promise.race([once(socket, 'readable', { signal }), once(socket, 'end', { signal })]);
  }
}

/** An address of IPv6 without its brackets. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}
