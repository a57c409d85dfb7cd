/** Uploaded bytes and the signed links under which the CDN gives them out until they expire. */
import { randomBytes } from 'node:crypto';
import { extname } from 'node:path';
import { type APIAttachment, AttachmentFlags } from 'discord.js';
import { snowflake } from './snowflake.ts';

/** A file as a person attaches it. */
export interface FakeFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly contentType?: string;
  readonly width?: number;
  readonly height?: number;
  /** Marked as a spoiler by a client that leaves the name alone. */
  readonly spoiler?: true;
}

export interface StoredFile extends Omit<FakeFile, 'spoiler'> {
  /** In the flags. */
  readonly marked: boolean;
  readonly id: string;
  readonly contentType: string;
  readonly description: string | undefined;
  readonly spoiler: boolean;
  readonly channelId: string;
  readonly ephemeral: boolean;
}

interface Link {
  readonly file: StoredFile;
  expiresAt: number;
}

const unknownType = 'application/octet-stream';
const contentTypes = new Map([
  ['.mp4', 'video/mp4'],
  ['.png', 'image/png'],
  ['.jpg', 'image/jpeg'],
  ['.jpeg', 'image/jpeg'],
  ['.webp', 'image/webp'],
  ['.gif', 'image/gif'],
  ['.svg', 'image/svg+xml'],
  ['.heic', 'image/heic'],
  ['.json', 'application/json'],
  ['.txt', 'text/plain; charset=utf-8'],
]);

export class FileStore {
  /** Where the CDN listens, without a slash at the end. */
  baseUrl = '';
  readonly #lifeMs: number;
  readonly #links = new Map<string, Link>();

  constructor(lifeMs: number) {
    this.#lifeMs = lifeMs;
  }

  store(
    file: FakeFile,
    place: {
      readonly channelId: string;
      readonly ephemeral: boolean;
      readonly description?: string | undefined;
    },
  ): StoredFile {
    // discord.js calls every upload an octet stream; Discord then goes by the name.
    const told = file.contentType === unknownType ? undefined : file.contentType;
    const name = file.name.replaceAll(/[^\w.-]/g, '_');
    return {
      ...file,
      id: snowflake(),
      name,
      contentType: told ?? contentTypes.get(extname(name).toLowerCase()) ?? unknownType,
      description: place.description,
      marked: file.spoiler === true,
      spoiler: file.spoiler === true || name.startsWith('SPOILER_'),
      channelId: place.channelId,
      ephemeral: place.ephemeral,
    };
  }

  /** Describes the file with a fresh link, as every answer of Discord does. */
  attachment(file: StoredFile): APIAttachment {
    const folder = file.ephemeral ? 'ephemeral-attachments' : 'attachments';
    const signature = randomBytes(32).toString('hex');
    const expiresAt = Date.now() + this.#lifeMs;
    this.#links.set(signature, { file, expiresAt });
    const hexSeconds = (ms: number): string => Math.floor(ms / 1000).toString(16);
    const query = `ex=${hexSeconds(expiresAt)}&is=${hexSeconds(Date.now())}&hm=${signature}&`;
    const url = `${this.baseUrl}/${folder}/${file.channelId}/${file.id}/${file.name}?${query}`;
    return {
      id: file.id,
      filename: file.name,
      size: file.bytes.byteLength,
      url,
      proxy_url: url,
      content_type: file.contentType,
      ...(file.marked && { flags: AttachmentFlags.IsSpoiler }),
      ...(file.ephemeral && { ephemeral: true }),
      ...(file.description !== undefined && { description: file.description }),
      ...(file.width !== undefined && { width: file.width }),
      ...(file.height !== undefined && { height: file.height }),
    };
  }

  /** The file behind a link, or undefined when the link is unknown or expired. */
  open(id: string, signature: string | null): StoredFile | undefined {
    const link = this.#links.get(signature ?? '');
    return link && link.file.id === id && Date.now() < link.expiresAt ? link.file : undefined;
  }

  /** Every link given out so far stops working; fetching the message again gives a fresh one. */
  expire(): void {
    for (const link of this.#links.values()) link.expiresAt = 0;
  }

  /** What must never be seen in a log. */
  signatures(): string[] {
    return [...this.#links.keys()];
  }
}
