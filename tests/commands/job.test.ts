/** `kinora job ID` over a real Redis: what it prints of jobs in every state, and what it refuses. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { inspectJob, type JobReport } from '../../src/queue/inspect-job.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { startPrivateRedis } from '../../src/supervisor/private-redis.ts';
import { eventually, Harness, log, openTerms, timedGenerator } from '../helpers/queue-harness.ts';
import { type CliResult, runCli } from '../helpers/run-cli.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.stop());

const inspect = (jobId: string): Promise<JobReport | undefined> =>
  inspectJob(harness.server.connect(), harness.keys, harness.artifacts, jobId);

it('a waiting job has its place, its picture and both jobs of BullMQ', async () => {
  const client = harness.client();
  for (const id of ['first', 'second']) await client.submit(await harness.request(id));
  const report = await inspect('t-second');
  expect(report).toMatchObject({
    id: 't-second',
    ledger: {
      state: 'waiting',
      user: 'test:ann',
      preset: 'standard',
      request: { generation: { prompt: 'zoom in', seed: 1 }, replyTo: { chat: 1 } },
    },
    ahead: 1,
    generate: { state: 'prioritized', attemptsMade: 0, attempts: 3 },
    deliver: { state: 'waiting-children', attemptsMade: 0, attempts: 100 },
    files: [{ name: 'accepted.json' }, { name: 'picture', bytes: 7 }],
    audit: [],
  });
  expect(report?.worker).toBeUndefined();
});

it('a running job has its worker, a failed delivery its attempts and reason', async () => {
  const client = harness.client();
  await harness.worker(timedGenerator(1_500));
  await client.submit(await harness.request('one'));
  await eventually('the run', async () => (await inspect('t-one'))?.worker !== undefined);
  const running = await inspect('t-one');
  expect(running).toMatchObject({
    ledger: { state: 'running', starts: 1 },
    worker: { device: 'cpu', isAlive: true },
    generate: { state: 'active' },
  });
  expect(running?.ahead).toBeUndefined();

  await harness.delivery({ firstRetryMs: 60_000 }, async () => {
    throw new Error('the chat is away');
  });
  await eventually('the failed delivery', async () => (await inspect('t-one'))?.deliver?.state === 'delayed');
  const report = await inspect('t-one');
  expect(report).toMatchObject({
    ledger: { state: 'generated', artifact: { videoId: 'v-t-one' } },
    deliver: { state: 'delayed', attemptsMade: 1, failedReason: 'the chat is away' },
  });
  expect(report?.deliver?.delayMs).toBeGreaterThan(0);
  expect(report?.generate).toBeUndefined();
  const names = report?.files?.map(({ name }) => name);
  expect(names).toEqual(['accepted.json', 'artifact.json', 'picture', 'video.mp4']);
});

it('a job that an admin cancelled has the line of the audit trail', async () => {
  const client = harness.client();
  await client.submit(await harness.request('one'));
  await client.cancel('t-one', 'test:boss', true);
  await eventually('the end', async () => (await inspect('t-one'))?.ledger?.['state'] === 'cancelled');
  expect((await inspect('t-one'))?.audit).toMatchObject([
    { by: 'test:boss', action: 'cancel', target: 't-one' },
  ]);
});

it('a failed job has its failure', async () => {
  const client = harness.client();
  await client.submit(await harness.request('one'));
  const failure = JSON.stringify({ code: 'BAD_NUMBERS', message: 'The clip is not a number.' });
  await new Ledger(harness.server.connect(), harness.keys).transition('t-one', 'failed', Date.now(), {
    failure,
  });
  expect((await inspect('t-one'))?.ledger).toMatchObject({
    state: 'failed',
    failure: { code: 'BAD_NUMBERS', message: 'The clip is not a number.' },
  });
});

it('files without a ledger entry are shown; a job that nothing knows is not', async () => {
  await harness.request('orphan');
  expect(await inspect('t-orphan')).toMatchObject({ files: [{ name: 'picture' }] });
  expect((await inspect('t-orphan'))?.ledger).toBeUndefined();
  expect(await inspect('t-unknown')).toBeUndefined();
});

it('looking changes nothing in Redis', async () => {
  const client = harness.client();
  await client.submit(await harness.request('one'));
  const redis = harness.server.connect();
  const dump = async (): Promise<unknown[]> =>
    await Promise.all((await redis.keys('*')).sort().map(async (key) => [key, await redis.dumpBuffer(key)]));
  const before = await dump();
  await inspect('t-one');
  await inspect('t-unknown');
  expect(await dump()).toEqual(before);
});

/** A job in the real installation's keys, with a token where none belongs. */
async function submitReal(): Promise<void> {
  const ledger = new Ledger(harness.server.connect(), new Keys());
  const replyTo = { channelId: '42', token: 'not-for-eyes', note: `bot123456:${'a'.repeat(35)}` };
  const generation = { prompt: 'zoom in', preset: 'fast', seed: 7 };
  const { limits } = openTerms;
  await ledger.admit(
    { id: 'discord-77', userKey: 'discord:5', generation, replyTo },
    { cost: 1, day: '2026-11-21', cooldownMs: 0, limits, now: Date.UTC(2026, 10, 21) },
  );
}

const cli = (args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<CliResult> =>
  runCli(['job', ...args], { folder: harness.folder, environment });

it('prints lines or JSON, never a token, and refuses ids that it does not know', async () => {
  await submitReal();
  const environment = { REDIS_URL: `unix://${harness.server.socketPath}` };
  const text = await cli(['discord-77'], environment);
  expect(text.stderr).toBe('');
  expect(text.code).toBe(0);
  expect(text.stdout).toMatch(/^job discord-77\n/);
  expect(text.stdout).toMatch(/^ {2}state +reserved$/m);
  expect(text.stdout).toMatch(/^ {2}createdAt +2026-11-21T00:00:00.000Z$/m);
  expect(text.stdout).toMatch(/^ {2}request\.generation\.prompt +zoom in$/m);
  expect(text.stdout).toMatch(/^ {2}request\.replyTo\.channelId +42$/m);
  expect(text.stdout).toMatch(/^ {2}generate +not in BullMQ$/m);
  expect(text.stdout).toMatch(/^files: none\naudit: none\n$/m);

  const json = await cli(['discord-77', '--json'], environment);
  const report: unknown = JSON.parse(json.stdout);
  expect(report).toMatchObject({ id: 'discord-77', ledger: { state: 'reserved' } });
  expect(report).not.toHaveProperty('files');
  for (const { stdout } of [text, json]) expect(stdout).not.toMatch(/not-for-eyes|aaaaa/);

  const unknown = await cli(['discord-78'], environment);
  expect(unknown).toMatchObject({ code: 2, stdout: '' });
  expect(unknown.stderr).toMatch(/^There is no job discord-78\. A job is forgotten 30 days after .*\/stats/);
  const malformed = await cli(['../../etc', '--json'], environment);
  expect(malformed.code).toBe(2);
  expect(malformed.stderr).toMatch(/^"\.\.\/\.\.\/etc" is no job id; expected .*discord-1234567890\.\n$/);
  expect(JSON.parse(malformed.stdout)).toEqual({ error: { message: malformed.stderr.trim() } });
});

it('finds the private Redis of a running Kinora, and says when there is none', async () => {
  const dataDir = join(harness.folder, 'data');
  const none = await cli(['discord-77']);
  expect(none.code).toBe(2);
  expect(none.stderr).toBe(
    `REDIS_URL is not set, and no "kinora start" runs on ${dataDir}; set REDIS_URL, or start Kinora.\n`,
  );
  const server = await startPrivateRedis(dataDir, log);
  try {
    expect((await cli(['discord-77'])).stderr).toMatch(/^There is no job discord-77\./);
  } finally {
    await server.stop();
  }
  // A killed one leaves its socket.
  await writeFile(server.socketPath, '');
  const gone = await cli(['discord-77']);
  expect(gone.code).toBe(2);
  expect(gone.stderr).toBe('Redis does not answer: start it, or correct REDIS_URL.\n');
  expect(await readFile(server.socketPath, 'utf8')).toBe('');
});
