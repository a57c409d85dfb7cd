/**
 * How a worker loses a job that it makes: it was cut off from Redis and counted as dead, and meanwhile another one took the
 * job, or its person deleted their data. What was made then is stored nowhere.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { namesOf } from '../inference/forget-entries.ts';
import type { Artifacts } from '../queue/artifacts.ts';
import type { JobFiles } from '../queue/job-files.ts';
import type { Artifact } from '../queue/jobs.ts';
import type { Keys } from '../queue/keys.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import { type Redis, untilRedisCan } from '../queue/redis.ts';
import { UncachedList } from '../queue/uncached.ts';

export class Losses {
  readonly #uncached: UncachedList;
  readonly #artifacts: Artifacts;
  readonly #worker: string;

  /** @param worker whose jobs these are */
  constructor(redis: Redis, keys: Keys, artifacts: Artifacts, worker: string) {
    this.#uncached = new UncachedList(redis, keys);
    this.#artifacts = artifacts;
    this.#worker = worker;
  }

  /**
   * How a job was lost that this worker began; undefined while it has the job.
   * @param entry undefined where the ledger has none
   */
  async of(jobId: string, entry: LedgerEntry | undefined): Promise<'taken' | 'deleted' | undefined> {
    if (entry) return entry.worker !== undefined && entry.worker !== this.#worker ? 'taken' : undefined;
    // A Redis that lost its data gets the job back from what was written down when it was accepted.
    const isKept = await this.#artifacts.accepted(jobId).then(
      (accepted) => accepted !== undefined,
      () => true,
    );
    return isKept ? undefined : 'deleted';
  }

  /** Has what this worker cached for a deleted job leave its machine: the deletion did not see it. */
  async uncache(files: JobFiles, artifact?: Artifact): Promise<void> {
    const picture = await readFile(files.image).catch(() => undefined);
    const names = namesOf({
      fileHashes: new Set(picture ? [createHash('sha256').update(picture).digest('hex')] : []),
      pictureKeys: new Set(artifact?.pictureKey === undefined ? [] : [artifact.pictureKey]),
      videoIds: new Set(artifact ? [artifact.videoId] : []),
    });
    await untilRedisCan(() => this.#uncached.add([...names]));
  }
}
