/**
 * The files of the inbox: how they are named, read and put there. Whoever can write to the folder may have put anything
 * there under any name. Links are not followed, only regular files are opened, and no file of anybody else is replaced.
 */
import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import {
  access,
  constants,
  copyFile,
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { isKinoraError, KinoraError } from '../errors.ts';
import { sniffFormat } from '../inference/pictures/format.ts';

/** Of a file in the folder: its bytes as Latin-1 text, so that a name that is not UTF-8 stays what it is. */
export type Name = string;

/** A file that Kinora put into the folder, as it was then. */
export interface Placed {
  readonly name: Name;
  readonly bytes: number;
  readonly sha256: string;
}

const largestPictureBytes = 64 * 1024 ** 2;
/** Far more than any prompt has. */
const largestTextBytes = 64 * 1024;
/** A file of somebody else that is larger is not read to learn that. */
const largestAdoptedBytes = 64 * 1024 ** 2;
/** In bytes; what common file systems take. */
const longestName = 255;
/** Says that the file system has no hard links. */
const noLinks: readonly unknown[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const kinds = { file: 'a file', folder: 'a folder', link: 'a link', other: 'not a regular file' } as const;

function kindOf(stats: Stats): keyof typeof kinds {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  return stats.isSymbolicLink() ? 'link' : 'other';
}

/** For people: without signs that would move the cursor of a terminal. */
export function shown(name: Name): string {
  return Buffer.from(name, 'latin1')
    .toString('utf8')
    .replace(/\p{Cc}/gu, '\uFFFD');
}

/** The names under which the answer to a picture may lie, the best first: photo.mp4, photo.jpg.mp4, photo.jpg-2.mp4. */
export function* answerNames(picture: Name, ending: string): Generator<Name, never> {
  yield fitted(path.parse(picture).name, ending);
  yield fitted(picture, ending);
  for (let number = 2; ; number++) yield fitted(picture, `-${number}${ending}`);
}

function fitted(stem: Name, ending: string): Name {
  const most = longestName - ending.length;
  if (stem.length <= most) return stem + ending;
  // Not in the middle of a character of UTF-8.
  let length = most;
  while (length > most - 3 && (stem.charCodeAt(length) & 0xc0) === 0x80) length--;
  return stem.slice(0, length) + ending;
}

/** @throws KinoraError INVALID_CONFIG when the folder cannot be made, or files cannot be put into it */
export async function prepareInbox(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    const code = codeOf(cause);
    const reason = code === 'EEXIST' || code === 'ENOTDIR' ? 'is not a folder' : 'cannot be read and written';
    throw new KinoraError('INVALID_CONFIG', `KINORA_INBOX: ${folder} ${reason} (${code}).`, { cause });
  }
}

export class InboxFolder {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  #path(name: Name): Buffer {
    return Buffer.concat([Buffer.from(this.#folder + path.sep), Buffer.from(name, 'latin1')]);
  }

  /** @throws the file system's errors when the folder is gone, or nothing can be put into it */
  async names(): Promise<Name[]> {
    await access(this.#folder, constants.W_OK);
    const names = await readdir(this.#folder, { encoding: 'buffer' });
    return names.map((name) => name.toString('latin1')).sort();
  }

  /** What a file looks like now; every change of it shows. Undefined when it is gone. */
  async look(name: Name): Promise<{ readonly sight: string; readonly isFile: boolean } | undefined> {
    const stats = await lstat(this.#path(name)).catch(() => undefined);
    if (!stats) return undefined;
    const { ino, size, mtimeMs, ctimeMs } = stats;
    return { sight: `${kindOf(stats)} ${ino} ${size} ${mtimeMs} ${ctimeMs}`, isFile: stats.isFile() };
  }

  /** @throws KinoraError with a sentence about the picture, and ENOENT when it is gone */
  async readPicture(name: Name): Promise<Buffer> {
    // Looked at before it is opened: opening a device may do something.
    const kind = kindOf(await lstat(this.#path(name)));
    if (kind !== 'file') {
      throw new KinoraError(
        'IMAGE_NOT_FOUND',
        `${shown(name)} is ${kinds[kind]}; expected the picture itself.`,
      );
    }
    const picture = await this.#readFile(name, 'IMAGE_TOO_LARGE', largestPictureBytes);
    const format = sniffFormat(picture);
    if (format?.format && /\.hei[cf]$/i.test(name)) {
      const message = `${shown(name)} is not HEIC, as its name says, but ${format.name}; name it so.`;
      throw new KinoraError('IMAGE_UNSUPPORTED', message);
    }
    return picture;
  }

  /** @throws KinoraError with a sentence about the text, and ENOENT when it is gone */
  async readText(name: Name): Promise<string> {
    const text = decodeText(await this.#readFile(name, 'INVALID_PROMPT', largestTextBytes));
    if (text !== undefined) return text;
    throw new KinoraError('INVALID_PROMPT', `The encoding of ${shown(name)} cannot be told; expected UTF-8.`);
  }

  async #readFile(
    name: Name,
    tooLarge: 'IMAGE_TOO_LARGE' | 'INVALID_PROMPT',
    maxBytes: number,
  ): Promise<Buffer> {
    // The file may have become another one since it was looked at; opening a pipe must not wait for a writer.
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    let file: FileHandle | undefined;
    try {
      file = await open(this.#path(name), O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0));
      const stats = await file.stat();
      if (!stats.isFile()) throw new KinoraError('IMAGE_NOT_FOUND', `${shown(name)} is not a regular file.`);
      if (stats.size > maxBytes) {
        const limit = `${Math.round(maxBytes / 1024)} KiB`;
        throw new KinoraError(tooLarge, `${shown(name)} has ${stats.size} bytes; expected at most ${limit}.`);
      }
      return await file.readFile();
    } catch (error) {
      if (isKinoraError(error) || codeOf(error) === 'ENOENT') throw error;
      throw new KinoraError('IMAGE_NOT_FOUND', `${shown(name)} cannot be read (${codeOf(error)}).`, {
        cause: error,
      });
    } finally {
      await file?.close();
    }
  }

  /** A file that an earlier version of Kinora put there, told by a part of its content. */
  async find(name: Name, mark: string): Promise<Placed | undefined> {
    const content = await this.#contentOf(name, (bytes) => bytes <= largestAdoptedBytes);
    if (!content?.includes(mark)) return undefined;
    return { name, bytes: content.byteLength, sha256: sha256(content) };
  }

  /** Whether it is there as Kinora put it. */
  async isUntouched({ name, bytes: placed, sha256: hash }: Placed): Promise<boolean> {
    const content = await this.#contentOf(name, (bytes) => bytes === placed);
    return content !== undefined && sha256(content) === hash;
  }

  /** Of a regular file that can be read and whose size is right. */
  async #contentOf(name: Name, isRight: (bytes: number) => boolean): Promise<Buffer | undefined> {
    const stats = await lstat(this.#path(name)).catch(() => undefined);
    if (!stats?.isFile() || !isRight(stats.size)) return undefined;
    return await this.#readFile(name, 'IMAGE_TOO_LARGE', stats.size).catch(() => undefined);
  }

  /**
   * Puts a file into the folder. It takes the place of `earlier` when nobody touched that, else the first free name.
   * Programs that watch the folder never see half a file.
   * @param content its bytes, or the path of a file that is copied
   */
  async place(
    content: string | Uint8Array,
    names: Iterable<Name>,
    temporary: Name,
    earlier: Placed | undefined,
  ): Promise<Placed> {
    await rm(this.#path(temporary), { force: true });
    try {
      if (typeof content === 'string') {
        await copyFile(content, this.#path(temporary), constants.COPYFILE_EXCL);
      } else await writeFile(this.#path(temporary), content, { flag: 'wx' });
      const written = await readFile(this.#path(temporary));
      const what = { bytes: written.byteLength, sha256: sha256(written) };
      if (earlier && (await this.isUntouched(earlier))) {
        await rename(this.#path(temporary), this.#path(earlier.name));
        return { name: earlier.name, ...what };
      }
      for (const name of names) {
        const placed = { name, ...what };
        // The same file is there when a delivery is repeated after a crash.
        if ((await this.#putAt(name, temporary)) || (await this.isUntouched(placed))) return placed;
      }
      throw new Error('unreachable: there are endless names');
    } finally {
      await rm(this.#path(temporary), { force: true }).catch(() => {});
    }
  }

  /** False when the name is taken: neither linking nor this way of copying replaces a file. */
  async #putAt(name: Name, temporary: Name): Promise<boolean> {
    const [from, to] = [this.#path(temporary), this.#path(name)];
    try {
      await link(from, to).catch(async (error: unknown) => {
        if (!noLinks.includes(codeOf(error))) throw error;
        await copyFile(from, to, constants.COPYFILE_EXCL);
      });
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
  }

  async removeUntouched(placed: Placed): Promise<void> {
    if (await this.isUntouched(placed)) await rm(this.#path(placed.name), { force: true });
  }
}

/** The text of a file as editors write it, or undefined when its encoding cannot be told. */
export function decodeText(bytes: Uint8Array): string | undefined {
  const decode = (encoding: string): string => new TextDecoder(encoding).decode(bytes);
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return decode('utf-16le');
  if (first === 0xfe && second === 0xff) return decode('utf-16be');
  // Without a mark: the upper bytes of Latin letters are zeros.
  if (bytes.includes(0)) return decode(bytes.indexOf(0) % 2 === 1 ? 'utf-16le' : 'utf-16be');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // High bytes in pairs throughout are an East Asian encoding; single ones are letters with accents.
    const isPaired = /^(?:[\0-\x7f]|[\x80-\xff]{2})*$/.test(Buffer.from(bytes).toString('latin1'));
    return isPaired ? undefined : decode('windows-1252');
  }
}
