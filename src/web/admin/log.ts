/** `/v1/admin/log`: the live log of all processes, as server-sent events. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type LogEntry, type LogFilter, logIdPattern, logLevels, SharedLog } from '../../queue/live-log.ts';
import { permission, sendEvents } from '../event-stream.ts';
import { errorSchema, ProblemError } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
import type { AdminRouteTools } from './run.ts';

const levelNames = Object.keys(logLevels) as [keyof typeof logLevels, ...(keyof typeof logLevels)[]]; // by its keys
const mostStreams = 20;
const linesAtFirst = 200;
const lookEveryMs = 700;
const heartbeatMs = 15_000;
/** Then the client connects again. */
const longestMs = 60_000;
const reconnectMs = 1_000;

const querySchema = z.strictObject({
  level: z.enum(levelNames).default('info').describe('This one and the graver ones.'),
  part: z.string().max(32).optional().describe('"bot", "worker", "engine" or "kinora".'),
  text: z.string().max(100).optional().describe('Stands somewhere in the line, in any case.'),
});

export function logRoutes(app: WebServer, { redis, keys }: Pick<AdminRouteTools, 'redis' | 'keys'>): void {
  const log = new SharedLog(redis, keys);
  let streams = 0;
  app.get(
    '/v1/admin/log',
    {
      schema: {
        summary: 'What all processes log, as it is logged',
        description:
          'Server-sent events: `line` with the time, level, part, text and details of a line, and `gap` where lines were lost since Last-Event-ID. Begins with the latest 200. Without secrets and prompts.',
        tags: ['administration'],
        querystring: querySchema,
        produces: ['text/event-stream', 'application/json'],
        response: { '4xx': errorSchema, '5xx': errorSchema },
      },
    },
    async (request, reply) => {
      if (streams >= mostStreams) throw new ProblemError({ kind: 'tooManyStreams', streams: mostStreams });
      const seen = request.headers['last-event-id'];
      const last = typeof seen === 'string' && logIdPattern.test(seen) ? seen : undefined;
      streams++;
      reply.raw.once('close', () => {
        streams--;
      });
      const mayGoOn = permission(request, 'admin');
      return sendEvents(
        reply,
        lines(log, request.query, last, async () => !reply.raw.destroyed && (await mayGoOn())),
      );
    },
  );
}

async function* lines(
  log: SharedLog,
  filter: LogFilter,
  seen: string | undefined,
  mayGoOn: () => Promise<boolean>,
): AsyncGenerator<string> {
  yield `retry: ${reconnectMs}\n\n`;
  const endsAt = performance.now() + longestMs;
  let spokeAt = performance.now();
  try {
    if (seen !== undefined && (await log.hasLost(seen))) yield 'event: gap\ndata: {}\n\n';
    let page = seen === undefined ? await log.latest(filter, linesAtFirst) : await log.after(seen, filter);
    while (performance.now() < endsAt) {
      if (page.entries.length > 0) {
        yield page.entries.map(eventOf).join('');
        spokeAt = performance.now();
      } else if (performance.now() - spokeAt > heartbeatMs) {
        yield ': still here\n\n';
        spokeAt = performance.now();
      }
      await sleep(lookEveryMs, undefined, { ref: false });
      if (!(await mayGoOn())) return;
      page = await log.after(page.last, filter);
    }
    // Lines that did not pass are not looked at again.
    yield `id: ${page.last}\nevent: rest\ndata: {}\n\n`;
  } catch {
    // Redis does not answer: the client connects again, and is told.
  }
}

export type LogLine = Omit<LogEntry, 'id' | 'at'> & { readonly at: string };

function eventOf({ id, at, ...line }: LogEntry): string {
  return `id: ${id}\nevent: line\ndata: ${JSON.stringify({ at: new Date(at).toISOString(), ...line })}\n\n`;
}
