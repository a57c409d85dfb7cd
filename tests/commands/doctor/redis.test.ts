import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { checkRedis } from '../../../src/commands/doctor/machine.ts';
import { loadConfig } from '../../../src/config.ts';
import { TestRedis } from '../../helpers/redis-server.ts';

let server: TestRedis;
beforeEach(async () => {
  server = await TestRedis.start('--appendonly', 'yes');
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server.stop();
});

const check = () =>
  checkRedis(loadConfig({ KINORA_ENV_FILE: '/dev/null', REDIS_URL: `unix://${server.socketPath}` }));

it('says that a Redis keeps what it is given', async () => {
  expect(await check()).toMatchObject({ state: 'ok', detail: 'answers and keeps what it is given' });
});

it('says which of several bots leads', async () => {
  const beat = (host: string): string => JSON.stringify({ beatAt: Date.now(), pid: 7, host });
  const redis = server.connect();
  await redis.hset('{kinora}:bots', { one: beat('attic pid:[1]'), two: beat('cellar pid:[1]') });
  await redis.set('{kinora}:leader', 'two 12');
  const detail = expect.stringMatching(/of 2 bots, the one that leads is on cellar \(process 7\)$/);
  expect(await check()).toMatchObject({ state: 'ok', detail });
});

it('says what a Redis forgets, and what would be lost', async () => {
  await server.connect().config('SET', 'appendonly', 'no');
  expect(await check()).toMatchObject({ state: 'warn', detail: expect.stringContaining('keeps nothing') });
});

it('says which setting is wrong, and whose data lie there', async () => {
  await server.connect().set('{kinora}:schema', 99);
  expect(await check()).toMatchObject({ state: 'fail', detail: expect.stringContaining('another version') });
  await server.connect().config('SET', 'requirepass', 'secret');
  expect(await check()).toMatchObject({ state: 'fail', detail: expect.stringContaining('REDIS_URL') });
});

it('says when the clocks are apart', async () => {
  const { now } = Date;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 7_200_000);
  expect(await check()).toMatchObject({ state: 'warn', detail: expect.stringContaining('7200 s apart') });
});
