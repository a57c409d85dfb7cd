/**
 * Polls for updates through every failure: a second poller (409), gateways (5xx), resets, dead connections, answers
 * that are not JSON. Each attempt is a new Telegraf, since its polling cannot be used twice. Does not know what updates
 * mean.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Telegraf } from 'telegraf';
import type { Update, UserFromGetMe } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import { asCallSignal, errorCode, toCallError } from './api.ts';

export interface PollingOptions {
  readonly token: string;
  readonly apiRoot: string;
  /** Stores an update. Must be quick: the next updates wait for it. */
  readonly onUpdate: (update: Update) => Promise<void>;
  /** Called with the bot's own user, before the first update. */
  readonly onReady: (me: UserFromGetMe) => void;
  /** Called when the token is refused: no update will ever come. */
  readonly onRefused: () => void;
  readonly log: Logger;
  readonly shortestPauseMs?: number;
  readonly longestPauseMs?: number;
  /** A poll that is silent for longer is given up: its connection may be dead. */
  readonly pollDeadlineMs?: number;
}

/** Longer than the 50 s for which telegraf asks Telegram to keep a poll open. */
const defaultPollDeadlineMs = 65_000;
const callDeadlineMs = 20_000;

export class Polling {
  readonly #options: PollingOptions;
  readonly #stopping = new AbortController();
  #telegraf: Telegraf | null = null;
  #me: UserFromGetMe | undefined;
  #pauseMs = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(options: PollingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#supervise();
  }

  /** Ends the open poll and waits for updates that are being taken. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    try {
      this.#telegraf?.stop();
    } catch {
      // it was not polling yet
    }
    await this.#running;
  }

  async #supervise(): Promise<void> {
    const { log, onRefused, shortestPauseMs = 1_000, longestPauseMs = 60_000 } = this.#options;
    this.#pauseMs = shortestPauseMs;
    while (!this.#stopping.signal.aborted) {
      let retryAfterMs = 0;
      try {
        await this.#poll();
      } catch (error) {
        const { status, reason, retryAfterMs: asked = 0 } = toCallError('getUpdates', error);
        retryAfterMs = asked;
        // Telegram answers a malformed token with 404.
        if (status === 401 || status === 404) {
          log.error(
            { status },
            'Telegram refuses the bot token: check it with @BotFather; Telegram stays off',
          );
          onRefused();
          return;
        }
        if (status === 409) log.warn('another process polls with the same Telegram token; will try again');
        else log.warn({ status, reason }, 'polling Telegram failed; will try again');
      }
      if (this.#stopping.signal.aborted) return;
      // Jitter, so that two pollers of one token do not keep ending each other's polls.
      const pauseMs = Math.max(this.#pauseMs * (0.75 + Math.random() / 2), retryAfterMs);
      await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
    }
  }

  async #poll(): Promise<void> {
    const { token, apiRoot, onUpdate, onReady, log, shortestPauseMs = 1_000 } = this.#options;
    const telegraf = new Telegraf(token, { telegram: { apiRoot, webhookReply: false } });
    this.#telegraf = telegraf;
    telegraf.catch((error) => log.error({ err: errorCode(error) }, 'an update could not be taken'));
    telegraf.use(async (context) => await onUpdate(context.update));
    this.#guard(telegraf, () => {
      this.#pauseMs = shortestPauseMs;
    });
    this.#me ??= await telegraf.telegram.getMe();
    if (this.#stopping.signal.aborted) return;
    telegraf.botInfo = this.#me;
    onReady(this.#me);
    await telegraf.launch({ allowedUpdates: ['message', 'callback_query'] });
  }

  /**
   * Gives telegraf's calls a deadline, and ends its polling at the first failed one: its own retries hide dead
   * connections for minutes. Updates that were taken are confirmed by then; the rest comes again.
   */
  #guard({ telegram }: Telegraf, onPolled: () => void): void {
    const { pollDeadlineMs = defaultPollDeadlineMs } = this.#options;
    const callApi = telegram.callApi.bind(telegram);
    telegram.callApi = async (method, payload, { signal } = {}) => {
      const isPoll = method === 'getUpdates';
      // A stop that came while telegraf was still starting: it would poll on. Its last call, which confirms the updates
      // that were taken, has no signal.
      if (isPoll && signal && this.#stopping.signal.aborted) throw new DOMException('stopped', 'AbortError');
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), isPoll ? pollDeadlineMs : callDeadlineMs);
      const stop = (): void => controller.abort();
      signal?.addEventListener('abort', stop);
      if (signal?.aborted) controller.abort();
      try {
        const result = await callApi(method, payload, { signal: asCallSignal(controller.signal) });
        if (isPoll) onPolled();
        return result;
      } catch (error) {
        if (signal?.aborted) throw error;
        throw toCallError(method, error);
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
      }
    };
  }
}
