/**
 * Every key that a script touches is declared, or is of a kind whose names only the script can learn: those are listed
 * here, and docs/decisions/0014-one-hash-tag.md says why. Seen by MONITOR, which shows what scripts call.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AuditTrail } from '../../src/queue/audit.ts';
import { Bans } from '../../src/queue/bans.ts';
import { RuleStore } from '../../src/queue/community-rules.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Lease } from '../../src/queue/lease.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { moveCommunity } from '../../src/queue/move-community.ts';
import { Quotas } from '../../src/queue/quota.ts';
import { claimSchema } from '../../src/queue/schema.ts';
import { runScript } from '../../src/queue/scripts.ts';
import { ShardLeases } from '../../src/queue/shard-leases.ts';
import { UncachedList } from '../../src/queue/uncached.ts';
import { WorkerBeat } from '../../src/queue/worker-registry.ts';
import { eventually, log, openTerms } from '../helpers/queue-harness.ts';
import { isCluster, TestRedis } from '../helpers/redis-server.ts';

const day = '2026-11-21';
const keys = new Keys('t');
const found: Readonly<Record<string, readonly string[]>> = {
  rebase: [keys.job(''), keys.waiting('')],
  repair: [keys.job('')],
  turn: [keys.job(''), keys.waiting('')],
};

const folder = new URL('../../src/queue/lua/', import.meta.url);
const scripts = readdirSync(folder)
  .filter((file) => file !== 'common.lua')
  .map((file) => ({ name: file.replace('.lua', ''), text: readFileSync(new URL(file, folder), 'utf8') }));

interface Call {
  readonly name: string;
  readonly declared: ReadonlySet<string>;
  readonly touched: Set<string>;
}

/** A text as MONITOR shows it, less what ioredis has done about that. */
function unescaped(text: string): string {
  const bytes = text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, sign: string) =>
    hex ? String.fromCharCode(Number.parseInt(hex, 16)) : sign === 'n' ? '\n' : sign,
  );
  return Buffer.from(bytes, 'latin1').toString();
}

let server: TestRedis;
let redis: Redis;
const calls: Call[] = [];
beforeAll(async () => {
  server = await TestRedis.start();
  redis = server.connect();
  const byHash = new Map<string, string>();
  const monitor = await redis.monitor();
  monitor.on('monitor', (_time: string, [command = '', ...args]: string[], source: string) => {
    const [escaped = '', count = '0', ...rest] = args;
    if (source !== 'lua' && /^eval/i.test(command)) {
      const text = unescaped(escaped);
      const name = scripts.find((script) => text.endsWith(script.text))?.name;
      if (name) byHash.set(createHash('sha1').update(text).digest('hex'), name);
      const declared = new Set(rest.slice(0, Number(count)));
      calls.push({ name: name ?? byHash.get(text) ?? '', declared, touched: new Set() });
    } else if (source === 'lua' && !/^time$/i.test(command)) {
      const several = { del: args, exists: args, rename: args }[command.toLowerCase()];
      for (const key of several ?? args.slice(0, 1)) calls.at(-1)?.touched.add(key);
    }
  });
  await everything(monitor);
});
afterAll(() => server.stop());

/** Each script, in all that it can do. */
async function everything(monitor: Redis): Promise<void> {
  const ledger = new Ledger(redis, keys);
  const trail = new AuditTrail(redis, keys);
  const terms = { cost: 4, day, cooldownMs: 1, limits: { ...openTerms.limits, credits: 6 } };
  const admit = async (id: string, over: object = {}, callId: string = randomUUID()) =>
    await ledger.admit(
      {
        id,
        userKey: 'test:ann',
        communityKey: 'test:guild',
        roleKeys: ['test:patron'],
        generation: { prompt: 'zoom in', preset: 'standard', seed: 1 },
        replyTo: {},
        ...over,
      },
      { ...terms, callId },
    );
  // A Cluster keeps the data of earlier versions in other slots, and takes none of them over.
  if (!isCluster) {
    await redis.set('t:mode', 'paused');
    await redis.hset('t:bull:generate:a', 'parentKey', 't:bull:deliver:a');
    await redis.sadd('t:bull:deliver:a:dependencies', 't:bull:generate:a');
    await claimSchema(redis, keys, log);
    await redis.del(keys.mode);
  }

  const quotas = new Quotas(trail, { ...openTerms });
  await quotas.grant('test:boss', 'test:ann', 50);
  await quotas.setCredits('test:boss', { kind: 'user', key: 'test:bob' }, 9);
  await new Bans(trail).ban('test:boss', { kind: 'user', key: 'test:eve' }, { reason: '' });
  await new RuleStore(trail).setRule('test:boss', 'test:old', 'a', 'b');
  await redis.hset(keys.bans, 'test:ann', JSON.stringify({ untilMs: 1, reason: '' }));
  for (const id of ['t-a', 't-b', 't-c', 't-d', 't-e', 't-f']) await admit(id);
  await admit('t-a');
  await admit('t-eve', { userKey: 'test:eve' });
  await admit('t-alone', { userKey: 'test:bob', communityKey: undefined, model: 'svd' });
  await ledger.turnOf('w', [undefined, 'svd'], new Set(['svd']));
  for (const event of ['confirm', 'start', 'handback', 'start'] as const)
    await ledger.transition('t-a', event);
  await ledger.transition('t-a', 'generated', undefined, { cost: '1' });
  for (const event of ['deliver', 'undeliver', 'deliver'] as const) await ledger.transition('t-a', event);
  await ledger.settle('t-a', 'delivered', undefined, 60);
  await ledger.setFavourite('t-a', 'test:ann', true, 1);
  await ledger.transition('t-b', 'generated');
  await ledger.settle('t-b', 'undeliverable', undefined, 60);
  await ledger.transition('t-c', 'expired', undefined, { failure: JSON.stringify({ code: 'EXPIRED' }) });
  await ledger.cancel('t-d', 'test:ann', false);
  await ledger.cancel('t-e', 'test:boss', true, undefined, true);
  const ask = (await redis.hget(keys.job('t-f'), 'ask')) ?? '';
  await ledger.withdraw('t-f', ask, undefined, 60);
  for (const id of ['t-unknown']) {
    await ledger.withdraw(id, 'call', undefined, 60);
    await ledger.transition(id, 'start');
    await ledger.settle(id, 'delivered', undefined, 60);
  }
  await admit('t-g');
  await admit('t-h', {}, 'call');
  await redis.hset(keys.job('t-g'), 'tag', 900);
  await redis.hset(keys.job('t-alone'), 'tag', 900);
  await redis.set(keys.vtime, 900);
  await ledger.rebase(1);
  await redis.sadd(keys.active('all'), 't-gone');
  await ledger.repair(keys.active('all'));
  await ledger.repair(keys.waiting('standard'));
  await ledger.awake(1_000, 1);
  await ledger.awake(9_000, 1);
  await moveCommunity(redis, keys, 'test:old', 'test:new');
  const own = { cooldown: keys.cooldown('test:ann'), history: keys.history('test:ann') };
  await runScript(redis, 'forget', keys, own, ['test:ann', 1, 'id'], [keys.used(day)]);
  await new UncachedList(redis, keys).add(['image-1']);
  const beat = new WorkerBeat(redis, keys, 'cpu');
  beat.begin();
  await eventually('the heartbeat', () => calls.some(({ name }) => name === 'beat'), 20_000);
  await beat.stop();
  const lease = new Lease(redis, keys, log);
  await lease.lead(
    new AbortController().signal,
    async () => {},
    () => {},
  );
  const shards = { count: 2, botId: lease.id, isAlone: () => true };
  const leases = new ShardLeases(redis, keys, log, shards, () => {});
  await leases.start({ begin: () => {}, end: async () => {} });
  await leases.leave();
  await lease.leave();
  await eventually('the end', () => calls.some(({ name }) => name === 'forget'), 20_000);
  monitor.disconnect();
}

it.for(scripts)('$name touches what it declares', ({ name }, { skip }) => {
  skip(isCluster && name === 'adopt', 'a Cluster takes no data of earlier versions over');
  const own = calls.filter((call) => call.name === name);
  expect(own.flatMap(({ touched }) => [...touched])).not.toEqual([]);
  const undeclared = own.flatMap(({ declared, touched }) => [...touched].filter((key) => !declared.has(key)));
  const stems = found[name] ?? [];
  expect(undeclared.filter((key) => !stems.some((stem) => key.startsWith(stem)))).toEqual([]);
  // Each kind on the list is needed.
  expect(stems.filter((stem) => !undeclared.some((key) => key.startsWith(stem)))).toEqual([]);
});

it('lie in one slot, but for what an earlier version wrote', () => {
  const all = calls.flatMap(({ name, declared, touched }) =>
    name === 'adopt' ? [] : [...declared, ...touched],
  );
  expect(all.filter((key) => !key.startsWith('{t}:'))).toEqual([]);
});

it('can name no key of its own', () => {
  const common = readFileSync(new URL('common.lua', folder), 'utf8');
  for (const text of [common, ...scripts.map((script) => script.text)]) expect(text).not.toMatch(/KEYS\[\d/);
});
