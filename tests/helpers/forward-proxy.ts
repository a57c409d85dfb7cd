/**
 * A proxy for tests, by CONNECT, also over TLS, and by SOCKS5. Every name leads to one port of this machine, so that what reaches it came
 * through the proxy; behind port 443 there is TLS with a certificate of the tests.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';

const fixture = async (name: string): Promise<Buffer> =>
  await readFile(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));

export class ForwardProxy {
  /** "host:port" of every connection that was asked for. */
  readonly asked: string[] = [];
  /** By which the proxy itself was called over TLS. */
  readonly names: (string | false | null)[] = [];
  /** By which what is behind port 443 was called. */
  readonly servedNames: string[] = [];
  /** Where all names lead; set before the first connection. */
  target = 0;
  /** "user:password", when it asks for them. */
  readonly #credentials: string | undefined;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  #tlsPort = 0;
  #httpPort = 0;
  #httpsPort = 0;
  #socksPort = 0;

  private constructor(credentials: string | undefined) {
    this.#credentials = credentials;
  }

  static async start(credentials?: string): Promise<ForwardProxy> {
    const proxy = new ForwardProxy(credentials);
    const [key, cert] = await Promise.all([fixture('key'), fixture('certificate')]);
    proxy.#tlsPort = await proxy.#listen(
      createTlsServer(
        {
          ...{ key, cert },
          SNICallback: (name, answer) => {
            proxy.servedNames.push(name);
            answer(null);
          },
        },
        (socket) => proxy.#join(socket, connect(proxy.target, '127.0.0.1')),
      ),
    );
    const http = createHttpServer((_, response) => response.writeHead(405).end());
    const https = createHttpsServer({ key, cert });
    https.on('secureConnection', ({ servername }: TLSSocket) => proxy.names.push(servername));
    https.on('connect', (request, socket, head) => http.emit('connect', request, socket, head));
    http.on('connect', ({ url = '', headers }, socket: Socket) => {
      const given = headers['proxy-authorization']?.replace('Basic ', '') ?? '';
      if (credentials !== undefined && Buffer.from(given, 'base64').toString() !== credentials) {
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n');
        return;
      }
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      proxy.#open(url, socket);
    });
    proxy.#httpPort = await proxy.#listen(http);
    proxy.#httpsPort = await proxy.#listen(https);
    proxy.#socksPort = await proxy.#listen(createServer((socket) => void proxy.#socks(socket)));
    return proxy;
  }

  get httpUrl(): string {
    return `http://${this.#login}127.0.0.1:${this.#httpPort}`;
  }

  get httpsUrl(): string {
    return `https://${this.#login}localhost:${this.#httpsPort}`;
  }

  get socksUrl(): string {
    return `socks5://${this.#login}127.0.0.1:${this.#socksPort}`;
  }

  get #login(): string {
    return this.#credentials === undefined ? '' : `${this.#credentials}@`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  async #listen(server: Server): Promise<number> {
    this.#servers.push(server);
    server.on('connection', (socket: Socket) => this.#keep(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #open(authority: string, socket: Socket): void {
    this.asked.push(authority);
    this.#join(socket, connect(authority.endsWith(':443') ? this.#tlsPort : this.target, '127.0.0.1'));
  }

  #join(client: Socket, upstream: Socket): void {
    this.#keep(client);
    this.#keep(upstream);
    client.pipe(upstream).pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  }

  /** RFC 1928, as far as a client of one connection by name goes. */
  async #socks(socket: Socket): Promise<void> {
    const asksPassword = this.#credentials !== undefined;
    await next(socket);
    socket.write(Buffer.from([5, asksPassword ? 2 : 0]));
    if (asksPassword) {
      const login = await next(socket);
      const user = login.subarray(2, 2 + (login[1] ?? 0)).toString();
      const password = login.subarray(3 + (login[1] ?? 0)).toString();
      const isRight = `${user}:${password}` === this.#credentials;
      socket.write(Buffer.from([1, isRight ? 0 : 1]));
      if (!isRight) return void socket.end();
    }
    const target = await next(socket);
    const end = 5 + (target[4] ?? 0);
    socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    this.#open(`${target.subarray(5, end).toString()}:${target.readUInt16BE(end)}`, socket);
  }
}

async function next(socket: Socket): Promise<Buffer> {
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes;
}
