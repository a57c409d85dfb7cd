/** Whether the queue kept its promises, from what people saw, what Redis holds and what lies on the disk. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Keys } from '../../src/queue/keys.ts';
import type { Redis } from '../../src/queue/redis.ts';
import { filesOf } from '../helpers/job-files.ts';
import type { Harness, Posted } from '../helpers/queue-harness.ts';

export interface Verdict {
  readonly accepted: number;
  readonly videos: number;
  readonly cancelled: number;
  /** Given up after three deaths of the engine that we caused. */
  readonly givenUp: number;
  /** Runs beyond the first of a job: work that a fault cost. */
  readonly repeatedRuns: number;
  /** Broken promises; empty when all is well. */
  readonly violations: readonly string[];
}

export interface WhatHappened {
  /** Job id → its person. */
  readonly accepted: ReadonlyMap<string, string>;
  readonly unavailable: ReadonlySet<string>;
  readonly engineFaults: ReadonlyMap<string, number>;
}

/** What people saw, and where it is written down. */
export interface Books {
  readonly redis: Redis;
  readonly keys: Keys;
  /** Every post, repeats included. */
  readonly posted: readonly Posted[];
  readonly creditsUsed: (userKey: string) => Promise<number>;
}

const deathsToGiveUp = 3;

export async function judgeAnswers(
  { redis, keys, posted, creditsUsed }: Books,
  { accepted, unavailable, engineFaults }: WhatHappened,
) {
  const violations: string[] = [];
  const paid = new Map<string, number>();
  const count = { video: 0, cancelled: 0, failure: 0 };
  const field = async (jobId: string, name: string): Promise<string> =>
    String(await redis.hget(keys.job(jobId), name));

  for (const jobId of accepted.keys()) {
    const answers = posted.filter((post) => post.jobId === jobId);
    const kind = answers[0]?.kind;
    if (answers.length !== 1) {
      violations.push(`${jobId} has ${answers.length} answers; it is ${await field(jobId, 'state')}`);
    }
    if (kind === undefined) continue;
    count[kind]++;
    if (kind === 'failure' && (engineFaults.get(jobId) ?? 0) < deathsToGiveUp) {
      violations.push(`${jobId} failed: ${await field(jobId, 'failure')}`);
    }
  }
  for (const { jobId, kind } of posted) {
    if (kind === 'video') {
      const user = await field(jobId, 'user');
      paid.set(user, (paid.get(user) ?? 0) + Number(await field(jobId, 'cost')));
    }
    if (accepted.has(jobId)) continue;
    const told = unavailable.has(jobId) ? 'its person was told "not available"' : 'it was not accepted';
    violations.push(`${jobId} was answered (${kind}) though ${told}`);
  }

  for (const user of new Set([...accepted.values(), ...paid.keys()])) {
    const used = await creditsUsed(user);
    const owed = paid.get(user) ?? 0;
    if (used !== owed) violations.push(`${user} paid ${used} for videos of ${owed}`);
    const held = await redis.smembers(keys.active(user));
    if (held.length > 0) violations.push(`${user} still holds places: ${held.join(', ')}`);
  }
  for (const jobId of await redis.zrange(keys.pending, '0', '-1')) {
    violations.push(`${jobId} is still pending; it is ${await field(jobId, 'state')}`);
  }

  return { count, violations };
}

export async function judge(harness: Harness, happened: WhatHappened): Promise<Verdict> {
  const { keys, posted } = harness;
  const creditsUsed = (user: string): Promise<number> => harness.creditsUsed(user);
  const books = { redis: harness.server.connect(), keys, posted, creditsUsed };
  const { count, violations } = await judgeAnswers(books, happened);
  const runs = await harness.runs();
  for (const { jobId, startedAt } of await harness.timedRuns()) {
    const record = await stat(join(filesOf(harness.artifacts, jobId).folder, 'artifact.json')).catch(
      () => undefined,
    );
    // The record's time has the granularity of the clock; a run that began after it had no reason to.
    if (record && startedAt > record.mtimeMs + 5)
      violations.push(`${jobId} was generated again though its video existed`);
  }
  return {
    accepted: happened.accepted.size,
    videos: count.video,
    cancelled: count.cancelled,
    givenUp: count.failure,
    repeatedRuns: runs.length - new Set(runs).size,
    violations,
  };
}
