/**
 * Pictures from Telegram: which file of a message is the picture, and its bytes, fetched from the Bot API alone. The
 * address holds the token, so it never enters an error.
 */
import type { Message } from 'telegraf/types';
import { download } from '../download.ts';
import { CallError, type TelegramApi } from './api.ts';

/** Limit of the Bot API for downloads. */
export const maxDownloadBytes = 20_000_000;
const downloadDeadlineMs = 30_000;

export interface PictureFile {
  readonly fileId: string;
  readonly bytes: number | undefined;
}

/** The largest size of a photo, or an image sent as a file. */
export function pictureOf(message: Message | undefined): PictureFile | undefined {
  if (!message) return undefined;
  if ('photo' in message) {
    const largest = message.photo.toSorted((a, b) => a.width * a.height - b.width * b.height).at(-1);
    return largest && { fileId: largest.file_id, bytes: largest.file_size };
  }
  if ('document' in message && isImage(message.document)) {
    return { fileId: message.document.file_id, bytes: message.document.file_size };
  }
  return undefined;
}

/** Some clients send the newer formats without their type. */
function isImage({
  mime_type: type = '',
  file_name: name = '',
}: Message.DocumentMessage['document']): boolean {
  return /^image\//i.test(type) || (/\.(heic|heif|avif|webp|jxl)$/i.test(name) && !type.startsWith('video/'));
}

export type Downloaded = Awaited<ReturnType<typeof download>>;

export class Pictures {
  readonly #api: TelegramApi;
  readonly #fileRoot: string;

  constructor(api: TelegramApi, apiRoot: string, token: string) {
    this.#api = api;
    this.#fileRoot = `${apiRoot.replace(/\/$/, '')}/file/bot${token}/`;
  }

  /** Throws nothing but the reason of `signal`. */
  async fetch({ fileId, bytes }: PictureFile, signal: AbortSignal): Promise<Downloaded> {
    if (bytes !== undefined && bytes > maxDownloadBytes) return 'tooLarge';
    for (let attempt = 1; attempt <= 2; attempt++) {
      const result = await this.#attempt(fileId, signal);
      signal.throwIfAborted();
      if (result !== 'failed') return result;
    }
    return 'failed';
  }

  /** Asks for the path each time: it is good for an hour only. */
  async #attempt(fileId: string, signal: AbortSignal): Promise<Downloaded> {
    try {
      const { file_path: path } = await this.#api.callWithRetries('getFile', { file_id: fileId }, { signal });
      if (path === undefined || !/^[\w-]+(?:[/.][\w-]+)*$/.test(path)) return 'failed';
      const deadline = AbortSignal.timeout(downloadDeadlineMs);
      return await download(
        `${this.#fileRoot}${path}`,
        maxDownloadBytes,
        AbortSignal.any([signal, deadline]),
      );
    } catch (error) {
      return error instanceof CallError && error.isTooLarge ? 'tooLarge' : 'failed';
    }
  }
}
