/** `/v1/admin/queue`: what waits and runs, whose it is, and whether the machine can go on. */
import { z } from 'zod';
import { AuditTrail } from '../../queue/audit.ts';
import { phases } from '../../queue/events.ts';
import { surfaceOf } from '../../queue/jobs.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { storedModeSchema } from '../../queue/mode.ts';
import { Profiles } from '../../queue/profiles.ts';
import { isServing, isStranded, type WorkerEntry, workerEntries } from '../../queue/worker-registry.ts';
import type { WebServer } from '../web-server.ts';
import { type AdminRouteTools, errors, orUnavailable, tags } from './run.ts';

const jobSchema = z.object({
  id: z.string(),
  user: z.string(),
  name: z.string().nullable().describe('What the user is called, where it is known.'),
  surface: z.string().describe('Where it was asked for: "discord", "telegram", "web", "inbox".'),
  preset: z.string(),
  model: z.string().nullable().describe('The id of its model; null for one of any.'),
  waits_for_model: z.boolean().describe('Workers take videos, and none of them has its model.'),
  state: z.enum(['waiting', 'running']),
  position: z.int().nullable().describe('How many are served before it; null while it runs.'),
  created_at: z.int(),
  started_at: z.int().nullable(),
  phase: z.enum(phases).nullable(),
  step: z.int().nullable(),
  steps: z.int().nullable(),
  seconds_left: z.int().nullable(),
  worker: z.string().nullable(),
  cancelling: z.boolean(),
});
export type QueuedJob = z.infer<typeof jobSchema>;

const queueSchema = z.object({
  mode: z.enum(['running', 'paused', 'draining']),
  mode_set: z
    .object({ at: z.string(), by: z.string(), name: z.string().nullable(), reason: z.string() })
    .nullable()
    .describe('Who paused or drained; null while running.'),
  waiting: z.int(),
  running: z.int(),
  answering: z.int().describe('Made, and being delivered.'),
  oldest_waiting_at: z.int().nullable(),
  seconds_left: z.int().nullable().describe('Until all that waits is made; null where nobody can tell.'),
  disk: z.object({ free_bytes: z.number(), almost_full: z.boolean() }).nullable(),
  redis_ms: z.number().describe('How long Redis takes to answer.'),
  data: z.array(jobSchema).describe('What runs, then what waits in serving order.'),
});

export type QueueNow = z.infer<typeof queueSchema>;

/** Latest changes among which the one of the mode is looked for. */
const modeSearch = 200;

export function queueRoutes(app: WebServer, tools: AdminRouteTools): void {
  app.get(
    '/v1/admin/queue',
    {
      schema: {
        summary: 'What waits and runs, with its owners',
        description: 'The first `limit` videos that wait. Prompts and pictures of others stay hidden.',
        tags,
        querystring: z.strictObject({ limit: z.coerce.number().int().min(1).max(200).default(50) }),
        response: { 200: queueSchema, ...errors },
      },
    },
    async (request) => {
      return await orUnavailable(queueNow(tools, request.query.limit));
    },
  );
}

async function queueNow(tools: AdminRouteTools, limit: number): Promise<QueueNow> {
  const { redis, keys, client } = tools;
  const askedAt = performance.now();
  const stored = await redis.get(keys.mode);
  const redisMs = performance.now() - askedAt;
  const mode = storedModeSchema.parse(stored);
  const [workers, waiting, active, pending, modeSet, disk] = await Promise.all([
    workerEntries(redis, keys).then((entries) => [...entries.values()]),
    client.ledger.waiting(limit),
    redis.scard(keys.active('all')),
    redis.zcard(keys.pending),
    mode === 'running' ? null : lastModeChange(tools),
    diskNow(tools),
  ]);
  const running = await runningJobs(tools, workers);
  const serving = workers.filter(isServing).map(({ entry }) => entry);
  const shown = [...running, ...waiting.entries.map((entry, place) => waitingJob(entry, place, serving))];
  const last = await lastWaiting(tools);
  const users = [...new Set([...shown.map(({ user }) => user), ...(modeSet ? [modeSet.by] : [])])];
  const names = await new Profiles(redis, keys).namesOf(users);
  const oldest = waiting.entries.reduce<number | null>(
    (least, { createdAt }) => Math.min(least ?? createdAt, createdAt),
    null,
  );
  return {
    mode,
    mode_set: modeSet && { ...modeSet, name: names.get(modeSet.by) ?? null },
    waiting: waiting.count,
    running: running.length,
    answering: Math.max(0, pending - active),
    oldest_waiting_at: oldest === null ? null : seconds(oldest),
    seconds_left: last,
    disk,
    redis_ms: Math.round(redisMs * 10) / 10,
    data: shown.map((job) => ({ ...job, name: names.get(job.user) ?? job.name })),
  };
}

const seconds = (ms: number): number => Math.floor(ms / 1000);

/** Those that workers have; one whose worker died comes back into the queue within seconds. */
async function runningJobs(
  { client }: AdminRouteTools,
  workers: readonly { readonly entry: WorkerEntry }[],
): Promise<QueuedJob[]> {
  const looks = workers.map(async ({ entry: { jobId } }): Promise<QueuedJob[]> => {
    const entry = jobId === null ? undefined : (await client.ledger.readAll([jobId]))[0];
    if (entry?.state !== 'running') return [];
    const kept = await client.progress(entry.id);
    const { phase, done, total, leftMs } = kept?.latest ?? {};
    return [
      {
        ...jobOf(entry),
        state: 'running',
        started_at: entry.startedAt === undefined ? null : seconds(entry.startedAt),
        phase: phase ?? 'loading',
        step: done ?? null,
        steps: total ?? null,
        seconds_left: leftMs === undefined ? null : Math.ceil(leftMs / 1000),
        worker: entry.worker ?? null,
      },
    ];
  });
  return (await Promise.all(looks)).flat().sort((a, b) => a.created_at - b.created_at);
}

const waitingJob = (entry: LedgerEntry, position: number, serving: readonly WorkerEntry[]): QueuedJob => ({
  ...jobOf(entry),
  position,
  waits_for_model: isStranded(entry, serving),
});

function jobOf({ id, preset, model, createdAt, cancelRequestedBy, request }: LedgerEntry): QueuedJob {
  return {
    id,
    ...{ user: request.userKey, name: request.userName ?? null, surface: surfaceOf(request), preset },
    ...{ model: model ?? null, waits_for_model: false },
    ...{ state: 'waiting', position: null, created_at: seconds(createdAt), started_at: null },
    ...{ phase: null, step: null, steps: null, seconds_left: null, worker: null },
    cancelling: cancelRequestedBy !== undefined,
  };
}

/** Seconds until the last of those that wait is made. */
async function lastWaiting({ client }: AdminRouteTools): Promise<number | null> {
  const last = await client.ledger.lastWaiting();
  const leftMs = last && (await client.timeLeft.position(last))?.leftMs;
  return leftMs === undefined ? null : Math.ceil(leftMs / 1000);
}

async function lastModeChange({ redis, keys }: AdminRouteTools) {
  const entries = await new AuditTrail(redis, keys).entries(modeSearch);
  const found = entries.find(({ action }) => action === 'pause' || action === 'drain');
  return found ? { at: new Date(found.at).toISOString(), by: found.by, reason: found.reason } : null;
}

async function diskNow({ artifacts }: AdminRouteTools) {
  try {
    return { free_bytes: (await artifacts.freeSpace()).bytes, almost_full: await artifacts.almostFull() };
  } catch {
    return null; // the folder is away
  }
}
