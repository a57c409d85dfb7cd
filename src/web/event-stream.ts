/** Server-sent events, as an answer. */
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ApiKeyScope } from '../queue/api-keys.ts';

/** @param events texts of the form that the specification of server-sent events gives them */
export function sendEvents(reply: FastifyReply, events: AsyncIterable<string>): FastifyReply {
  reply.header('x-accel-buffering', 'no').type('text/event-stream; charset=utf-8');
  return reply.send(Readable.from(events));
}

const askEveryMs = 2_000;

/**
 * Whether a stream may go on, for its loop to ask in each round: not after its key or session was revoked, or may do
 * that no more. Looked up every 2 s; not where Redis does not answer, so that the client connects again and is told.
 */
export function permission(request: FastifyRequest, scope: ApiKeyScope): () => Promise<boolean> {
  let askedAt = performance.now();
  return async () => {
    if (performance.now() - askedAt < askEveryMs) return true;
    askedAt = performance.now();
    const caller = await request.findCaller().catch(() => undefined);
    return caller?.scopes.includes(scope) ?? false;
  };
}
