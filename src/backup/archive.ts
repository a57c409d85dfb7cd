/**
 * A backup as a tar file: kinora.json, redis/N.jsonl with a key a line, the files of jobs as jobs/FOLDER/NAME, those of the
 * data folder as data/NAME, and end.json, without which the file was cut off.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { extract, type Header, type Pack, pack } from 'tar-stream';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { isJobFileName, isOwnFolder } from '../queue/job-files.ts';
import type { Place, Storage } from '../storage/storage.ts';
import { type StoredKey, storedKeySchema } from './redis-snapshot.ts';

const format = 1;
/** Of the data folder: what Redis must not hold, or forgets too easily. */
const dataFiles = ['webhook.key', 'inbox.json'];
/** In one entry: all of them would be longer than a text may be. */
const keysAtOnce = 10_000;

const aboutSchema = z.object({
  format: z.literal(format),
  /** Of Kinora. */
  version: z.string(),
  createdAt: z.iso.datetime(),
  /** Kind and version of Redis: its serialisation is read by the same and later ones. */
  redis: z.string(),
  keys: z.int(),
  /** They are not inside: where this machine has them. */
  packs: z.array(z.object({ id: z.string(), folder: z.string() })),
});
export type About = z.infer<typeof aboutSchema>;

const endSchema = z.object({ files: z.int(), bytes: z.int() });
export type Totals = z.infer<typeof endSchema>;

export interface ArchiveReader {
  readonly onAbout: (about: About) => Promise<void>;
  readonly onKeys: (keys: readonly StoredKey[]) => Promise<void>;
  readonly onFile: (place: Place, content: Buffer) => Promise<void>;
  /** @param name below the data folder */
  readonly onDataFile: (name: string, content: Buffer) => Promise<void>;
}

/** Readable by the owner alone: prompts, pictures, the hashes of keys and the key of webhooks are inside. */
export async function writeArchive(
  file: string,
  about: Omit<About, 'format'>,
  keys: readonly StoredKey[],
  storage: Storage,
  dataFolder: string,
): Promise<Totals> {
  const archive = pack();
  const written = pipeline(archive, createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true }));
  const totals = { files: 0, bytes: 0 };
  const fill = async (): Promise<void> => {
    await add(archive, 'kinora.json', JSON.stringify({ format, ...about }, null, 2));
    for (let at = 0; at < keys.length; at += keysAtOnce) {
      const lines = keys.slice(at, at + keysAtOnce).map((key) => JSON.stringify(key));
      await add(archive, `redis/${at}.jsonl`, lines.join('\n'));
    }
    for (const name of dataFiles) {
      const content = await readFile(path.join(dataFolder, name)).catch(absent);
      if (content) await add(archive, `data/${name}`, content);
    }
    // What else lies there is somebody else's.
    for (const folder of (await storage.folders()).filter(isOwnFolder)) {
      for (const { name } of (await storage.look(folder))?.files ?? []) {
        if (!isJobFileName(name)) continue;
        const content = await storage.read({ folder, name });
        if (!content) continue; // removed meanwhile
        await add(archive, `jobs/${folder}/${name}`, content);
        totals.files += 1;
        totals.bytes += content.length;
      }
    }
    await add(archive, 'end.json', JSON.stringify(totals));
    archive.finalize();
  };
  await Promise.all([written, fill()]);
  await chmod(file, 0o600);
  return totals;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

/** Waits until there is room for the next entry. */
async function add(archive: Pack, name: string, content: string | Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve());
    archive.entry({ name, mode: 0o600 }, content, done);
  });
}

/** @throws KinoraError INVALID_CONFIG for a file that is no backup, of a later version, or cut off */
export async function readArchive(file: string, reader: ArchiveReader): Promise<Totals> {
  const entries = extract();
  const found: Totals = { files: 0, bytes: 0 };
  let end: Totals | undefined;
  const take = async ({ name }: Header, content: Buffer): Promise<void> => {
    const dataFile = dataFiles.find((file) => name === `data/${file}`);
    const [, folder, file] = /^jobs\/([\w.-]+)\/([\w.-]+)$/.exec(name) ?? [];
    if (folder !== undefined && file !== undefined && isOwnFolder(folder) && isJobFileName(file)) {
      found.files += 1;
      found.bytes += content.length;
      await reader.onFile({ folder, name: file }, content);
    } else if (dataFile !== undefined) await reader.onDataFile(dataFile, content);
    else if (name === 'kinora.json') await reader.onAbout(aboutSchema.parse(JSON.parse(content.toString())));
    else if (/^redis\/\d+\.jsonl$/.test(name)) await reader.onKeys(keysIn(content.toString()));
    else if (name === 'end.json') end = endSchema.parse(JSON.parse(content.toString()));
    else throw new Error(`it holds "${name.slice(0, 100)}"`);
  };
  const read = async (): Promise<void> => {
    for await (const entry of entries) await take(entry.header, await buffer(entry));
  };
  try {
    await Promise.all([pipeline(createReadStream(file), entries), read()]);
  } catch (error) {
    if (error instanceof KinoraError || (error as NodeJS.ErrnoException).code !== undefined) throw error;
    throw notABackup(file, error);
  }
  if (end?.files !== found.files || end.bytes !== found.bytes) throw notABackup(file, 'it was cut off');
  return found;
}

const keysIn = (text: string): StoredKey[] =>
  text.split('\n').flatMap((line) => (line === '' ? [] : [storedKeySchema.parse(JSON.parse(line))]));

function notABackup(file: string, cause: unknown): KinoraError {
  const reason =
    cause instanceof z.ZodError ? 'it has another format' : String(cause).replace(/^Error: /, '');
  return new KinoraError(
    'INVALID_CONFIG',
    `${path.basename(file)} is no whole backup of this version of Kinora: ${reason.slice(0, 200)}.`,
    { cause },
  );
}
