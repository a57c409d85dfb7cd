/**
 * What stands at the page's address while another bot leads: it tells a load balancer to go there, and everybody else to
 * come again.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { KinoraError } from '../errors.ts';
import { languageOf } from './caller.ts';
import { whenPortIsFree } from './port.ts';
import { renderProblem } from './problem.ts';

const retryAfterMs = 5_000;

/**
 * @returns closes it and frees its port
 * @throws KinoraError INVALID_CONFIG when the port cannot be used
 */
export async function startStandbyServer(host: string, port: number): Promise<() => Promise<void>> {
  const server = createServer(answer);
  try {
    await whenPortIsFree(async () => {
      server.listen(port, host);
      await once(server, 'listening');
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message = `KINORA_WEB_PORT: ${host}:${port} cannot be used (${code}).`;
    throw new KinoraError('INVALID_CONFIG', message, { cause: error });
  }
  return async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
}

function answer({ url, headers }: IncomingMessage, response: ServerResponse): void {
  const path = url?.split('?')[0];
  if (path === '/health') send(response, 200, { status: 'ok' });
  else if (path === '/ready' || path === '/leading') send(response, 503, { status: 'standing_by' });
  else {
    const { status, body } = renderProblem({ kind: 'unavailable' }, languageOf(headers['accept-language']));
    send(response, status, body, { 'retry-after': String(retryAfterMs / 1_000) });
  }
}

function send(
  response: ServerResponse,
  status: number,
  body: object,
  more: Readonly<Record<string, string>> = {},
): void {
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    connection: 'close',
    ...more,
  };
  response.writeHead(status, headers).end(JSON.stringify(body));
}
