/** Whatever waits for Redis when it is lost: nothing of that may end a process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Reconciler } from '../../src/bot/upkeep/reconcile.ts';
import { AuditTrail } from '../../src/queue/audit.ts';
import { ModeSwitch } from '../../src/queue/mode.ts';
import { Harness, log, timedGenerator } from '../helpers/queue-harness.ts';

/** Everything that a bot and a worker have to do with Redis, as busy as can be. */
async function beBusy(harness: Harness): Promise<() => Promise<void>> {
  const redis = harness.server.failFast();
  const client = harness.client();
  const reconciler = new Reconciler(redis, client, harness.artifacts, log, { everyMs: 20, graceMs: 0 });
  const mode = new ModeSwitch(new AuditTrail(redis, harness.keys), log);
  const often = { reclaimEveryMs: 30, cancelPollMs: 20, stalledIntervalMs: 50, lockDurationMs: 300 };
  const asking = async (n: number): Promise<void> => {
    const request = await harness.request(`${n}`);
    await Promise.allSettled([
      client.look(request),
      client.submit(request),
      client.cancel(request.id, request.userKey),
      client.watch(() => {}).then((unwatch) => unwatch()),
    ]);
  };
  reconciler.start();
  const work = Promise.allSettled([
    mode.enforce(),
    harness.worker(timedGenerator(50), often),
    harness.delivery({ lookForLostEveryMs: 30 }),
    ...Array.from({ length: 12 }, async (_, n) => {
      await sleep(n * 15);
      await asking(n);
    }),
  ]);
  return async () => {
    await Promise.race([work, sleep(500)]);
    const closing = Promise.allSettled([reconciler.stop(), mode.close(), client.close()]);
    redis.disconnect();
    await Promise.race([closing, sleep(1_000)]);
  };
}

it.each([
  ['killed', 0],
  ['killed', 15],
  ['killed', 60],
  ['killed', 200],
  ['frozen', 10],
  ['frozen', 100],
] as const)('Redis is %s %d ms after everything began', async (how, afterMs) => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  const harness = await Harness.start();
  try {
    const starting = beBusy(harness);
    await sleep(afterMs);
    harness.server.process.kill(how === 'frozen' ? 'SIGSTOP' : 'SIGKILL');
    const stop = await starting;
    await sleep(how === 'frozen' ? 2_500 : 300); // longer than a command may take
    if (how === 'frozen') harness.server.process.kill('SIGKILL');
    await stop();
    await Promise.race([harness.stop(), sleep(2_000)]);
    await sleep(50);
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});
