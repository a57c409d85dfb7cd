/**
 * The files of a job, in one folder named after it: the picture that came in, the request that was accepted, the video
 * that goes out, the record that says the video is complete, and the mark that says the job was answered. With request
 * and mark, a Redis that has forgotten a job neither loses its answer nor gives it twice. Knows no Redis and no model.
 */
import { access, copyFile, link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../atomic-file.ts';
import { type FreeSpace, freeSpace, isDiskFull, whatIsFull } from '../disk-space.ts';
import { KinoraError } from '../errors.ts';
import {
  type Artifact,
  artifactSchema,
  type JobRequest,
  jobIdSchema,
  type Outcome,
  outcomeSchema,
  storedRequestSchema,
} from './jobs.ts';
import { readJson } from './stored-json.ts';

export interface JobFiles {
  readonly folder: string;
  /** As it was received; may be hostile. */
  readonly image: string;
  /** A picture that shows what may move, where the request has one; may be hostile, too. */
  readonly mask: string;
  readonly video: string;
  readonly thumbnail: string;
  /** Of an extension: the video that it continues, and its thumbnail. */
  readonly earlier: string;
  readonly earlierThumbnail: string;
  /** The video smoothed or looped, once somebody asked for that. */
  readonly smooth: string;
  readonly loop: string;
}

/** What lies on the disk for one job. */
export interface JobFolder {
  readonly jobId: string;
  readonly bytes: number;
  /** When a file was last put into the folder or taken out of it. */
  readonly modifiedMs: number;
  /** Whether its video was completed. */
  readonly complete: boolean;
  /** It was accepted, and nobody has answered it. */
  readonly owed: boolean;
}

const acceptedSchema = z.object({ acceptedAt: z.number(), request: storedRequestSchema });
/** A request as it was accepted, and when. */
export type Accepted = z.output<typeof acceptedSchema>;
const answeredSchema = z.object({ outcome: outcomeSchema });

/** How long an answer about free space is believed. */
const freeSpaceCachedMs = 1_000;
/** What people can have of a finished job. */
export const keptFiles = ['video', 'thumbnail', 'smooth', 'loop'] as const;
const recordName = 'artifact.json';
const acceptedName = 'accepted.json';
const answeredName = 'answered.json';
/** Temporary names of this file, and of the video writer. */
const temporaryName = /\.(part|tmp)$|^\..*\.kinora-/;
/** Folders that are looked into at a time. */
const measuredAtOnce = 32;

export class Artifacts {
  readonly #root: string;
  readonly #minFreeBytes: number;
  #freeSpace: { readonly checkedAt: number; readonly space: Promise<FreeSpace> } | null = null;

  /**
   * @param root folder that bot and workers share
   * @param minFreeBytes free space that new pictures must leave
   */
  constructor(root: string, minFreeBytes = 0) {
    this.#root = root;
    this.#minFreeBytes = minFreeBytes;
  }

  /** True while less is free than must stay free. Cheap: asks the file system once a second at most. */
  async almostFull(): Promise<boolean> {
    return whatIsFull(await this.freeSpace(), this.#minFreeBytes) !== undefined;
  }

  /** At most a second old. */
  async freeSpace(): Promise<FreeSpace> {
    const now = performance.now();
    if (!this.#freeSpace || now - this.#freeSpace.checkedAt > freeSpaceCachedMs) {
      this.#freeSpace = { checkedAt: now, space: this.#space() };
    }
    return await this.#freeSpace.space;
  }

  async #space(): Promise<FreeSpace> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    return await freeSpace(this.#root);
  }

  /** Paths only; nothing is created. The id is checked, so it can never leave the root. */
  files(jobId: string): JobFiles {
    const folder = join(this.#root, jobIdSchema.parse(jobId));
    return {
      folder,
      image: join(folder, 'picture'),
      mask: join(folder, 'mask'),
      video: join(folder, 'video.mp4'),
      thumbnail: join(folder, 'thumbnail.jpg'),
      earlier: join(folder, 'earlier.mp4'),
      earlierThumbnail: join(folder, 'earlier.jpg'),
      smooth: join(folder, 'smooth.mp4'),
      loop: join(folder, 'loop.mp4'),
    };
  }

  /**
   * Stores the picture of a job that is about to be submitted.
   * @throws KinoraError DISK_FULL when less than `minFreeBytes` would be left
   */
  async storeImage(jobId: string, image: Uint8Array, minFreeBytes = this.#minFreeBytes): Promise<JobFiles> {
    const files = this.files(jobId);
    await this.#storeReceived(files, files.image, image, minFreeBytes);
    return files;
  }

  /** Stores the mask of such a job; throws as storeImage() does. */
  async storeMask(jobId: string, mask: Uint8Array): Promise<void> {
    const files = this.files(jobId);
    await this.#storeReceived(files, files.mask, mask, this.#minFreeBytes);
  }

  async #storeReceived({ folder }: JobFiles, file: string, bytes: Uint8Array, minFreeBytes: number) {
    const problem = whatIsFull(await this.#space(), minFreeBytes + bytes.byteLength);
    if (problem !== undefined) throw new KinoraError('DISK_FULL', `The disk of this Kinora ${problem}.`);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await this.#writeAtomically(file, bytes);
  }

  /** Gives a job the picture or the mask of an earlier one. */
  async copy(file: 'image' | 'mask', fromJobId: string, jobId: string): Promise<void> {
    const { folder, [file]: copied } = this.files(jobId);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await copyFile(this.files(fromJobId)[file], copied);
  }

  /**
   * Gives an extension the video that it continues: that of a job, or the one that the job continues itself. Both jobs share
   * the bytes where the file system can do that, since no file of a video is ever changed.
   * @throws KinoraError VIDEO_NOT_FOUND
   */
  async copyEarlier(from: 'video' | 'earlier', fromJobId: string, jobId: string): Promise<void> {
    const { folder, earlier, earlierThumbnail } = this.files(jobId);
    const source = this.files(fromJobId);
    const isKept = from === 'earlier' || (await this.readRecord(fromJobId)) !== undefined;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    try {
      if (!isKept) throw new Error('no complete video');
      await share(source[from], earlier);
      await share(from === 'video' ? source.thumbnail : source.earlierThumbnail, earlierThumbnail);
    } catch (cause) {
      if (isDiskFull(cause))
        throw new KinoraError('DISK_FULL', 'The disk of this Kinora is full.', { cause });
      throw new KinoraError('VIDEO_NOT_FOUND', 'The video to extend is no longer kept.', { cause });
    }
  }

  async hasImage(jobId: string): Promise<boolean> {
    return await access(this.files(jobId).image).then(
      () => true,
      () => false,
    );
  }

  /** Writes down that a request was accepted, before its person hears so. */
  async storeAccepted(request: JobRequest, acceptedAt: number): Promise<void> {
    await this.#storeNote(request.id, acceptedName, { acceptedAt, request });
  }

  /** Writes down how a job was answered, before the ledger hears so. */
  async storeAnswered(jobId: string, outcome: Outcome): Promise<void> {
    await this.#storeNote(jobId, answeredName, { outcome });
  }

  /** How a job was answered; undefined while it was not. */
  async answered(jobId: string): Promise<Outcome | undefined> {
    return (await this.#readNote(jobId, answeredName, answeredSchema))?.outcome;
  }

  /** The request of a job as it was accepted; undefined before, and of a folder that is gone. */
  async accepted(jobId: string): Promise<Accepted | undefined> {
    return await this.#readNote(jobId, acceptedName, acceptedSchema);
  }

  /** The request of a job that was accepted and not answered. */
  async owed(jobId: string): Promise<Accepted | undefined> {
    if ((await this.answered(jobId)) !== undefined) return undefined;
    return await this.accepted(jobId);
  }

  /** A folder that is gone stays gone: its person deleted their data. */
  async #storeNote(jobId: string, name: string, note: unknown): Promise<void> {
    const { folder } = this.files(jobId);
    try {
      await this.#writeAtomically(join(folder, name), JSON.stringify(note));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }

  async #readNote<T>(jobId: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const text = await readFile(join(this.files(jobId).folder, name), 'utf8').catch(() => '');
    return readJson(text, schema);
  }

  /** Marks the video as complete. Written last: whoever sees the record may use the video. */
  async storeRecord(jobId: string, artifact: Artifact): Promise<void> {
    await this.#writeAtomically(join(this.files(jobId).folder, recordName), JSON.stringify(artifact));
  }

  /** The record of a complete video, or undefined when there is none to deliver. */
  async readRecord(jobId: string): Promise<Artifact | undefined> {
    const artifact = await this.#readNote(jobId, recordName, artifactSchema);
    const size = artifact && (await stat(this.files(jobId).video).catch(() => undefined))?.size;
    return size === artifact?.bytes ? artifact : undefined; // absent or torn: it will be made again
  }

  /** Which files of a complete video there are; none when it is not complete. */
  async kept(jobId: string): Promise<(typeof keptFiles)[number][]> {
    const files = this.files(jobId);
    const names = new Set(await readdir(files.folder).catch(() => []));
    const hasVideo = names.has(recordName) && names.has(basename(files.video));
    return hasVideo ? keptFiles.filter((file) => names.has(basename(files[file]))) : [];
  }

  async remove(jobId: string): Promise<void> {
    await rm(this.files(jobId).folder, { recursive: true, force: true });
  }

  /** Removes what a job that failed has written, to give its space back at once; its picture stays. */
  async removeOutput(jobId: string): Promise<void> {
    const { video, thumbnail } = this.files(jobId);
    await Promise.all([video, thumbnail].map((file) => rm(file, { force: true })));
    await this.removeLeftovers(jobId, Number.POSITIVE_INFINITY);
  }

  /** Removes temporary files of a process that died while it wrote, if they were last written before `beforeMs`. */
  async removeLeftovers(jobId: string, beforeMs: number): Promise<number> {
    const { folder } = this.files(jobId);
    let removed = 0;
    for (const name of await readdir(folder).catch(() => [])) {
      if (!temporaryName.test(name)) continue;
      const file = join(folder, name);
      const entry = await stat(file).catch(() => undefined);
      if (!entry || entry.mtimeMs >= beforeMs) continue;
      await rm(file, { force: true });
      removed++;
    }
    return removed;
  }

  /** The jobs that have a folder. Whatever else lies beside them is not ours. */
  async jobIds(): Promise<string[]> {
    const names = await readdir(this.#root).catch(() => []);
    return names.filter((name) => jobIdSchema.safeParse(name).success);
  }

  /** Every job folder, oldest first. */
  async list(): Promise<JobFolder[]> {
    const jobIds = await this.jobIds();
    const found: JobFolder[] = [];
    for (let at = 0; at < jobIds.length; at += measuredAtOnce) {
      const batch = await Promise.all(jobIds.slice(at, at + measuredAtOnce).map((id) => this.measure(id)));
      found.push(...batch.filter((folder) => folder !== undefined));
    }
    return found.sort((a, b) => a.modifiedMs - b.modifiedMs);
  }

  /** One job folder, or undefined when there is none. */
  async measure(jobId: string): Promise<JobFolder | undefined> {
    const { folder } = this.files(jobId);
    try {
      let bytes = 0;
      const names = await readdir(folder);
      for (const name of names) bytes += (await stat(join(folder, name))).size;
      const { mtimeMs: modifiedMs } = await stat(folder);
      const owed = names.includes(acceptedName) && !names.includes(answeredName);
      return { jobId, bytes, modifiedMs, complete: names.includes(recordName), owed };
    } catch {
      return undefined; // removed meanwhile
    }
  }

  async #writeAtomically(path: string, data: string | Uint8Array): Promise<void> {
    const write = (temporary: string) => writeFile(temporary, data, { mode: 0o600, flush: true });
    try {
      await replaceFile(path, write, `${path}.${process.pid}.part`);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      throw new KinoraError('DISK_FULL', 'The disk of this Kinora is full.', { cause: error });
    }
  }
}

/** One file under both names; a copy where the file system knows no links. Another name that is there already is replaced. */
async function share(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  await link(from, to).catch(async () => await copyFile(from, to));
}
