/** Server-sent events, as an answer. */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';

/** @param events texts of the form that the specification of server-sent events gives them */
export function sendEvents(reply: FastifyReply, events: AsyncIterable<string>): FastifyReply {
  reply.header('x-accel-buffering', 'no').type('text/event-stream; charset=utf-8');
  return reply.send(Readable.from(events));
}
