/**
 * A queue under random faults: people submit, repeat themselves and cancel, while workers and Redis are killed and
 * frozen and the platform refuses answers. Afterwards every promise of the queue is checked. Seeded, so that a bad
 * run can be looked at again.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, Harness } from '../queue/harness.ts';

export interface ChaosReport {
  readonly seed: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly accepted: number;
  readonly videos: number;
  readonly cancelled: number;
  /** Runs beyond the first of a job: work that a fault cost. */
  readonly repeatedRuns: number;
  /** From the kill of a worker with a job in hand to the start of its next run, in ms. */
  readonly slowestRecoveryMs: number;
  /** Broken promises; empty when all is well. */
  readonly violations: readonly string[];
}

/** Small and good enough to repeat a sequence: mulberry32. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const jobMs = 150;
const people = 5;

export async function runChaos(
  faultCount: number,
  seed: number,
  say: (line: string) => void = () => {},
): Promise<ChaosReport> {
  const random = seededRandom(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const harness = await Harness.start('--appendonly', 'yes', '--appendfsync', 'always');
  const faults: Record<string, number> = {};
  const accepted = new Map<string, string>();
  let slowestRecoveryMs = 0;
  try {
    const client = harness.client();
    await harness.delivery({ firstRetryMs: 20 }, async () => {
      if (random() < 0.1) throw new Error('502');
    });
    let worker: ChildProcess = await harness.workerProcess(jobMs, 300);
    const replace = async (signal: NodeJS.Signals): Promise<void> => {
      const ended = once(worker, 'exit');
      worker.kill(signal);
      await ended;
      worker = await harness.workerProcess(jobMs, 300);
    };

    const submit = async (): Promise<void> => {
      const id = `c${accepted.size}x${Math.floor(random() * 1e6)}`;
      const userKey = `test:p${Math.floor(random() * people)}`;
      const request = await harness.request(id, userKey);
      const answer = await client.submit(request);
      if (answer.decision !== 'accepted') return;
      accepted.set(`t-${id}`, userKey);
      if (random() < 0.2) await client.submit(request);
      if (random() < 0.2) {
        await sleep(random() * 400);
        await client.cancel(`t-${id}`, userKey).catch(() => {}); // Redis may be away: then it is not cancelled
      }
    };

    const kinds: Readonly<Record<string, () => Promise<void>>> = {
      'worker killed': async () => {
        const before = (await harness.runs()).length;
        const killedAt = Date.now();
        await replace('SIGKILL');
        const waits = [...accepted.keys()].length > harness.posted.length;
        if (!waits) return;
        await eventually(
          'the next run',
          async () => (await harness.runs()).length > before || harness.posted.length >= accepted.size,
          30_000,
        );
        slowestRecoveryMs = Math.max(slowestRecoveryMs, Date.now() - killedAt);
      },
      'worker told to end': () => replace('SIGTERM'),
      'Redis frozen': async () => {
        harness.server.process.kill('SIGSTOP');
        await sleep(200 + random() * 1_500);
        harness.server.process.kill('SIGCONT');
      },
      'Redis killed': () => harness.server.crashAndRestart(100 + random() * 500),
      'people in a hurry': async () => {
        await Promise.all([submit(), submit(), submit()]);
      },
    };

    for (let fault = 0; fault < faultCount; fault++) {
      await Promise.all([submit(), submit()]);
      await sleep(random() * 2 * jobMs);
      const kind = pick(Object.keys(kinds));
      faults[kind] = (faults[kind] ?? 0) + 1;
      say(`${fault + 1}/${faultCount} ${kind}`);
      const background = submit();
      await kinds[kind]?.();
      await background;
    }

    const answered = (): number => new Set(harness.posted.map((posted) => posted.jobId)).size;
    await eventually('an answer to everybody', () => answered() >= accepted.size, 120_000).catch(() => {});
    await sleep(500);
    return { seed, faults, slowestRecoveryMs, ...(await judge(harness, accepted)) };
  } finally {
    await harness.stop();
  }
}

async function judge(
  harness: Harness,
  accepted: ReadonlyMap<string, string>,
): Promise<Omit<ChaosReport, 'seed' | 'faults' | 'slowestRecoveryMs'>> {
  const violations: string[] = [];
  const redis = harness.server.connect();
  const videos = new Map<string, number>();
  let cancelled = 0;
  for (const [jobId, userKey] of accepted) {
    const answers = harness.posted.filter((posted) => posted.jobId === jobId);
    if (answers.length !== 1) violations.push(`${jobId} has ${answers.length} answers`);
    const kind = answers[0]?.kind;
    if (kind === 'failure') violations.push(`${jobId} failed`);
    if (kind === 'cancelled') cancelled++;
    if (kind === 'video') videos.set(userKey, (videos.get(userKey) ?? 0) + 1);
  }
  for (const { jobId } of harness.posted) {
    if (!accepted.has(jobId)) violations.push(`${jobId} was answered though it was not accepted`);
  }
  for (let person = 0; person < people; person++) {
    const userKey = `test:p${person}`;
    const used = await harness.creditsUsed(userKey);
    const owed = videos.get(userKey) ?? 0;
    if (used !== owed) violations.push(`${userKey} paid ${used} for ${owed} videos`);
    if ((await redis.scard(harness.keys.active(userKey))) > 0)
      violations.push(`${userKey} still holds places`);
  }
  if ((await redis.zcard(harness.keys.pending)) > 0) violations.push('jobs are still pending');
  const runs = await harness.runs();
  for (const { jobId, startedAt } of await harness.timedRuns()) {
    const record = await stat(join(harness.artifacts.files(jobId).folder, 'artifact.json')).catch(
      () => undefined,
    );
    // The record's time has the granularity of the clock; a run that began after it had no reason to.
    if (record && startedAt > record.mtimeMs + 5)
      violations.push(`${jobId} was generated again though its video existed`);
  }
  const total = [...videos.values()].reduce((sum, count) => sum + count, 0);
  const repeatedRuns = runs.length - new Set(runs).size;
  return { accepted: accepted.size, videos: total, cancelled, repeatedRuns, violations };
}
