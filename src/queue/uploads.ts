/**
 * Pictures that people put into the storage themselves, by a link, before they ask for a video of them. Each lies in a folder
 * that names its person by a hash, and goes when a video of it was asked for, or after an hour.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Place, Storage } from '../storage/storage.ts';
import { fileNames } from './job-files.ts';

const prefix = 'upload-';
const ownerLetters = 24;

const ownedPrefix = (userKey: string): string =>
  `${prefix}${createHash('sha256').update(userKey).digest('hex').slice(0, ownerLetters)}-`;
const placeOf = (id: string): Place => ({ folder: id, name: fileNames.image });

/** Whether a folder, or what somebody names, is that of an upload. */
export const isUpload = (id: string): boolean => /^upload-[\w-]{1,96}$/.test(id);

export interface Upload {
  readonly id: string;
  /** Takes a PUT with these headers and a body of this length, while it is valid; a later one replaces the earlier. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly validMs: number;
}

export class Uploads {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** A link for a picture of so many bytes; undefined where people do not reach the storage. */
  async begin(userKey: string, bytes: number, type: string): Promise<Upload | undefined> {
    const { links } = this.#storage;
    if (!links) return undefined;
    const id = ownedPrefix(userKey) + randomUUID();
    const url = await links.upload(placeOf(id), { bytes, type });
    return { id, url, headers: { 'content-type': type }, validMs: links.validMs };
  }

  /**
   * What somebody put there; may be hostile.
   * @returns undefined where there is nothing of theirs, or more than `maxBytes`
   */
  async read(userKey: string, id: string, maxBytes: number): Promise<Buffer | undefined> {
    if (!isUpload(id) || !id.startsWith(ownedPrefix(userKey))) return undefined;
    const found = await this.#storage.head(placeOf(id));
    if (!found || found.bytes > maxBytes) return undefined;
    return await this.#storage.read(placeOf(id));
  }

  /** A video of it was asked for, and has a picture of its own. */
  async remove(userKey: string, id: string): Promise<void> {
    if (!isUpload(id) || !id.startsWith(ownedPrefix(userKey))) return;
    await this.#storage.remove(id);
  }

  async forget(userKey: string): Promise<void> {
    const owned = ownedPrefix(userKey);
    for (const folder of await this.#storage.folders()) {
      if (folder.startsWith(owned)) await this.#storage.remove(folder);
    }
  }
}
