/** What happens to the hosts while people ask for videos. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Ledger, type LedgerEntry } from '../../src/queue/ledger.ts';
import { workerEntries } from '../../src/queue/worker-registry.ts';
import { eventually } from '../helpers/queue-harness.ts';
import type { Crowd } from './crowd.ts';
import type { Host } from './host.ts';
import { type Clocks, type Installation, models, readiness } from './installation.ts';
import { cut, heal, slowDown } from './network.ts';

export interface Stage {
  readonly installation: Installation;
  readonly crowd: Crowd;
  readonly say: (line: string) => void;
  /** For the table. */
  readonly measures: Record<string, number>;
}

export interface Scenario {
  /** By how much hosts' clocks are wrong from the start: "+3h", "-2d". */
  readonly clocks?: Clocks;
  /** A second bot stands by. */
  readonly hasStandby?: true;
  /** Resolves when the fault is over, with what should have been otherwise meanwhile. */
  readonly play: (stage: Stage) => Promise<readonly string[]>;
}

/** BullMQ's lock of a job. */
const lockMs = 60_000;

async function jobOf({ redis, keys }: Installation, jobId: string): Promise<LedgerEntry | undefined> {
  return await new Ledger(redis, keys).read(jobId);
}

/** Waits until a worker runs the job. */
async function holderOf(installation: Installation, jobId: string): Promise<Host> {
  const { redis, keys, workers } = installation;
  let holder: Host | undefined;
  await eventually(`${jobId} runs`, async () => {
    const entry = await jobOf(installation, jobId);
    if (entry?.state !== 'running' || entry.worker === undefined) return false;
    const registered = (await workerEntries(redis, keys)).get(entry.worker)?.entry;
    holder = workers.find(({ name }) => registered?.host.startsWith(`${name} `));
    return holder !== undefined;
  });
  if (!holder) throw new Error('a running job has a worker');
  return holder;
}

/** Waits until another worker has the job than that one. */
async function isTakenOver(
  installation: Installation,
  jobId: string,
  from: string | undefined,
): Promise<void> {
  await eventually(
    `another worker has ${jobId}`,
    async () => (await jobOf(installation, jobId))?.worker !== from,
  );
}

/** One worker is alone with its job for longer than its lock; a second one makes it meanwhile. */
const workerCut: Scenario['play'] = async ({ installation, crowd, say }) => {
  crowd.ask(14, 20_000);
  const { id } = await crowd.longOverApi(models.tiny);
  const host = await holderOf(installation, id);
  const worker = (await jobOf(installation, id))?.worker;
  cut(host.plug);
  const since = performance.now();
  say(`${host.name} is cut off with ${id}`);
  crowd.ask(10, 30_000);
  await isTakenOver(installation, id, worker);
  say('another worker has its job');
  await sleep(lockMs + 5_000 - (performance.now() - since));
  heal(host.plug);
  return [];
};

/** The same, but its way to the bucket is open: the late result comes to lie beside the one that was delivered. */
const workerWithoutRedis: Scenario['play'] = async ({ installation, crowd, say }) => {
  crowd.ask(6, 10_000);
  const { id } = await crowd.longOverApi(models.svd);
  const host = await holderOf(installation, id);
  const worker = (await jobOf(installation, id))?.worker;
  cut(host.plug, installation.redisHost.plug);
  say(`${host.name} is cut off from Redis with ${id}`);
  crowd.ask(6, 20_000);
  await isTakenOver(installation, id, worker);
  say('another worker has its job');
  await sleep(10_000);
  heal(host.plug);
  return [];
};

const redisCut: Scenario['play'] = async ({ installation, crowd, say }) => {
  crowd.ask(15, 28_000);
  await sleep(8_000);
  cut(installation.redisHost.plug);
  say('Redis is cut off');
  await sleep(20_000);
  heal(installation.redisHost.plug);
  // Workers and bot find their way back one by one.
  crowd.ask(12, 6_000);
  return [];
};

const s3Cut: Scenario['play'] = async ({ installation, crowd, say }) => {
  crowd.ask(24, 50_000);
  await sleep(8_000);
  cut(installation.s3Host.plug);
  say('the bucket is cut off');
  await sleep(30_000);
  heal(installation.s3Host.plug);
  return [];
};

/** One worker's link is slower than its pictures and videos come, then only slow. */
const slowLink: Scenario['play'] = async ({ installation, crowd, say }) => {
  const [worker] = installation.workers;
  slowDown(worker.plug, 256);
  say(`the link of ${worker.name} carries 256 kbit/s`);
  crowd.ask(15, 15_000);
  await sleep(25_000);
  slowDown(worker.plug, 2_000);
  say('now it carries 2 Mbit/s');
  crowd.ask(9, 10_000);
  await sleep(10_000);
  heal(worker.plug);
  return [];
};

/** While it has a job that no other worker can make, so that it has to come back. */
const workerKilled: Scenario['play'] = async ({ installation, crowd, say }) => {
  crowd.ask(18, 25_000);
  const { id } = await crowd.longOverApi(models.tiny);
  const host = await holderOf(installation, id);
  await host.switchOff();
  say(`${host.name} is switched off with ${id}`);
  await sleep(12_000);
  host.switchOn();
  return [];
};

const botKilled: Scenario['play'] = async ({ installation, crowd, say }) => {
  crowd.ask(24, 30_000);
  for (const awayMs of [2_000, 8_000]) {
    await sleep(6_000);
    await installation.bot.switchOff();
    say('the bot is switched off');
    await sleep(awayMs);
    installation.bot.switchOn();
    await installation.ready();
    say('it is back');
  }
  return [];
};

const redisKilled: Scenario['play'] = async ({ installation, crowd, say }) => {
  crowd.ask(24, 30_000);
  for (const awayMs of [1_000, 10_000]) {
    await sleep(6_000);
    await installation.redisHost.switchOff();
    say('Redis is switched off');
    await sleep(awayMs);
    installation.redisHost.switchOn();
  }
  return [];
};

const hourS = 3_600;

/** Hosts are hours and days apart, and two are set while they run; only Redis and the bucket are right. */
const wrongClocks: Scenario['play'] = async ({ installation, crowd, say }) => {
  const days = new Set<string>();
  const noteDay = (): unknown => days.add(new Date().toISOString().slice(0, 10));
  noteDay();
  crowd.ask(12, 15_000);
  await crowd.longOverApi(models.tiny);
  await crowd.longOverApi(models.svd);
  await sleep(8_000);
  installation.setClock(installation.bot, '+3h');
  installation.setClock(installation.workers[2], '-1d');
  say('the clock of the bot was set forward by two days, and that of a worker back by one');
  crowd.ask(12, 15_000);
  await sleep(18_000);
  noteDay();
  const wrong: string[] = [];
  const { redis, keys } = installation;
  for (const key of await redis.keys(keys.used('*'))) {
    if (![...days].some((day) => key === keys.used(day))) wrong.push(`credits are counted in ${key}`);
  }
  const nowS = Date.now() / 1000;
  for (const person of crowd.web) {
    for (const video of person.known.values()) {
      const told = await person.look(video);
      if (!told) continue;
      const { id, created_at: createdAt, completed_at: completedAt, seconds_left: secondsLeft } = told;
      for (const at of [createdAt, completedAt ?? nowS]) {
        if (Math.abs(at - nowS) > hourS) wrong.push(`${id} is of ${new Date(at * 1000).toISOString()}`);
      }
      if (secondsLeft !== null && (secondsLeft < 0 || secondsLeft > hourS))
        wrong.push(`${id} takes ${secondsLeft} s`);
      const link = told.status === 'completed' ? await person.linkTo(video) : undefined;
      if (link === undefined) continue;
      const signed = signedAt(link);
      if (Math.abs(signed / 1000 - nowS) > 300)
        wrong.push(`${id} has a link of ${new Date(signed).toISOString()}`);
    }
  }
  return wrong;
};

/** When a link into a bucket was made, by its own words: 20300102T030405Z. */
function signedAt(link: string): number {
  const text = new URL(link).searchParams.get('X-Amz-Date') ?? '';
  const iso = text.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5');
  return new Date(iso).getTime();
}

/** 15 s are promised; the table says how many it took. A machine that is busy with other things has its time. */
const takeOverMs = 45_000;

/** Loses the bot that leads four times; each time the other one takes over, and the first one comes back to stand by. */
const leaderLost: Scenario['play'] = async ({ installation, crowd, say, measures }) => {
  const late: string[] = [];
  const lose = async (
    how: string,
    away: (host: Host) => unknown,
    back: (host: Host) => unknown,
  ): Promise<void> => {
    crowd.ask(9, 12_000);
    await sleep(5_000);
    const { leader } = installation;
    await away(leader);
    const since = performance.now();
    say(`${leader.name} led, and ${how}`);
    await eventually('another bot leads', () => installation.leader !== leader);
    const tookMs = performance.now() - since;
    say(`${installation.leader.name} leads after ${(tookMs / 1000).toFixed(1)} s`);
    measures['leadsAfterS'] = Math.max(measures['leadsAfterS'] ?? 0, Math.round(tookMs / 1000));
    if (tookMs > takeOverMs) late.push(`a leader that ${how} was replaced after ${Math.round(tookMs)} ms`);
    await sleep(5_000);
    await back(leader);
    await eventually(`${leader.name} stands by`, async () =>
      (await readiness(leader)).includes('standing_by'),
    );
    if (installation.leader === leader) late.push(`${leader.name} leads again`);
  };
  const { plug: redis } = installation.redisHost;
  await lose(
    'was killed',
    (host) => host.switchOff(),
    (host) => host.switchOn(),
  );
  await lose(
    'was cut off',
    ({ plug }) => cut(plug),
    ({ plug }) => heal(plug),
  );
  await lose(
    'was cut off from Redis alone',
    ({ plug }) => cut(plug, redis),
    ({ plug }) => heal(plug),
  );
  await lose(
    'was frozen',
    (host) => host.signal('SIGSTOP'),
    (host) => host.signal('SIGCONT'),
  );
  return late;
};

export const scenarios: Readonly<Record<string, Scenario>> = {
  'worker-cut': { play: workerCut },
  'worker-without-redis': { play: workerWithoutRedis },
  'redis-cut': { play: redisCut },
  'redis-cut-from-two': { play: redisCut, hasStandby: true },
  's3-cut': { play: s3Cut },
  'slow-link': { play: slowLink },
  clocks: { play: wrongClocks, clocks: { bot: '-2d', worker1: '+3h', worker2: '-2d', worker3: '+0' } },
  'worker-killed': { play: workerKilled },
  'bot-killed': { play: botKilled },
  'redis-killed': { play: redisKilled },
  'leader-lost': { play: leaderLost, hasStandby: true },
};
