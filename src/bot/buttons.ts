/**
 * The buttons under the bot's messages: their ids, who may press them, and what they do with an earlier job. Everything
 * is read from the id and the ledger, so buttons work after a restart and weeks later. Knows no platform.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ZodError } from 'zod';
import type { Artifacts, OpenFiles } from '../queue/artifacts.ts';
import type { JobClient } from '../queue/client.ts';
import type { JobFiles } from '../queue/job-files.ts';
import { jobIdSchema } from '../queue/jobs.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import { fitToBytes, loopVideo, smoothVideo } from '../video/transform.ts';
import type { Person } from './people.ts';
import { failed, type Refused, refused } from './refusals.ts';

export const actions = [
  'cancel',
  'reroll',
  'remix',
  'subtle',
  'strong',
  'extend',
  'settings',
  'smooth',
  'loop',
  'delete',
] as const;
export type Action = (typeof actions)[number];

export interface JobButton {
  readonly action: Action;
  readonly jobId: string;
}

export function buttonId({ action, jobId }: JobButton): string {
  return `${action}:${jobId}`;
}

export function parseButtonId(id: string): JobButton | undefined {
  const [name, jobId] = id.split(':');
  const action = actions.find((known) => known === name);
  return action && jobId ? { action, jobId } : undefined;
}

/** A smoothed or looped clip, as a file that is there until the call ends that it was passed to. */
export interface TransformedClip {
  readonly kind: 'clip';
  readonly action: 'smooth' | 'loop';
  readonly file: string;
  /** Of the video that it was made of. */
  readonly thumbnail: string;
  /** Quality was given up to meet the size limit. */
  readonly isCompressed: boolean;
  readonly isSpoiler: boolean;
}

/** The part of a size limit that is used: a fallback may have a smaller limit than the place of the request. */
export const uploadShare = 0.95;
/** The button says "×3". */
const smoothFactor = 3;

export class JobButtons {
  readonly #client: JobClient;
  readonly #artifacts: Artifacts;
  readonly #ffmpegPath: string;
  #lastTransform: Promise<unknown> = Promise.resolve();

  constructor(client: JobClient, artifacts: Artifacts, ffmpegPath: string) {
    this.#client = client;
    this.#artifacts = artifacts;
    this.#ffmpegPath = ffmpegPath;
  }

  /** The earlier job of a button, if this person may press it. */
  async open(
    jobId: string,
    person: Person,
    action: Action,
  ): Promise<{ readonly kind: 'open'; readonly entry: LedgerEntry } | Refused> {
    // A modified client can send any id.
    if (!jobIdSchema.safeParse(jobId).success) return refused('gone');
    let entry: LedgerEntry | undefined;
    try {
      entry = await this.#client.ledger.read(jobId);
    } catch (error) {
      // An entry of another version cannot be used any more than one that is gone.
      return refused(error instanceof ZodError ? 'gone' : 'unavailable');
    }
    if (!entry) return refused('gone');
    const isPublic = action === 'settings' && !entry.request.isPrivate;
    const mayPress = isPublic || person.isAdmin || entry.request.userKey === person.userKey;
    return mayPress ? { kind: 'open', entry } : refused('notYours');
  }

  async cancel(jobId: string, person: Person): Promise<{ readonly kind: 'cancelling' } | Refused> {
    if (!jobIdSchema.safeParse(jobId).success) return refused('gone');
    try {
      const answer = await this.#client.cancel(jobId, person.userKey, person.isAdmin);
      if (answer === 'unknown') return refused('gone');
      if (answer === 'forbidden') return refused('notYours');
      return answer === 'finished' ? refused('finished') : { kind: 'cancelling' };
    } catch {
      return refused('unavailable');
    }
  }

  /**
   * Smooths or loops a finished clip, without the queue and without a model. What is made is kept beside it.
   * @param use what is done with the clip
   */
  async transform<T>(
    entry: LedgerEntry,
    action: 'smooth' | 'loop',
    maxBytes: number,
    use: (clip: TransformedClip) => Promise<T>,
  ): Promise<T | Refused> {
    let opened: OpenFiles | undefined;
    try {
      if (!(await this.#artifacts.readRecord(entry.id))) return refused('gone');
      const isMade = (await this.#artifacts.kept(entry.id)).includes(action);
      opened = await this.#artifacts.open(entry.id, [isMade ? action : 'video', 'thumbnail']);
    } catch (error) {
      return failed(error);
    }
    const { files, keep, close } = opened;
    try {
      // One at a time: the cores belong to the model, however often somebody presses.
      const turn = this.#lastTransform.then(() => this.#transformed(action, files, keep, maxBytes));
      this.#lastTransform = turn.catch(() => {});
      const made = await turn.catch(failed);
      if ('kind' in made) return made;
      const { thumbnail } = files;
      return await use({ kind: 'clip', action, ...made, thumbnail, isSpoiler: entry.request.isSpoiler });
    } finally {
      await close();
    }
  }

  async #transformed(
    action: 'smooth' | 'loop',
    { folder, video, [action]: file }: JobFiles,
    keep: OpenFiles['keep'],
    maxBytes: number,
  ): Promise<Pick<TransformedClip, 'file' | 'isCompressed'>> {
    const options = { ffmpegPath: this.#ffmpegPath };
    if (!(await stat(file).catch(() => undefined))) {
      await (action === 'smooth'
        ? smoothVideo(video, file, smoothFactor, options)
        : loopVideo(video, file, options));
      await keep(action);
    }
    const budget = Math.floor(maxBytes * uploadShare);
    if ((await stat(file)).size <= budget) return { file, isCompressed: false };
    const small = join(folder, `${action}-small.mp4`);
    await fitToBytes(file, small, budget, options);
    return { file: small, isCompressed: true };
  }

  /** Removes a job and its files; one that is not over is cancelled first. The adapter removes the message. */
  async remove({ id, request: { userKey } }: LedgerEntry): Promise<void> {
    if ((await this.#client.discard(id, userKey)) !== 'finished') return;
    await this.#artifacts.remove(id);
    await this.#client.ledger.remove(id, userKey);
  }
}
