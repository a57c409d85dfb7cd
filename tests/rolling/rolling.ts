/**
 * A rolling update under load, and the way back: bots and workers of the version before and of this one over one Redis,
 * replaced one by one as docs/operations.md says, while people ask. At last a version to come, whose jobs this one does
 * not understand.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { contract } from '../../src/queue/contract.ts';
import { Keys } from '../../src/queue/keys.ts';
import { workerEntries } from '../../src/queue/worker-registry.ts';
import { WebClient } from '../chaos/web-client.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { Load } from './load.ts';
import { Processes, type Serving } from './processes.ts';
import type { Version } from './versions.ts';

/** Answers after which the next process is replaced. */
const betweenSteps = 8;
/** Longer than a worker leaves a newer job aside. */
const leftAloneMs = 12_000;

export interface Step {
  readonly step: string;
  readonly seconds: number;
  /** Requests that were answered since the update began. */
  readonly answered: number;
}

export interface RollingReport {
  readonly steps: readonly Step[];
  readonly requests: number;
  /** Calls of the API while no bot was there, made again. */
  readonly unanswered: number;
  /** Broken promises; empty when all is well. */
  readonly violations: readonly string[];
}

class Rolling {
  readonly #processes: Processes;
  readonly #load: Load;
  readonly #admin: WebClient;
  readonly #redis: Redis;
  readonly #say: (line: string) => void;
  readonly #startedAt = performance.now();
  readonly steps: Step[] = [];
  readonly violations: string[] = [];
  #settings = '';

  constructor(processes: Processes, load: Load, admin: WebClient, say: (line: string) => void) {
    this.#processes = processes;
    this.#load = load;
    this.#admin = admin;
    this.#redis = processes.redis.connect() as Redis; // one server, no Cluster
    this.#say = say;
  }

  static async start(
    version: Version,
    say: (line: string) => void,
  ): Promise<{ rolling: Rolling; bot: Serving; worker: Serving }> {
    const processes = await Processes.start();
    try {
      const [bot, worker] = await Promise.all([processes.bot(version), processes.worker(version)]);
      const client = async (name: string, scope = 'use'): Promise<WebClient> => {
        const user = `web:${name}`;
        const token = await processes.command(
          version,
          'keys',
          'create',
          name,
          '--user',
          user,
          '--scope',
          scope,
        );
        return new WebClient(() => processes.url, token.trim(), user);
      };
      const people = await Promise.all(['ann', 'bob', 'cat'].map((name) => client(name)));
      const chats = [processes.telegram.privateChat(), processes.telegram.privateChat()];
      const load = new Load(people, chats, processes.telegram);
      return { rolling: new Rolling(processes, load, await client('admin', 'use,admin'), say), bot, worker };
    } catch (error) {
      await processes.stop();
      throw error;
    }
  }

  get processes(): Processes {
    return this.#processes;
  }

  get load(): Load {
    return this.#load;
  }

  async #call(path: string, method = 'GET', body?: unknown): Promise<unknown> {
    const json = { 'content-type': 'application/json' };
    const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: json };
    const { status, bytes } = await this.#admin.call(path, { method, ...sent });
    const text = new TextDecoder().decode(bytes);
    if (status !== 200) throw new Error(`${method} ${path}: ${status} ${text}`);
    return JSON.parse(text);
  }

  /** What admins set, in one text. */
  async #settingsNow(): Promise<string> {
    const paths = ['bans', 'weights', 'quotas', 'rules/telegram:-100'].map((path) => `/v1/admin/${path}`);
    const told = await Promise.all([...paths, '/v1/webhooks'].map((path) => this.#call(path)));
    // People are called by their latest job.
    return JSON.stringify(told, (field, value: unknown) => (field === 'name' ? undefined : value));
  }

  async setSettings(): Promise<void> {
    await this.#call('/v1/admin/bans/user:web:mallory', 'PUT', { reason: 'spam' });
    await this.#call('/v1/admin/weights/user:web:ann', 'PUT', { weight: 2, reason: '' });
    await this.#call('/v1/admin/quotas/user:web:bob', 'PUT', { per_day: 9_000, reason: '' });
    await this.#call('/v1/admin/rules/telegram:-100', 'PATCH', { spoiler: true });
    await this.#call('/v1/webhooks', 'POST', { url: 'https://example.org/told' });
    this.#settings = await this.#settingsNow();
  }

  /** After each: the settings and keys are there, and people go on getting videos. */
  async step<T>(step: string, act: () => Promise<T>): Promise<T> {
    this.#say(step);
    const result = await act();
    await this.#load.more(betweenSteps);
    if ((await this.#settingsNow()) !== this.#settings)
      this.violations.push(`${step}: settings have changed`);
    const seconds = Math.round((performance.now() - this.#startedAt) / 1000);
    this.steps.push({ step, seconds, answered: this.#load.answered });
    return result;
  }

  /** Until both make videos beside each other. */
  async bothMake(workers: readonly Serving[]): Promise<void> {
    const entries = await workerEntries(this.#redis, new Keys());
    const idOf = (pid: number) => [...entries].find(([, { entry }]) => entry.pid === pid)?.[0];
    const ids = workers.map(({ pid }) => idOf(pid));
    if (ids.includes(undefined)) throw new Error('a worker does not beat');
    await eventually('both workers make videos', async () => {
      const makers = new Set<string | null>();
      for (const jobId of await this.#jobIds()) {
        const [state, worker = null] = await this.#redis.hmget(new Keys().job(jobId), 'state', 'worker');
        if (state === 'generated') makers.add(worker);
      }
      return ids.every((id) => id !== undefined && makers.has(id));
    });
  }

  async #jobIds(): Promise<string[]> {
    const prefix = new Keys().job('');
    return (await this.#redis.keys(`${prefix}*`)).map((key) => key.slice(prefix.length));
  }

  /** A version to come: its jobs wait, whatever the present one does, and are made when a worker of it is there. */
  async leaveNewerAlone(present: Version, next: Version, bot: Serving): Promise<Serving[]> {
    await bot.drain();
    this.#say('a version to come: its bot, and workers of this one');
    const nextBot = await this.#processes.bot(next);
    const [ann, bob] = this.#load.people;
    if (!ann || !bob) throw new Error('there are people');
    const newer = [await this.#load.ask(ann), await this.#load.ask(ann)];
    await sleep(leftAloneMs);
    await nextBot.drain();
    const back = await this.#processes.bot(present);
    // The version of before serves its own meanwhile.
    await this.#load.untilOver(bob, await this.#load.ask(bob));
    await sleep(leftAloneMs);
    for (const { id } of newer) {
      const [state, starts, stamp] = await this.#redis.hmget(
        new Keys().job(id),
        'state',
        'starts',
        'contract',
      );
      const found = `${state}, started ${starts} times, of contract ${stamp}`;
      if (found !== `waiting, started 0 times, of contract ${contract + 1}`)
        this.violations.push(`${id} was not left alone: it is ${found}`);
    }
    this.#say('a version to come: all of it');
    await back.drain();
    const [worker, last] = await Promise.all([this.#processes.worker(next), this.#processes.bot(next)]);
    for (const video of newer) await this.#load.untilOver(ann, video);
    return [worker, last];
  }

  async judge(): Promise<void> {
    const keys = new Keys();
    const usedBy = async (userKey: string): Promise<number> => {
      const days = await this.#redis.keys(keys.used('*'));
      const used = await Promise.all(days.map(async (day) => Number(await this.#redis.hget(day, userKey))));
      return used.reduce((sum, credits) => sum + credits, 0);
    };
    let jobs = 0;
    for (const person of this.#load.people) {
      const videos = [...person.known.values()];
      let owed = 0;
      for (const video of videos) {
        await person.repeat(video);
        const told = await person.look(video);
        owed += told?.credits ?? 0;
        if (told?.status !== 'completed') this.violations.push(`${video.id} is ${told?.status}`);
        if ((await person.contentOf(video)) !== video.content)
          this.violations.push(`${video.id} is another MP4 than before`);
      }
      const listed = (await person.list()).sort().join();
      if (
        listed !==
        videos
          .map(({ id }) => id)
          .sort()
          .join()
      )
        this.violations.push(`the list of ${person.userKey} is ${listed}`);
      const paid = await usedBy(person.userKey);
      if (paid !== owed) this.violations.push(`${person.userKey} paid ${paid} instead of ${owed}`);
      this.violations.push(...person.violations);
      jobs += videos.length;
    }
    for (const chat of this.#load.chats) {
      const asked = this.#load.askedIn(chat);
      const videos = this.#load.videosIn(chat).length;
      if (videos !== asked) this.violations.push(`a chat asked ${asked} times and has ${videos} videos`);
      jobs += asked;
    }
    const endings = await this.#redis.hgetall(keys.endings);
    if (JSON.stringify(endings) !== JSON.stringify({ delivered: String(jobs) }))
      this.violations.push(`${jobs} jobs ended as ${JSON.stringify(endings)}`);
    const pending = await this.#redis.zcard(keys.pending);
    if (pending > 0) this.violations.push(`${pending} jobs wait for their answer`);
    for (const jobId of await this.#jobIds()) {
      const [settled, cost, fromDay] = await this.#redis.hmget(keys.job(jobId), 'settled', 'cost', 'fromDay');
      if (settled !== 'committed' || cost !== fromDay)
        this.violations.push(`${jobId} is ${settled}, and cost ${fromDay} instead of ${cost}`);
    }
    this.violations.push(...this.#processes.deaths);
  }
}

export interface Versions {
  readonly old: Version;
  readonly present: Version;
  readonly next: Version;
}

interface Pair {
  readonly bot: Serving;
  readonly worker: Serving;
}

async function replaceWorker(rolling: Rolling, worker: Serving, to: Version): Promise<Serving> {
  const from = worker.version.name;
  const added = await rolling.step(`a worker of ${to.name} beside that of ${from}`, async () => {
    const beside = await rolling.processes.worker(to);
    await rolling.bothMake([worker, beside]);
    return beside;
  });
  await rolling.step(`the worker of ${from} ends`, () => worker.drain());
  return added;
}

async function replaceBot(rolling: Rolling, bot: Serving, to: Version): Promise<Serving> {
  return await rolling.step(`the bot of ${to.name} in place of that of ${bot.version.name}`, async () => {
    await bot.drain();
    return await rolling.processes.bot(to);
  });
}

/** As docs/operations.md says. */
const forward = async (rolling: Rolling, { bot, worker }: Pair, to: Version): Promise<Pair> => ({
  worker: await replaceWorker(rolling, worker, to),
  bot: await replaceBot(rolling, bot, to),
});
const back = async (rolling: Rolling, { bot, worker }: Pair, to: Version): Promise<Pair> => ({
  bot: await replaceBot(rolling, bot, to),
  worker: await replaceWorker(rolling, worker, to),
});

export async function runRolling(
  { old, present, next }: Versions,
  say: (line: string) => void,
): Promise<RollingReport> {
  const { rolling, ...first } = await Rolling.start(old, say);
  try {
    await rolling.setSettings();
    rolling.load.begin();
    await rolling.step(`all of ${old.name}`, async () => {});
    const updated = await forward(rolling, first, present);
    const restored = await back(rolling, updated, old);
    const again = await forward(rolling, restored, present);
    await rolling.load.end();
    await rolling.leaveNewerAlone(present, next, again.bot);
    await rolling.judge();
    const { people, chats } = rolling.load;
    const inChats = chats.reduce((sum, chat) => sum + rolling.load.askedIn(chat), 0);
    return {
      steps: rolling.steps,
      requests: people.reduce((sum, { known }) => sum + known.size, inChats),
      unanswered: people.reduce((sum, { unanswered }) => sum + unanswered, 0),
      violations: rolling.violations,
    };
  } finally {
    await rolling.processes.stop();
  }
}
