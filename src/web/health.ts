/** For those who watch over Kinora: whether it answers, whether it takes requests, and which of two bots leads. */
import { z } from 'zod';
import { withDeadline } from '../deadline.ts';
import type { Keys } from '../queue/keys.ts';
import { storedModeSchema } from '../queue/mode.ts';
import type { Redis } from '../queue/redis.ts';
import { countLiveWorkers } from '../queue/worker-registry.ts';
import type { WebServer } from './web-server.ts';

const readySchema = z.object({
  status: z.enum(['ready', 'not_ready']),
  /** Absent where Redis does not answer. */
  mode: z.enum(['running', 'paused', 'draining']).optional(),
  workers: z.int().optional(),
});
type Readiness = z.infer<typeof readySchema>;

const deadlineMs = 1_000;
const open = { isPublic: true, isForAnyHost: true } as const;

/** @param redis a fail-fast connection */
export function healthRoutes(app: WebServer, redis: Redis, keys: Keys): void {
  app.get(
    '/health',
    {
      config: open,
      schema: {
        summary: 'Whether the API answers',
        tags: ['operation'],
        security: [],
        response: { 200: z.object({ status: z.literal('ok') }) },
      },
    },
    () => ({ status: 'ok' as const }),
  );
  app.get(
    '/leading',
    {
      config: open,
      schema: {
        summary: 'Whether this bot is the one to ask',
        description: 'For load balancers. A bot that stands by answers 503.',
        tags: ['operation'],
        security: [],
        response: { 200: z.object({ status: z.literal('leading') }) },
      },
    },
    () => ({ status: 'leading' as const }),
  );
  app.get(
    '/ready',
    {
      config: open,
      schema: {
        summary: 'Whether requests are taken and made',
        description: '503 while Kinora is paused or draining, without a worker, or without Redis.',
        tags: ['operation'],
        security: [],
        response: { 200: readySchema, 503: readySchema },
      },
    },
    async (_request, reply) => {
      const readiness = await readinessOf(redis, keys);
      return reply.code(readiness.status === 'ready' ? 200 : 503).send(readiness);
    },
  );
}

async function readinessOf(redis: Redis, keys: Keys): Promise<Readiness> {
  const asked = Promise.all([redis.get(keys.mode), countLiveWorkers(redis, keys)]).catch(() => undefined);
  const answer = await withDeadline(deadlineMs, asked, () => undefined);
  if (!answer) return { status: 'not_ready' };
  const [stored, workers] = answer;
  const mode = storedModeSchema.parse(stored);
  return { status: mode === 'running' && workers > 0 ? 'ready' : 'not_ready', mode, workers };
}
