/** `/v1/admin`: the queue in numbers, the workers, and what was changed. */
import { z } from 'zod';
import { namesOf } from '../../bot/names.ts';
import { storedModeSchema } from '../../queue/mode.ts';
import { type WorkerEntry, workerEntries } from '../../queue/worker-registry.ts';
import type { WebServer } from '../web-server.ts';
import { type AdminRouteTools, errors, orUnavailable, run, tags } from './run.ts';

export function watchRoutes(app: WebServer, tools: AdminRouteTools): void {
  statsRoute(app, tools);
  workersRoute(app, tools);
  auditRoute(app, tools);
}

function statsRoute(app: WebServer, { administration }: AdminRouteTools): void {
  const statsSchema = z.object({
    mode: z.enum(['running', 'paused', 'draining']),
    waiting: z.record(z.string(), z.number()).describe('Videos by preset.'),
    waiting_for_models: z
      .record(z.string(), z.number())
      .describe('Those of them whose model no worker has, by model.'),
    running: z.int(),
    answering: z.int(),
    workers: z.object({ alive: z.int(), busy: z.int(), unloaded: z.int(), quiet: z.int() }),
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
      const waiting_for_models = Object.fromEntries(stats.stranded);
      const failures = Object.fromEntries(stats.failures);
      const videos = jobs.map(({ id, state, preset, request: { userKey } }) => ({
        id,
        user: userKey,
        state,
        preset,
      }));
      const counts = { waiting, waiting_for_models, running, answering };
      return { mode, ...counts, workers, credits_used: creditsUsed, failures, videos };
    },
  );
}

const numbers = z.number().nullable();
const workerSchema = z.object({
  id: z.string(),
  device: z.string(),
  alive: z.boolean(),
  last_seen: z.string(),
  video_id: z.string().nullable(),
  state: z
    .enum(['loading', 'idle', 'unloaded', 'quiet', 'paused', 'working', 'broken', 'gone'])
    .describe('broken: the engine cannot be started. gone: not heard of for ten seconds.'),
  since: z.string().nullable().describe('When it came into that state.'),
  started_at: z.string().nullable(),
  model: z.string().nullable(),
  hardware: z.string().nullable().describe('The GPU or the processor.'),
  memory: z
    .object({ engine_bytes: numbers, gpu_used_bytes: numbers, total_bytes: numbers })
    .describe('Of the engine process; of the GPU, by anybody; and of the GPU or the machine in all.'),
  celsius: numbers,
  step_ms: numbers.describe('Usual time of the latest denoising steps.'),
  engine: z.object({ restarts: z.int().nullable(), error: z.string().nullable() }),
  cache: z
    .object({ hits: z.int().nullable(), misses: z.int().nullable(), bytes: numbers })
    .describe('Of the latent cache, since the worker was started; its size on the disk.'),
  videos: z
    .object({ made: z.int().nullable(), failed: z.int().nullable(), last_hour: z.int().nullable() })
    .describe('Since the worker was started.'),
});
export type ShownWorker = z.infer<typeof workerSchema>;

function workersRoute(app: WebServer, { redis, keys }: AdminRouteTools): void {
  app.get(
    '/v1/admin/workers',
    {
      schema: {
        summary: 'The workers',
        description: 'What a worker cannot measure is null.',
        tags,
        response: { 200: z.object({ data: z.array(workerSchema) }), ...errors },
      },
    },
    async () => {
      const looked = Promise.all([workerEntries(redis, keys), redis.get(keys.mode)]);
      const [entries, mode] = await orUnavailable(looked);
      const isPaused = storedModeSchema.parse(mode) === 'paused';
      const data = [...entries].map(([id, { entry, alive }]) => workerOf(id, entry, alive, isPaused));
      return { data: data.sort((a, b) => a.device.localeCompare(b.device) || a.id.localeCompare(b.id)) };
    },
  );
}

function workerOf(id: string, entry: WorkerEntry, alive: boolean, isPaused: boolean): ShownWorker {
  const { vitals, beatAt, jobId, device } = entry;
  const ago = (ms: number | undefined): string | null =>
    ms === undefined ? null : new Date(beatAt - ms).toISOString();
  return {
    ...{ id, device, alive, last_seen: new Date(beatAt).toISOString(), video_id: jobId },
    state: stateOf(entry, alive, isPaused),
    since: ago(vitals?.stateMs),
    started_at: ago(vitals?.upMs),
    model: vitals?.model ?? null,
    hardware: vitals?.hardware ?? null,
    memory: {
      engine_bytes: vitals?.engineBytes ?? null,
      gpu_used_bytes: vitals?.gpuUsedBytes ?? null,
      total_bytes: vitals?.totalBytes ?? null,
    },
    celsius: vitals?.celsius ?? null,
    step_ms: vitals?.stepMs ?? null,
    engine: { restarts: vitals?.engineRestarts ?? null, error: vitals?.engineError ?? null },
    cache: {
      hits: vitals?.cacheHits ?? null,
      misses: vitals?.cacheMisses ?? null,
      bytes: vitals?.cacheBytes ?? null,
    },
    videos: {
      made: vitals?.made ?? null,
      failed: vitals?.failed ?? null,
      last_hour: vitals?.madeLastHour ?? null,
    },
  };
}

function stateOf(
  { vitals, jobId, quietMs }: WorkerEntry,
  alive: boolean,
  isPaused: boolean,
): ShownWorker['state'] {
  if (!alive) return 'gone';
  if (vitals?.state === 'dead' || vitals?.state === 'stopped') return 'broken';
  if (jobId !== null) return 'working';
  if (vitals?.state === 'starting' || vitals?.state === 'loading') return 'loading';
  if (isPaused) return 'paused';
  if (quietMs > 0) return 'quiet';
  return vitals?.state === 'unloaded' ? 'unloaded' : 'idle';
}

const auditSchema = z.object({
  has_more: z.boolean(),
  data: z.array(
    z.object({
      id: z.string().describe('Pass the last one as `before` to read on.'),
      at: z.string(),
      by_name: z.string().nullable(),
      ...{ by: z.string(), action: z.string(), target: z.string() },
      ...{ before: z.string(), after: z.string(), reason: z.string() },
    }),
  ),
});
export type AuditPage = z.infer<typeof auditSchema>;

function auditRoute(app: WebServer, tools: AdminRouteTools): void {
  const { administration } = tools;
  app.get(
    '/v1/admin/audit',
    {
      schema: {
        summary: 'What admins and moderators changed, newest first',
        tags,
        querystring: z.strictObject({
          limit: z.coerce.number().int().min(1).max(25).default(10),
          before: z.string().max(41).meta({ pattern: '^[1-9]\\d{0,14}-\\d{1,15}$' }).optional(),
        }),
        response: { 200: auditSchema, ...errors },
      },
    },
    async (request) => {
      const { limit, before } = request.query;
      const command = { kind: 'audit', entries: limit, ...(before === undefined ? {} : { before }) } as const;
      const { entries } = await run(request, administration, command, 'audit');
      const names = await orUnavailable(
        namesOf(
          tools,
          entries.map(({ by }) => by),
        ),
      );
      const data = entries.map(({ at, ...entry }) => ({
        ...{ at: new Date(at).toISOString(), by_name: names.get(entry.by) ?? null },
        ...entry,
      }));
      return { data, has_more: entries.length === limit };
    },
  );
}
