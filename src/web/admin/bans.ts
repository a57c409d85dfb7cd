/** `/v1/admin/bans`: who is banned. */
import { z } from 'zod';
import { namesOf } from '../../bot/names.ts';
import { banHours } from '../../queue/bans.ts';
import type { WebServer } from '../web-server.ts';
import {
  type AdminRouteTools,
  changedSchema,
  errors,
  nameOf,
  ownerOf,
  ownerSchema,
  pageSchema,
  reasonSchema as reason,
  run,
  tags,
  timeOf,
} from './run.ts';

const banSchema = z.object({
  target: z.string(),
  name: z.string().nullable().describe('Of a user, where it is known.'),
  until: z.string().nullable().describe('null: for good.'),
  reason: z.string(),
  by: z.string().nullable(),
});
export type ListedBan = z.infer<typeof banSchema>;

export function banRoutes(app: WebServer, tools: AdminRouteTools): void {
  const { administration } = tools;
  app.get(
    '/v1/admin/bans',
    {
      schema: {
        summary: 'Who is banned',
        tags,
        querystring: pageSchema,
        response: { 200: z.object({ data: z.array(banSchema), page: z.int(), pages: z.int() }), ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'listBans', page: request.query.page } as const;
      const { bans } = await run(request, administration, command, 'bans');
      const names = await namesOf(
        tools,
        bans.items.map(({ owner }) => owner.key),
      );
      const data = bans.items.map(({ owner, untilMs, reason, setBy }) => ({
        ...{ target: nameOf(owner), name: names.get(owner.key) ?? null, until: timeOf(untilMs), reason },
        by: setBy?.by ?? null,
      }));
      return { data, page: bans.page, pages: bans.pages };
    },
  );
  app.put(
    '/v1/admin/bans/:target',
    {
      schema: {
        summary: 'Ban a user or a community',
        tags,
        params: ownerSchema,
        body: z.strictObject({
          hours: z
            .number()
            .positive()
            .meta({ minimum: banHours.min, maximum: banHours.max })
            .optional()
            .describe('Left out: for good.'),
          reason,
        }),
        response: { 200: banSchema.omit({ name: true, reason: true, by: true }), ...errors },
      },
    },
    async (request) => {
      const owner = ownerOf(request.params.target);
      const { hours, reason } = request.body;
      const command = { kind: 'ban', owner, reason, ...(hours === undefined ? {} : { hours }) } as const;
      const { untilMs } = await run(request, administration, command, 'banned');
      return { target: nameOf(owner), until: timeOf(untilMs) };
    },
  );
  app.delete(
    '/v1/admin/bans/:target',
    {
      schema: {
        summary: 'Lift a ban',
        tags,
        params: ownerSchema,
        response: { 200: changedSchema, ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'unban', owner: ownerOf(request.params.target), reason: '' } as const;
      return {
        changed: (await run(request, administration, command, 'unbanned', 'unchanged')).kind === 'unbanned',
      };
    },
  );
}
