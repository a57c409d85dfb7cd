/** Polling with the real telegraf against the fake Bot API: what ends a poll, and what does not. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Update } from 'telegraf/types';
import { afterEach, describe, expect, it } from 'vitest';
import { Polling, type PollingOptions } from '../../../src/bot/telegram/polling.ts';
import { createLogger } from '../../../src/log.ts';
import { type FakeTelegram, startFakeTelegram } from '../../fakes/telegram/server.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function server(): Promise<FakeTelegram> {
  const fake = await startFakeTelegram();
  closing.push(() => fake.stop());
  return fake;
}

function poller(fake: FakeTelegram, options: Partial<PollingOptions> = {}) {
  const seen: number[] = [];
  let logged = '';
  let refused = 0;
  const polling = new Polling({
    token: fake.token,
    apiRoot: fake.apiRoot,
    onUpdate: async ({ update_id: id }: Update) => {
      seen.push(id);
    },
    onReady: () => {},
    onRefused: () => {
      refused++;
    },
    log: createLogger('test', 'debug', {
      write: (line) => {
        logged += line;
      },
    }),
    shortestPauseMs: 20,
    longestPauseMs: 100,
    ...options,
  });
  closing.push(() => polling.stop());
  return { polling, seen, logged: () => logged, refused: () => refused };
}

describe('polling', () => {
  it('gives a dead connection up', async () => {
    const fake = await server();
    const chat = fake.privateChat({ started: true });
    const { polling, seen } = poller(fake, { pollDeadlineMs: 200 });
    const hang = fake.fail({ method: 'getUpdates', status: 'hang', afterCalls: 1 });
    polling.start();
    await fake.until(() => hang.hits === 1);
    chat.sendsText('hello');
    await fake.until(() => seen.length === 1);
  });

  it('begins no poll when it is stopped while telegraf starts', async () => {
    const fake = await server();
    const { polling } = poller(fake);
    const starting = fake.fail({ method: 'deleteWebhook', status: 'held' });
    polling.start();
    await fake.until(() => starting.hits === 1);
    const stopped = polling.stop();
    starting.lift();
    await stopped;
    expect(fake.calls('getUpdates').filter(({ params }) => params['timeout'] !== undefined)).toEqual([]);
  });

  it('comes back when the other one with its token is gone, and loses nothing', async () => {
    const fake = await server();
    const chat = fake.privateChat({ started: true });
    const ours = poller(fake);
    const other = poller(fake);
    ours.polling.start();
    await fake.until(() => fake.calls('getUpdates').length > 0);
    other.polling.start();
    await fake.until(() => ours.logged().includes('another process polls'));
    for (let n = 0; n < 5; n++) chat.sendsText('hello');
    await fake.until(() => ours.seen.length + other.seen.length >= 5);
    await other.polling.stop();
    chat.sendsText('hello');
    await fake.until(() => fake.pendingUpdates === 0);
    const seen = new Set([...ours.seen, ...other.seen]);
    expect(seen.size).toBe(6);
  });

  it.each([401, 404])('stops for good when the token is answered with %s', async (status) => {
    const fake = await server();
    const { polling, logged, refused } = poller(fake);
    const fault = fake.fail({ method: 'getMe', status, times: 100 });
    polling.start();
    await fake.until(() => refused() === 1);
    await sleep(200);
    expect(fault.hits).toBe(1);
    expect(logged()).toContain('check it with @BotFather');
    expect(logged()).not.toContain(fake.token);
  });

  it('waits longer and longer while Telegram is away, and no longer than told once it is back', async () => {
    const fake = await server();
    const chat = fake.privateChat({ started: true });
    const { polling, seen, logged } = poller(fake);
    const away = fake.fail({ method: 'getMe', status: 'reset', times: 1_000 });
    polling.start();
    await sleep(400);
    expect(away.hits).toBeGreaterThanOrEqual(2);
    expect(away.hits).toBeLessThanOrEqual(12);
    expect(logged()).toMatch(/ECONNRESET.*polling Telegram failed/);
    away.lift();
    chat.sendsText('hello');
    await fake.until(() => seen.length === 1);
  });

  it('goes on after an update that could not be taken', async () => {
    const fake = await server();
    const chat = fake.privateChat({ started: true });
    let calls = 0;
    const { polling, logged } = poller(fake, {
      onUpdate: async () => {
        calls++;
        throw new Error(`secret words`);
      },
    });
    polling.start();
    chat.sendsText('one');
    await fake.until(() => calls === 1);
    chat.sendsText('two');
    await fake.until(() => calls === 2);
    expect(logged()).not.toContain('secret words');
  });

  it('ends at once when it is stopped, in a poll and in a pause', async () => {
    const fake = await server();
    const first = poller(fake);
    first.polling.start();
    await fake.until(() => fake.calls('getUpdates').length > 0);
    await first.polling.stop();
    const second = poller(fake, { shortestPauseMs: 60_000, longestPauseMs: 60_000 });
    await fake.goesDown();
    second.polling.start();
    await fake.until(() => second.logged().includes('failed'));
    await second.polling.stop();
    await fake.comesBack();
  });
});
