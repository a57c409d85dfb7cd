/** Refusals of a bot that ended before Redis heard of them. */
import { mkdir, readdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { JobClient } from '../../src/queue/client.ts';
import { eventually, type Generation, Harness, openTerms, timedGenerator } from '../helpers/queue-harness.ts';

let harness: Harness;
let lines: string[];
/** Of a bot that goes on. */
let leader: JobClient;
beforeEach(async () => {
  harness = await Harness.start();
  lines = [];
  const log = createLogger('test', 'info', { write: (line: string) => lines.push(line) });
  const { withdrawals } = harness.artifacts;
  leader = new JobClient(harness.server.failFast(), { ...openTerms, withdrawals }, log, harness.keys);
});
afterEach(async () => {
  await leader.close();
  await harness.stop();
});

/** Leaves what a bot leaves that was cut off from Redis as it asked for a job, said "not available", and ended. */
async function refuse(id: string): Promise<void> {
  const request = await harness.request(id);
  await harness.client().submit(request);
  const jobId = request.id;
  const callId = (await harness.server.connect().hget(harness.keys.job(jobId), 'ask')) ?? '';
  const { withdrawals } = harness.artifacts;
  const ended = Promise.reject(new Error('the process ended'));
  await withdrawals.keepDuring({ jobId, callId }, ended).catch(() => {});
  await eventually('it is kept', async () => await withdrawals.has({ jobId, callId }));
}

async function startDelivery(onAsked: () => void = () => {}): Promise<void> {
  await harness.delivery({
    wasDenied: async (callId, { id }) => {
      onAsked();
      return await leader.wasDenied({ jobId: id, callId });
    },
  });
}

it('a bot that goes on leading delivers and charges nothing that another one refused', async () => {
  await startDelivery();
  await refuse('a');
  const runs: Generation[] = [];
  await harness.worker(timedGenerator(5, runs));
  const redis = harness.server.connect();
  await eventually('no answer waits', async () => (await redis.zcard(harness.keys.pending)) === 0);
  expect([runs.length, harness.posted.length, await harness.creditsUsed()]).toEqual([1, 0, 0]);
  await leader.withdrawLeft();
  expect(await harness.artifacts.withdrawals.left()).toEqual([]);
  expect(lines).toEqual([]); // nothing was left to withdraw
});

it('a delivery waits while nobody can say whether it was refused', async () => {
  const folder = join(harness.folder, 'jobs', 'withdrawn');
  await harness.client().submit(await harness.request('a'));
  await symlink(folder, folder);
  let asked = 0;
  await startDelivery(() => asked++);
  await harness.worker(timedGenerator(5));
  await eventually('the second attempt', () => asked > 1);
  expect(harness.posted).toEqual([]);
  await rm(folder);
  await eventually('the answer', () => harness.posted.length > 0);
  expect(harness.posted).toEqual([{ jobId: 't-a', kind: 'video' }]);
});

it('a refusal that was being written as its bot was killed is withdrawn once, past one that cannot be removed', async () => {
  const folder = join(harness.folder, 'jobs', 'withdrawn');
  await refuse('a');
  const [name = ''] = await readdir(folder);
  await rename(join(folder, name), join(folder, `${name}.77.part`));
  await mkdir(join(folder, '0.t-0')); // looked at first
  await leader.withdrawLeft();
  expect(await readdir(folder)).toEqual(['0.t-0']);
  expect((await leader.ledger.read('t-a'))?.state).toBe('cancelled');
  await leader.withdrawLeft();
  expect(lines.filter((line) => line.includes('withdrew'))).toHaveLength(1);
});
