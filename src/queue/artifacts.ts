/**
 * The files of a job, in one folder named after it: the picture that came in, the video that goes out, and the record
 * that says the video is complete. Knows no Redis and no model.
 */
import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KinoraError } from '../errors.ts';
import { type Artifact, artifactSchema, jobIdSchema } from './jobs.ts';

export interface JobFiles {
  readonly folder: string;
  /** As it was received; may be hostile. */
  readonly image: string;
  readonly video: string;
  readonly thumbnail: string;
}

export class Artifacts {
  readonly #root: string;

  /** @param root folder that bot and workers share */
  constructor(root: string) {
    this.#root = root;
  }

  /** Paths only; nothing is created. The id is checked, so it can never leave the root. */
  files(jobId: string): JobFiles {
    const folder = join(this.#root, jobIdSchema.parse(jobId));
    return {
      folder,
      image: join(folder, 'picture'),
      video: join(folder, 'video.mp4'),
      thumbnail: join(folder, 'thumbnail.jpg'),
    };
  }

  /**
   * Stores the picture of a job that is about to be submitted.
   * @throws KinoraError DISK_FULL when less than `minFreeBytes` would be left
   */
  async storeImage(jobId: string, image: Uint8Array, minFreeBytes: number): Promise<JobFiles> {
    const files = this.files(jobId);
    await mkdir(files.folder, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(this.#root);
    if (bavail * bsize - image.byteLength < minFreeBytes) {
      await this.remove(jobId);
      throw new KinoraError(
        'DISK_FULL',
        'The disk of this Kinora is almost full, so it takes no new pictures.',
      );
    }
    await this.#writeAtomically(files.image, image);
    return files;
  }

  /** Marks the video as complete. Written last: whoever sees the record may use the video. */
  async storeRecord(jobId: string, artifact: Artifact): Promise<void> {
    await this.#writeAtomically(join(this.files(jobId).folder, 'artifact.json'), JSON.stringify(artifact));
  }

  /** The record of a complete video, or undefined when there is none to deliver. */
  async readRecord(jobId: string): Promise<Artifact | undefined> {
    const files = this.files(jobId);
    try {
      const artifact = artifactSchema.parse(
        JSON.parse(await readFile(join(files.folder, 'artifact.json'), 'utf8')),
      );
      const { size } = await stat(files.video);
      return size === artifact.bytes ? artifact : undefined;
    } catch {
      return undefined; // absent or torn: it will be made again
    }
  }

  async remove(jobId: string): Promise<void> {
    await rm(this.files(jobId).folder, { recursive: true, force: true });
  }

  /** Every job folder with its size and age, oldest first. */
  async list(): Promise<{ jobId: string; bytes: number; modifiedMs: number }[]> {
    const names = await readdir(this.#root).catch(() => []);
    const found = await Promise.all(
      names.filter((name) => jobIdSchema.safeParse(name).success).map((name) => this.#measure(name)),
    );
    return found.filter((entry) => entry !== undefined).sort((a, b) => a.modifiedMs - b.modifiedMs);
  }

  async #measure(jobId: string): Promise<{ jobId: string; bytes: number; modifiedMs: number } | undefined> {
    const { folder } = this.files(jobId);
    try {
      let bytes = 0;
      for (const name of await readdir(folder)) bytes += (await stat(join(folder, name))).size;
      return { jobId, bytes, modifiedMs: (await stat(folder)).mtimeMs };
    } catch {
      return undefined; // removed meanwhile
    }
  }

  async #writeAtomically(path: string, data: string | Uint8Array): Promise<void> {
    const temporary = `${path}.${process.pid}.part`;
    try {
      await writeFile(temporary, data, { mode: 0o600, flush: true });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') {
        throw new KinoraError('DISK_FULL', 'The disk of this Kinora is full.', { cause: error });
      }
      throw error;
    }
  }
}
