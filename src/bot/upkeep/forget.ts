/**
 * "Delete my data": ends a person's jobs and removes their data. The wish is recorded first, so that a deletion that
 * cannot finish now (a worker is away in the middle of a job) finishes later.
 *
 * These stay, or a deletion would undo them:
 * - bans, limits set by admins (allowance, weight), and the audit trail of what admins did;
 * - the credits used today, or every deletion would give a new allowance. Redis drops them within days.
 * These expire by themselves: the picture of a refused request (housekeeping). Encodings of prompts are named by a hash of
 * their tokens and shared by everyone who wrote the same; they leave with the cache's age.
 *
 * Knows no platform: messages in a chat belong to the chat.
 */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { isKinoraError } from '../../errors.ts';
import { forgetEntries, namesOf } from '../../inference/forget-entries.ts';
import type { Logger } from '../../log.ts';
import { ApiKeys } from '../../queue/api-keys.ts';
import { type Artifacts, traceSchema } from '../../queue/artifacts.ts';
import type { JobClient } from '../../queue/client.ts';
import { deliverQueueName } from '../../queue/jobs.ts';
import { SharedLog } from '../../queue/live-log.ts';
import { generateQueues } from '../../queue/models.ts';
import { Profiles } from '../../queue/profiles.ts';
import { type Redis, redisTime, scanKeys } from '../../queue/redis.ts';
import { rewriteWithoutForgotten } from '../../queue/rewrite.ts';
import { runScript } from '../../queue/scripts.ts';
import { Sessions } from '../../queue/sessions.ts';
import { SignInLinks } from '../../queue/sign-in-links.ts';
import { readOfAny } from '../../queue/stored-json.ts';
import { UncachedList } from '../../queue/uncached.ts';
import { Webhooks, webhookQueueName } from '../../queue/webhooks.ts';
import { workerEntries } from '../../queue/worker-registry.ts';

export interface ForgetTools {
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly client: JobClient;
  readonly artifacts: Artifacts;
  /** Folder of the latent cache's disk tier on this machine; workers remove from theirs what they are told. */
  readonly cacheFolder: string;
  /** Calendar day of the allowance, as QueueTerms.day. */
  readonly day: (now: number) => string;
  /** Removes what the chats sent by the user until then (ms), also those that are switched off. */
  readonly forgetUpdates: (userKey: string, wishedAt: number) => Promise<void>;
  readonly log: Logger;
  readonly settings?: Partial<ForgetSettings>;
}

export interface ForgetSettings {
  /** How long delivering the notice of a cancellation may take; after that the job is forgotten without one. */
  readonly answerWithinMs: number;
  /** How long a running job may take to end; after that the deletion finishes later. */
  readonly endWithinMs: number;
  readonly lookEveryMs: number;
  /** An engine that was just stopped may still be writing into the cache. */
  readonly cacheSettlesMs: number;
  /** How long Redis may take to write its file anew; after that it is looked at later. */
  readonly rewriteWithinMs: number;
}

const defaultForgetSettings: ForgetSettings = {
  answerWithinMs: 5_000,
  // A cancelled job ends within ten seconds at worst.
  endWithinMs: 15_000,
  lookEveryMs: 100,
  cacheSettlesMs: 1_000,
  rewriteWithinMs: 5_000,
};

/** Counts of one call. */
export interface Forgotten {
  readonly jobs: number;
  /** Of those, how many had been waiting or running. */
  readonly cancelled: number;
  readonly folders: number;
  readonly cacheEntries: number;
  /** Days before today on which they had used credits. */
  readonly quotaDays: number;
  readonly grantedCredits: number;
  /** Jobs that did not end in time; finishForgetting() removes them later. */
  readonly unfinished: readonly string[];
}

const jobsAtOnce = 8;
/** In a bucket each takes some milliseconds. */
const readAtOnce = 32;
const scanCount = 1_000;

/**
 * Forgets everything about a user up to a time, which is Redis's own where it is left out; later requests are not touched. May be repeated, and called several
 * times at once. Takes as long as a running job of theirs takes to end, at most little more than `endWithinMs`.
 */
export async function forgetUser(userKey: string, tools: ForgetTools, time?: number): Promise<Forgotten> {
  const wishedAt = time ?? (await redisTime(tools.redis));
  await tools.redis.zadd(tools.client.keys.forgetting, 'GT', wishedAt, userKey);
  const forgotten = await new Forgetting(userKey, tools, wishedAt).run();
  if (forgotten.unfinished.length === 0) await rewriteRedisFile(tools);
  return forgotten;
}

/**
 * Continues unfinished deletions. To be called at the start and periodically.
 * @returns how many users are still not forgotten
 */
export async function finishForgetting(tools: ForgetTools): Promise<number> {
  const key = tools.client.keys.forgetting;
  const wishes = await tools.redis.zrange(key, 0, '-1', 'WITHSCORES');
  for (let i = 0; i + 1 < wishes.length; i += 2) {
    // One that fails keeps nobody else's from being finished.
    await forgetUser(wishes[i] ?? '', tools, Number(wishes[i + 1])).catch((error: unknown) => {
      tools.log.warn({ err: String(error) }, 'a deletion could not be finished; it is tried again');
    });
  }
  await rewriteRedisFile(tools);
  return await tools.redis.zcard(key);
}

async function rewriteRedisFile({ redis, client, log, settings }: ForgetTools): Promise<void> {
  const { rewriteWithinMs, lookEveryMs } = { ...defaultForgetSettings, ...settings };
  await rewriteWithoutForgotten(redis, client.keys, log, rewriteWithinMs, lookEveryMs);
}

class Forgetting {
  readonly #userKey: string;
  readonly #tools: ForgetTools;
  readonly #wishedAt: number;
  readonly #settings: ForgetSettings;
  readonly #ended = new Set<string>();
  readonly #pictureKeys = new Set<string>();
  readonly #fileHashes = new Set<string>();
  readonly #videoIds = new Set<string>();
  /** Jobs whose folders name the user. A Redis that lost its data knows nothing of them. */
  readonly #inFolders = new Set<string>();
  readonly #jobIds = new Set<string>();
  /** Names of cache entries that all machines were told to remove. */
  readonly #told = new Set<string>();
  #jobs = 0;
  #cancelled = 0;
  #folders = 0;
  #cacheEntries = 0;

  constructor(userKey: string, tools: ForgetTools, wishedAt: number) {
    this.#userKey = userKey;
    this.#tools = tools;
    this.#wishedAt = wishedAt;
    this.#settings = { ...defaultForgetSettings, ...tools.settings };
  }

  async run(): Promise<Forgotten> {
    const { answerWithinMs, endWithinMs, lookEveryMs, cacheSettlesMs } = this.#settings;
    const beganAt = performance.now();
    await this.#findFolders();
    let left = await this.#pass(false);
    while (left.length > 0 && performance.now() - beganAt < endWithinMs) {
      await sleep(lookEveryMs);
      left = await this.#pass(performance.now() - beganAt >= answerWithinMs);
    }
    if (this.#ended.size > 0) {
      await sleep(cacheSettlesMs);
      this.#told.clear();
      await this.#removeCacheEntries();
    }
    await this.#tools.artifacts.uploads.forget(this.#userKey);
    const [quotaDays, grantedCredits] = left.length === 0 ? await this.#finish() : [0, 0];
    const counts = { jobs: this.#jobs, cancelled: this.#cancelled, folders: this.#folders };
    const report = { ...counts, cacheEntries: this.#cacheEntries, quotaDays, grantedCredits };
    this.#tools.log.info({ ...report, unfinished: left.length }, 'forgetting a user');
    return { ...report, unfinished: left };
  }

  async #findFolders(): Promise<void> {
    const { artifacts, log } = this.#tools;
    const ids = await artifacts.jobIds();
    const look = async (id: string): Promise<void> => {
      const owner = await artifacts.owner(id).catch((error: unknown) => {
        if (isKinoraError(error)) throw error; // the storage is away
        log.warn({ jobId: id, err: String(error) }, 'a deletion cannot tell whose the files of a job are');
      });
      const isTheirs = owner?.userKey === this.#userKey && owner.acceptedAt <= this.#wishedAt;
      if (isTheirs) this.#inFolders.add(id);
    };
    for (let at = 0; at < ids.length; at += readAtOnce) {
      await Promise.all(ids.slice(at, at + readAtOnce).map(look));
    }
  }

  /** Ends and removes as many jobs as possible. Returns the ids of the jobs that are left. */
  async #pass(isImpatient: boolean): Promise<string[]> {
    const { redis, client } = this.#tools;
    const known = await redis.zrangebyscore(client.keys.history(this.#userKey), '-inf', this.#wishedAt);
    const ids = [...new Set([...known, ...this.#inFolders])];
    for (const id of ids) this.#jobIds.add(id);
    const workers = [...(await workerEntries(redis, client.keys)).values()];
    const held = new Set(workers.filter(({ alive }) => alive).map(({ entry }) => entry.jobId));
    const left: string[] = [];
    const removable: string[] = [];
    for (let at = 0; at < ids.length; at += jobsAtOnce) {
      await Promise.all(
        ids.slice(at, at + jobsAtOnce).map(async (id) => {
          if (!(await this.#isOver(id, isImpatient)) || held.has(id)) return void left.push(id);
          await this.#findCacheEntries(id);
          removable.push(id);
        }),
      );
    }
    if (removable.length > 0) await this.#removeCacheEntries();
    // The ledger's entries go last: until then another pass finds everything else by them.
    for (const id of removable) {
      if (!(await this.#removeJob(id))) left.push(id);
    }
    return left;
  }

  /** Ends a job that is not over. True when its answer was delivered and BullMQ has let go of it. */
  async #isOver(jobId: string, isImpatient: boolean): Promise<boolean> {
    const { redis, client } = this.#tools;
    const answer = await client.cancel(jobId, this.#userKey);
    if (answer === 'unknown') return await client.drop(jobId); // the ledger forgot it before
    if (answer === 'cancelled' || answer === 'requested') this.#ended.add(jobId);
    if (answer === 'requested') return false;
    if (!isImpatient && (await redis.hexists(client.keys.job(jobId), 'deliveredAt')) === 0) return false;
    return await client.drop(jobId);
  }

  async #findCacheEntries(jobId: string): Promise<void> {
    const { redis, artifacts, client } = this.#tools;
    const inLedger = (await redis.hget(client.keys.job(jobId), 'artifact')) ?? '';
    for (const trace of [readOfAny(inLedger, traceSchema), await artifacts.trace(jobId)]) {
      if (trace?.videoId !== undefined) this.#videoIds.add(trace.videoId);
      if (trace?.pictureKey !== undefined) this.#pictureKeys.add(trace.pictureKey);
    }
    // A job without a video left its trace in the entry of its picture's file, if it came that far.
    const picture = await artifacts.readImage(jobId);
    if (picture) this.#fileHashes.add(createHash('sha256').update(picture).digest('hex'));
  }

  async #removeCacheEntries(): Promise<void> {
    const names = namesOf({
      pictureKeys: this.#pictureKeys,
      fileHashes: this.#fileHashes,
      videoIds: this.#videoIds,
    });
    const { redis, client, cacheFolder } = this.#tools;
    const untold = [...names].filter((name) => !this.#told.has(name));
    await new UncachedList(redis, client.keys).add(untold);
    for (const name of untold) this.#told.add(name);
    this.#cacheEntries += await forgetEntries(cacheFolder, names);
  }

  async #removeJob(jobId: string): Promise<boolean> {
    const { redis, client, artifacts, log } = this.#tools;
    const { keys } = client;
    try {
      if (await artifacts.measure(jobId)) {
        await artifacts.remove(jobId);
        this.#folders++;
      }
    } catch (error) {
      log.warn(
        { jobId, err: String(error) },
        'the files of a forgotten job cannot be removed; will try again',
      );
      return false;
    }
    const state = await redis.hget(keys.job(jobId), 'state');
    await client.ledger.remove(jobId, this.#userKey);
    this.#inFolders.delete(jobId);
    this.#jobs++;
    if (state === 'cancelled' && this.#ended.has(jobId)) this.#cancelled++;
    return true;
  }

  /** Removes everything but jobs. Comes last, since a job that ends gives credits back. */
  async #finish(): Promise<[quotaDays: number, grantedCredits: number]> {
    const { redis, client, day, forgetUpdates } = this.#tools;
    const { keys } = client;
    await forgetUpdates(this.#userKey, this.#wishedAt);
    await new ApiKeys(redis, keys).revokeOf(this.#userKey, this.#wishedAt);
    await new Webhooks(redis, keys).removeOf(this.#userKey, this.#wishedAt);
    await new Sessions(redis, keys).revokeOf(this.#userKey, this.#wishedAt);
    await new SignInLinks(redis, keys).revokeOf(this.#userKey, this.#wishedAt);
    await new Profiles(redis, keys).remove(this.#userKey);
    await redis.del(keys.uploads(this.#userKey));
    const today = keys.used(day(await redisTime(redis)));
    const days: string[] = []; // the keys of those whose use of credits is removed
    for await (const names of scanKeys(redis, keys, keys.used('*'), scanCount)) {
      for (const name of names) if (name !== today) days.push(name);
    }
    await this.#clearTraces();
    const user = this.#userKey;
    const own = { cooldown: keys.cooldown(user), history: keys.history(user) };
    const forgotten = await runScript(redis, 'forget', keys, own, [user, this.#wishedAt, randomUUID()], days);
    return z.tuple([z.int(), z.int()]).parse(forgotten);
  }

  /** Their jobs' ids where other programs may have left them. */
  async #clearTraces(): Promise<void> {
    const { redis, client } = this.#tools;
    const { keys } = client;
    // BullMQ's streams of events, which nobody reads.
    for (const queue of [...(await generateQueues(redis, keys)), deliverQueueName, webhookQueueName]) {
      await redis.xtrim(`${keys.bull}:${queue}:events`, 'MAXLEN', 0);
    }
    await new SharedLog(redis, keys).removeThoseWith([this.#userKey, ...this.#jobIds]);
    for (const [id, { entry, alive }] of await workerEntries(redis, keys)) {
      const isLeftOver = !alive && entry.jobId !== null && !(await redis.exists(keys.job(entry.jobId)));
      if (isLeftOver) await redis.hdel(keys.workers, id);
    }
  }
}
