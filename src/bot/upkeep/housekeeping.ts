/**
 * Keeps the folders of jobs within their retention and their disk budget, and removes history entries without a job.
 * Jobs that wait for their answer are never touched. Several bots may do this at once. Knows no platform and no model;
 * the latent cache keeps its own budget.
 */
import type { Logger } from '../../log.ts';
import type { Artifacts, JobFolder } from '../../queue/artifacts.ts';
import type { Keys } from '../../queue/keys.ts';
import { Ledger } from '../../queue/ledger.ts';
import { type Redis, redisTime, scanKeys } from '../../queue/redis.ts';
import { isUpload } from '../../queue/uploads.ts';
import { Periodic } from './periodic.ts';

export interface HousekeepingSettings {
  readonly everyMs: number;
  /** How long a delivered video stays, and the buttons under it work. The ledger keeps its entry as long. */
  readonly retentionMs: number;
  /** Bytes that all job folders may take, without those of uploads; the oldest delivered ones go first. */
  readonly budgetBytes: number;
  /** How long the picture of a job without a delivered video stays, for another attempt. */
  readonly failedRetentionMs: number;
  /** Age at which a folder without a job is removed: its request was refused, or is about to be submitted. */
  readonly orphanMs: number;
  /** The same when the disk is almost full. */
  readonly orphanWhenFullMs: number;
  /** Age at which a picture is removed that somebody put into the storage by a link, and did not use. */
  readonly uploadMs: number;
  /** Age of the last write at which a temporary file is removed. */
  readonly leftoverMs: number;
}

const defaultHousekeepingSettings: HousekeepingSettings = {
  everyMs: 300_000,
  retentionMs: 30 * 86_400_000,
  budgetBytes: 20 * 1024 ** 3,
  failedRetentionMs: 86_400_000,
  orphanMs: 86_400_000,
  orphanWhenFullMs: 3_600_000,
  uploadMs: 3_600_000,
  leftoverMs: 3_600_000,
};

export interface Housekept {
  readonly folders: number;
  readonly bytes: number;
  readonly leftovers: number;
}

const batchSize = 500;
const scanCount = 1_000;
/** A job may be answered long after its request; its history entry stays until then. */
const historySlackMs = 7 * 86_400_000;

/** Order of removal over the budget: folders without a video, then videos, and never a job that waits for its answer. */
const worths = { none: 0, video: 1, owed: 2 } as const;

/** A folder, with the state of its job in the ledger. */
interface Kept extends JobFolder {
  /** Time from which it may be removed. */
  readonly until: number;
  readonly worth: keyof typeof worths;
  /** Folders of the same worth are removed oldest first. */
  readonly since: number;
  readonly running: boolean;
  readonly deletedBy: string | undefined;
}

/** Fields of a job in the ledger. */
interface Known {
  readonly running: boolean;
  readonly deliveredAt: number | undefined;
  /** It was delivered. */
  readonly hasVideo: boolean;
  /** It was made; where no chat took it, its person finds it on the page. */
  readonly isMade: boolean;
  /** The person who deleted it, and whose it was: its files could not be removed then. */
  readonly deletedBy: string | undefined;
}

export class Housekeeper {
  readonly #redis: Redis;
  readonly #keys: Keys;
  readonly #artifacts: Artifacts;
  readonly #log: Logger;
  readonly #settings: HousekeepingSettings;
  readonly #periodic: Periodic;
  /** Folders that could not be cleared in the turn before, and in this one: each is said once. */
  #stuck: ReadonlySet<string> = new Set();
  #stuckNow = new Set<string>();

  /** @param redis a fail-fast connection: without the ledger nothing is removed */
  constructor(
    redis: Redis,
    keys: Keys,
    artifacts: Artifacts,
    log: Logger,
    settings: Partial<HousekeepingSettings> = {},
  ) {
    this.#redis = redis;
    this.#keys = keys;
    this.#artifacts = artifacts;
    this.#log = log;
    this.#settings = { ...defaultHousekeepingSettings, ...settings };
    this.#periodic = new Periodic(
      () => this.run(),
      this.#settings.everyMs,
      (error) => log.warn({ err: String(error) }, 'housekeeping failed; will try again'),
    );
  }

  /** Looks at once, then periodically until stop(). */
  start(): void {
    this.#periodic.start();
  }

  async stop(): Promise<void> {
    await this.#periodic.stop();
  }

  /** @param time the earlier of Redis's time and this machine's where it is left out: a wrong clock removes nothing early */
  async run(time?: number): Promise<Housekept> {
    const now = time ?? Math.min(Date.now(), await redisTime(this.#redis));
    const folders = await this.#judge(await this.#artifacts.list(), now);
    this.#stuck = this.#stuckNow;
    this.#stuckNow = new Set();
    let removed = 0;
    let bytes = 0;
    for (const folder of this.#surplus(folders, now)) {
      if (!(await this.#remove(folder))) continue;
      removed++;
      bytes += folder.bytes;
    }
    let leftovers = 0;
    for (const { jobId, running } of folders) {
      if (running) continue; // its encoder may wait for the next frame for hours
      const before = now - this.#settings.leftoverMs;
      leftovers += (await this.#clear(jobId, () => this.#artifacts.removeLeftovers(jobId, before))) ?? 0;
    }
    await this.#forgetHistories(now);
    const report: Housekept = { folders: removed, bytes, leftovers };
    if (removed + leftovers > 0) this.#log.info(report, 'housekeeping');
    return report;
  }

  /** Adds to each folder how long it is worth keeping. */
  async #judge(folders: readonly JobFolder[], now: number): Promise<Kept[]> {
    const full = await this.#artifacts.almostFull();
    const kept: Kept[] = [];
    for (let at = 0; at < folders.length; at += batchSize) {
      const batch = folders.slice(at, at + batchSize);
      const known = await this.#known(batch.map(({ jobId }) => jobId));
      for (const [index, folder] of batch.entries()) {
        kept.push({
          ...folder,
          ...this.#worth(folder, known[index], full, now),
          running: known[index]?.running ?? false,
          deletedBy: known[index]?.deletedBy,
        });
      }
    }
    return kept;
  }

  #worth(
    folder: JobFolder,
    known: Known | undefined,
    full: boolean,
    now: number,
  ): Pick<Kept, 'until' | 'worth' | 'since'> {
    const { retentionMs, failedRetentionMs, orphanMs, orphanWhenFullMs, uploadMs } = this.#settings;
    if (known) {
      const { deliveredAt } = known;
      const hasVideo = known.hasVideo || (known.isMade && folder.complete);
      if (deliveredAt === undefined) return { until: Number.POSITIVE_INFINITY, worth: 'owed', since: now };
      if (known.deletedBy !== undefined) return { until: now, worth: 'none', since: deliveredAt };
      if (hasVideo) return { until: deliveredAt + retentionMs, worth: 'video', since: deliveredAt };
      return { until: full ? now : deliveredAt + failedRetentionMs, worth: 'none', since: deliveredAt };
    }
    // Its retention ended, or this is another ledger, whose videos keep their time.
    const since = folder.modifiedMs;
    if (isUpload(folder.jobId)) return { until: since + uploadMs, worth: 'none', since };
    // The reconciler brings it back into the ledger, and ends it when it is too old.
    if (folder.owed) return { until: since + retentionMs, worth: 'owed', since };
    if (folder.complete) return { until: since + retentionMs, worth: 'video', since };
    return { until: since + (full ? orphanWhenFullMs : orphanMs), worth: 'none', since };
  }

  async #known(jobIds: readonly string[]): Promise<(Known | undefined)[]> {
    const batch = this.#redis.pipeline();
    for (const jobId of jobIds) {
      batch.hmget(this.#keys.job(jobId), 'state', 'deliveredAt', 'outcome', 'discardedAt', 'user');
    }
    const replies = (await batch.exec()) ?? [];
    return jobIds.map((_, index) => {
      const [error, value] = replies[index] ?? [new Error('no reply')];
      if (error) throw error;
      const [state, deliveredAt, outcome, discardedAt, user] = value as (string | null)[];
      if (typeof state !== 'string') return undefined;
      return {
        running: state === 'running',
        deliveredAt: typeof deliveredAt === 'string' ? Number(deliveredAt) : undefined,
        hasVideo: outcome === 'delivered',
        isMade: state === 'generated',
        deletedBy: typeof discardedAt === 'string' ? (user ?? undefined) : undefined,
      };
    });
  }

  /** Folders past their time, then those over the budget. What somebody uploads pushes out nobody's video. */
  #surplus(folders: readonly Kept[], now: number): Kept[] {
    const surplus = folders.filter(({ until }) => until <= now);
    const rest = folders
      .filter(({ until, jobId }) => until > now && !isUpload(jobId))
      .sort((a, b) => worths[a.worth] - worths[b.worth] || a.since - b.since);
    let total = rest.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const folder of rest) {
      if (total <= this.#settings.budgetBytes) break;
      const young = now - folder.modifiedMs < this.#settings.orphanWhenFullMs;
      if (folder.worth === 'owed' || (folder.worth === 'none' && young)) continue; // its request may be about to be submitted
      surplus.push(folder);
      total -= folder.bytes;
    }
    return surplus;
  }

  /** A folder that has changed meanwhile stays: the same request may just have been submitted again. */
  async #remove(folder: Kept): Promise<boolean> {
    const present = await this.#artifacts.measure(folder.jobId);
    if (!present || present.modifiedMs !== folder.modifiedMs) return false;
    const [known] = await this.#known([folder.jobId]);
    if (known && known.deliveredAt === undefined) return false;
    const isRemoved = await this.#clear(folder.jobId, async () => {
      await this.#artifacts.removeOwn(folder.jobId);
      return true;
    });
    if (isRemoved && folder.deletedBy !== undefined) {
      await new Ledger(this.#redis, this.#keys).remove(folder.jobId, folder.deletedBy);
    }
    return isRemoved ?? false;
  }

  /** One folder from which nothing can be removed keeps no other from it; the next turn tries it again. */
  async #clear<T>(jobId: string, clear: () => Promise<T>): Promise<T | undefined> {
    try {
      return await clear();
    } catch (error) {
      const isNew = !this.#stuck.has(jobId) && !this.#stuckNow.has(jobId);
      this.#stuckNow.add(jobId);
      if (isNew) this.#log.warn({ jobId, err: String(error) }, 'the files of a job cannot be removed now');
      return undefined;
    }
  }

  /** Entries of the ledger expire by themselves; the list of a person's jobs does not. */
  async #forgetHistories(now: number): Promise<void> {
    const oldest = now - this.#settings.retentionMs - historySlackMs;
    const match = this.#keys.history('*');
    for await (const names of scanKeys(this.#redis, this.#keys, match, scanCount)) {
      const batch = this.#redis.pipeline();
      for (const name of names) batch.zremrangebyscore(name, '-inf', oldest);
      await batch.exec();
    }
  }
}
