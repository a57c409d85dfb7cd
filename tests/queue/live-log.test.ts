/** The log that admins read from afar: all processes', without secrets, capped, and at nobody's expense. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLogger } from '../../src/log.ts';
import { Keys } from '../../src/queue/keys.ts';
import { LogSharing, SharedLog } from '../../src/queue/live-log.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const keys = new Keys('t');
const all = { level: 'debug' } as const;
let server: TestRedis;
let sharing: LogSharing;
let shared: SharedLog;
beforeEach(async () => {
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  server = await TestRedis.start();
  sharing = new LogSharing(server.failFast(), keys);
  shared = new SharedLog(server.connect(), keys);
});
afterEach(async () => {
  vi.restoreAllMocks();
  sharing.stop();
  await server.stop();
});

const texts = async (filter: Parameters<SharedLog['latest']>[0] = all): Promise<string[]> =>
  (await shared.latest(filter, 1_000)).entries.map(({ text }) => text);

it('tells lines of all levels and parts, and reads on behind one', async () => {
  const log = createLogger('worker', 'debug');
  log.info({ jobId: 'web-1' }, 'a job');
  log.child({ part: 'engine' }).debug('a step');
  log.error({ err: new Error('it broke') }, 'a fault');
  await eventually('three lines', async () => (await texts()).length === 3);
  const { entries, last } = await shared.latest(all, 1_000);
  expect(entries).toMatchObject([
    { level: 'info', part: 'worker', text: 'a job', details: { jobId: 'web-1' } },
    { level: 'debug', part: 'engine', text: 'a step' },
    { level: 'error', part: 'worker', details: { err: { message: 'it broke' } } },
  ]);
  // Where the files of Kinora lie is nobody's business but the operator's.
  expect(JSON.stringify(entries)).not.toContain('live-log.test.ts');
  expect(await texts({ level: 'warn' })).toEqual(['a fault']);
  expect(await texts({ level: 'debug', part: 'engine' })).toEqual(['a step']);
  expect(await texts({ level: 'debug', text: 'WEB-1' })).toEqual(['a job']);
  log.info('another');
  await eventually('one more', async () => (await shared.after(last, all)).entries.length === 1);
});

it('has what standard error does not show, but for a process that is to be silent', async () => {
  createLogger('bot', 'silent').error('unheard');
  const log = createLogger('bot', 'warn');
  log.debug('too much');
  log.info('quiet');
  log.warn('loud');
  await eventually('two lines', async () => (await texts()).length === 2);
  expect(await texts()).toEqual(['quiet', 'loud']);
  const shown = vi
    .mocked(process.stderr.write)
    .mock.calls.map(([text]) => String(text))
    .join('');
  expect(shown).toContain('loud');
  expect(shown).not.toMatch(/quiet|unheard/);
});

it('holds no secret of any kind', async () => {
  const secrets = {
    telegram: '123456789:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr',
    discord: 'MTIzNDU2Nzg5MDEyMzQ1Njc4.GaBcDe.abcdefghijklmnopqrstuvwxyz0123456789AB',
    interaction: '/interactions/123456789/aW50ZXJhY3Rpb24',
    key: `kinora_0123456789ab_${'k'.repeat(43)}`,
    webhook: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    cookie: 'kinora_session=c2Vzc2lvbi1zZWNyZXQ',
    link: 'https://kinora.example/sign-in#b25lLXRpbWUtdG9rZW4',
    redis: 'rediss://kinora:hunter2-of-redis@db.example:6380/1',
    proxy: 'http://proxyuser:p%40ss-of-proxy@proxy.example:3128',
    header: 'Authorization: Bearer abcdef0123456789',
  };
  const log = createLogger('bot', 'info');
  for (const [kind, secret] of Object.entries(secrets)) log.info({ said: secret }, `${kind}: ${secret}.`);
  log.info({ token: 'plain-token-value', hook: { url: 'https://plain.example/url-value' } }, 'fields');
  await eventually('all lines', async () => (await texts()).length === 11);
  const stored = JSON.stringify(await server.connect().xrange(keys.log, '-', '+'));
  for (const part of [
    ...['AAbbCCdd', 'GaBcDe', 'aW50ZXJh', 'kkkkkkk', 'MfKQ9r8G', 'c2Vzc2lv', 'b25lLXRp', 'hunter2'],
    ...['p%40ss', 'abcdef0123456789', 'plain-token-value', 'url-value'],
  ]) {
    expect(stored).not.toContain(part);
  }
  expect(stored).toContain('db.example:6380');
});

it('forgets old lines, cuts long ones, and says when some were lost', async () => {
  const log = createLogger('bot', 'info');
  log.info('the first');
  await eventually('a line', async () => (await texts()).length === 1);
  const { last } = await shared.latest(all, 1);
  expect(await shared.hasLost(last)).toBe(false);
  for (let at = 0; at < 7; at++) {
    for (let line = 0; line < 400; line++) log.info(`line ${at}-${line}`);
    await sleep(300);
  }
  log.info({ long: 'x'.repeat(9_000) }, 'the last');
  await eventually('all batches', async () => (await texts()).at(-1) === 'the last');
  const redis = server.connect();
  expect(await redis.xlen(keys.log)).toBeLessThan(2_200);
  expect(await redis.ttl(keys.log)).toBeGreaterThan(80_000);
  expect(await shared.hasLost(last)).toBe(true);
  const [line] = (await shared.latest(all, 1)).entries;
  expect(JSON.stringify(line).length).toBeLessThan(2_500);
});

it('removes the lines that name somebody', async () => {
  const log = createLogger('bot', 'info');
  log.info({ jobId: 'web-ann' }, 'hers');
  log.info({ jobId: 'web-bob' }, 'his');
  await eventually('both', async () => (await texts()).length === 2);
  await shared.removeThoseWith(['web-ann', 'web:ann']);
  expect(await texts()).toEqual(['his']);
});

it('waits for nobody while Redis is away, and tells the latest lines and how many were dropped after', async () => {
  const log = createLogger('bot', 'info');
  log.info('before');
  await eventually('a line', async () => (await texts()).length === 1);
  // For longer than a command waits. Not every connection knows that it is broken: one to a Cluster has other servers.
  const back = server.crashAndRestart(3_000);
  await once(server.process, 'exit');
  for (let i = 0; i < 700; i++) log.info(`line ${i}`);
  await back;
  await eventually('the lines', async () => (await texts()).at(-1) === 'line 699', 30_000);
  const { entries } = await shared.latest({ level: 'warn' }, 10);
  expect(entries).toMatchObject([{ details: { lines: 200 } }]);
});
