/**
 * Keeps updates until they are handled, since Telegram forgets them when the next are fetched: a file for each, and the
 * ids of the handled ones. Serves several people at once, and each person's updates in their order. Does not know what
 * updates mean.
 */
import { setMaxListeners } from 'node:events';
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Update } from 'telegraf/types';
import { z } from 'zod';
import { replaceFile } from '../../atomic-file.ts';
import type { Logger } from '../../log.ts';
import { NewerRecord } from '../../queue/contract.ts';
import { readUnlessNewer, writeJson } from '../../queue/stored-json.ts';
import { CallError, errorCode, whereOf } from './api.ts';

/** An update, with notes of what was done about it so far. */
export interface SpooledUpdate {
  readonly update: Update;
  /** What must not be done again after a crash, by name: for example the id of a message that was posted. */
  readonly notes: Readonly<Record<string, number>>;
  /** Resolves when the note is on the disk. */
  readonly note: (name: string, value: number) => Promise<void>;
  /** Aborted when the process ends: what is given up then is taken up at the next start. */
  readonly signal: AbortSignal;
}

export interface UpdateSpoolOptions {
  /** Without a folder, updates are kept in memory only, and a crash loses those that are not handled. */
  readonly folder?: string | undefined;
  readonly handle: (spooled: SpooledUpdate) => Promise<void>;
  /** Updates with the same key are served one after another. */
  readonly keyOf: (update: Update) => string;
  readonly log: Logger;
}

const recordSchema = z.object({
  // The file holds an update as Telegram sent it; handlers check the fields that they use.
  update: z.custom<Update>((value) => z.object({ update_id: z.int() }).safeParse(value).success),
  notes: z.record(z.string(), z.number()),
});

/** Downloads are at most 20 MB each. */
const servedAtOnce = 16;
/** While Telegram is away: about a minute in all, on top of the repeated calls. */
const attempts = 5;
const firstPauseMs = 1_000;
/** Telegram repeats what was not confirmed: the last hundred updates. */
const rememberedIds = 5_000;

export class UpdateSpool {
  readonly #options: UpdateSpoolOptions;
  readonly #known = new Set<number>();
  readonly #lines = new Map<string, Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #served = 0;
  #linesInFile = 0;
  readonly #stopping = new AbortController();
  #writing: Promise<void> = Promise.resolve();

  constructor(options: UpdateSpoolOptions) {
    this.#options = options;
    // Each update that is served may listen; Node warns of more than ten listeners.
    setMaxListeners(2 * servedAtOnce, this.#stopping.signal);
  }

  /** Reads the ids of handled updates, and takes up those that a crash left. */
  async start(): Promise<void> {
    const { folder, log } = this.#options;
    if (folder === undefined) return;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const done = await readFile(this.#doneFile(folder), 'utf8').catch(() => '');
    const ids = done.split('\n').filter(Boolean).map(Number).filter(Number.isSafeInteger);
    for (const id of ids.slice(-rememberedIds)) this.#known.add(id);
    await this.#rewriteDone(folder);
    const names = (await readdir(folder)).filter((name) => /^\d+\.json$/.test(name));
    for (const name of names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))) {
      try {
        const record = readUnlessNewer(await readFile(join(folder, name), 'utf8'), recordSchema);
        if (!record) throw new Error('not an update');
        const { update, notes } = record;
        if (this.#known.has(update.update_id)) await rm(join(folder, name), { force: true });
        else this.#enqueue(update, notes);
      } catch (error) {
        if (error instanceof NewerRecord) {
          log.warn('a newer version of Kinora kept a Telegram update: it waits for a bot of that version');
          continue;
        }
        log.warn({ err: errorCode(error) }, 'a kept Telegram update cannot be read and is dropped');
        await rm(join(folder, name), { force: true });
      }
    }
  }

  /** Resolves when the update is on the disk; it is served soon after. A known update is dropped. */
  async take(update: Update): Promise<void> {
    if (this.#known.has(update.update_id)) return;
    this.#known.add(update.update_id);
    try {
      await this.#save(update, {});
    } catch (error) {
      // On a full disk the update is served all the same; only a crash would lose it.
      this.#options.log.warn({ err: errorCode(error) }, 'a Telegram update could not be written down');
    }
    this.#enqueue(update, {});
  }

  /** Waits for updates that are being served; the others are left for the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#lines.values());
    await this.#writing;
  }

  #enqueue(update: Update, notes: Readonly<Record<string, number>>): void {
    this.#known.add(update.update_id);
    const key = this.#options.keyOf(update);
    const before = this.#lines.get(key) ?? Promise.resolve();
    const line = before
      .then(() => this.#serve(update, { ...notes }))
      .finally(() => {
        if (this.#lines.get(key) === line) this.#lines.delete(key);
      });
    this.#lines.set(key, line);
  }

  async #serve(update: Update, notes: Record<string, number>): Promise<void> {
    const { handle, log } = this.#options;
    while (this.#served >= servedAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#served++;
    try {
      const { signal } = this.#stopping;
      const note = async (name: string, value: number): Promise<void> => {
        notes[name] = value;
        await this.#save(update, notes).catch((error) => {
          log.warn({ err: errorCode(error) }, 'a Telegram update could not be written down');
        });
      };
      let isOver = false;
      for (let attempt = 1; !isOver && !signal.aborted; attempt++) {
        try {
          await handle({ update, notes, note, signal });
          isOver = true;
        } catch (error) {
          isOver = !signal.aborted && (await this.#isOver(error, attempt));
        }
      }
      if (isOver) await this.#markDone(update.update_id);
    } finally {
      this.#served--;
      this.#waiting.shift()?.();
    }
  }

  /** Whether a failed update is given up; otherwise waits until it may be tried again. */
  async #isOver(error: unknown, attempt: number): Promise<boolean> {
    const { log } = this.#options;
    if (!(error instanceof CallError && error.isPassing)) {
      log.error({ err: errorCode(error), at: whereOf(error) }, 'a Telegram update failed');
      return true;
    }
    log.warn({ err: error.message, attempt }, 'a Telegram update has to wait');
    if (attempt >= attempts) return true;
    const { signal } = this.#stopping;
    await sleep(firstPauseMs * 2 ** attempt, undefined, { signal }).catch(() => {});
    return false;
  }

  async #save(update: Update, notes: Readonly<Record<string, number>>): Promise<void> {
    const { folder } = this.#options;
    if (folder === undefined) return;
    const file = join(folder, `${update.update_id}.json`);
    const record = writeJson({ update, notes });
    await replaceFile(file, (temporary) => writeFile(temporary, record, { mode: 0o600 }));
  }

  async #markDone(id: number): Promise<void> {
    const { folder, log } = this.#options;
    if (this.#known.size > 2 * rememberedIds) {
      for (const old of [...this.#known].slice(0, rememberedIds)) this.#known.delete(old);
    }
    if (folder === undefined) return;
    this.#writing = this.#writing
      .then(async () => {
        await appendFile(this.#doneFile(folder), `${id}\n`, { mode: 0o600 });
        await rm(join(folder, `${id}.json`), { force: true });
        this.#linesInFile++;
        if (this.#linesInFile > 4 * rememberedIds) await this.#rewriteDone(folder);
      })
      .catch((error) => log.warn({ err: errorCode(error) }, 'a Telegram update could not be ticked off'));
    await this.#writing;
  }

  async #rewriteDone(folder: string): Promise<void> {
    const ids = [...this.#known].slice(-rememberedIds);
    const file = this.#doneFile(folder);
    const lines = ids.map((id) => `${id}\n`).join('');
    await replaceFile(file, (temporary) => writeFile(temporary, lines, { mode: 0o600 }));
    this.#linesInFile = ids.length;
  }

  #doneFile(folder: string): string {
    return join(folder, 'done');
  }
}
