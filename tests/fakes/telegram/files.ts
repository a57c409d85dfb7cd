/** Files as Telegram keeps them: for ever under their file_id, and for a while under a path to download from. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { badRequest } from './api-error.ts';

export type FileKind = 'photo' | 'video' | 'document' | 'animation' | 'sticker' | 'thumbnail';

export interface StoredFile {
  readonly id: string;
  /** The same for the same file everywhere, but no download works with it. */
  readonly uniqueId: string;
  readonly kind: FileKind;
  readonly bytes: Uint8Array;
  readonly name: string | undefined;
  readonly mimeType: string;
}

export interface Naming {
  readonly name?: string | undefined;
  readonly mimeType?: string | undefined;
}

const maxDownloadBytes = 20 * 1024 * 1024;
const prefixes = {
  photo: 'AgAC',
  video: 'BAAC',
  document: 'BQAC',
  animation: 'CgAC',
  sticker: 'CAAC',
  thumbnail: 'AAMC',
} as const;
const mimeTypes = new Map([
  ['.mp4', 'video/mp4'],
  ['.mov', 'video/quicktime'],
  ['.png', 'image/png'],
  ['.jpg', 'image/jpeg'],
  ['.jpeg', 'image/jpeg'],
  ['.webp', 'image/webp'],
  ['.gif', 'image/gif'],
  ['.svg', 'image/svg+xml'],
  ['.heic', 'image/heic'],
  ['.avif', 'image/avif'],
  ['.tiff', 'image/tiff'],
  ['.bmp', 'image/bmp'],
  ['.pdf', 'application/pdf'],
  ['.txt', 'text/plain'],
  ['.tgs', 'application/x-tgsticker'],
  ['.webm', 'video/webm'],
]);

export class FileStore {
  /** Where a server with --local keeps what it has downloaded. */
  localFolder: string | undefined;
  readonly #files = new Map<string, StoredFile>();
  readonly #paths = new Map<string, StoredFile>();
  #count = 0;

  store(kind: FileKind, bytes: Uint8Array, { name, mimeType }: Naming = {}): StoredFile {
    const extension = extname(name ?? '').toLowerCase();
    const file = {
      id: prefixes[kind] + randomBytes(42).toString('base64url'),
      uniqueId: randomBytes(11).toString('base64url'),
      kind,
      bytes,
      name,
      mimeType: mimeType ?? mimeTypes.get(extension) ?? 'application/octet-stream',
    };
    this.#files.set(file.id, file);
    return file;
  }

  find(id: string): StoredFile | undefined {
    return this.#files.get(id);
  }

  /** What getFile answers: the file with a path that works until expire(). */
  prepare(id: string): object {
    const file = this.#files.get(id);
    if (!file) throw badRequest('wrong file_id or the file is temporarily unavailable');
    if (this.localFolder === undefined && file.bytes.byteLength > maxDownloadBytes)
      throw badRequest('file is too big');
    this.#count += 1;
    const extension = file.kind === 'document' ? extname(file.name ?? '') : extensionOf(file.mimeType);
    const path = `${file.kind}s/file_${this.#count}${extension}`;
    if (this.localFolder !== undefined) {
      const local = join(this.localFolder, path.replace('/', '-'));
      writeFileSync(local, file.bytes);
      return { ...fileFields(file), file_path: local };
    }
    this.#paths.set(path, file);
    return { ...fileFields(file), file_path: path };
  }

  open(path: string): StoredFile | undefined {
    return this.#paths.get(path);
  }

  /** Every path given out so far stops working, as after an hour. */
  expire(): void {
    this.#paths.clear();
  }
}

export function fileFields({ id, uniqueId, bytes }: StoredFile) {
  return { file_id: id, file_unique_id: uniqueId, file_size: bytes.byteLength };
}

function extensionOf(mimeType: string): string {
  return [...mimeTypes].find(([, type]) => type === mimeType)?.[0] ?? '';
}
