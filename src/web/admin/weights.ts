/** `/v1/admin/weights`: whose share of the workers' time is larger or smaller. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Target } from '../../queue/checks.ts';
import { weightRange } from '../../queue/weights.ts';
import type { WebServer } from '../web-server.ts';
import {
  type AdminRouteTools,
  changedSchema,
  errors,
  nameOf,
  pageSchema,
  reasonSchema as reason,
  run,
  tags,
  targetOf,
  targetSchema,
} from './run.ts';

const weightSchema = z.object({
  target: z.string(),
  weight: z.number().nullable().describe('null where the target has none of its own: it counts as 1.'),
});

export function weightRoutes(app: WebServer, { administration }: AdminRouteTools): void {
  const shown = async (request: FastifyRequest, target: Target): Promise<z.infer<typeof weightSchema>> => {
    const { weight } = await run(request, administration, { kind: 'showWeight', target }, 'weight');
    return { target: nameOf(target), weight: weight ?? null };
  };
  app.get(
    '/v1/admin/weights',
    {
      schema: {
        summary: 'All weights that are set',
        tags,
        querystring: pageSchema,
        response: {
          200: z.object({ data: z.array(weightSchema), page: z.int(), pages: z.int() }),
          ...errors,
        },
      },
    },
    async (request) => {
      const command = { kind: 'listWeights', page: request.query.page } as const;
      const { weights } = await run(request, administration, command, 'weights');
      const data = weights.items.map(({ target, weight }) => ({ target: nameOf(target), weight }));
      return { data, page: weights.page, pages: weights.pages };
    },
  );
  app.get(
    '/v1/admin/weights/:target',
    {
      schema: {
        summary: 'Weight of a user, role or community',
        tags,
        params: targetSchema,
        response: { 200: weightSchema, ...errors },
      },
    },
    async (request) => await shown(request, targetOf(request.params.target)),
  );
  app.put(
    '/v1/admin/weights/:target',
    {
      schema: {
        summary: 'Set the share of the time while the queue is busy',
        tags,
        params: targetSchema,
        body: z.strictObject({
          weight: z.number().meta({ minimum: weightRange.min, maximum: weightRange.max }),
          reason,
        }),
        response: { 200: weightSchema, ...errors },
      },
    },
    async (request) => {
      const target = targetOf(request.params.target);
      await run(request, administration, { kind: 'setWeight', target, ...request.body }, 'weight');
      return await shown(request, target);
    },
  );
  app.delete(
    '/v1/admin/weights/:target',
    {
      schema: {
        summary: 'Back to the usual share',
        tags,
        params: targetSchema,
        response: { 200: changedSchema, ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'clearWeight', target: targetOf(request.params.target), reason: '' } as const;
      return { changed: (await run(request, administration, command, 'done', 'unchanged')).kind === 'done' };
    },
  );
}
