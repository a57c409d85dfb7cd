/** `/v1/admin/quotas` and `/v1/admin/grants`: credits. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { pageOf } from '../../bot/admin/pages.ts';
import { namesOf } from '../../bot/names.ts';
import type { Target } from '../../queue/checks.ts';
import { allowances } from '../../queue/quota.ts';
import { invalidParameter } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
import {
  type AdminRouteTools,
  changedSchema,
  errors,
  nameOf,
  orUnavailable,
  pageSchema,
  reasonSchema as reason,
  run,
  tags,
  targetOf,
  targetSchema,
  userSchema,
  userTargetSchema,
} from './run.ts';

const quotaSchema = z.object({
  target: z.string(),
  per_day: z.number().nullable().describe('Credits; null where the target has no allowance of its own.'),
  used: z.number().nullable().describe('Today; of a user only.'),
  granted: z.number().nullable().describe('Extra credits; of a user only.'),
});

const listedSchema = z.object({
  target: z.string(),
  name: z.string().nullable().describe('Of a user, where it is known.'),
  per_day: z.number().nullable(),
  granted: z.number(),
});
export type ListedQuota = z.infer<typeof listedSchema>;
export type ShownQuota = z.infer<typeof quotaSchema>;

/** Lists everybody whose credits were set or granted. */
function quotaList(app: WebServer, tools: AdminRouteTools): void {
  app.get(
    '/v1/admin/quotas',
    {
      schema: {
        summary: 'All whose credits admins have set or given',
        tags,
        querystring: pageSchema,
        response: {
          200: z.object({ data: z.array(listedSchema), page: z.int(), pages: z.int() }),
          ...errors,
        },
      },
    },
    async (request) => {
      const all = await orUnavailable(allowances(tools.redis, tools.keys));
      const { items, page, pages } = pageOf(all, Math.min(request.query.page, pageOf(all, 1).pages));
      const names = await orUnavailable(
        namesOf(
          tools,
          items.map(({ target }) => target.key),
        ),
      );
      const data = items.map(({ target, credits, granted }) => ({
        ...{ target: nameOf(target), name: names.get(target.key) ?? null },
        ...{ per_day: credits ?? null, granted },
      }));
      return { data, page, pages };
    },
  );
}

export function quotaRoutes(app: WebServer, tools: AdminRouteTools): void {
  quotaList(app, tools);
  const { administration } = tools;
  const shown = async (request: FastifyRequest, target: Target): Promise<ShownQuota> => {
    const outcome = await run(request, administration, { kind: 'showQuota', target }, 'quota', 'limit');
    const name = nameOf(target);
    if (outcome.kind === 'limit')
      return { target: name, per_day: outcome.credits ?? null, used: null, granted: null };
    const { limit, used, granted } = outcome.quota;
    return { target: name, per_day: limit, used, granted };
  };
  app.get(
    '/v1/admin/quotas/:target',
    {
      schema: {
        summary: 'Credits of a user, role or community',
        tags,
        params: targetSchema,
        userTargetSchema,
        response: { 200: quotaSchema, ...errors },
      },
    },
    async (request) => await shown(request, targetOf(request.params.target)),
  );
  app.put(
    '/v1/admin/quotas/:target',
    {
      schema: {
        summary: 'Set the credits per day',
        tags,
        params: targetSchema,
        userTargetSchema,
        body: z.strictObject({ per_day: z.int().min(0).max(1_000_000), reason }),
        response: { 200: quotaSchema, ...errors },
      },
    },
    async (request) => {
      const target = targetOf(request.params.target);
      const { per_day: credits, reason } = request.body;
      await run(request, administration, { kind: 'setQuota', target, credits, reason }, 'limit');
      return await shown(request, target);
    },
  );
  app.delete(
    '/v1/admin/quotas/:target',
    {
      schema: {
        summary: 'Back to what applies to everybody',
        tags,
        params: targetSchema,
        userTargetSchema,
        response: { 200: changedSchema, ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'clearQuota', target: targetOf(request.params.target), reason: '' } as const;
      return { changed: (await run(request, administration, command, 'done', 'unchanged')).kind === 'done' };
    },
  );
  grantRoutes(app, tools);
}

function grantRoutes(app: WebServer, { administration }: AdminRouteTools): void {
  app.post(
    '/v1/admin/quotas/:target/reset',
    {
      schema: {
        summary: 'Give a user the whole allowance of today back',
        tags,
        params: userTargetSchema,
        response: { 200: changedSchema, ...errors },
      },
    },
    async (request) => {
      const { kind, key: user } = targetOf(request.params.target);
      if (kind !== 'user') {
        throw invalidParameter('target', { kind: 'owner', got: request.params.target.slice(0, 80) });
      }
      const command = { kind: 'resetUsed', user, reason: '' } as const;
      return { changed: (await run(request, administration, command, 'done', 'unchanged')).kind === 'done' };
    },
  );
  app.post(
    '/v1/admin/grants',
    {
      schema: {
        summary: 'Give a user extra credits, or take them',
        tags,
        body: z.strictObject({
          user: userSchema,
          credits: z.int().min(-1_000_000).max(1_000_000),
          reason,
        }),
        response: { 200: z.object({ user: z.string(), granted: z.number() }), ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'grant', ...request.body } as const;
      const { user, total: granted } = await run(request, administration, command, 'granted');
      return { user, granted };
    },
  );
}
