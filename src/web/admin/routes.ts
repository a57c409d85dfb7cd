/** `/v1/admin`: what admins can do in a chat, for keys with the scope admin. Every change is in the audit trail. */
import { z } from 'zod';
import type { Administration } from '../../bot/admin/administration.ts';
import { callerWith } from '../caller.ts';
import { ProblemError } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
import { banRoutes } from './bans.ts';
import { logRoutes } from './log.ts';
import { queueRoutes } from './queue.ts';
import { quotaRoutes } from './quotas.ts';
import { ruleRoutes } from './rules.ts';
import { type AdminRouteTools, changedSchema, errors, reasonSchema as reason, run, tags } from './run.ts';
import { watchRoutes } from './watch.ts';
import { weightRoutes } from './weights.ts';

export async function adminRoutes(app: WebServer, tools: AdminRouteTools): Promise<void> {
  await app.register(async (scope) => {
    // Before anything of a call is looked at.
    scope.addHook('onRequest', async (request) => {
      callerWith(request, 'admin');
    });
    watchRoutes(scope, tools);
    queueRoutes(scope, tools);
    logRoutes(scope, tools);
    steerRoutes(scope, tools.administration);
    quotaRoutes(scope, tools);
    weightRoutes(scope, tools);
    banRoutes(scope, tools);
    ruleRoutes(scope, tools);
  });
}

const modeCommands = { running: 'resume', paused: 'pause', draining: 'drain' } as const;

function steerRoutes(app: WebServer, administration: Administration): void {
  app.put(
    '/v1/admin/mode',
    {
      schema: {
        summary: 'Pause, drain or go on',
        description: 'paused: nothing is taken or begun. draining: nothing is taken, and what waits is made.',
        tags,
        body: z.strictObject({ mode: z.enum(['running', 'paused', 'draining']), reason }),
        response: { 200: changedSchema, ...errors },
      },
    },
    async (request) => {
      const { mode, reason } = request.body;
      const outcome = await run(
        request,
        administration,
        { kind: modeCommands[mode], reason },
        'done',
        'unchanged',
      );
      return { changed: outcome.kind === 'done' };
    },
  );
  app.post(
    '/v1/admin/videos/:id/cancel',
    {
      config: { answers: [409] },
      schema: {
        summary: 'Stop a video of anybody',
        tags,
        params: z.object({ id: z.string().max(200) }),
        response: { 200: z.object({ id: z.string(), cancelling: z.literal(true) }), ...errors },
      },
    },
    async (request) => {
      const { id } = request.params;
      await run(request, administration, { kind: 'cancel', jobId: id }, 'cancelling').catch(
        (error: unknown) => {
          const isUnknown = error instanceof ProblemError && error.problem.kind === 'expired';
          throw isUnknown ? new ProblemError({ kind: 'videoNotFound' }) : error;
        },
      );
      return { id, cancelling: true as const };
    },
  );
}
