/** Everything that Redis and the storage know of one job, for debugging. Changes nothing. */
import { Queue } from 'bullmq';
import type { Artifacts } from './artifacts.ts';
import { type AuditEntry, AuditTrail, auditEntries } from './audit.ts';
import { independentOfRedis } from './client.ts';
import { deliverQueueName } from './jobs.ts';
import type { Keys } from './keys.ts';
import { Ledger } from './ledger.ts';
import { generateQueueOf, readKind } from './models.ts';
import type { Redis } from './redis.ts';
import { type WorkerEntry, workerEntries } from './worker-registry.ts';

/** A job of BullMQ: one of its two queues. Times are in ms since 1970. */
export interface QueuedJob {
  readonly state: string;
  readonly attemptsMade: number;
  readonly attempts: number;
  readonly addedAt: number;
  readonly startedAt: number | undefined;
  /** Between the attempts, in ms, while the state is "delayed". */
  readonly delayMs: number | undefined;
  readonly failedReason: string | undefined;
}

export interface JobReport {
  readonly id: string;
  /** The fields of its hash in Redis, with numbers and JSON parsed; undefined when the ledger does not know it. */
  readonly ledger: Readonly<Record<string, unknown>> | undefined;
  /** Jobs that will be served before it; undefined when it does not wait. */
  readonly ahead: number | undefined;
  /** The worker that has it, by the worker's heartbeat. */
  readonly worker: (WorkerEntry & { readonly id: string; readonly isAlive: boolean }) | undefined;
  /** Undefined where BullMQ has no such job, because it is done or lost. */
  readonly generate: QueuedJob | undefined;
  readonly deliver: QueuedJob | undefined;
  readonly folder: string;
  /** Undefined when there is no folder. */
  readonly files:
    | readonly { readonly name: string; readonly bytes: number; readonly modifiedAt: number }[]
    | undefined;
  /** Entries of the audit trail that name it, oldest first. */
  readonly audit: readonly AuditEntry[];
}

/** @returns undefined when neither ledger, queues, storage nor audit trail know the job */
export async function inspectJob(
  redis: Redis,
  keys: Keys,
  artifacts: Artifacts,
  id: string,
): Promise<JobReport | undefined> {
  const fields = await redis.hgetall(keys.job(id));
  const ledger = fields['state'] === undefined ? undefined : parseFields(fields);
  const kind = readKind(fields['kind'] ?? fields['preset'] ?? '');
  const ahead = await new Ledger(redis, keys).ahead({ id, ...kind });
  const workers = [...(await workerEntries(redis, keys))];
  const [worker] = workers.flatMap(([workerId, { entry, alive }]) =>
    entry.jobId === id ? { ...entry, id: workerId, isAlive: alive } : [],
  );
  const generate = await queuedJob(redis, keys, generateQueueOf(kind.model), id);
  const deliver = await queuedJob(redis, keys, deliverQueueName, id);
  const folder = artifacts.location(id);
  const files = await filesOf(artifacts, id);
  const audit = await auditOf(new AuditTrail(redis, keys), id);
  if (!ledger && !generate && !deliver && !files && audit.length === 0) return undefined;
  const before = ahead && [...ahead.values()].reduce((sum, count) => sum + count, 0);
  return { id, ledger, ahead: before, worker, generate, deliver, folder, files, audit };
}

/** Not by the ledger's schemas: an entry that those refuse is what somebody debugs. */
function parseFields(fields: Readonly<Record<string, string>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, text]) => {
      try {
        return [name, JSON.parse(text) as unknown];
      } catch {
        return [name, text];
      }
    }),
  );
}

async function queuedJob(
  redis: Redis,
  keys: Keys,
  queueName: string,
  jobId: string,
): Promise<QueuedJob | undefined> {
  const options = { connection: redis, prefix: keys.bull, skipMetasUpdate: true, ...independentOfRedis };
  const queue = new Queue(queueName, options);
  try {
    const job = await queue.getJob(jobId);
    if (!job) return undefined;
    const state = await job.getState();
    return {
      state,
      attemptsMade: job.attemptsMade,
      attempts: job.opts.attempts ?? 1,
      addedAt: job.timestamp,
      startedAt: job.processedOn,
      delayMs: state === 'delayed' ? job.delay : undefined,
      failedReason: job.failedReason,
    };
  } finally {
    await queue.close();
  }
}

async function filesOf(artifacts: Artifacts, jobId: string): Promise<JobReport['files'] | undefined> {
  const folder = await artifacts.look(jobId);
  return folder?.files
    .map(({ name, bytes, modifiedMs }) => ({ name, bytes, modifiedAt: Math.round(modifiedMs) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function auditOf(trail: AuditTrail, jobId: string): Promise<AuditEntry[]> {
  const found: AuditEntry[] = [];
  for (let before: string | undefined; ; ) {
    const page = await trail.entries(auditEntries.max, before === undefined ? {} : { before });
    found.push(
      ...page.filter(({ target, reason }) => target === jobId || reason.split(/[\s,.;:]+/).includes(jobId)),
    );
    before = page.at(-1)?.id;
    if (page.length < auditEntries.max) return found.reverse();
  }
}
