/**
 * Keeps the status messages of unfinished jobs up to date: the place in the queue, then the progress of the run. Best
 * effort: an update that comes too soon, fails, or meets a rate limit is dropped, never queued. Final answers are the
 * delivery's. Knows no platform.
 */
import type { Logger } from '../log.ts';
import type { JobClient } from '../queue/client.ts';
import type { QueueEvent } from '../queue/events.ts';
import { surfaceOf } from '../queue/jobs.ts';
import type { PromptTip } from '../request/prompt-tip.ts';
import { waitingOf } from './answers.ts';
import type { TrackedJob } from './requests.ts';
import { type ChatMessage, messagesOf, renderProgress, renderWaiting } from './sentences/render.ts';
import { DeliveryDelayed } from './upkeep/delivery.ts';

type Progress = Extract<QueueEvent, { type: 'progress' }>;

const keptEarly = 100;

interface Row {
  readonly job: TrackedJob;
  shownText: string;
  shownAt: number;
  progress: Progress | null;
  progressAt: number;
  isBusy: boolean;
}

/** Longest wait of the final answer for an update under way. */
const finishWaitMs = 15_000;
/** After so long without progress the job may wait again, for another worker. */
const progressIsOldMs = 30_000;

export interface StatusBoardOptions {
  readonly client: JobClient;
  /** Jobs of other platforms are ignored. */
  readonly platform: string;
  /**
   * Edits the status message, or returns false when it is too soon for another edit.
   * @throws DeliveryDelayed when the platform asks for a pause
   */
  readonly show: (job: TrackedJob, message: ChatMessage) => Promise<boolean>;
  /** Shortest time between two edits of one message. */
  readonly everyMs: (job: TrackedJob) => number;
  readonly placesEveryMs?: number;
  /** As Requests.tipFor. */
  readonly tipFor: (prompt: string) => PromptTip | undefined;
  readonly log: Logger;
}

export class StatusBoard {
  readonly #options: StatusBoardOptions;
  readonly #rows = new Map<string, Row>();
  /** Progress of jobs that are not tracked yet: a job may begin before its adapter calls track(). */
  readonly #early = new Map<string, Progress>();
  #quietUntil = 0;
  #timers: NodeJS.Timeout[] = [];
  #unwatch: (() => void) | null = null;

  constructor(options: StatusBoardOptions) {
    this.#options = options;
  }

  /** Also tracks the jobs that were unfinished when the process last ended. */
  async start(): Promise<void> {
    const { client, platform, placesEveryMs = 15_000 } = this.#options;
    this.#unwatch = await client.watch((event) => {
      if (event.type === 'progress') void this.#onProgress(event);
      if (event.type === 'shown') this.#trackOther(event.jobId).catch(() => {}); // best effort
    });
    for (const entry of await client.ledger.pending()) {
      if (surfaceOf(entry.request) === platform) this.track(entry);
    }
    const lookUp = setInterval(() => void this.#showPlaces(), placesEveryMs);
    const showLate = setInterval(() => {
      for (const row of this.#rows.values()) void this.#showProgress(row);
    }, 500);
    this.#timers = [lookUp.unref(), showLate.unref()];
  }

  /** Begins to update the message of a job that was just accepted. */
  track(job: TrackedJob): void {
    if (this.#rows.has(job.id)) return;
    const shown = { shownText: '', shownAt: performance.now() };
    const progress = this.#early.get(job.id) ?? null;
    this.#early.delete(job.id);
    this.#rows.set(job.id, { job, ...shown, progress, progressAt: shown.shownAt, isBusy: false });
  }

  /** A job that another bot has taken. */
  async #trackOther(jobId: string): Promise<void> {
    const entry = await this.#options.client.ledger.read(jobId);
    if (!entry || entry.deliveredAt !== undefined) return;
    if (surfaceOf(entry.request) === this.#options.platform) this.track(entry);
  }

  /** Called before the final answer is posted, so that no late update overwrites it. Waits for one under way. */
  async finish(jobId: string): Promise<void> {
    const row = this.#rows.get(jobId);
    this.#rows.delete(jobId);
    this.#early.delete(jobId);
    const late = performance.now() + finishWaitMs;
    while (row?.isBusy && performance.now() < late) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#unwatch?.();
    this.#rows.clear();
  }

  async #onProgress(event: Progress): Promise<void> {
    const row = this.#rows.get(event.jobId);
    if (!row) return this.#keepEarly(event);
    row.progress = event;
    row.progressAt = performance.now();
    await this.#showProgress(row);
  }

  /** Also progress of other platforms' jobs, so only the latest few are kept. */
  #keepEarly(event: Progress): void {
    this.#early.delete(event.jobId);
    this.#early.set(event.jobId, event);
    const [oldest] = this.#early.keys();
    if (oldest !== undefined && this.#early.size > keptEarly) this.#early.delete(oldest);
  }

  async #showProgress(row: Row): Promise<void> {
    if (!row.progress) return;
    await this.#update(row, renderProgress(row.progress, messagesOf(row.job)));
  }

  async #showPlaces(): Promise<void> {
    for (const row of [...this.#rows.values()]) {
      if (row.progress && performance.now() - row.progressAt < progressIsOldMs) continue;
      try {
        const waiting = await waitingOf(row.job, this.#options.client, this.#options.tipFor);
        if (waiting) {
          row.progress = null;
          await this.#update(row, renderWaiting(waiting, messagesOf(row.job)));
        } else await this.#dropIfOver(row);
      } catch {
        // Redis is away: the next turn may find it.
      }
    }
  }

  /** A job may have been answered elsewhere: by another process, or because its person withdrew it. */
  async #dropIfOver(row: Row): Promise<void> {
    const entry = await this.#options.client.ledger.read(row.job.id);
    if (!entry || entry.deliveredAt !== undefined) this.#rows.delete(row.job.id);
  }

  async #update(row: Row, message: ChatMessage): Promise<void> {
    const now = performance.now();
    if (this.#rows.get(row.job.id) !== row) return; // it was answered meanwhile
    if (row.isBusy || message.text === row.shownText || now < this.#quietUntil) return;
    if (now - row.shownAt < this.#options.everyMs(row.job)) return;
    row.isBusy = true;
    row.shownAt = now;
    try {
      if (await this.#options.show(row.job, message)) row.shownText = message.text;
    } catch (error) {
      if (error instanceof DeliveryDelayed) this.#quietUntil = now + error.retryAfterMs;
      this.#options.log.debug({ jobId: row.job.id, err: String(error) }, 'a status update was dropped');
    } finally {
      row.isBusy = false;
    }
  }
}
