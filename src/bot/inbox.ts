/**
 * The simplest platform: a folder. A picture that appears in it is animated, and its video appears beside it. For a
 * shared or synchronised folder, a scanner, a script; and to try out a whole installation without an account.
 *
 * `photo.jpg` becomes `photo.mp4`; the text of `photo.txt`, written before the picture, is the prompt. A failure is
 * described in `photo.error.txt`.
 */
import { createHash, randomInt } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { replaceFile } from '../atomic-file.ts';
import { describeError, isKinoraError, KinoraError, serializeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Submission } from '../queue/client.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import type { ChatPlatform, Services } from './platform.ts';
import type { Answer } from './upkeep/delivery.ts';

const pictures = /\.(jpe?g|png|webp)$/i;
const lookEveryMs = 1_000;
/** A file that was written to within this time may still grow, and is left alone. */
const settledMs = 500;
const largestPictureBytes = 64 * 1024 ** 2;
const userKey = 'inbox:folder';

export class InboxPlatform implements ChatPlatform {
  readonly name = 'inbox';
  readonly #folder: string;
  readonly #log: Logger;
  readonly #preset: string;
  #services: Services | null = null;
  #timer: NodeJS.Timeout | null = null;
  #saidWaiting = false;
  #looking: Promise<void> = Promise.resolve();

  constructor(folder: string, log: Logger, preset = 'standard') {
    this.#folder = path.resolve(folder);
    this.#log = log;
    this.#preset = preset;
  }

  async start(services: Services): Promise<void> {
    this.#services = services;
    await mkdir(this.#folder, { recursive: true });
    this.#schedule();
  }

  async stop(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#services = null;
    await this.#looking;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#looking = this.#look()
        .catch((error: unknown) => this.#log.warn({ err: String(error) }, 'the inbox cannot be read'))
        .then(() => {
          if (this.#services) this.#schedule();
        });
    }, lookEveryMs);
  }

  async #look(): Promise<void> {
    const names = await readdir(this.#folder);
    const done = new Set(names);
    for (const name of names.filter((candidate) => pictures.test(candidate))) {
      const { video, failure } = answersOf(name);
      if (done.has(video) || done.has(failure)) continue;
      await this.#submit(name);
    }
  }

  async #submit(name: string): Promise<void> {
    const services = this.#services;
    const file = path.join(this.#folder, name);
    const entry = await stat(file).catch(() => undefined);
    if (!services || !entry?.isFile() || Date.now() - entry.mtimeMs < settledMs) return;
    try {
      if (entry.size > largestPictureBytes) {
        throw new KinoraError(
          'IMAGE_TOO_LARGE',
          `The picture has ${entry.size} bytes; at most ${largestPictureBytes}.`,
        );
      }
      const picture = await readFile(file);
      // The same name and content are the same job, however often they are seen. A changed picture is a new job.
      const hash = createHash('sha256').update(`${name}\0`).update(picture).digest('hex').slice(0, 32);
      const id = await freeId(services, `in-${hash}`);
      if (id === undefined) return;
      const prompt = await readFile(path.join(this.#folder, `${path.parse(name).name}.txt`), 'utf8').catch(
        () => '',
      );
      await services.artifacts.storeImage(id, picture);
      const submission = await services.client.submit({
        id,
        userKey,
        generation: { prompt: prompt.slice(0, 2000), preset: this.#preset, seed: randomInt(2 ** 32) },
        replyTo: { file: name },
      });
      this.#saidWaiting = false;
      await this.#refusal(name, submission);
    } catch (error) {
      const serialized = serializeError(error);
      // Only a fault of the picture itself is final.
      if (isKinoraError(error) && error.code !== 'DISK_FULL') {
        return await this.#writeFailure(name, describeError(serialized));
      }
      if (!this.#saidWaiting) this.#log.warn({ err: serialized.message }, 'the inbox waits');
      this.#saidWaiting = true;
    }
  }

  /** Full queues, full disks and pauses pass: the picture is tried again. */
  async #refusal(name: string, submission: Submission): Promise<void> {
    if (submission.decision === 'banned') await this.#writeFailure(name, `Not allowed: ${submission.reason}`);
    else if (submission.decision !== 'accepted' && submission.decision !== 'duplicate') {
      this.#log.info({ decision: submission.decision }, 'the inbox waits');
    }
  }

  readonly deliver = async (entry: LedgerEntry, answer: Answer): Promise<void> => {
    const name = path.basename(String(entry.request.replyTo['file']));
    if (answer.kind === 'failure') return await this.#writeFailure(name, describeError(answer.failure));
    if (answer.kind === 'cancelled') return await this.#writeFailure(name, 'Cancelled.');
    // Copied under another name first: programs that watch the folder never see half a video.
    const target = path.join(this.#folder, answersOf(name).video);
    await replaceFile(target, (temporary) => copyFile(answer.files.video, temporary));
  };

  async #writeFailure(name: string, sentence: string): Promise<void> {
    await writeFile(path.join(this.#folder, answersOf(name).failure), `${sentence}\n`);
  }
}

/**
 * An unused job id for a picture, or undefined when the picture has a job. A job that was withdrawn, because Redis did
 * not answer its submission in time, is submitted again under a new id, and so is one that was answered long ago.
 */
async function freeId({ client, artifacts }: Services, base: string): Promise<string | undefined> {
  for (let attempt = 1; ; attempt++) {
    const id = attempt === 1 ? base : `${base}-${attempt}`;
    const entry = await client.ledger.read(id);
    if (!entry && (await artifacts.answered(id)) === undefined) return id;
    if (entry && !entry.isWithdrawn) return undefined;
  }
}

function answersOf(name: string): { readonly video: string; readonly failure: string } {
  const stem = path.parse(name).name;
  return { video: `${stem}.mp4`, failure: `${stem}.error.txt` };
}
