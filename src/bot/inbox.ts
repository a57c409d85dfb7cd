/**
 * The simplest platform: a folder. A picture that appears in it is animated, and its video appears beside it. For a
 * shared or synchronised folder, a scanner, a script; and to try out a whole installation without an account.
 *
 * `photo.jpg` becomes `photo.mp4`; the text of `photo.txt` is the prompt with options, as in a chat. A failure is
 * described in `photo.error.txt`. Another picture of that name, or another text, is a new request, whose video replaces
 * that of the earlier one. What somebody else put there is never replaced: the answer takes another name.
 */
import { createHash, randomInt } from 'node:crypto';
import path from 'node:path';
import { z } from 'zod';
import { describeError, isKinoraError, type SerializedError, serializeError } from '../errors.ts';
import { pictureName } from '../inference/pictures/format.ts';
import type { Logger } from '../log.ts';
import type { Submission } from '../queue/client.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import { parseWords } from '../request/options-text.ts';
import { type Generation, toGeneration } from '../request/request.ts';
import { answerNames, InboxFolder, type Name, type Placed, prepareInbox, shown } from './inbox-folder.ts';
import { InboxRecords, type Sight } from './inbox-records.ts';
import type { ChatPlatform, Services } from './platform.ts';
import { messagesFor } from './sentences/catalogue.ts';
import { renderRefusal } from './sentences/render.ts';
import { understoodLine } from './sentences/understood.ts';
import type { Answer } from './upkeep/delivery.ts';
import { Periodic } from './upkeep/periodic.ts';

const usualLookEveryMs = 1_000;
/** Pause before a picture is offered again that the queue did not take: every offer writes it to the disk. */
const offerEveryMs = 3_000;
const userKey = 'inbox:folder';
const idPrefix = 'in-';
const endings = { video: '.mp4', failure: '.error.txt' } as const;
/** In the comment of Kinora's videos. */
const ownMark = '"software":"Kinora"';
/** Of Kinora's sentences about a failure. */
const sentenceEnd = '.\n';

const replyToSchema = z.object({
  /** For people. */
  file: z.string(),
  /** In hex; absent in jobs of version 0.2. */
  name: z.string().optional(),
});

export interface InboxOptions {
  /** Keeps over restarts what was asked and answered. */
  readonly recordsFile?: string;
  readonly lookEveryMs?: number;
  /** Shows one plain line to the person who started Kinora. */
  readonly say?: (line: string) => void;
}

/** A picture with its text, which were not written to between two looks. */
interface Found {
  readonly name: Name;
  readonly text: Name | undefined;
  /** What has the name of its text and is a link, a pipe or the like. */
  readonly notRead: Name | undefined;
  readonly sight: Sight;
}

type Content =
  | { readonly picture: Uint8Array; readonly generation: Generation; readonly hash: string }
  | { readonly error: Error & SerializedError; readonly hash: string };

export class InboxPlatform implements ChatPlatform {
  readonly name = 'inbox';
  readonly #path: string;
  readonly #folder: InboxFolder;
  readonly #log: Logger;
  readonly #say: (line: string) => void;
  readonly #recordsFile: string | undefined;
  #records: Promise<InboxRecords> | undefined;
  readonly #looks: Periodic;
  #services: Services | null = null;
  /** Of the look before: what looks otherwise now may still be written to. */
  #sights: ReadonlyMap<Name, Sight> | undefined;
  #saidWaiting: string | undefined;
  #offerAgainAt = 0;

  constructor(
    folder: string,
    log: Logger,
    { recordsFile, lookEveryMs = usualLookEveryMs, say = () => {} }: InboxOptions = {},
  ) {
    this.#path = path.resolve(folder);
    this.#folder = new InboxFolder(this.#path);
    this.#log = log;
    this.#say = say;
    this.#recordsFile = recordsFile;
    this.#looks = new Periodic(
      () => this.#look(),
      lookEveryMs,
      (error) => this.#wait(this.#reasonOf(error), error),
    );
  }

  async start(services: Services): Promise<void> {
    await prepareInbox(this.#path);
    this.#services = services;
    this.#say(`Watching ${this.#path}: a picture that is put there becomes a video beside it.`);
    this.#looks.start();
  }

  /** Not before this one leads: another bot may serve the folder until then. */
  #opened(): Promise<InboxRecords> {
    this.#records ??= InboxRecords.open(this.#recordsFile, this.#path, this.#log);
    return this.#records;
  }

  async stop(): Promise<void> {
    this.#services = null;
    await this.#looks.stop();
  }

  async #look(): Promise<void> {
    const records = await this.#opened();
    const names = await this.#folder.names();
    const listing = new Set(names);
    // Also photo.TXT. The sentence about another picture is no prompt.
    const failures = records.failures();
    const texts = new Map(
      names
        .filter((name) => /\.txt$/i.test(name) && !failures.has(name))
        .map((name) => [name.slice(0, -4), name]),
    );
    const settled: Found[] = [];
    const before = this.#sights;
    const sights = new Map<Name, Sight>();
    this.#sights = sights;
    for (const name of names.filter((each) => pictureName.test(each) && !each.startsWith('.'))) {
      const found = await this.#find(name, texts);
      if (!found) continue;
      sights.set(name, found.sight);
      const was = before?.get(name);
      if (was?.picture === found.sight.picture && was.text === found.sight.text) settled.push(found);
    }
    if (before && records.isNew) {
      for (const found of settled) await this.#adopt(found, listing, records);
      await records.begin();
    }
    for (const found of settled) {
      if (!this.#services) return;
      const isTaken = await this.#consider(found, listing, records, this.#services);
      if (!isTaken) return;
    }
    this.#wait(undefined);
    records.keepOnly(listing);
  }

  async #find(name: Name, texts: ReadonlyMap<string, Name>): Promise<Found | undefined> {
    const picture = await this.#folder.look(name);
    if (!picture) return undefined;
    const text = texts.get(path.parse(name).name);
    const look = text === undefined ? undefined : await this.#folder.look(text);
    const isRead = look?.isFile === true;
    return {
      name,
      text: isRead ? text : undefined,
      notRead: look && !isRead ? text : undefined,
      sight: { picture: picture.sight, text: isRead ? look.sight : '' },
    };
  }

  /** Asks for a video where there is something new. False when nothing can be asked for now. */
  async #consider(
    found: Found,
    listing: ReadonlySet<Name>,
    records: InboxRecords,
    services: Services,
  ): Promise<boolean> {
    const { name, sight } = found;
    const record = records.get(name);
    // Somebody who removes the sentence wants another try.
    const isWanted = record?.isAnswered && record.failure && !listing.has(record.failure.name);
    const isInHand = async (): Promise<boolean> => {
      if (!record || isWanted) return false;
      return record.isAnswered || (await isKnown(record.jobId, services));
    };
    try {
      if (record && isUnchanged(record.sight, sight) && (await isInHand())) return true;
      const content = await this.#read(found);
      if (!content) return true;
      if (record && hashOf(record.jobId) === content.hash && (await isInHand())) {
        records.set(name, { ...record, sight });
        return true;
      }
      const jobId = await freeId(content.hash, services);
      if ('error' in content) {
        records.set(name, { ...record, jobId, sight, isAnswered: false });
        await this.#fail(name, jobId, describeError(serializeError(content.error)));
        return true;
      }
      return await this.#ask(found, jobId, content, records, services);
    } catch (error) {
      this.#wait(this.#reasonOf(error), error);
      return false;
    }
  }

  /** Undefined when the picture is gone. */
  async #read({ name, text }: Found): Promise<Content | undefined> {
    const hashOfContent = (...parts: readonly (string | Uint8Array)[]): string => {
      const hash = createHash('sha256').update(Buffer.from(`${name}\0`, 'latin1'));
      for (const part of parts) hash.update(part);
      return hash.digest('hex').slice(0, hashLength);
    };
    try {
      const picture = await this.#folder.readPicture(name);
      const words = text === undefined ? '' : await this.#folder.readText(text);
      const options = parseWords(words);
      const seed = options.seed ?? randomInt(2 ** 32);
      const generation = { prompt: '', preset: 'standard', ...toGeneration(options), seed };
      return { picture, generation, hash: hashOfContent(picture, words) };
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      if (!isKinoraError(error)) throw error;
      return { error, hash: hashOfContent(error.message) };
    }
  }

  /** False when the queue takes nothing now: full queues, full disks and pauses pass. */
  async #ask(
    { name, sight, notRead }: Found,
    jobId: string,
    { picture, generation }: Extract<Content, { generation: Generation }>,
    records: InboxRecords,
    { artifacts, client, models }: Services,
  ): Promise<boolean> {
    if (performance.now() < this.#offerAgainAt) return false;
    const record = records.get(name);
    const model = models.chosen(generation.model);
    if (model && 'reason' in model) {
      records.set(name, { ...record, jobId, sight, isAnswered: false });
      await this.#fail(name, jobId, renderRefusal(model.reason, messagesFor('en')));
      return true;
    }
    // Known before the queue has it: its answer may come before that of the queue.
    records.set(name, { ...record, jobId, sight, isAnswered: false });
    let submission: Submission = { decision: 'unavailable' };
    try {
      await artifacts.storeImage(jobId, picture);
      const replyTo = { file: shown(name), name: Buffer.from(name, 'latin1').toString('hex') };
      const request = { id: jobId, userKey, generation, model: model?.id, replyTo };
      submission = await client.submit(request, undefined, true);
    } finally {
      if (submission.decision !== 'accepted' && submission.decision !== 'duplicate')
        records.set(name, record);
    }
    switch (submission.decision) {
      case 'accepted':
      case 'duplicate':
        await records.save();
        if (notRead !== undefined)
          this.#say(`${shown(notRead)} is not a regular file; its words are left out.`);
        if (record && !record.isAnswered && record.jobId !== jobId)
          await client.cancel(record.jobId, userKey);
        return true;
      case 'banned':
        records.set(name, { ...record, jobId, sight, isAnswered: false });
        await this.#fail(name, jobId, `Not allowed: ${submission.reason}`);
        return true;
      default:
        this.#offerAgainAt = performance.now() + offerEveryMs;
        if (submission.decision !== 'user-full') {
          const reason = { kind: 'queue', submission, backInMs: undefined } as const;
          this.#wait(renderRefusal(reason, messagesFor('en')));
        }
        return false;
    }
  }

  /** What lay in the folder before anything was recorded may have its answer from an earlier version. */
  async #adopt(found: Found, listing: ReadonlySet<Name>, records: InboxRecords): Promise<void> {
    const { name, sight } = found;
    const placed = async (kind: keyof typeof endings, mark: string): Promise<Placed | undefined> => {
      const { value } = answerNames(name, endings[kind]).next();
      return listing.has(value) && !records.isAnswer(value)
        ? await this.#folder.find(value, mark)
        : undefined;
    };
    const [video, failure] = [await placed('video', ownMark), await placed('failure', sentenceEnd)];
    const content = video || failure ? await this.#read(found) : undefined;
    if (!content) return;
    records.set(name, { jobId: `${idPrefix}${content.hash}`, sight, isAnswered: true, video, failure });
  }

  readonly deliver = async (entry: LedgerEntry, answer: Answer): Promise<void> => {
    const { file, name: hex } = replyToSchema.parse(entry.request.replyTo);
    const name = (hex === undefined ? Buffer.from(path.basename(file)) : Buffer.from(hex, 'hex')).toString(
      'latin1',
    );
    const record = (await this.#opened()).get(name);
    // Another request was made of the picture meanwhile, or the answer was delivered before a crash.
    if (record && (record.jobId !== entry.id || record.isAnswered)) return;
    if (answer.kind === 'video') {
      const { understood } = answer.artifact;
      const line = understood && understoodLine(understood, messagesFor('en').motions);
      await this.#place(name, entry.id, 'video', (await answer.files()).video, line);
    } else if (answer.kind === 'failure') await this.#fail(name, entry.id, describeError(answer.failure));
    else await this.#fail(name, entry.id, 'Cancelled.');
  };

  async #fail(name: Name, jobId: string, sentence: string): Promise<void> {
    await this.#place(name, jobId, 'failure', Buffer.from(`${sentence}\n`));
    this.#say(`${shown(name)}: ${sentence}`);
  }

  async #place(
    name: Name,
    jobId: string,
    kind: keyof typeof endings,
    content: string | Uint8Array,
    line = '',
  ): Promise<void> {
    const records = await this.#opened();
    const earlier = records.get(name);
    const names = answerNames(name, endings[kind]);
    const placed = await this.#folder.place(content, names, `.kinora-${jobId}.part`, earlier?.[kind]);
    if (kind === 'video' && earlier?.failure) await this.#folder.removeUntouched(earlier.failure);
    const answers = kind === 'video' ? { video: placed } : { video: earlier?.video, failure: placed };
    // Meanwhile another request may have been made of the picture: its answer will replace this one.
    const { jobId: latest, sight } = records.get(name) ?? { jobId, sight: unknownSight };
    records.set(name, { jobId: latest, sight, isAnswered: latest === jobId, ...answers });
    await records.save();
    if (kind !== 'video') return;
    const ready = `${shown(placed.name)} is ready: the video of ${shown(name)}.`;
    this.#say(line ? `${ready} ${line}` : ready);
  }

  #reasonOf(error: unknown): string {
    if (isKinoraError(error)) return error.message;
    const isFile = error instanceof Error && 'path' in error;
    return isFile ? `${this.#path} cannot be read and written (${codeOf(error)}).` : 'Redis does not answer.';
  }

  /** Says once why nothing is asked for; undefined: something can be again. */
  #wait(reason: string | undefined, error?: unknown): void {
    if (reason !== undefined && reason !== this.#saidWaiting) {
      this.#say(`The inbox waits: ${reason}`);
      if (error !== undefined) this.#log.warn({ err: String(error) }, 'the inbox waits');
    }
    this.#saidWaiting = reason;
  }
}

const unknownSight: Sight = { picture: '', text: '' };
const hashLength = 32;

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;
/** The part of a job id that names picture and text: the same name and content are the same request. */
const hashOf = (jobId: string): string => jobId.slice(idPrefix.length).slice(0, hashLength);

/** A text that was taken away changes nothing. */
function isUnchanged(before: Sight, now: Sight): boolean {
  return before.picture === now.picture && (before.text === now.text || now.text === '');
}

async function isKnown(jobId: string, { client }: Services): Promise<boolean> {
  const entry = await client.ledger.read(jobId);
  return entry !== undefined && !entry.isWithdrawn;
}

/**
 * The id of a new job for a request. One that was withdrawn, because Redis did not answer its submission in time, or
 * that has had its answer is over, and what is asked again is another job.
 */
async function freeId(hash: string, { client, artifacts }: Services): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const id = `${idPrefix}${hash}${attempt === 1 ? '' : `-${attempt}`}`;
    const entry = await client.ledger.read(id);
    const isOver = entry
      ? entry.isWithdrawn || entry.deliveredAt !== undefined
      : (await artifacts.answered(id)) !== undefined;
    if (!isOver) return id;
  }
}
