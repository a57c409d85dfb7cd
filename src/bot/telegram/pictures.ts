/**
 * Pictures from Telegram: which file of a message is the picture, and its bytes, fetched by ourselves from the Bot API
 * only, without redirects, with a cap and a deadline. The address holds the token, so it never enters an error.
 */
import type { Message } from 'telegraf/types';
import type { Api } from './api.ts';

/** What the Bot API gives to bots. */
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

/** Some clients do not know the newer kinds; whoever sends them still means a picture. */
function isImage({
  mime_type: type = '',
  file_name: name = '',
}: Message.DocumentMessage['document']): boolean {
  return /^image\//i.test(type) || (/\.(heic|heif|avif|webp|jxl)$/i.test(name) && !type.startsWith('video/'));
}

export type Downloaded = Uint8Array | 'too large' | 'failed';

export class Downloads {
  readonly #api: Api;
  readonly #fileRoot: string;

  constructor(api: Api, apiRoot: string, token: string) {
    this.#api = api;
    this.#fileRoot = `${apiRoot.replace(/\/$/, '')}/file/bot${token}/`;
  }

  /** Throws nothing but the reason of `signal`. */
  async fetch({ fileId, bytes }: PictureFile, signal: AbortSignal): Promise<Downloaded> {
    if (bytes !== undefined && bytes > maxDownloadBytes) return 'too large';
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
      const { file_path: path } = await this.#api.insist('getFile', { file_id: fileId }, { signal });
      if (path === undefined || !/^[\w-]+(?:[/.][\w-]+)*$/.test(path)) return 'failed';
      const response = await fetch(`${this.#fileRoot}${path}`, {
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(downloadDeadlineMs)]),
      });
      if (!response.ok || !response.body) {
        await response.body?.cancel();
        return 'failed';
      }
      return await readCapped(response.body);
    } catch (error) {
      const reason = error instanceof Error ? error.message : '';
      return /file is too big/i.test(reason) ? 'too large' : 'failed';
    }
  }
}

async function readCapped(body: ReadableStream<Uint8Array>): Promise<Downloaded> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > maxDownloadBytes) return 'too large'; // leaving the loop cancels the rest
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
