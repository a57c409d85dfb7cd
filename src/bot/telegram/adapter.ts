/**
 * Telegram as one of Kinora's chat platforms: joins polling, the spool of updates, handlers, status messages and final
 * answers. Knows limits, quotas and sentences of nobody.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Telegram } from 'telegraf';
import type { Update, UserFromGetMe } from 'telegraf/types';
import { z } from 'zod';
import type { Logger } from '../../log.ts';
import { findFfmpeg } from '../../video/ffmpeg-path.ts';
import type { ChatPlatform, Services } from '../platform.ts';
import { StatusBoard } from '../status-board.ts';
import { type Deliver, DeliveryDelayed } from '../upkeep/delivery.ts';
import { Api, errorCode } from './api.ts';
import { PressHandler } from './buttons.ts';
import { MessageHandler } from './commands.ts';
import { Answers } from './delivery.ts';
import { Outbox } from './outbox.ts';
import { People } from './people.ts';
import { Downloads } from './pictures.ts';
import { Polling } from './polling.ts';
import { updateMenus } from './registration.ts';
import { Requests } from './requests.ts';
import { defaultStatusPace, StatusMessages, type StatusPace } from './status-messages.ts';
import { type SpooledUpdate, UpdateSpool } from './update-spool.ts';

export interface TelegramOptions {
  /** From @BotFather. */
  readonly token: string;
  /** Numeric ids of the people who are admins, wherever they write under their own name. */
  readonly adminUserIds: readonly (number | string)[];
  readonly log: Logger;
  /** Where updates are kept until they are done; without it a crash loses those in hand. */
  readonly dataFolder?: string | undefined;
  /** Of a Bot API server; Telegram's own when absent. */
  readonly apiRoot?: string | undefined;
  /** For clips that a chat refuses as too large; searched for when absent. */
  readonly ffmpegPath?: string | undefined;
  readonly statusEveryMs?: StatusPace;
  /** After a longer wait than this a finished video is also told by a message, since edits notify nobody. */
  readonly notifyAfterMs?: number;
  /** First pause after polling failed. */
  readonly shortestPauseMs?: number;
}

/** With Telegram away the start does not wait for it; requests are taken as soon as it is back. */
const startDeadlineMs = 10_000;
const stopDeadlineMs = 10_000;
const defaultNotifyAfterMs = 120_000;
const notStartedRetryMs = 1_000;

interface Running {
  readonly polling: Polling;
  readonly spool: UpdateSpool;
  readonly board: StatusBoard;
  readonly requests: Requests;
  readonly answers: Answers;
}

/** A promise that is resolved from outside. */
class Signal<T> {
  resolve: (value: T) => void = () => {};
  readonly promise = new Promise<T>((resolve) => {
    this.resolve = resolve;
  });
}

const knownIdSchema = z.object({ callback_query: z.object({ from: z.object({ id: z.number() }) }) });

export class TelegramPlatform implements ChatPlatform {
  readonly name = 'telegram';
  readonly #options: TelegramOptions;
  readonly #log: Logger;
  #running: Running | null = null;

  constructor(options: TelegramOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  async start(services: Services): Promise<void> {
    const { token, adminUserIds, dataFolder, apiRoot = 'https://api.telegram.org' } = this.#options;
    const log = this.#log;
    const api = new Api(new Telegram(token, { apiRoot, webhookReply: false }));
    const outbox = new Outbox(api);
    const people = new People(adminUserIds);
    const downloads = new Downloads(api, apiRoot, token);
    const board = this.#board(services, outbox);
    const requests = new Requests({ outbox, downloads, services, board, log });
    const answers = new Answers({
      api,
      outbox,
      notifyAfterMs: this.#options.notifyAfterMs ?? defaultNotifyAfterMs,
      ffmpegPath: async () => this.#options.ffmpegPath ?? (await findFfmpeg()).path,
    });
    const presses = new PressHandler({ api, outbox, people, services, requests, log });
    const ready = new Signal<UserFromGetMe>();
    const messages = ready.promise.then(
      (me) => new MessageHandler({ me, api, people, outbox, services, requests }),
    );
    const spool = new UpdateSpool({
      folder: dataFolder === undefined ? undefined : join(dataFolder, 'telegram-updates'),
      handle: async (spooled) => await handleUpdate(spooled, await messages, presses),
      keyOf: senderKey,
      log,
    });
    const refused = new Signal<void>();
    const polling = new Polling({
      token,
      apiRoot,
      onUpdate: (update) => spool.take(update),
      onReady: (me) => ready.resolve(me),
      onRefused: () => refused.resolve(undefined),
      log,
      ...(this.#options.shortestPauseMs === undefined
        ? {}
        : { shortestPauseMs: this.#options.shortestPauseMs }),
    });
    await board.start();
    this.#running = { polling, spool, board, requests, answers };
    await spool.start();
    polling.start();
    void ready.promise
      .then(() => updateMenus(api, adminUserIds, log))
      .catch((error) => {
        log.warn({ err: errorCode(error) }, 'the menu of commands could not be updated');
      });
    await Promise.race([ready.promise, refused.promise, sleep(startDeadlineMs, undefined, { ref: false })]);
  }

  async stop(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#running = null;
    running.board.stop();
    const ended = running.polling.stop().then(() => running.spool.stop());
    await Promise.race([ended, sleep(stopDeadlineMs, undefined, { ref: false })]);
  }

  readonly deliver: Deliver = async (entry, answer, signal) => {
    const running = this.#running;
    if (!running) throw new DeliveryDelayed('Telegram has not been started yet', notStartedRetryMs);
    await running.requests.settle(entry.id);
    await running.board.finish(entry.id);
    await running.answers.post(entry, answer, signal);
  };

  #board({ client }: Services, outbox: Outbox): StatusBoard {
    const pace = this.#options.statusEveryMs ?? defaultStatusPace;
    const statuses = new StatusMessages(outbox, pace);
    return new StatusBoard({
      client,
      platform: this.name,
      show: (entry, message) => statuses.show(entry, message),
      everyMs: ({ request }) => statuses.everyMs(Number(request.replyTo['chatId'])),
      placesEveryMs: pace.group,
      log: this.#log,
    });
  }
}

async function handleUpdate(
  spooled: SpooledUpdate,
  messages: MessageHandler,
  presses: PressHandler,
): Promise<void> {
  const { update } = spooled;
  if ('message' in update) await messages.handle(spooled, update.message);
  else if ('callback_query' in update) await presses.handle(spooled, update.callback_query);
}

/** One person's updates are served in their order. */
function senderKey(update: Update): string {
  if ('message' in update) return `${update.message.chat.id}:${update.message.from?.id ?? 0}`;
  const press = knownIdSchema.safeParse(update);
  return press.success ? `press:${press.data.callback_query.from.id}` : 'other';
}
