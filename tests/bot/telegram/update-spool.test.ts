/** Updates between Telegram and their being served: kept through a crash, served once, in their order per person. */
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Update } from 'telegraf/types';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SpooledUpdate, UpdateSpool } from '../../../src/bot/telegram/update-spool.ts';
import { createLogger } from '../../../src/log.ts';
import { contract } from '../../../src/queue/contract.ts';
import { Keys } from '../../../src/queue/keys.ts';
import { FaultyProxy } from '../../helpers/proxy.ts';
import { TestRedis } from '../../helpers/redis-server.ts';

const log = createLogger('test', 'silent');

const keys = new Keys('t');

let folder: string;
let redis: TestRedis;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-spool-'));
  redis = await TestRedis.start();
});
afterEach(async () => {
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

function update(id: number, from = 1): Update {
  const person = { id: from, is_bot: false, first_name: 'Ada' };
  const chat = { id: from, type: 'private' as const, first_name: 'Ada' };
  return { update_id: id, message: { message_id: id, date: 0, chat, from: person, text: `${id}` } };
}

/** A bot on a machine of its own. */
function spool(
  handle: (spooled: SpooledUpdate) => Promise<void>,
  { oldFolder, isFollowed = false }: { oldFolder?: string; isFollowed?: boolean } = {},
): UpdateSpool {
  const keyOf = (it: Update) => ('message' in it ? String(it.message.from?.id) : '');
  const mustKeep = () => isFollowed;
  return new UpdateSpool({ redis: redis.failFast(), keys, folder: oldFolder, handle, keyOf, mustKeep, log });
}

const keptUpdates = async (): Promise<string[]> => (await redis.connect().hkeys(keys.updates)).sort();

describe('the spool of updates', () => {
  it('serves what a dead process left, with its notes, and nothing that was done', async () => {
    const served: number[] = [];
    const stuck = new Promise<void>(() => {});
    // This one is never stopped, as after kill -9.
    const dead = spool(async ({ update: { update_id: id }, note }) => {
      if (id === 2) {
        await note('status', 77);
        await stuck;
      }
      served.push(id);
    });
    await dead.start();
    await dead.take(update(1));
    await dead.take(update(2));
    await dead.take(update(3, 1)); // waits behind 2
    await dead.take(update(4, 9)); // another person
    while (served.length < 2) await sleep(5);
    expect(served).toEqual([1, 4]);
    while ((await keptUpdates()).join() !== '2,3') await sleep(5);

    const again: [number, number | undefined][] = [];
    const next = spool(async ({ update: { update_id: id }, notes }) => {
      again.push([id, notes['status']]);
    });
    await next.start();
    await next.take(update(1));
    await next.take(update(3));
    await next.take(update(5));
    while (again.length < 3) await sleep(5);
    await next.stop();
    expect(again).toEqual([
      [2, 77],
      [3, undefined],
      [5, undefined],
    ]);
    expect(await keptUpdates()).toEqual([]);
  });

  it('takes updates while those before them are still being served', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): number => warnings.push(warning);
    process.on('warning', warned);
    // Each waits for the end of the process, as those do that wait for Telegram.
    const it = spool(async ({ signal }) => await sleep(60_000, undefined, { signal }).catch(() => {}));
    await it.start();
    for (let id = 1; id <= 100; id++) await it.take(update(id, id));
    await sleep(50);
    process.off('warning', warned);
    expect(warnings).toEqual([]);
    await it.stop();
  });

  it('goes on after a handler that throws, and does not repeat it', async () => {
    let calls = 0;
    const it = spool(async () => {
      calls++;
      throw new Error('broken');
    });
    await it.start();
    await it.take(update(1));
    await it.take(update(2));
    while (calls < 2 || (await keptUpdates()).length > 0) await sleep(5);
    await it.take(update(1));
    await it.stop();
    expect(calls).toBe(2);
  });

  it('leaves to the next start what was given up at the end', async () => {
    const begun: number[] = [];
    const first = spool(async ({ update: { update_id: id }, signal }) => {
      begun.push(id);
      await sleep(60_000, undefined, { signal });
    });
    await first.start();
    await first.take(update(1));
    await first.take(update(2));
    while (begun.length === 0) await sleep(5);
    await first.stop();
    expect(begun).toEqual([1]);
    const served: number[] = [];
    const second = spool(async ({ update: { update_id: id } }) => {
      served.push(id);
    });
    await second.start();
    while (served.length < 2) await sleep(5);
    await second.stop();
    expect(served).toEqual([1, 2]);
  });

  it('drops what another bot has served', async () => {
    const served: number[] = [];
    const handle = async ({ update: { update_id: id } }: SpooledUpdate) => {
      served.push(id);
    };
    const frozen = spool(handle);
    const leader = spool(handle);
    await frozen.start();
    await leader.start();
    await leader.take(update(1));
    while ((await redis.connect().zcard(keys.updatesDone)) === 0) await sleep(5);
    await frozen.take(update(1));
    await Promise.all([leader.stop(), frozen.stop()]);
    expect(served).toEqual([1]);
    expect(await keptUpdates()).toEqual([]);
  });

  it('remembers what it served, though earlier bots had later clocks and higher ids', async () => {
    const later = Date.now() + 3_600_000;
    const before = Array.from({ length: 5_000 }, (_, at) => [later + at, `${1_000_000 + at}`]).flat();
    await redis.connect().zadd(keys.updatesDone, ...before);
    const it = spool(async () => {});
    await it.start();
    await it.take(update(1));
    await it.take(update(2));
    while ((await keptUpdates()).length > 0) await sleep(5);
    await it.stop();
    const done = await redis.connect().zrange(keys.updatesDone, 0, '-1');
    expect(done).toHaveLength(5_000);
    expect(done.slice(-3)).toEqual(['1004999', '1', '2']);
  });

  it('serves all the same where Redis is away', async () => {
    const served: number[] = [];
    const it = spool(async ({ update: { update_id: id } }) => {
      served.push(id);
    });
    await it.start();
    await redis.stop();
    await it.take(update(8));
    await it.take(update(8));
    await it.stop();
    expect(served).toEqual([8]);
  });

  it('leaves what Redis does not keep to Telegram where another bot leads next', async () => {
    const served: number[] = [];
    const it = spool(
      async ({ update: { update_id: id } }) => {
        served.push(id);
      },
      { isFollowed: true },
    );
    await it.start();
    // As a Redis without its replica: it answers, and takes no writes.
    const server = redis.connect();
    await server.config('SET', 'min-replicas-to-write', '1');
    let isTaken = false;
    const taking = it.take(update(8)).then(() => {
      isTaken = true;
    });
    const refusals = async (): Promise<number> =>
      Number(/cmdstat_hsetnx:.*rejected_calls=(\d+)/.exec(await server.info('commandstats'))?.[1] ?? 0);
    while ((await refusals()) < 2) await sleep(5);
    expect({ isTaken, served }).toEqual({ isTaken: false, served: [] });
    await server.config('SET', 'min-replicas-to-write', '0');
    await taking;
    await it.stop();
    expect(served).toEqual([8]);
    expect(await keptUpdates()).toEqual([]);
  });

  it('serves what a slow Redis keeps where another bot leads next', async () => {
    const proxy = await FaultyProxy.start(redis.socketPath);
    redis.address = { url: proxy.url };
    const served: number[] = [];
    const it = spool(
      async ({ update: { update_id: id } }) => {
        served.push(id);
      },
      { isFollowed: true },
    );
    await it.start();
    proxy.latencyMs = 200; // each way
    await it.take(update(8));
    proxy.latencyMs = 0;
    await it.stop();
    await proxy.stop();
    expect(served).toEqual([8]);
  });

  it('leaves alone what a newer version kept', async () => {
    const newer = JSON.stringify({ contract: contract + 1, updates: [] });
    await redis
      .connect()
      .hset(keys.updates, { 7: JSON.stringify({ update: update(7), notes: {} }), 8: newer });
    await writeFile(join(folder, '9.json'), newer);
    const served: number[] = [];
    const it = spool(
      async ({ update: { update_id: id } }) => {
        served.push(id);
      },
      { oldFolder: folder },
    );
    await it.start();
    while (served.length === 0) await sleep(5);
    await it.stop();
    expect(served).toEqual([7]);
    expect(await keptUpdates()).toEqual(['8', '9']);
  });

  it('takes over what an earlier version kept on the disk', async () => {
    const record = (id: number): string => JSON.stringify({ update: update(id), notes: { status: 70 + id } });
    for (const id of [7, 8]) await writeFile(join(folder, `${id}.json`), record(id));
    await writeFile(join(folder, '9.json'), '{"update":');
    await writeFile(join(folder, 'done'), '6\n7\n');
    const served: [number, number | undefined][] = [];
    const it = spool(
      async ({ update: { update_id: id }, notes }) => {
        served.push([id, notes['status']]);
      },
      { oldFolder: folder },
    );
    await it.start();
    await it.take(update(6));
    while (served.length === 0) await sleep(5);
    await it.stop();
    expect(served).toEqual([[8, 78]]);
    await expect(access(folder)).rejects.toThrow('ENOENT');
  });
});
