/**
 * Where the files of jobs lie for good: one interface, with a folder of this machine or a bucket of an S3-compatible
 * service behind it. Every file has a folder and a name, both of letters, digits, ".", "_" and "-". A file appears whole or
 * not at all, and is never changed afterwards, only replaced. Knows no job.
 */
import type { Readable } from 'node:stream';
import type { FreeSpace } from '../disk-space.ts';

export interface StoredFile {
  readonly name: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

export interface StoredFolder {
  readonly folder: string;
  /** When a file was last put into it. */
  readonly modifiedMs: number;
  readonly files: readonly StoredFile[];
}

export interface Place {
  readonly folder: string;
  readonly name: string;
}

/** First and last byte, both included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** When a file is put: always, only where there is none of its name, or only beside others. */
export type PutWhen = 'always' | 'absent' | 'beside others';

/** A folder of this machine in which programs can work on stored files. */
export interface WorkingCopy {
  readonly path: string;
  /** Stores a file that was written there. A bucket throws STORAGE_FAILED where there is none: somebody removed the copy. */
  keep(name: string): Promise<void>;
  /** Nothing in it is used any more. */
  close(): Promise<void>;
}

/** Addresses that let whoever has them do one thing with one file, for some minutes. */
export interface Links {
  readonly validMs: number;
  /** @param as the headers with which it is answered */
  download(place: Place, as: { readonly disposition: string; readonly type: string }): Promise<string>;
  /** By PUT, with these headers exactly. */
  upload(place: Place, as: { readonly bytes: number; readonly type: string }): Promise<string>;
}

/**
 * Every method throws KinoraError DISK_FULL where there is no room, and STORAGE_FAILED where the storage cannot be used
 * now; what is not there is undefined.
 */
export interface Storage {
  /** For people, such as "/data/jobs/t-1" or "s3://bucket/prefix/t-1". */
  location(folder: string): string;
  /** Where the folder lies on this machine for good; absent where it lies elsewhere. */
  readonly pathOf?: (folder: string) => string;
  /** Absent where people do not reach the storage. */
  readonly links?: Links;
  /** On the disk that new files need first. */
  freeSpace(): Promise<FreeSpace>;
  /** @returns false when it was not put, by `when` */
  put(place: Place, content: string | Uint8Array, when?: PutWhen): Promise<boolean>;
  /** @returns false when there is nothing to copy */
  copy(from: Place, to: Place): Promise<boolean>;
  read(place: Place): Promise<Buffer | undefined>;
  /** @param range within the file */
  stream(place: Place, range?: ByteRange): Promise<Readable | undefined>;
  head(place: Place): Promise<StoredFile | undefined>;
  folders(): Promise<string[]>;
  /** What lies in a folder; undefined when there is none. */
  look(folder: string): Promise<StoredFolder | undefined>;
  /** What lies in each folder that `isWanted`, as far as it can be read. */
  lookAll(isWanted: (folder: string) => boolean): Promise<StoredFolder[]>;
  /** Removes files of these names, or the whole folder. */
  remove(folder: string, names?: readonly string[]): Promise<void>;
  /** Removes the files of such names, and the working copies, that processes left when they died, if last written before `beforeMs`. */
  removeLeftovers(folder: string, isTemporary: (name: string) => boolean, beforeMs: number): Promise<number>;
  /**
   * A bucket gives a new folder with copies of those of the named files that there are; a folder gives itself, with all that
   * is in it, and is not made where it is not there.
   */
  checkOut(folder: string, names: readonly string[]): Promise<WorkingCopy>;
}
