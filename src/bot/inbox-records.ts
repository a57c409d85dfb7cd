/**
 * What the inbox knows of its pictures, in a file of the data folder: which request was made of each, and which files
 * are the answers to it. By that an answer is told from somebody's own file of the same name, over restarts.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { replaceFile } from '../atomic-file.ts';
import type { Logger } from '../log.ts';
import type { Name } from './inbox-folder.ts';

const placedSchema = z.object({ name: z.string(), bytes: z.int(), sha256: z.string() });

const recordSchema = z.object({
  /** The latest request that was made of the picture. */
  jobId: z.string(),
  /** Picture and text as they looked then; another look means that they have to be read again. */
  sight: z.object({ picture: z.string(), text: z.string() }),
  isAnswered: z.boolean(),
  /** Of this request, or of an earlier one if this one has none. */
  video: placedSchema.optional(),
  failure: placedSchema.optional(),
});
export type InboxRecord = z.infer<typeof recordSchema>;
export type Sight = InboxRecord['sight'];

const fileSchema = z.object({
  /** Those of another folder mean nothing here. */
  folder: z.string(),
  pictures: z.array(z.tuple([z.string(), recordSchema])),
});

export class InboxRecords {
  readonly #file: string | undefined;
  readonly #folder: string;
  readonly #log: Logger;
  readonly #pictures: Map<Name, InboxRecord>;
  /** Nothing is known of the folder: an earlier version of Kinora may have served it. */
  #isNew: boolean;
  #saving: Promise<void> = Promise.resolve();

  private constructor(
    file: string | undefined,
    folder: string,
    log: Logger,
    pictures: readonly (readonly [Name, InboxRecord])[] | undefined,
  ) {
    this.#file = file;
    this.#folder = folder;
    this.#log = log;
    this.#pictures = new Map(pictures);
    this.#isNew = pictures === undefined;
  }

  /** @param file undefined: everything is forgotten when the process ends */
  static async open(file: string | undefined, folder: string, log: Logger): Promise<InboxRecords> {
    const text = file === undefined ? '' : await readFile(file, 'utf8').catch(() => '');
    const parsed = fileSchema.safeParse(parseJson(text));
    if (text !== '' && !parsed.success)
      log.warn({ file }, 'the records of the inbox are damaged and left out');
    const isHere = parsed.success && parsed.data.folder === folder;
    return new InboxRecords(file, folder, log, isHere ? parsed.data.pictures : undefined);
  }

  get(picture: Name): InboxRecord | undefined {
    return this.#pictures.get(picture);
  }

  /** Kept on the disk with the next save(). */
  set(picture: Name, record: InboxRecord | undefined): void {
    if (record) this.#pictures.set(picture, record);
    else this.#pictures.delete(picture);
  }

  /** The files that say why there is no video. */
  failures(): ReadonlySet<Name> {
    return new Set([...this.#pictures.values()].flatMap(({ failure }) => (failure ? [failure.name] : [])));
  }

  /** Whether that file is the answer to some picture. */
  isAnswer(file: Name): boolean {
    return [...this.#pictures.values()].some(
      ({ video, failure }) => video?.name === file || failure?.name === file,
    );
  }

  /** Forgets pictures that were taken away. */
  keepOnly(names: ReadonlySet<Name>): void {
    // An empty folder may be one that is not mounted.
    if (names.size === 0) return;
    for (const [picture, { isAnswered }] of this.#pictures) {
      if (isAnswered && !names.has(picture)) this.#pictures.delete(picture);
    }
  }

  get isNew(): boolean {
    return this.#isNew;
  }

  /** From now on a picture without a record is one that came. */
  async begin(): Promise<void> {
    this.#isNew = false;
    await this.save();
  }

  async save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write());
    await this.#saving;
  }

  async #write(): Promise<void> {
    if (this.#file === undefined) return;
    const text = JSON.stringify({ folder: this.#folder, pictures: [...this.#pictures] });
    try {
      await replaceFile(this.#file, (temporary) => writeFile(temporary, text, { mode: 0o600, flush: true }));
    } catch (error) {
      // At worst a picture is animated again after a restart.
      this.#log.warn({ err: String(error) }, 'the records of the inbox cannot be written');
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
