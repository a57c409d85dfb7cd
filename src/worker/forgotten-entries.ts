/**
 * Removes from this machine's latent cache what people had deleted (queue/uncached.ts): before the engine is started, so
 * that nothing is used that was deleted while this worker was off, and soon after each deletion. How far the machine came
 * lies beside the entries, so it is always that of the folder, whichever worker uses it.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { replaceFile } from '../atomic-file.ts';
import { forgetEntries } from '../inference/forget-entries.ts';
import type { Logger } from '../log.ts';
import { untilRedisCan } from '../queue/redis.ts';
import { readJson } from '../queue/stored-json.ts';
import { beginning, type Position, positionSchema, type UncachedList } from '../queue/uncached.ts';

const fileName = 'forgotten.json';
const lookEveryMs = 5_000;
/** Between two attempts at what cannot be removed. */
const longestPauseMs = 300_000;

export class ForgottenEntries {
  readonly #list: UncachedList;
  readonly #folder: string;
  readonly #onForgotten: (named: ReadonlySet<string> | 'all') => void;
  readonly #log: Logger;
  #position: Position | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  /** In a row, and what the last one said. */
  #failures = 0;
  #lastError: string | undefined;

  /**
   * @param folder of the latent cache's disk tier
   * @param onForgotten hears what was to leave the disk, and may be in somebody's memory, also where the disk keeps it
   */
  constructor(
    list: UncachedList,
    folder: string,
    onForgotten: (named: ReadonlySet<string> | 'all') => void,
    log: Logger,
  ) {
    this.#list = list;
    this.#folder = folder;
    this.#onForgotten = onForgotten;
    this.#log = log;
  }

  /** Removes what was deleted until now, and goes on until stop(). What cannot be removed is tried again. */
  async start(everyMs = lookEveryMs): Promise<void> {
    await this.#look();
    if (this.#isStopped) return;
    const pauseMs = Math.max(everyMs, Math.min(everyMs * 2 ** this.#failures, longestPauseMs));
    this.#timer = setTimeout(() => void this.start(everyMs), pauseMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      while (!(await this.#step()));
      this.#failures = 0;
      this.#lastError = undefined;
    } catch (error) {
      this.#failures++;
      const err = String(error);
      if (err === this.#lastError) return;
      this.#lastError = err;
      this.#log.warn(
        { err, folder: this.#folder },
        'what people deleted cannot be removed from the cache now; will try again',
      );
    }
  }

  /** Resolves with whether that was all. */
  async #step(): Promise<boolean> {
    const before = this.#position ?? (await this.#readPosition());
    const { names, position, isLast } = await untilRedisCan(() => this.#list.after(before));
    const isNew = names === 'all' || names.size > 0;
    if (isNew) {
      const removed = await forgetEntries(this.#folder, names).finally(() => this.#onForgotten(names));
      await this.#writePosition(position);
      this.#log.info({ removed, all: names === 'all' }, 'removed deleted data from the latent cache');
    }
    this.#position = position;
    return isLast;
  }

  async #readPosition(): Promise<Position> {
    const text = await readFile(path.join(this.#folder, fileName), 'utf8').catch(() => '');
    return readJson(text, positionSchema) ?? beginning;
  }

  async #writePosition(position: Position): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = path.join(this.#folder, fileName);
    await replaceFile(
      file,
      (temporary) => writeFile(temporary, JSON.stringify(position), { mode: 0o600, flush: true }),
      `${file}.${process.pid}.part`,
    );
  }
}
