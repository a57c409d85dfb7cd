/** `kinora job ID`: prints everything that is known of a job, for debugging. */
import type { Config } from '../config.ts';
import { scrubSecrets } from '../log.ts';
import { Artifacts } from '../queue/artifacts.ts';
import { inspectJob, type JobReport, type QueuedJob } from '../queue/inspect-job.ts';
import { jobIdSchema } from '../queue/jobs.ts';
import { Keys } from '../queue/keys.ts';
import { CommandError } from './command-error.ts';
import { withRunningRedis } from './process.ts';
import { openStorage } from './storage.ts';

/** @throws CommandError when the job is unknown or Redis cannot be reached */
export async function showJob(config: Config, jobId: string, json: boolean): Promise<void> {
  if (!jobIdSchema.safeParse(jobId).success) {
    throw new CommandError(
      `"${jobId.slice(0, 100)}" is no job id; expected a platform, a hyphen and up to 96 letters, digits, "_" or "-", such as discord-1234567890.`,
      'INVALID_OPTION',
    );
  }
  await withRunningRedis(config, async (redis) => {
    const report = await inspectJob(redis, new Keys(), new Artifacts(await openStorage(config)), jobId);
    if (!report) {
      const days = Math.round(config.jobFiles.retentionMs / 86_400_000);
      throw new CommandError(
        `There is no job ${jobId}. A job is forgotten ${days} days after its answer; take the id of another from /stats, from "jobId" in the log, or from the folders in ${config.storage ? 'the bucket' : config.jobsFolder}.`,
        'INVALID_OPTION',
      );
    }
    const hidden = withoutTokens(report);
    process.stdout.write(scrubSecrets(json ? `${JSON.stringify(hidden, null, 2)}\n` : renderJob(hidden)));
  });
}

/** A job holds no token; should an adapter ever store one, it is still not printed. */
function withoutTokens(report: JobReport): JobReport {
  const text = JSON.stringify(report, (name, value: unknown) =>
    /token|secret|password/i.test(name) ? '[secret]' : value,
  );
  return JSON.parse(text) as JobReport; // the same shape
}

function renderJob({
  id,
  ledger,
  ahead,
  worker,
  generate,
  deliver,
  folder,
  files,
  audit,
}: JobReport): string {
  const lines = [
    ...section(`job ${id}`, ledger ? flatten(ledger) : [['state', 'not in the ledger']]),
    ...section('queue', [
      ...row('jobs before it', ahead),
      ['generate', describeQueued(generate)],
      ['deliver', describeQueued(deliver)],
      ...row('worker', worker && describeWorker(worker)),
    ]),
    ...section(
      files ? `files in ${folder}` : 'files',
      (files ?? []).map(({ name, bytes, modifiedAt }) => [name, `${bytes} bytes, ${time(modifiedAt)}`]),
    ),
    ...section('audit', audit.map(describeAudit)),
  ];
  return `${lines.join('\n')}\n`;
}

type Row = readonly [name: string, value: string];

function row(name: string, value: string | number | undefined): Row[] {
  return value === undefined ? [] : [[name, String(value)]];
}

function section(title: string, rows: readonly Row[]): string[] {
  if (rows.length === 0) return [`${title}: none`];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [title, ...rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)];
}

function describeQueued(job: QueuedJob | undefined): string {
  if (!job) return 'not in BullMQ';
  const { state, attemptsMade, attempts, addedAt, startedAt, delayMs, failedReason } = job;
  return [
    `${state}, ${attemptsMade} of ${attempts} attempts, added ${time(addedAt)}`,
    ...(startedAt === undefined ? [] : [`started ${time(startedAt)}`]),
    ...(delayMs === undefined ? [] : [`next attempt ${Math.round(delayMs / 1000)} s after the last`]),
    ...(failedReason === undefined ? [] : [`last failure: ${failedReason}`]),
  ].join(', ');
}

function describeWorker({ id, device, isAlive, beatAt }: NonNullable<JobReport['worker']>): string {
  return `${id} on ${device}, ${isAlive ? 'alive' : 'dead'}, last seen ${time(beatAt)}`;
}

function describeAudit({ at, by, action, target, before, after, reason }: JobReport['audit'][number]): Row {
  const change = before || after ? `${before || '-'} → ${after || '-'}` : '';
  return [time(at), [by, action, target, change, reason].filter((part) => part !== '').join(' ')];
}

/** Rows such as ["request.generation.prompt", "zoom in"]. */
function flatten(value: Readonly<Record<string, unknown>>, prefix = ''): Row[] {
  return Object.entries(value).flatMap(([key, entry]) => {
    const name = `${prefix}${key}`;
    if (typeof entry === 'object' && entry !== null && !Array.isArray(entry)) {
      return flatten(entry as Record<string, unknown>, `${name}.`); // parsed JSON: a plain object
    }
    if (typeof entry === 'number' && /At$/.test(key)) return [[name, time(entry)]];
    return [[name, typeof entry === 'string' ? entry : JSON.stringify(entry)]];
  });
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
