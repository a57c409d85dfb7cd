/**
 * "Delete my data": ends a person's jobs and removes what is kept about them. The wish itself is written down first,
 * so that one which cannot come true at once (a worker is away in the middle of their job) comes true later.
 *
 * What stays, because nobody shall be able to wash it off by deleting it:
 * - bans, and what admins set for them (allowance, weight) or did (the audit trail);
 * - how many credits they used today, or a new allowance would be one deletion away. Redis drops it within days.
 * What passes by itself: a cool-down, their place in virtual time (gone when the queue is idle), a picture whose
 * request was refused (housekeeping), and what workers have in memory, which is never written anywhere. Encodings of
 * prompts are named by a hash of the text and belong to everybody who wrote the same; they leave with the cache's age.
 *
 * Knows no platform: what was posted into a chat belongs to the chat.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LatentCache, readEntry } from '../../inference/latent-cache.ts';
import { decodeImage, imageKey } from '../../inference/pictures/decode.ts';
import { pictureKeyIn } from '../../inference/pictures/known-picture.ts';
import type { Logger } from '../../log.ts';
import type { Artifacts } from '../../queue/artifacts.ts';
import type { JobClient } from '../../queue/client.ts';
import { runScript } from '../../queue/scripts.ts';

export interface ForgetTools {
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly client: JobClient;
  readonly artifacts: Artifacts;
  /** Folder of the latent cache's disk tier. */
  readonly cacheFolder: string;
  /** Calendar day of the allowance, as QueueTerms.day. */
  readonly day: (now: number) => string;
  readonly log: Logger;
  readonly settings?: Partial<ForgetSettings>;
}

export interface ForgetSettings {
  /** How long a cancelled job may take to tell its person so, before it is forgotten without a word. */
  readonly answerWithinMs: number;
  /** How long a running job may take to end; after that the rest is left for later. */
  readonly endWithinMs: number;
  readonly lookEveryMs: number;
  /** An engine that was just stopped may still be writing into the cache. */
  readonly cacheSettlesMs: number;
}

export const defaultForgetSettings: ForgetSettings = {
  answerWithinMs: 5_000,
  // The promise is that a running job ends within ten seconds at worst.
  endWithinMs: 15_000,
  lookEveryMs: 100,
  cacheSettlesMs: 1_000,
};

/** What was removed by one call. */
export interface Forgotten {
  readonly jobs: number;
  /** Of those, how many had been waiting or running. */
  readonly cancelled: number;
  readonly folders: number;
  readonly cacheEntries: number;
  /** Days before today on which they had used credits. */
  readonly quotaDays: number;
  readonly grantedCredits: number;
  /** Jobs that could not be ended in time; finishForgetting() removes them, and the rest, later. */
  readonly unfinished: readonly string[];
}

const jobsAtOnce = 8;
const isFileEntry = (name: string): boolean => name.startsWith('file-');
/** Far more than one takes. */
const fileEntryBytes = 65_536;
const scanCount = 1_000;

/**
 * Forgets everything about a user up to `wishedAt`; what they ask for afterwards is theirs again. May be repeated, and
 * called by several at once. Takes as long as a running job of theirs takes to end, at most `endWithinMs` and a little.
 */
export async function forgetUser(
  userKey: string,
  tools: ForgetTools,
  wishedAt = Date.now(),
): Promise<Forgotten> {
  await tools.redis.zadd(tools.client.keys.forgetting, 'GT', wishedAt, userKey);
  return await new Forgetting(userKey, tools, wishedAt).run();
}

/**
 * Tries again what could not be finished before. To be called at the start and every now and then.
 * @returns how many users are still not forgotten
 */
export async function finishForgetting(tools: ForgetTools): Promise<number> {
  const key = tools.client.keys.forgetting;
  const wishes = await tools.redis.zrange(key, 0, '-1', 'WITHSCORES');
  for (let i = 0; i + 1 < wishes.length; i += 2) {
    await forgetUser(wishes[i] ?? '', tools, Number(wishes[i + 1]));
  }
  return await tools.redis.zcard(key);
}

class Forgetting {
  readonly #userKey: string;
  readonly #tools: ForgetTools;
  readonly #wishedAt: number;
  readonly #settings: ForgetSettings;
  readonly #ended = new Set<string>();
  /** What the names of cache entries begin with that were made from their pictures, or from their videos. */
  readonly #entryPrefixes = new Set<string>();
  /** What an entry of a file tells of, as the prefix of that picture's entries. Entries never change. */
  readonly #pictureOfFile = new Map<string, string | undefined>();
  /** Hashes of files whose pictures are known: many jobs have the same. */
  readonly #seenFiles = new Set<string>();
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
    let left = await this.#pass(false);
    while (left.length > 0 && performance.now() - beganAt < endWithinMs) {
      await sleep(lookEveryMs);
      left = await this.#pass(performance.now() - beganAt >= answerWithinMs);
    }
    if (this.#ended.size > 0) {
      await sleep(cacheSettlesMs);
      await this.#removeCacheEntries();
    }
    const [quotaDays, grantedCredits] = left.length === 0 ? await this.#finish() : [0, 0];
    const counts = { jobs: this.#jobs, cancelled: this.#cancelled, folders: this.#folders };
    const report = { ...counts, cacheEntries: this.#cacheEntries, quotaDays, grantedCredits };
    this.#tools.log.info({ ...report, unfinished: left.length }, 'forgetting a user');
    return { ...report, unfinished: left };
  }

  /** Ends and removes whatever can be. Returns the ids of the jobs that are left. */
  async #pass(isImpatient: boolean): Promise<string[]> {
    const { redis, client } = this.#tools;
    const ids = await redis.zrangebyscore(client.keys.history(this.#userKey), '-inf', this.#wishedAt);
    const left: string[] = [];
    for (let at = 0; at < ids.length; at += jobsAtOnce) {
      const batch = ids.slice(at, at + jobsAtOnce);
      const over = await Promise.all(batch.map((id) => this.#isOver(id, isImpatient)));
      left.push(...batch.filter((_, index) => !over[index]));
      const removable = batch.filter((_, index) => over[index]);
      // The ledger's entry goes last: until then another pass finds the rest by it.
      await Promise.all(removable.map((id) => this.#findCacheEntries(id)));
      if (removable.length > 0) await this.#removeCacheEntries();
      for (const id of removable) {
        if (!(await this.#removeJob(id))) left.push(id);
      }
    }
    return left;
  }

  /** Ends a job that is not over. True when nobody works on it any more and its person has had their answer. */
  async #isOver(jobId: string, isImpatient: boolean): Promise<boolean> {
    const { redis, client } = this.#tools;
    const answer = await client.cancel(jobId, this.#userKey);
    if (answer === 'unknown') return true; // the ledger forgot it before
    if (answer === 'cancelled' || answer === 'requested') this.#ended.add(jobId);
    if (answer === 'requested') return false;
    return isImpatient || (await redis.hexists(client.keys.job(jobId), 'deliveredAt')) === 1;
  }

  async #findCacheEntries(jobId: string): Promise<void> {
    const { artifacts, client } = this.#tools;
    const entry = await client.ledger.read(jobId).catch(() => undefined); // of a version that we do not understand
    for (const artifact of [entry?.artifact, await artifacts.readRecord(jobId)]) {
      if (artifact) this.#entryPrefixes.add(LatentCache.key('video', artifact.videoId));
    }
    const known = entry?.request.imageKey;
    if (known !== undefined) this.#entryPrefixes.add(LatentCache.picturePrefix(known));
    try {
      const bytes = await readFile(artifacts.files(jobId).image);
      const hash = createHash('sha256').update(bytes).digest('hex');
      if (this.#seenFiles.has(hash)) return;
      this.#entryPrefixes.add(LatentCache.filePrefix(hash));
      this.#entryPrefixes.add(LatentCache.picturePrefix(imageKey(await decodeImage(bytes))));
      this.#seenFiles.add(hash);
    } catch {
      // Removed before, or not a picture: nothing was ever computed from it.
    }
  }

  async #removeCacheEntries(): Promise<void> {
    const prefixes = [...this.#entryPrefixes];
    const names = await readdir(this.#tools.cacheFolder).catch(() => []);
    for (const name of names) {
      const isTheirs = prefixes.some((prefix) => name.startsWith(prefix));
      // The job's file may be gone, but not what the cache knows of it.
      if (!isTheirs && !this.#entryPrefixes.has((await this.#pictureOf(name)) ?? '')) continue;
      await rm(join(this.#tools.cacheFolder, name), { force: true });
      this.#cacheEntries++;
    }
  }

  /** Of an entry that tells which picture a file shows. */
  async #pictureOf(name: string): Promise<string | undefined> {
    if (!isFileEntry(name)) return undefined;
    if (!this.#pictureOfFile.has(name)) {
      const entry = await readEntry(this.#tools.cacheFolder, name, fileEntryBytes).catch(() => undefined);
      const key = entry && pictureKeyIn(entry);
      this.#pictureOfFile.set(name, key === undefined ? undefined : LatentCache.picturePrefix(key));
    }
    return this.#pictureOfFile.get(name);
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
    await redis
      .multi()
      .del(keys.job(jobId))
      .zrem(keys.pending, jobId)
      .zrem(keys.history(this.#userKey), jobId)
      .exec();
    this.#jobs++;
    if (state === 'cancelled' && this.#ended.has(jobId)) this.#cancelled++;
    return true;
  }

  /** What is not a job. Last, since a job that ends gives credits back. */
  async #finish(): Promise<[quotaDays: number, grantedCredits: number]> {
    const { redis, client, day } = this.#tools;
    const { keys } = client;
    const today = keys.used(day(Date.now()));
    const days: string[] = [];
    for await (const names of redis.scanStream({ match: keys.used('*'), count: scanCount })) {
      for (const name of names as string[]) if (name !== today) days.push(name.slice(keys.used('').length));
    }
    const forgotten = await runScript(redis, 'forget', keys.prefix, this.#userKey, this.#wishedAt, ...days);
    return z.tuple([z.int(), z.int()]).parse(forgotten);
  }
}
