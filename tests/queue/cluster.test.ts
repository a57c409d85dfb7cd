/** Over a Redis Cluster of three masters: everything lies in one slot, and nothing asks for more than that. */
import { afterEach, expect, it } from 'vitest';
import { Reconciler } from '../../src/bot/upkeep/reconcile.ts';
import { AuditTrail } from '../../src/queue/audit.ts';
import { RuleStore, rulesOfAll } from '../../src/queue/community-rules.ts';
import { Keys } from '../../src/queue/keys.ts';
import { assertTrustworthy, connectRedis, redisTime } from '../../src/queue/redis.ts';
import { rewriteWithoutForgotten } from '../../src/queue/rewrite.ts';
import { assertAdopted, claimSchema } from '../../src/queue/schema.ts';
import { eventually, Harness, log, timedGenerator } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

it('goes from request to exactly one video, and its upkeep reaches the server that holds the keys', async () => {
  const harness = await Harness.over(await TestRedis.startCluster(0, '--appendonly', 'yes'));
  closing.push(() => harness.stop());
  const redis = harness.server.failFast();
  await claimSchema(redis, harness.keys, log);
  await assertAdopted(redis, harness.keys);
  expect(Math.abs((await redisTime(redis)) - Date.now())).toBeLessThan(60_000);

  const client = harness.client();
  const progress: string[] = [];
  closing.push(await client.watch(({ type }) => progress.push(type)));
  await harness.worker(timedGenerator(50));
  await harness.delivery();
  const ids = ['a', 'b', 'c'];
  for (const id of ids)
    expect(await client.submit(await harness.request(id))).toMatchObject({ decision: 'accepted' });
  await eventually('three videos', () => harness.posted.length === 3);
  expect(harness.posted.map(({ jobId }) => jobId).sort()).toEqual(['t-a', 't-b', 't-c']);
  const own = harness.server.connect();
  await eventually('nothing is pending', async () => (await own.zcard(harness.keys.pending)) === 0);
  await eventually('progress', () => progress.includes('progress'));

  // What looks at keys or servers, and not at one key.
  await new RuleStore(new AuditTrail(redis, harness.keys)).setRule('test:boss', 'test:guild', 'a', 'b');
  expect(await rulesOfAll(redis, harness.keys)).toEqual(['test:guild']);
  await own.sadd(harness.keys.active('all'), 't-gone');
  const reconciler = new Reconciler(redis, client, harness.artifacts, log, { graceMs: 0 });
  expect(await reconciler.run()).toMatchObject({ leaks: 1 });
  await own.sadd(harness.keys.rewrites, 'someone');
  await rewriteWithoutForgotten(redis, harness.keys, log, 20_000, 50);
  expect(await own.exists(harness.keys.rewrites)).toBe(0);

  // Nothing of Kinora's lies elsewhere.
  const names = await own.keys('*');
  expect(names.filter((name) => !name.startsWith('{t}:'))).toEqual([]);
  for (const other of harness.server.others) expect(await other.dbsize()).toBe(0);
});

it('is refused by a sentence where its address, its password or its data are wrong', async () => {
  const server = await TestRedis.startCluster();
  closing.push(() => server.stop());
  const open = (kind: 'patient' | 'fail-fast', url = 'url' in server.address ? server.address.url : '') => {
    const redis = connectRedis({ url }, kind, () => {});
    closing.push(() => redis.disconnect());
    return redis;
  };
  const [other] = server.others;
  const servers = [server.connect(), ...server.others];
  // One of them takes it; the others say where it belongs.
  for (const each of servers) await each.set('t:schema', 1).catch(() => {});
  await expect(claimSchema(open('patient'), new Keys('t'), log)).rejects.toThrow('cannot be renamed there');

  const { port } = other?.options ?? {};
  await expect(assertTrustworthy(open('patient', `redis://127.0.0.1:${port}`))).rejects.toThrow(
    'write redis+cluster://',
  );
  for (const each of servers) await each.config('SET', 'requirepass', 'hunter2');
  for (const kind of ['patient', 'fail-fast'] as const) {
    await expect(assertTrustworthy(open(kind))).rejects.toThrow(/^REDIS_URL: Redis asks for a password/);
    const wrong = open(kind, `redis+cluster://:hunter3@127.0.0.1:${port}`);
    await expect(assertTrustworthy(wrong)).rejects.toThrow(
      /^REDIS_URL: Redis (refuses|asks for)(?!.*hunter)/,
    );
    const right = open(kind, `redis+cluster://:hunter2@127.0.0.1:${port}`);
    expect(await assertTrustworthy(right)).toContain('forgets everything');
  }
});
