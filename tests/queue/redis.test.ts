import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { subscribeEvents } from '../../src/queue/events.ts';
import { Keys } from '../../src/queue/keys.ts';
import { assertTrustworthy, connectRedis } from '../../src/queue/redis.ts';
import { assertAdopted, assertSchema, claimSchema } from '../../src/queue/schema.ts';
import { FaultyProxy } from '../helpers/proxy.ts';
import { eventually, log } from '../helpers/queue-harness.ts';
import { freePort, TestRedis } from '../helpers/redis-server.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function server(...redisArguments: string[]): Promise<TestRedis> {
  const started = await TestRedis.start(...redisArguments);
  closing.push(() => started.stop());
  return started;
}

describe('what a Redis forgets', () => {
  it.each([
    ['nothing on its disk', []],
    ['snapshots at most', ['--save', '3600 1']],
    ['snapshots at most', ['--rename-command', 'CONFIG', '']],
    [undefined, ['--appendonly', 'yes']],
    [undefined, ['--appendonly', 'yes', '--rename-command', 'CONFIG', '']],
  ])('is said: %s with %j', async (said, redisArguments) => {
    const forgets = await assertTrustworthy((await server(...redisArguments)).failFast());
    if (said === undefined) expect(forgets).toBeUndefined();
    else expect(forgets).toContain(said);
  });

  it('is said of Dragonfly without asking for an append-only file, which it does not have', async () => {
    const redis = (await server()).failFast();
    // As Dragonfly's documentation shows it; it has no field of an append-only file, and no policy.
    const info =
      '# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.30.0\r\nredis_mode:standalone\r\n';
    await redis.ping(); // the client itself asks for INFO before
    vi.spyOn(redis, 'info').mockResolvedValue(info);
    expect(await assertTrustworthy(redis)).toMatch(/^Dragonfly .*"--snapshot_cron"/);
  });
});

describe('an address that is refused', () => {
  let proxy: FaultyProxy;
  let redis: TestRedis;
  beforeEach(async () => {
    redis = await server();
    proxy = await FaultyProxy.start(redis.socketPath);
    closing.push(() => proxy.stop());
  });

  it.each(['fail-fast', 'patient'] as const)('is a setting to be corrected (%s)', async (kind) => {
    const admin = redis.connect();
    const rights = ['on', '>secret', '~*', '&*', '+@all'];
    await admin.call('ACL', 'SETUSER', 'blind', ...rights, '-info');
    await admin.call('ACL', 'SETUSER', 'scriptless', ...rights, '-@scripting');
    await admin.call('ACL', 'SETUSER', 'elsewhere', 'on', '>secret', '~other:*', '&*', '+@all');
    await admin.call('ACL', 'SETUSER', 'plain', ...rights, '-@admin');
    await admin.config('SET', 'requirepass', 'p@ss:w/o#r%d');
    const verdictOf = async (user: string, path = ''): Promise<unknown> => {
      const url = proxy.url.replace('redis://', `redis://${user}`) + path;
      const connection = connectRedis({ url }, kind, () => {});
      closing.push(() => connection.disconnect());
      return await assertTrustworthy(connection).then(
        () => 'trusted',
        (error: unknown) => error,
      );
    };
    const refused = (text: string) => ({ code: 'INVALID_CONFIG', message: expect.stringContaining(text) });
    expect(await verdictOf('')).toMatchObject(refused('REDIS_URL: Redis asks for a password'));
    expect(await verdictOf('secret@')).toMatchObject(refused('REDIS_URL: Redis refuses the user'));
    expect(await verdictOf(':wrong@')).toMatchObject(refused('REDIS_URL: Redis refuses the user'));
    expect(await verdictOf('nobody:secret@')).toMatchObject(refused('REDIS_URL: Redis refuses the user'));
    expect(await verdictOf('blind:secret@')).toMatchObject(refused('INFO and scripts'));
    expect(await verdictOf('scriptless:secret@')).toMatchObject(refused('INFO and scripts'));
    expect(await verdictOf('elsewhere:secret@')).toMatchObject(refused('INFO and scripts'));
    const rightPassword = `:${encodeURIComponent('p@ss:w/o#r%d')}@`;
    expect(await verdictOf(rightPassword, '/99')).toMatchObject(refused('no database of that number'));
    expect(await verdictOf(rightPassword, '/3')).toBe('trusted');
    expect(await verdictOf('plain:secret@')).toBe('trusted');
  });

  it('leads to a cluster', async () => {
    const cluster = await server('--cluster-enabled', 'yes', '--cluster-port', `${await freePort()}`);
    await expect(assertTrustworthy(cluster.failFast())).rejects.toThrow('this is a Redis Cluster');
  });
});

it('a replica is refused', async () => {
  const replica = await server();
  await replica.connect().replicaof('127.0.0.1', 1);
  await expect(assertTrustworthy(replica.failFast())).rejects.toThrow('read-only replica');
});

describe('a master that was demoted', () => {
  it('is left for the new one by every connection', async () => {
    const [old, next] = [await server(), await server()];
    const proxy = await FaultyProxy.start(old.socketPath);
    closing.push(() => proxy.stop());
    const connections = (['fail-fast', 'patient'] as const).map((kind) =>
      connectRedis({ url: proxy.url }, kind, () => {}),
    );
    closing.push(() => connections.map((connection) => connection.disconnect()));
    for (const connection of connections) await connection.set('at', 'old');
    proxy.upstreamPath = next.socketPath;
    await old.connect().replicaof('127.0.0.1', 1);
    for (const [index, connection] of connections.entries()) {
      const write = `return redis.call('SET', 'at', '${index}')`;
      await eventually('the new master', () =>
        connection.eval(write, 0).then(
          () => true,
          () => false,
        ),
      );
      expect(await next.connect().get('at')).toBe(String(index));
    }
  });
});

describe('the data of another version', () => {
  it('are refused, and left as they are', async () => {
    const redis = (await server()).failFast();
    const keys = new Keys('t');
    await assertSchema(redis, keys);
    await claimSchema(redis, keys, log);
    await claimSchema(redis, keys, log);
    await redis.set(keys.schema, 3);
    await expect(claimSchema(redis, keys, log)).rejects.toThrow('another version of Kinora (its schema is 3');
    expect(await redis.get(keys.schema)).toBe('3');
  });

  it('are left behind by a user who has rights to the keys of this version only', async () => {
    const started = await server();
    const admin = started.connect();
    await admin.set('t:schema', 1);
    await admin.call('ACL', 'SETUSER', 'narrow', 'on', '>secret', '~{t}:*', '&{t}:*', '+@all', '-@admin');
    const redis = started.failFast();
    await redis.call('AUTH', 'narrow', 'secret');
    const keys = new Keys('t');
    await assertSchema(redis, keys);
    await assertAdopted(redis, keys);
    await claimSchema(redis, keys, log);
    await claimSchema(redis, keys, log);
    expect(await admin.mget('t:schema', '{t}:schema')).toEqual(['1', '2']);
  });

  it('on the channel of events are passed over', async () => {
    const redis = (await server()).failFast();
    const heard: string[] = [];
    closing.push(await subscribeEvents(redis, 'events', ({ jobId }) => heard.push(jobId)));
    for (const text of ['no JSON', '{"type":"rated"}', 'null', '{"type":"cancel","jobId":"t-a"}']) {
      await redis.publish('events', text);
    }
    await eventually('the event', () => heard.length === 1);
    expect(heard).toEqual(['t-a']);
  });
});

describe('a listener', () => {
  it('that cannot subscribe again when Redis is back takes nobody with it, and hears again later', async () => {
    const started = await server();
    const admin = started.connect();
    const heard: string[] = [];
    closing.push(await subscribeEvents(started.failFast(), 'events', ({ jobId }) => heard.push(jobId)));
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', onUnhandled);
    closing.push(() => process.off('unhandledRejection', onUnhandled));
    const refusals = async (): Promise<number> =>
      Number(/cmdstat_subscribe:.*rejected_calls=(\d+)/.exec(await admin.info('commandstats'))?.[1]);
    await admin.call('ACL', 'SETUSER', 'default', '-subscribe');
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await eventually('the refusal', async () => (await refusals()) > 0);
    await admin.call('ACL', 'SETUSER', 'default', '+subscribe');
    await eventually('the event', async () => {
      await admin.publish('events', '{"type":"cancel","jobId":"t-a"}');
      return heard.length > 0;
    });
    expect(unhandled).toEqual([]);
  });
});
