/**
 * Where workers share a bucket and no folder, the latents of a clip lie with its job as well: a variation or an extension is
 * taken by any worker, and most have not made the clip. They are stored behind the answer, and fetched before a job that
 * needs them and does not find them in the cache of its machine. Knows no session and no model.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { replaceFile } from '../atomic-file.ts';
import { LatentCache } from '../inference/latent-cache.ts';
import { isThere } from '../is-there.ts';
import type { Logger } from '../log.ts';
import type { Artifacts } from '../queue/artifacts.ts';
import type { Artifact } from '../queue/jobs.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import type { Generate } from './worker.ts';

/** The engine writes its cache behind the result. */
const writtenWithinMs = 10_000;
const lookEveryMs = 100;

export class TravellingLatents {
  readonly #artifacts: Artifacts;
  readonly #folder: string;
  readonly #log: Logger;
  readonly #storing = new Set<Promise<void>>();

  /** @param folder of the disk tier of the latent cache */
  constructor(artifacts: Artifacts, folder: string, log: Logger) {
    this.#artifacts = artifacts;
    this.#folder = folder;
    this.#log = log;
  }

  /** Fetches what a job needs before it is made. A storage that does not answer has the job wait. */
  before(generate: Generate): Generate {
    return async (entry, files, hooks) => {
      const { extension, variation } = entry.request.generation;
      if (extension) await this.#fetch(entry, 'earlierLatents', extension.videoId);
      if (variation) await this.#fetch(entry, 'variedLatents', variation.videoId);
      return await generate(entry, files, hooks);
    };
  }

  async #fetch(
    { id, request: { madeFrom } }: LedgerEntry,
    file: 'earlierLatents' | 'variedLatents',
    videoId: string,
  ): Promise<void> {
    const name = LatentCache.key('video', videoId);
    if (this.#artifacts.inPlace(id) || (await isThere(path.join(this.#folder, name)))) return;
    const latents =
      (await this.#artifacts.readLatents(id, file)) ??
      // Asked for before they were stored. Those of another clip count as none, by the name inside.
      (madeFrom && (await this.#artifacts.readLatents(madeFrom.jobId, 'latents')));
    if (!latents) return; // as if the video was no longer kept
    const temporary = path.join(this.#folder, `.${name}.${randomUUID()}.part`);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const write = () => writeFile(temporary, latents, { flag: 'wx', mode: 0o600 });
    await replaceFile(path.join(this.#folder, name), write, temporary);
  }

  /** Stores the latents of a clip that was made, in the background. */
  store(jobId: string, { videoId }: Artifact): void {
    if (this.#artifacts.inPlace(jobId)) return;
    const storing = this.#store(jobId, videoId)
      .catch((error: unknown) => {
        this.#log.warn({ jobId, err: String(error) }, 'the latents of a video could not be stored');
      })
      .finally(() => this.#storing.delete(storing));
    this.#storing.add(storing);
  }

  async #store(jobId: string, videoId: string): Promise<void> {
    const file = path.join(this.#folder, LatentCache.key('video', videoId));
    const until = performance.now() + writtenWithinMs;
    while (!(await isThere(file))) {
      if (performance.now() > until) return; // there is no disk tier, or its disk is full
      await sleep(lookEveryMs);
    }
    await this.#artifacts.storeLatents(jobId, await readFile(file));
  }

  /** Settles when all are stored, or cannot be. */
  async settle(): Promise<void> {
    await Promise.all(this.#storing);
  }
}
