/**
 * The files of a job, in one folder named after it: the picture that came in, the request that was accepted, the video
 * that goes out, the record that says the video is complete, and the mark that says the job was answered. With request
 * and mark, a Redis that has forgotten a job neither loses its answer nor gives it twice. What reads notes throws NewerRecord
 * where a newer version wrote them. Knows no Redis, no model, and not where the folders lie.
 */
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { type FreeSpace, whatIsFull } from '../disk-space.ts';
import { KinoraError } from '../errors.ts';
import type { ByteRange, Links, Place, Storage, StoredFile, StoredFolder } from '../storage/storage.ts';
import { firstContract } from './contract.ts';
import {
  fileNames,
  isJobFileName,
  isNoteName,
  isOwnFolder,
  isTemporaryName,
  type JobFile,
  type JobFiles,
  jobFilesIn,
  noteNames,
} from './job-files.ts';
import {
  type Artifact,
  artifactSchema,
  type JobRequest,
  jobIdSchema,
  type Outcome,
  outcomeSchema,
  storedRequestSchema,
} from './jobs.ts';
import { readOfAny, readUnlessNewer, writeJson } from './stored-json.ts';
import { isUpload, Uploads } from './uploads.ts';
import { Withdrawals } from './withdrawals.ts';

/** What lies in the folder of one job. */
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
/** Of a record of any contract: whose the job is, since when. */
const ownerSchema = acceptedSchema
  .pick({ acceptedAt: true })
  .extend({ request: z.object({ userKey: z.string() }) });
/** Of a record of any contract: by what the caches name what they keep of a video. */
export const traceSchema = artifactSchema.pick({ videoId: true, pictureKey: true }).partial();
/** A request as it was accepted, and when. */
export type Accepted = z.output<typeof acceptedSchema>;
const answeredSchema = z.object({ outcome: outcomeSchema });

/** How long an answer about free space is believed. */
const freeSpaceCachedMs = 1_000;
/** What people can have of a finished job. */
export const keptFiles = ['video', 'thumbnail', 'smooth', 'loop'] as const;

/** Files of a job on this machine, until close(). */
export interface OpenFiles {
  readonly files: JobFiles;
  /** Stores a file that was written there. */
  keep(file: JobFile): Promise<void>;
  close(): Promise<void>;
}

export class Artifacts {
  readonly uploads: Uploads;
  readonly withdrawals: Withdrawals;
  readonly #storage: Storage;
  readonly #minFreeBytes: number;
  #freeSpace: { readonly checkedAt: number; readonly space: Promise<FreeSpace> } | null = null;

  /**
   * @param storage that bot and workers share
   * @param minFreeBytes free space that new pictures must leave
   */
  constructor(storage: Storage, minFreeBytes = 0) {
    this.#storage = storage;
    this.uploads = new Uploads(storage);
    this.withdrawals = new Withdrawals(storage);
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
      this.#freeSpace = { checkedAt: now, space: this.#storage.freeSpace() };
    }
    return await this.#freeSpace.space;
  }

  /** Where a job's files lie, for people. */
  location(jobId: string): string {
    return this.#storage.location(folderOf(jobId));
  }

  /** Paths of a job's files where they lie on this machine for good; undefined where they lie elsewhere. */
  inPlace(jobId: string): JobFiles | undefined {
    const path = this.#storage.pathOf?.(folderOf(jobId));
    return path === undefined ? undefined : jobFilesIn(path);
  }

  /**
   * Files of a job as files of this machine, for programs that need such.
   * @param files those of them that are read; absent ones are left out
   */
  async open(jobId: string, files: readonly JobFile[]): Promise<OpenFiles> {
    const names = files.map((file) => fileNames[file]);
    const copy = await this.#storage.checkOut(folderOf(jobId), names);
    return {
      files: jobFilesIn(copy.path),
      keep: async (file) => await copy.keep(fileNames[file]),
      close: async () => await copy.close(),
    };
  }

  /** The same for as long as `use` takes. */
  async with<T>(
    jobId: string,
    files: readonly JobFile[],
    use: (files: JobFiles, keep: OpenFiles['keep']) => Promise<T>,
  ): Promise<T> {
    const open = await this.open(jobId, files);
    try {
      return await use(open.files, open.keep);
    } finally {
      await open.close();
    }
  }

  async head(jobId: string, file: JobFile): Promise<StoredFile | undefined> {
    return await this.#storage.head(placeOf(jobId, fileNames[file]));
  }

  async stream(jobId: string, file: JobFile, range?: ByteRange): Promise<Readable | undefined> {
    return await this.#storage.stream(placeOf(jobId, fileNames[file]), range);
  }

  /** A link to a file; undefined where there are none. */
  async link(
    jobId: string,
    file: JobFile,
    as: Parameters<Links['download']>[1],
  ): Promise<string | undefined> {
    return await this.#storage.links?.download(placeOf(jobId, fileNames[file]), as);
  }

  /** May be hostile. */
  async readImage(jobId: string): Promise<Buffer | undefined> {
    return await this.#storage.read(placeOf(jobId, fileNames.image));
  }

  /**
   * Stores the picture of a job that is about to be submitted.
   * @throws KinoraError DISK_FULL when less than `minFreeBytes` would be left
   */
  async storeImage(jobId: string, image: Uint8Array, minFreeBytes = this.#minFreeBytes): Promise<void> {
    await this.#storeReceived(placeOf(jobId, fileNames.image), image, minFreeBytes);
  }

  /** Stores the mask of such a job; throws as storeImage() does. */
  async storeMask(jobId: string, mask: Uint8Array): Promise<void> {
    await this.#storeReceived(placeOf(jobId, fileNames.mask), mask, this.#minFreeBytes);
  }

  async #storeReceived(place: Place, bytes: Uint8Array, minFreeBytes: number) {
    const problem = whatIsFull(await this.#storage.freeSpace(), minFreeBytes + bytes.byteLength);
    if (problem !== undefined) throw new KinoraError('DISK_FULL', `The disk of this Kinora ${problem}.`);
    await this.#storage.put(place, bytes);
  }

  /** Gives a job the picture or the mask of an earlier one. */
  async copy(file: 'image' | 'mask', fromJobId: string, jobId: string): Promise<void> {
    if (await this.#copy(fromJobId, file, jobId, file)) return;
    throw new Error(`there is no ${file} of ${fromJobId}`);
  }

  async #copy(fromJobId: string, from: JobFile, jobId: string, to: JobFile): Promise<boolean> {
    return await this.#storage.copy(placeOf(fromJobId, fileNames[from]), placeOf(jobId, fileNames[to]));
  }

  /**
   * Gives an extension the video that it continues: that of a job, or the one that the job continues itself.
   * @throws KinoraError VIDEO_NOT_FOUND
   */
  async copyEarlier(from: 'video' | 'earlier', fromJobId: string, jobId: string): Promise<void> {
    const isKept = from === 'earlier' || (await this.readRecord(fromJobId)) !== undefined;
    const thumbnail = from === 'video' ? 'thumbnail' : 'earlierThumbnail';
    const isCopied =
      isKept &&
      (await this.#copy(fromJobId, from, jobId, 'earlier')) &&
      (await this.#copy(fromJobId, thumbnail, jobId, 'earlierThumbnail'));
    if (!isCopied) throw new KinoraError('VIDEO_NOT_FOUND', 'The video to extend is no longer kept.');
  }

  /**
   * Gives a job what its clip is made from of an earlier one's, where workers have no folder together. Nothing is given where
   * nothing is kept: a worker may know it all the same.
   */
  async copyLatents(
    from: 'latents' | 'earlierLatents',
    fromJobId: string,
    to: 'earlierLatents' | 'variedLatents',
    jobId: string,
  ): Promise<void> {
    if (!this.inPlace(jobId)) await this.#copy(fromJobId, from, jobId, to);
  }

  /** Keeps what later jobs need that are made from this one's clip; nothing in a folder that is gone. */
  async storeLatents(jobId: string, latents: Uint8Array): Promise<void> {
    if (!(await this.#storage.put(placeOf(jobId, fileNames.latents), latents, 'beside others'))) return;
    // A bucket looks first and puts then: meanwhile its person may have deleted their data.
    const { files = [] } = (await this.look(jobId)) ?? {};
    const isAlone = files.length > 0 && files.every(({ name }) => name === fileNames.latents);
    if (isAlone) await this.remove(jobId);
  }

  async readLatents(
    jobId: string,
    file: 'latents' | 'earlierLatents' | 'variedLatents',
  ): Promise<Buffer | undefined> {
    return await this.#storage.read(placeOf(jobId, fileNames[file]));
  }

  async hasImage(jobId: string): Promise<boolean> {
    return (await this.head(jobId, 'image')) !== undefined;
  }

  /** Writes down that a request was accepted, before its person hears so. */
  async storeAccepted(request: JobRequest, acceptedAt: number): Promise<void> {
    const { contract = firstContract } = request;
    await this.#storeNote(request.id, noteNames.accepted, { contract, acceptedAt, request });
  }

  /** Writes down how a job was answered, before the ledger hears so. */
  async storeAnswered(jobId: string, outcome: Outcome): Promise<void> {
    await this.#storeNote(jobId, noteNames.answered, { outcome });
  }

  /** How a job was answered; undefined while it was not. */
  async answered(jobId: string): Promise<Outcome | undefined> {
    return (await this.#readNote(jobId, noteNames.answered, answeredSchema))?.outcome;
  }

  /** The request of a job as it was accepted; undefined before, and of a folder that is gone. */
  async accepted(jobId: string): Promise<Accepted | undefined> {
    return await this.#readNote(jobId, noteNames.accepted, acceptedSchema);
  }

  /** Whose a job is, for who removes what belongs to somebody. */
  async owner(jobId: string): Promise<{ readonly userKey: string; readonly acceptedAt: number } | undefined> {
    const note = readOfAny(await this.#noteText(jobId, noteNames.accepted), ownerSchema);
    return note && { userKey: note.request.userKey, acceptedAt: note.acceptedAt };
  }

  /** What the caches keep of a video, for the same. */
  async trace(jobId: string): Promise<z.infer<typeof traceSchema> | undefined> {
    return readOfAny(await this.#noteText(jobId, noteNames.record), traceSchema);
  }

  /** The request of a job that was accepted and not answered. */
  async owed(jobId: string): Promise<Accepted | undefined> {
    if ((await this.answered(jobId)) !== undefined) return undefined;
    return await this.accepted(jobId);
  }

  /**
   * Whether the person of a job may be called to its video: once. The mark is left before the call, so that a crash behind it
   * does not make a second one; where none can be left, a second call is the smaller evil.
   */
  async takeCall(jobId: string): Promise<boolean> {
    return await this.#storage.put(placeOf(jobId, noteNames.called), '', 'absent').catch(() => true);
  }

  /** @returns false for a folder that is gone, and stays gone: its person deleted their data */
  async #storeNote(jobId: string, name: string, note: object): Promise<boolean> {
    return await this.#storage.put(placeOf(jobId, name), writeJson(note), 'beside others');
  }

  async #readNote<T>(jobId: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    return readUnlessNewer(await this.#noteText(jobId, name), schema);
  }

  async #noteText(jobId: string, name: string): Promise<string> {
    return (await this.#storage.read(placeOf(jobId, name)))?.toString() ?? '';
  }

  /** Marks the video as complete. Written last: whoever sees the record may use the video. */
  async storeRecord(jobId: string, artifact: Artifact): Promise<void> {
    if (!(await this.#storeNote(jobId, noteNames.record, artifact)))
      throw new Error('the folder of the job is gone');
  }

  /** The record of a complete video, or undefined when there is none to deliver. */
  async readRecord(jobId: string): Promise<Artifact | undefined> {
    const artifact = await this.#readNote(jobId, noteNames.record, artifactSchema);
    const bytes = artifact && (await this.head(jobId, 'video'))?.bytes;
    return bytes === artifact?.bytes ? artifact : undefined; // absent or torn: it will be made again
  }

  /** Which files of a complete video there are; none when it is not complete. */
  async kept(jobId: string): Promise<(typeof keptFiles)[number][]> {
    const folder = await this.look(jobId);
    const names = new Set(folder?.files.map(({ name }) => name));
    const hasVideo = names.has(noteNames.record) && names.has(fileNames.video);
    return hasVideo ? keptFiles.filter((file) => names.has(fileNames[file])) : [];
  }

  async remove(jobId: string): Promise<void> {
    await this.#storage.remove(folderOf(jobId));
  }

  /** Removes what Kinora has written there: what somebody put beside it stays, with the folder. */
  async removeOwn(jobId: string): Promise<void> {
    const names = (await this.look(jobId))?.files.map(({ name }) => name) ?? [];
    if (names.every(isJobFileName)) return await this.remove(jobId);
    const own = names.filter(isJobFileName);
    const notes = own.filter(isNoteName);
    // The request first: without the mark of its answer it would be answered again.
    if (notes.length > 1) await this.#storage.remove(folderOf(jobId), [noteNames.accepted]);
    // A note last: without one, what could not be removed would pass for somebody else's.
    await this.#storage.remove(
      folderOf(jobId),
      own.filter((name) => !isNoteName(name)),
    );
    await this.#storage.remove(folderOf(jobId), notes);
  }

  /** Removes what a job that failed has written, to give its space back at once; its picture stays. */
  async removeOutput(jobId: string): Promise<void> {
    await this.#storage.remove(folderOf(jobId), [fileNames.video, fileNames.thumbnail]);
    await this.removeLeftovers(jobId, Number.POSITIVE_INFINITY);
  }

  /** Removes Kinora's temporary files of a process that died while it wrote, if they were last written before `beforeMs`. */
  async removeLeftovers(jobId: string, beforeMs: number): Promise<number> {
    return await this.#storage.removeLeftovers(folderOf(jobId), isTemporaryName, beforeMs);
  }

  /** The jobs that have a folder. Whatever else lies beside them is not ours. */
  async jobIds(): Promise<string[]> {
    return (await this.#storage.folders()).filter((name) => isOwnFolder(name) && !isUpload(name));
  }

  /** Every job folder, and those of uploads, oldest first. One without a note of ours that holds anything else is somebody else's. */
  async list(): Promise<JobFolder[]> {
    const found = await this.#storage.lookAll(isOwnFolder);
    const own = found.filter(
      ({ files }) =>
        files.every(({ name }) => isJobFileName(name)) || files.some(({ name }) => isNoteName(name)),
    );
    return own.map(toJobFolder).sort((a, b) => a.modifiedMs - b.modifiedMs);
  }

  /** One job folder, or undefined when there is none. */
  async measure(jobId: string): Promise<JobFolder | undefined> {
    const folder = await this.look(jobId);
    return folder && toJobFolder(folder);
  }

  /** Every file of one job folder, or undefined when there is none. */
  async look(jobId: string): Promise<StoredFolder | undefined> {
    return await this.#storage.look(folderOf(jobId));
  }
}

/** Checked, so it can never leave the root. */
const folderOf = (jobId: string): string => jobIdSchema.parse(jobId);
const placeOf = (jobId: string, name: string): Place => ({ folder: folderOf(jobId), name });

function toJobFolder({ folder, modifiedMs, files }: StoredFolder): JobFolder {
  const names = new Set(files.map(({ name }) => name));
  const own = files.filter(({ name }) => isJobFileName(name));
  const bytes = own.reduce((sum, file) => sum + file.bytes, 0);
  const owed = names.has(noteNames.accepted) && !names.has(noteNames.answered);
  return { jobId: folder, bytes, modifiedMs, complete: names.has(noteNames.record), owed };
}
