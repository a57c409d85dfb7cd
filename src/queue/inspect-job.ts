/** Everything that Redis and the disk know of one job, for debugging. Changes nothing. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Artifacts } from './artifacts.ts';
import { type AuditEntry, AuditTrail, auditEntries } from './audit.ts';
import { independentOfRedis } from './client.ts';
import { deliverQueueName, generateQueueName } from './jobs.ts';
import type { Keys } from './keys.ts';
import { Ledger } from './ledger.ts';
import { workerEntries } from './worker-registry.ts';

/** A job of BullMQ: one of its two queues. Times are in ms since 1970. */
export interface QueuedJob {
  readonly state: string;
  readonly attemptsMade: number;
  readonly attempts: number;
  readonly addedAt: number;
  readonly startedAt?: number;
  /** Until the next attempt, in ms, while the state is "delayed". */
  readonly delayMs?: number;
  readonly failedReason?: string;
}

export interface JobReport {
  readonly id: string;
  /** The fields of its hash in Redis, with numbers and JSON parsed; undefined when the ledger does not know it. */
  readonly ledger?: Readonly<Record<string, unknown>>;
  /** Jobs that will be served before it; undefined when it does not wait. */
  readonly ahead?: number;
  /** The worker that has it, by the worker's heartbeat. */
  readonly worker?: {
    readonly id: string;
    readonly device: string;
    readonly beatAt: number;
    readonly isAlive: boolean;
  };
  /** Undefined where BullMQ has no such job, because it is done or lost. */
  readonly generate?: QueuedJob;
  readonly deliver?: QueuedJob;
  readonly folder?: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly modifiedAt: number }[];
  /** Entries of the audit trail that name it, oldest first. */
  readonly audit: readonly AuditEntry[];
}

/** @returns undefined when neither ledger, queues, disk nor audit trail know the job */
export async function inspectJob(
  redis: Redis,
  keys: Keys,
  artifacts: Artifacts,
  jobId: string,
): Promise<JobReport | undefined> {
  const fields = await redis.hgetall(keys.job(jobId));
  const ledger = Object.keys(fields).length === 0 ? undefined : parseFields(fields);
  const ahead = await new Ledger(redis, keys).ahead({ id: jobId, preset: fields['preset'] ?? '' });
  const workers = [...(await workerEntries(redis, keys))];
  const [workerId, worker] = workers.find(([, { entry }]) => entry.jobId === jobId) ?? [];
  const generate = await queuedJob(redis, keys, generateQueueName, jobId);
  const deliver = await queuedJob(redis, keys, deliverQueueName, jobId);
  const { folder } = artifacts.files(jobId);
  const files = await filesIn(folder);
  const audit = await auditOf(new AuditTrail(redis, keys), jobId);
  if (!ledger && !generate && !deliver && !files && audit.length === 0) return undefined;
  return {
    id: jobId,
    ...(ledger ? { ledger } : {}),
    ...(ahead ? { ahead: [...ahead.values()].reduce((sum, count) => sum + count, 0) } : {}),
    ...(workerId !== undefined && worker
      ? {
          worker: {
            id: workerId,
            device: worker.entry.device,
            beatAt: worker.entry.beatAt,
            isAlive: worker.alive,
          },
        }
      : {}),
    ...(generate ? { generate } : {}),
    ...(deliver ? { deliver } : {}),
    ...(files ? { folder } : {}),
    files: files ?? [],
    audit,
  };
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
      ...(job.processedOn === undefined ? {} : { startedAt: job.processedOn }),
      ...(state === 'delayed' ? { delayMs: job.delay } : {}),
      ...(job.failedReason === undefined ? {} : { failedReason: job.failedReason }),
    };
  } finally {
    await queue.close();
  }
}

async function filesIn(folder: string): Promise<JobReport['files'] | undefined> {
  const names = await readdir(folder).catch(() => undefined);
  if (!names) return undefined;
  const files = await Promise.all(
    names.sort().map(async (name) => {
      const entry = await stat(join(folder, name)).catch(() => undefined); // removed meanwhile
      return entry && { name, bytes: entry.size, modifiedAt: Math.round(entry.mtimeMs) };
    }),
  );
  return files.filter((file) => file !== undefined);
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
