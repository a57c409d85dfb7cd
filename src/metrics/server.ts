/**
 * `/metrics` for Prometheus and `/healthz` for liveness checks, on a port of its own. Both answer within a second
 * whatever Redis does. Knows no metric and no problem by name.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { KinoraError } from '../errors.ts';

/** The health of one part of the process; `problem` is one sentence, absent while all is well. */
export interface HealthReport {
  readonly problem?: string;
  readonly [detail: string]: string | number | undefined;
}

export interface Observed {
  readonly registry: Registry;
  /** Updates the metrics that are measured per scrape. Never rejects, takes less than a second. */
  refresh(): Promise<void>;
  /** Never rejects, takes less than a second. */
  health(): Promise<Readonly<Record<string, HealthReport>>>;
}

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * @param port 0 takes any free one
 * @param host address of this machine on which it listens
 * @throws KinoraError INVALID_CONFIG when the port is taken
 */
export async function startMetricsServer(
  port: number,
  observed: Observed,
  host = '127.0.0.1',
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const answer = (status: number, type: string, text: string): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text);
    };
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET') return answer(405, 'text/plain', 'Only GET is answered here.\n');
    const page = path === '/metrics' ? metricsPage : path === '/healthz' ? healthPage : undefined;
    if (!page) return answer(404, 'text/plain', 'There is /metrics and /healthz.\n');
    page(observed).then(
      ({ status, type, text }) => answer(status, type, text),
      (error: unknown) => answer(500, 'text/plain', `${String(error)}\n`),
    );
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new KinoraError(
      'INVALID_CONFIG',
      `KINORA_METRICS_PORT: ${host}:${port} cannot be used (${(error as NodeJS.ErrnoException).code}).`,
      { cause: error },
    );
  }
  return {
    port: (server.address() as AddressInfo).port, // a listening TCP server has one
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function metricsPage(observed: Observed): Promise<Page> {
  await observed.refresh();
  const { registry } = observed;
  return { status: 200, type: registry.contentType, text: await registry.metrics() };
}

async function healthPage(observed: Observed): Promise<Page> {
  const parts = await observed.health();
  const problems = Object.values(parts).flatMap(({ problem }) => problem ?? []);
  const text = `${JSON.stringify({ status: problems.length === 0 ? 'ok' : 'failing', problems, ...parts }, null, 2)}\n`;
  return { status: problems.length === 0 ? 200 : 503, type: 'application/json', text };
}
