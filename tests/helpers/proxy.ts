/**
 * A bad network in front of a real Redis: a TCP port that forwards to its unix socket, and can be slow, silent or reset.
 * Knows no Redis protocol.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  /** The peer has vanished: nothing passes, and neither side gets an error. */
  isSilent: boolean;
}

export class FaultyProxy {
  /** Milliseconds that every byte needs in each direction. */
  latencyMs = 0;
  /** New connections are accepted and then never answered, as behind a firewall that drops packets. */
  silentForNewcomers = false;
  /** Where new connections lead; a test may fail over to another server. */
  upstreamPath: string;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();

  private constructor(upstreamPath: string) {
    this.upstreamPath = upstreamPath;
    this.#server = createServer((client) => this.#accept(client, connect(this.upstreamPath)));
  }

  static async start(upstreamPath: string): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(upstreamPath);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  #accept(client: Socket, upstream: Socket): void {
    const pair: Pair = { client, upstream, isSilent: this.silentForNewcomers };
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on('error', () => {}); // resets are what this is for; 'close' follows
      socket.on('close', end);
    }
    this.#forward(pair, client, upstream);
    this.#forward(pair, upstream, client);
  }

  #forward(pair: Pair, from: Socket, to: Socket): void {
    // In a queue of their own: timers alone would let bytes overtake each other when the latency falls.
    const onTheirWay: { readonly chunk: Buffer; readonly dueAt: number }[] = [];
    let timer: NodeJS.Timeout | null = null;
    const pass = (): void => {
      timer = null;
      for (let next = onTheirWay[0]; next; next = onTheirWay[0]) {
        const waitMs = next.dueAt - performance.now();
        if (waitMs > 0) {
          timer = setTimeout(pass, Math.ceil(waitMs));
          return;
        }
        onTheirWay.shift();
        if (!pair.isSilent && to.writable) to.write(next.chunk);
      }
    };
    from.on('data', (chunk) => {
      if (pair.isSilent) return;
      onTheirWay.push({ chunk, dueAt: performance.now() + this.latencyMs });
      if (!timer) pass();
    });
  }

  /** Ends every connection with a TCP reset. What was on its way is lost. */
  reset(): void {
    for (const { client, upstream } of [...this.#pairs]) {
      client.resetAndDestroy();
      upstream.destroy();
    }
  }

  /** Every present connection stays open and goes silent; new ones work. */
  hang(): void {
    for (const pair of this.#pairs) pair.isSilent = true;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.reset();
    await closed;
  }
}
