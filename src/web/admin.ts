/** `/v1/admin`: what admins can do in a chat, for keys with the scope admin. Every change is in the audit trail. */
import type { FastifyRequest } from 'fastify';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Administration } from '../bot/admin/administration.ts';
import type { AdminCommand } from '../bot/admin/commands.ts';
import type { AdminOutcome } from '../bot/admin/run-command.ts';
import { parseTarget, type Target } from '../queue/checks.ts';
import type { Keys } from '../queue/keys.ts';
import { workerEntries } from '../queue/worker-registry.ts';
import { callerWith } from './caller.ts';
import { errorSchema, invalidParameter, ProblemError, refusalProblem } from './problem.ts';
import type { WebServer } from './web-server.ts';

const tags = ['administration'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
const reason = z.string().max(300).default('');
const targetSchema = z.object({
  target: z.string().max(100).describe('"user:discord:8035", "role:…" or "community:…".'),
});
const changedSchema = z.object({ changed: z.boolean() });
const quotaSchema = z.object({
  target: z.string(),
  per_day: z.number().nullable().describe('Credits; null where the target has no allowance of its own.'),
  used: z.number().nullable().describe('Today; of a user only.'),
  granted: z.number().nullable().describe('Extra credits; of a user only.'),
});

export interface AdminRouteTools {
  readonly administration: Administration;
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly keys: Keys;
}

export function adminRoutes(app: WebServer, tools: AdminRouteTools): void {
  watchRoutes(app, tools);
  steerRoutes(app, tools.administration);
  quotaRoutes(app, tools.administration);
  banRoutes(app, tools.administration);
}

/** Carries out a command, for a key that may, and returns its outcome when it is of these kinds. */
async function run<Kind extends AdminOutcome['kind']>(
  request: FastifyRequest,
  administration: Administration,
  command: AdminCommand,
  ...kinds: readonly Kind[]
): Promise<Extract<AdminOutcome, { kind: Kind }>> {
  const { person } = callerWith(request, 'admin');
  const outcome = await administration.admin({ ...person, isAdmin: true }, command);
  if (isOf(outcome, kinds)) return outcome;
  throw outcome.kind === 'refused'
    ? refusalProblem(outcome.reason)
    : new ProblemError({ kind: 'badRequest' });
}

function isOf<Kind extends AdminOutcome['kind']>(
  outcome: AdminOutcome,
  kinds: readonly Kind[],
): outcome is Extract<AdminOutcome, { kind: Kind }> {
  return (kinds as readonly string[]).includes(outcome.kind); // a wider array, to look for any kind in it
}

function targetOf(text: string): Target {
  const target = parseTarget(text);
  if (target) return target;
  throw invalidParameter('target', { kind: 'target', got: text.slice(0, 80) });
}

/** Of a user or a community: nobody else can be banned. */
function ownerOf(text: string): Target & { readonly kind: 'user' | 'community' } {
  const { kind, key } = targetOf(text);
  if (kind !== 'role') return { kind, key };
  throw invalidParameter('target', { kind: 'owner', got: text.slice(0, 80) });
}

const nameOf = ({ kind, key }: Target): string => `${kind}:${key}`;
const timeOf = (ms: number | undefined): string | null => (ms ? new Date(ms).toISOString() : null);

function watchRoutes(app: WebServer, { administration, redis, keys }: AdminRouteTools): void {
  const statsSchema = z.object({
    mode: z.enum(['running', 'paused', 'draining']),
    waiting: z.record(z.string(), z.number()).describe('Videos by preset.'),
    running: z.int(),
    answering: z.int(),
    workers: z.object({ alive: z.int(), busy: z.int() }),
    credits_used: z.number(),
    failures: z.record(z.string(), z.number()),
    videos: z.array(z.object({ id: z.string(), user: z.string(), state: z.string(), preset: z.string() })),
  });
  app.get(
    '/v1/admin/stats',
    {
      schema: {
        summary: 'The queue in numbers, and whose videos are in it',
        tags,
        response: { 200: statsSchema, ...errors },
      },
    },
    async (request) => {
      const { stats, jobs } = await run(request, administration, { kind: 'stats' }, 'stats');
      const { mode, running, answering, workers, creditsUsed } = stats;
      const waiting = Object.fromEntries(stats.waiting);
      const failures = Object.fromEntries(stats.failures);
      const videos = jobs.map(({ id, state, preset, request: { userKey } }) => ({
        id,
        user: userKey,
        state,
        preset,
      }));
      return { mode, waiting, running, answering, workers, credits_used: creditsUsed, failures, videos };
    },
  );
  const workerSchema = z.object({
    id: z.string(),
    device: z.string(),
    alive: z.boolean(),
    last_seen: z.string(),
    video_id: z.string().nullable(),
  });
  app.get(
    '/v1/admin/workers',
    {
      schema: {
        summary: 'The workers',
        tags,
        response: { 200: z.object({ data: z.array(workerSchema) }), ...errors },
      },
    },
    async (request) => {
      callerWith(request, 'admin');
      const entries = await workerEntries(redis, keys).catch(() => {
        throw new ProblemError({ kind: 'unavailable' });
      });
      const data = [...entries].map(([id, { entry, alive }]) => ({
        ...{ id, device: entry.device, alive },
        ...{ last_seen: new Date(entry.beatAt).toISOString(), video_id: entry.jobId },
      }));
      return { data };
    },
  );
  const auditSchema = z.object({
    data: z.array(
      z.object({
        at: z.string(),
        ...{ by: z.string(), action: z.string(), target: z.string() },
        ...{ before: z.string(), after: z.string(), reason: z.string() },
      }),
    ),
  });
  app.get(
    '/v1/admin/audit',
    {
      schema: {
        summary: 'What admins and moderators changed, newest first',
        tags,
        querystring: z.strictObject({ limit: z.coerce.number().int().min(1).max(25).default(10) }),
        response: { 200: auditSchema, ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'audit', entries: request.query.limit } as const;
      const { entries } = await run(request, administration, command, 'audit');
      return {
        data: entries.map(({ id: _, at, ...entry }) => ({ at: new Date(at).toISOString(), ...entry })),
      };
    },
  );
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

function quotaRoutes(app: WebServer, administration: Administration): void {
  const shown = async (request: FastifyRequest, target: Target): Promise<z.infer<typeof quotaSchema>> => {
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
        response: { 200: changedSchema, ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'clearQuota', target: targetOf(request.params.target), reason: '' } as const;
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
          user: z.string().max(100),
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

function banRoutes(app: WebServer, administration: Administration): void {
  const banSchema = z.object({
    target: z.string(),
    until: z.string().nullable().describe('null: for good.'),
    reason: z.string(),
    by: z.string().nullable(),
  });
  app.get(
    '/v1/admin/bans',
    {
      schema: {
        summary: 'Who is banned',
        tags,
        querystring: z.strictObject({ page: z.coerce.number().int().min(1).default(1) }),
        response: { 200: z.object({ data: z.array(banSchema), page: z.int(), pages: z.int() }), ...errors },
      },
    },
    async (request) => {
      const command = { kind: 'listBans', page: request.query.page } as const;
      const { bans } = await run(request, administration, command, 'bans');
      const data = bans.items.map(({ owner, untilMs, reason, setBy }) => ({
        ...{ target: nameOf(owner), until: timeOf(untilMs), reason },
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
        params: targetSchema,
        body: z.strictObject({
          hours: z.number().positive().optional().describe('Left out: for good.'),
          reason,
        }),
        response: { 200: banSchema.omit({ reason: true, by: true }), ...errors },
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
        params: targetSchema,
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
