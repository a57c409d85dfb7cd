/**
 * Pictures from Telegram: which file of a message is the picture, and its bytes, fetched from the Bot API alone. The
 * address holds the token, so it never enters an error.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { Document, Message } from 'telegraf/types';
import { download, pictureName } from '../download.ts';
import { CallError, type TelegramApi } from './api.ts';

const downloadDeadlineMs = 30_000;

export interface PictureFile {
  readonly fileId: string;
  readonly bytes: number | undefined;
  /** Sent under a cover. */
  readonly isCovered: boolean;
}

/** What may hold a picture: a message, or what Telegram tells of a message in another chat or topic. */
type Content = Message | NonNullable<Message.CommonMessage['external_reply']>;

/** The picture that a message is about: its own, or the one that it replies to, which may be in another chat. */
export function pictureFor(message: Message): PictureFile | undefined {
  return (
    pictureOf(message) ??
    pictureOf('external_reply' in message ? message.external_reply : undefined) ??
    pictureOf('reply_to_message' in message ? message.reply_to_message : undefined)
  );
}

/** The largest size of a photo, an image sent as a file, or a still sticker: Telegram makes one of every WebP file. */
export function pictureOf(content: Content | undefined): PictureFile | undefined {
  const file = content && fileOf(content);
  const isCovered = content !== undefined && 'has_media_spoiler' in content && !!content.has_media_spoiler;
  return file && { fileId: file.file_id, bytes: file.file_size, isCovered };
}

function fileOf(content: Content): Pick<Document, 'file_id' | 'file_size'> | undefined {
  if ('photo' in content) {
    return content.photo.toSorted((a, b) => a.width * a.height - b.width * b.height).at(-1);
  }
  if ('document' in content && isImage(content.document)) return content.document;
  if ('sticker' in content && !content.sticker.is_animated && !content.sticker.is_video) {
    return content.sticker;
  }
  return undefined;
}

/** Some clients send images without their type, or as mere bytes: then the name tells, if there is one. */
function isImage({ mime_type: type = '', file_name: name = '' }: Document): boolean {
  if (/^(image|video|audio)\//i.test(type)) return /^image\//i.test(type);
  if (pictureName.test(name)) return true;
  return /^(|application\/octet-stream)$/i.test(type) && !/\.\w+$/.test(name);
}

export type Downloaded = Awaited<ReturnType<typeof download>>;

export class Pictures {
  readonly #api: TelegramApi;
  readonly #fileRoot: string;
  readonly #isLocal: boolean;

  /** @param isLocal the server is the owner's, and may name files of this machine */
  constructor(api: TelegramApi, apiRoot: string, token: string, isLocal = false) {
    this.#api = api;
    this.#isLocal = isLocal;
    this.#fileRoot = `${apiRoot.replace(/\/$/, '')}/file/bot${token}/`;
  }

  /** Throws nothing but the reason of `signal`. */
  async fetch({ fileId, bytes }: PictureFile, signal: AbortSignal): Promise<Downloaded> {
    if (bytes !== undefined && bytes > this.#api.limits.download) return 'tooLarge';
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(downloadDeadlineMs)]);
    for (let attempt = 1; attempt <= 2; attempt++) {
      const result = await this.#attempt(fileId, deadline);
      signal.throwIfAborted();
      if (result !== 'failed') return result;
    }
    return 'failed';
  }

  /** Asks for the path each time: it is good for an hour only. */
  async #attempt(fileId: string, signal: AbortSignal): Promise<Downloaded> {
    try {
      const { file_path: path } = await this.#api.callWithRetries('getFile', { file_id: fileId }, { signal });
      if (path === undefined) return 'failed';
      const { download: maxBytes } = this.#api.limits;
      if (this.#isLocal && isAbsolute(path)) return await readLocal(path, maxBytes);
      if (!/^[\w-]+(?:[/.][\w-]+)*$/.test(path)) return 'failed';
      return await download(`${this.#fileRoot}${path}`, maxBytes, signal);
    } catch (error) {
      return error instanceof CallError && error.isTooLarge ? 'tooLarge' : 'failed';
    }
  }
}

/** A file that the server has downloaded. It names the path itself; what is no plain file there is not opened. */
async function readLocal(path: string, maxBytes: number): Promise<Downloaded> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile()) return 'failed';
    if (found.size > maxBytes) return 'tooLarge';
    const bytes = await file.readFile();
    return bytes.length === 0 ? 'failed' : bytes;
  } finally {
    await file.close();
  }
}
