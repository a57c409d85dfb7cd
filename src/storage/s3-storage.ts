/**
 * Files as objects in a bucket of an S3-compatible service, named "<prefix>/<folder>/<name>". Each is put by one request,
 * so it appears whole or not at all, and nothing unfinished is ever left in the bucket. Programs work on copies in a folder
 * of this machine.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { IncomingMessage } from 'node:http';
import { extname, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { withDeadline } from '../deadline.ts';
import { type FreeSpace, freeSpace } from '../disk-space.ts';
import { KinoraError } from '../errors.ts';
import { retry } from '../retry.ts';
import { asFull } from './full-disk.ts';
import { type S3Patience, type S3Settings, s3Client } from './s3-client.ts';
import { isAbsent, isConflict, isPassing, isThereAlready, toKinoraError, wrongAnswer } from './s3-errors.ts';
import { s3Links } from './s3-links.ts';
import type {
  ByteRange,
  Links,
  Place,
  PutWhen,
  Storage,
  StoredFile,
  StoredFolder,
  WorkingCopy,
} from './storage.ts';

const usualPatience: S3Patience = { connectMs: 3_000, silenceMs: 10_000, attempts: 5, firstPauseMs: 400 };
const longestPauseMs = 5_000;
/** Requests at a time where many files are meant. */
const atOnce = 16;
/** Age at which a working copy was left by a process that died. */
const abandonedMs = 86_400_000;
/** Folder of a working copy, by its name. */
const folderOf = (copy: string): string | undefined => /^(.+)\.[0-9a-f-]{36}$/.exec(copy)?.[1];
const types: Readonly<Record<string, string>> = {
  '.mp4': 'video/mp4',
  '.jpg': 'image/jpeg',
  '.json': 'application/json',
};

type Content = string | Uint8Array | { readonly file: string };

export class S3Storage implements Storage {
  readonly links?: Links;
  readonly #client: S3Client;
  readonly #settings: S3Settings;
  readonly #workFolder: string;
  readonly #patience: S3Patience;
  #hasSwept = false;

  constructor(settings: S3Settings, patience: Partial<S3Patience> = {}) {
    this.#settings = settings;
    this.#workFolder = settings.workFolder;
    this.#patience = { ...usualPatience, ...patience };
    this.#client = s3Client(settings, this.#patience);
    const { publicEndpoint: endpoint } = settings;
    if (endpoint !== undefined) {
      const client = s3Client({ ...settings, endpoint }, this.#patience);
      const { config } = this.#client;
      this.links = s3Links(
        client,
        () => config.systemClockOffset,
        (place) => this.#object(place),
      );
    }
  }

  /**
   * Removes the working copies that processes of this machine left when they died: those of folders that are gone from this
   * bucket, whichever machine removed them, and the first time old ones as well. Copies of another bucket look as if theirs were
   * gone, so only what serves this one sweeps.
   * @throws the first error, behind everything that could be removed
   */
  async sweep(): Promise<void> {
    const isFirst = !this.#hasSwept;
    this.#hasSwept = true;
    const removeOld = async (): Promise<void> => {
      // A clock that is set later makes no copy old that is in use.
      if (isFirst) await this.#removeCopies(() => true, Date.now() - abandonedMs);
    };
    const removeOrphans = async (): Promise<void> => {
      const copies = await readdir(this.#workFolder).catch(() => []);
      await inTurn(new Set(copies.map(folderOf)), async (folder) => {
        if (folder === undefined || (await this.#hasFiles(folder))) return;
        await this.#removeCopiesOf(folder);
      });
    };
    await inTurn([removeOld, removeOrphans], (remove) => remove());
  }

  location(folder: string): string {
    return `s3://${this.#settings.bucket}/${this.#key(folder)}`;
  }

  #key(folder: string, name?: string): string {
    return [this.#settings.prefix, folder, name]
      .filter((part) => part !== undefined && part !== '')
      .join('/');
  }

  #object({ folder, name }: Place): { Bucket: string; Key: string } {
    return { Bucket: this.#settings.bucket, Key: this.#key(folder, name) };
  }

  /** Repeats what may pass; undefined where the object is not there. */
  async #try<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { attempts, firstPauseMs } = this.#patience;
    try {
      return await retry(work, (error, attempt) => {
        if (attempt >= attempts || !isPassing(error)) return undefined;
        return Math.random() * Math.min(firstPauseMs * 2 ** (attempt - 1), longestPauseMs);
      });
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw toKinoraError(error, this.#settings.bucket);
    }
  }

  async freeSpace(): Promise<FreeSpace> {
    await mkdir(this.#workFolder, { recursive: true, mode: 0o700 });
    return await freeSpace(this.#workFolder);
  }

  async put(place: Place, content: string | Uint8Array, when: PutWhen = 'always'): Promise<boolean> {
    if (when === 'beside others' && !(await this.#hasFiles(place.folder))) return false;
    if (when !== 'absent') return await this.#put(place, content);
    // Services that know no condition overwrite; looking first leaves them a moment only.
    if (await this.head(place)) return false;
    return await this.#put(place, content, '*');
  }

  async #put(place: Place, content: Content, ifNoneMatch?: string): Promise<boolean> {
    // An attempt that failed may have put it all the same, with its answer lost.
    let mayBeOurs = false;
    const isPut = await this.#try(async () => {
      // Every attempt sends all of it: what was cut off has left nothing behind.
      const { body, bytes } = await bodyOf(content);
      try {
        await this.#client.send(
          new PutObjectCommand({
            ...this.#object(place),
            Body: body,
            ContentLength: bytes,
            ContentType: typeOf(place.name),
            ...(ifNoneMatch === undefined ? {} : { IfNoneMatch: ifNoneMatch }),
          }),
        );
        return true;
      } catch (error) {
        if (ifNoneMatch !== undefined && isThereAlready(error)) return mayBeOurs;
        if (!isConflict(error)) mayBeOurs = true;
        // Nothing is absent where something is put: this is no answer of a working service.
        throw isAbsent(error) ? toKinoraError(error, this.#settings.bucket) : error;
      } finally {
        if (typeof body === 'object' && 'destroy' in body) body.destroy();
      }
    });
    return isPut === true;
  }

  async copy(from: Place, to: Place): Promise<boolean> {
    const { Bucket, Key } = this.#object(from);
    const CopySource = encodeURI(`${Bucket}/${Key}`);
    const command = (): CopyObjectCommand => new CopyObjectCommand({ ...this.#object(to), CopySource });
    return (await this.#try(() => this.#client.send(command()))) !== undefined;
  }

  async read(place: Place): Promise<Buffer | undefined> {
    return await this.#try(async () => await buffer((await this.#get(place)).stream));
  }

  async stream(place: Place, range?: ByteRange): Promise<Readable | undefined> {
    return (await this.#try(() => this.#get(place, range)))?.stream;
  }

  /** An error while the stream is read is the reader's. */
  async #get(place: Place, range?: ByteRange): Promise<{ stream: Readable; bytes: number }> {
    const Range = range && `bytes=${range.start}-${range.end}`;
    const { Body, ContentLength = 0 } = await this.#client.send(
      new GetObjectCommand({ ...this.#object(place), Range }),
    );
    if (!(Body instanceof Readable)) throw new Error('no body');
    // From here on the reader decides how fast it goes.
    if (Body instanceof IncomingMessage) Body.socket.setTimeout(0);
    const chunks = unlessSilent(Body, this.#patience.silenceMs);
    const stream = Readable.from(chunks, { objectMode: false });
    // A generator that nobody began has no end either.
    stream.once('close', () => Body.destroy());
    return { stream, bytes: ContentLength };
  }

  async #download(place: Place, path: string): Promise<void> {
    await this.#try(async () => {
      const { stream, bytes } = await this.#get(place);
      await pipeline(stream, createWriteStream(path, { mode: 0o600 })).catch((error: unknown) => {
        throw asFull(error);
      });
      if ((await stat(path)).size !== bytes) throw new Error('cut off');
    });
  }

  async head(place: Place): Promise<StoredFile | undefined> {
    const found = await this.#try(() => this.#client.send(new HeadObjectCommand(this.#object(place))));
    if (!found) return undefined;
    const { ContentLength: bytes = 0, LastModified } = found;
    return { name: place.name, bytes, modifiedMs: LastModified?.getTime() ?? 0 };
  }

  async folders(): Promise<string[]> {
    const found: string[] = [];
    for await (const { folders } of this.#pages('', '/')) found.push(...folders);
    return found;
  }

  async look(folder: string): Promise<StoredFolder | undefined> {
    return (await this.#lookInto(`${folder}/`, (name) => name === folder))[0];
  }

  async lookAll(isWanted: (folder: string) => boolean): Promise<StoredFolder[]> {
    return await this.#lookInto('', isWanted);
  }

  async #lookInto(prefix: string, isWanted: (folder: string) => boolean): Promise<StoredFolder[]> {
    const found = new Map<string, StoredFile[]>();
    for await (const { files } of this.#pages(prefix)) {
      for (const { path, ...file } of files) {
        const [folder = '', ...names] = path.split('/');
        if (names.length === 0 || !isWanted(folder)) continue;
        const name = names.join('/'); // with "/" it is none of Kinora's
        const known = found.get(folder) ?? [];
        known.push({ ...file, name });
        found.set(folder, known);
      }
    }
    return [...found].map(([folder, files]) => {
      const modifiedMs = Math.max(...files.map((file) => file.modifiedMs));
      return { folder, modifiedMs, files };
    });
  }

  async #hasFiles(folder: string): Promise<boolean> {
    for await (const { files } of this.#pages(`${folder}/`, undefined, 1)) return files.length > 0;
    return false;
  }

  /** Paths are without the prefix of this storage. */
  async *#pages(prefix: string, Delimiter?: string, MaxKeys?: number) {
    const root = this.#key('', '') === '' ? '' : `${this.#settings.prefix}/`;
    const { bucket: Bucket } = this.#settings;
    let ContinuationToken: string | undefined;
    do {
      const options = { Bucket, Prefix: root + prefix, Delimiter, MaxKeys, ContinuationToken };
      const page = await this.#try(() => this.#client.send(new ListObjectsV2Command(options)));
      // Nothing is absent where something is listed: a proxy may have answered while the service was down.
      if (!page) throw wrongAnswer('status 404');
      const files = (page.Contents ?? []).map(({ Key = '', Size = 0, LastModified }) => ({
        path: Key.slice(root.length),
        bytes: Size,
        modifiedMs: LastModified?.getTime() ?? 0,
      }));
      const folders = (page.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix.slice(root.length, -1));
      yield { files, folders };
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
  }

  async remove(folder: string, names?: readonly string[]): Promise<void> {
    const look = async (): Promise<string[]> =>
      (await this.look(folder))?.files.map(({ name }) => name) ?? [];
    await this.#delete(folder, names ?? (await look()));
    if (names) return;
    await this.#delete(folder, await look()); // what was put there meanwhile
    await this.#removeCopiesOf(folder);
  }

  async #delete(folder: string, names: readonly string[]): Promise<void> {
    // One by one: not every service can remove several at once.
    for (let at = 0; at < names.length; at += atOnce) {
      await Promise.all(
        names.slice(at, at + atOnce).map(async (name) => {
          const command = new DeleteObjectCommand(this.#object({ folder, name }));
          await this.#try(() => this.#client.send(command));
        }),
      );
    }
  }

  /** In the bucket there are none. */
  async removeLeftovers(folder: string, _: unknown, beforeMs: number): Promise<number> {
    return await this.#removeCopiesOf(folder, beforeMs);
  }

  async #removeCopiesOf(folder: string, beforeMs = Number.POSITIVE_INFINITY): Promise<number> {
    return await this.#removeCopies((copy) => folderOf(copy) === folder, beforeMs);
  }

  async #removeCopies(isMeant: (name: string) => boolean, beforeMs: number): Promise<number> {
    let removed = 0;
    const copies = await readdir(this.#workFolder).catch(() => []);
    await inTurn(copies.filter(isMeant), async (name) => {
      const path = join(this.#workFolder, name);
      const entry = await stat(path).catch(() => undefined);
      if (!entry || entry.mtimeMs >= beforeMs) return;
      await rm(path, { recursive: true, force: true });
      removed++;
    });
    return removed;
  }

  async checkOut(folder: string, names: readonly string[]): Promise<WorkingCopy> {
    const path = join(this.#workFolder, `${folder}.${randomUUID()}`);
    const close = (): Promise<void> => rm(path, { recursive: true, force: true });
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
      await Promise.all(names.map((name) => this.#download({ folder, name }, join(path, name))));
    } catch (error) {
      await close();
      throw asFull(error);
    }
    const keep = async (name: string): Promise<void> => {
      const file = join(path, name);
      if (!(await stat(file).catch(() => undefined))) {
        const message = 'What was made is no longer on this machine.';
        throw new KinoraError('STORAGE_FAILED', message, { remedy: 'Try again.' });
      }
      await this.#put({ folder, name }, { file });
    };
    return { path, keep, close };
  }
}

/** Goes on behind an error, and throws the first one at the end. */
async function inTurn<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const errors: unknown[] = [];
  for (const item of items) await work(item).catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}

const typeOf = (name: string): string => types[extname(name)] ?? 'application/octet-stream';

async function bodyOf(
  content: Content,
): Promise<{ body: Exclude<Content, { file: string }> | Readable; bytes: number }> {
  if (typeof content === 'string') return { body: content, bytes: Buffer.byteLength(content) };
  if (content instanceof Uint8Array) return { body: content, bytes: content.byteLength };
  return { body: createReadStream(content.file), bytes: (await stat(content.file)).size };
}

/** Fails when nothing comes for a while; who reads may be as slow as they like. */
async function* unlessSilent(stream: Readable, silenceMs: number): AsyncGenerator<Buffer> {
  const chunks: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await withDeadline(silenceMs, chunks.next(), () => {
        throw new Error('silent');
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    stream.destroy();
  }
}
