/** `/v1/account`: what a person has left, and the deletion of all that is kept about them. */
import { z } from 'zod';
import type { Account } from '../bot/account.ts';
import { callerWith } from './caller.ts';
import { errorSchema, refusalProblem } from './problem.ts';
import type { WebServer } from './web-server.ts';

const tags = ['account'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;

const accountSchema = z.object({
  object: z.literal('account'),
  user: z.string().describe('As admins name them: "discord:8035".'),
  credits: z.object({
    per_day: z.number(),
    used: z.number(),
    granted: z.number().describe('Extra ones, which do not end with the day.'),
  }),
  unfinished: z.array(z.string()).describe('Ids of the videos that wait or are made, oldest first.'),
});
const deletedSchema = z.object({
  object: z.literal('account.deleted'),
  deleted: z.literal(true),
  videos: z.int(),
  unfinished: z.int().describe('Videos that could not be ended at once; the rest follows by itself.'),
});

export function accountRoutes(app: WebServer, account: Account): void {
  app.get(
    '/v1/account',
    {
      schema: { summary: 'Credits and unfinished videos', tags, response: { 200: accountSchema, ...errors } },
    },
    async (request) => {
      const view = await account.me(callerWith(request, 'use').person, { maxBytes: 0 });
      if (view.kind === 'refused') throw refusalProblem(view.reason);
      const { limit, used, granted } = view.quota;
      return {
        object: 'account' as const,
        user: view.userKey,
        credits: { per_day: limit, used, granted },
        unfinished: view.jobs.map(({ id }) => id),
      };
    },
  );
  app.delete(
    '/v1/account',
    {
      schema: {
        summary: 'Delete everything about oneself',
        description:
          'Pictures, prompts, videos of every surface, webhooks and keys, this one too. Bans, limits set by admins and the credits used today stay.',
        tags,
        response: { 200: deletedSchema, ...errors },
      },
    },
    async (request) => {
      const outcome = await account.forget(callerWith(request, 'use').person);
      if (outcome.kind === 'refused') throw refusalProblem(outcome.reason);
      const { jobs: videos, unfinished } = outcome;
      return { object: 'account.deleted' as const, deleted: true as const, videos, unfinished };
    },
  );
}
