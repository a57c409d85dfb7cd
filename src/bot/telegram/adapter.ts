/** Kinora in Telegram: joins polling, the spool of updates, the handlers, status messages and final answers. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Telegram } from 'telegraf';
import type { Update, UserFromGetMe } from 'telegraf/types';
import { z } from 'zod';
import { withDeadline } from '../../deadline.ts';
import type { Logger } from '../../log.ts';
import { findFfmpeg } from '../../video/ffmpeg-path.ts';
import type { ChatPlatform, Services } from '../platform.ts';
import { StatusBoard } from '../status-board.ts';
import { type Deliver, DeliveryDelayed } from '../upkeep/delivery.ts';
import { errorCode, fileLimits, TelegramApi } from './api.ts';
import { TelegramButtons } from './buttons.ts';
import { TelegramCommands } from './commands.ts';
import { defaultStatusPace, type StatusPace, TelegramDelivery } from './delivery.ts';
import { GroupMoves, groupMove } from './moves.ts';
import { PictureOffers } from './offers.ts';
import { People } from './people.ts';
import { Pictures } from './pictures.ts';
import { Polling } from './polling.ts';
import { updateMenus } from './registration.ts';
import { TelegramRequests } from './requests.ts';
import { type SpooledUpdate, UpdateSpool } from './update-spool.ts';

export interface TelegramOptions {
  /** From @BotFather. */
  readonly token: string;
  /** Numeric ids of the people who are admins, wherever they write under their own name. */
  readonly adminUserIds: readonly (number | string)[];
  /** Lease.mayAct: asked before every call to Telegram, where several bots may run. */
  readonly mayAct?: () => Promise<boolean>;
  /** Lease.isFollowed: what Redis does not keep is then left to the bot that leads next. */
  readonly isFollowed?: () => boolean;
  readonly log: Logger;
  /** Where earlier versions kept updates. */
  readonly dataFolder?: string | undefined;
  /** Of a Bot API server; Telegram's own when absent. */
  readonly apiRoot?: string | undefined;
  /** That server is the owner's and runs with --local: its limits are higher, and its files lie on this machine. */
  readonly isLocalServer?: boolean;
  /** For clips that a chat refuses as too large; searched for when absent. */
  readonly ffmpegPath?: string | undefined;
  readonly statusEveryMs?: StatusPace;
  /** After a longer wait than this a message tells that the video is ready, since edits notify nobody. */
  readonly notifyAfterMs?: number;
  /** First pause after polling failed. */
  readonly shortestPauseMs?: number;
}

/** Longest wait of the start for Telegram; requests are taken as soon as it is back. */
const startDeadlineMs = 10_000;
const stopDeadlineMs = 10_000;
const defaultNotifyAfterMs = 120_000;
const notStartedRetryMs = 1_000;
/** Updates wait for the settings of a group that moves, but not for a Redis that is away. */
const moveDeadlineMs = 2_500;

interface Running {
  readonly moves: GroupMoves;
  readonly polling: Polling;
  readonly spool: UpdateSpool;
  readonly board: StatusBoard;
  readonly requests: TelegramRequests;
  readonly delivery: TelegramDelivery;
}

/** A promise with its resolve function. */
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
    const { isLocalServer = false, mayAct = async () => true } = this.#options;
    const log = this.#log;
    const moves = new GroupMoves(services.administration, log);
    const api = new TelegramApi(
      new Telegram(token, { apiRoot, webhookReply: false }),
      mayAct,
      (move) => void moves.follow(move).catch(() => {}), // the next call tells it again
      isLocalServer ? fileLimits.local : fileLimits.telegram,
    );
    const people = new People(adminUserIds);
    const pictures = new Pictures(api, apiRoot, token, isLocalServer);
    const pace = this.#options.statusEveryMs ?? defaultStatusPace;
    const delivery = new TelegramDelivery({
      api,
      notifyAfterMs: this.#options.notifyAfterMs ?? defaultNotifyAfterMs,
      ffmpegPath: async () => this.#options.ffmpegPath ?? (await findFfmpeg()).path,
      pace,
    });
    const board = new StatusBoard({
      client: services.client,
      platform: this.name,
      show: (job, message) => delivery.show(job, message),
      tipFor: (prompt) => services.requests.tipFor(prompt),
      everyMs: (job) => delivery.statusEveryMs(job),
      placesEveryMs: pace.group,
      log,
    });
    const requests = new TelegramRequests({ api, pictures, services, board, log });
    const offers = new PictureOffers(api);
    const buttons = new TelegramButtons({ api, people, services, requests, offers, log });
    const ready = new Signal<UserFromGetMe>();
    const commands = ready.promise.then(
      (me) => new TelegramCommands({ me, api, people, services, requests, offers }),
    );
    const spool = new UpdateSpool({
      redis: services.redis,
      keys: services.client.keys,
      folder: dataFolder === undefined ? undefined : join(dataFolder, 'telegram-updates'),
      handle: async (spooled) => {
        const move = groupMove(spooled.update);
        if (move) await moves.follow(move);
        else await handleUpdate(spooled, await commands, buttons);
      },
      keyOf: senderKey,
      mustKeep: this.#options.isFollowed ?? (() => false),
      log,
    });
    const refused = new Signal<void>();
    const polling = new Polling({
      token,
      apiRoot,
      onUpdate: async (update) => {
        // Left unconfirmed: it comes to the bot that leads.
        if (!(await mayAct())) await new Promise(() => {});
        const move = groupMove(update);
        if (move) {
          api.hasMoved(move);
          // What was set holds before a request from the new group is served.
          await withDeadline(moveDeadlineMs, moves.follow(move), () => {}).catch(() => {});
        }
        await spool.take(update);
      },
      onReady: (me) => ready.resolve(me),
      onRefused: () => refused.resolve(undefined),
      log,
      ...(this.#options.shortestPauseMs === undefined
        ? {}
        : { shortestPauseMs: this.#options.shortestPauseMs }),
    });
    await board.start();
    this.#running = { moves, polling, spool, board, requests, delivery };
    await spool.start();
    polling.start();
    void ready.promise
      .then(() => updateMenus(api, adminUserIds, log))
      .catch((error) => {
        log.warn({ err: errorCode(error) }, 'the menu of commands could not be updated');
      });
    await Promise.race([ready.promise, refused.promise, sleep(startDeadlineMs, undefined, { ref: false })]);
  }

  async isAdmin(userKey: string): Promise<boolean> {
    return this.#options.adminUserIds.some((id) => `telegram:${id}` === userKey);
  }

  async stop(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#running = null;
    running.board.stop();
    running.moves.stop();
    const ended = running.polling.stop().then(() => running.spool.stop());
    await Promise.race([ended, sleep(stopDeadlineMs, undefined, { ref: false })]);
  }

  readonly deliver: Deliver = async (entry, answer, signal) => {
    const running = this.#running;
    if (!running) throw new DeliveryDelayed('Telegram has not been started yet', notStartedRetryMs);
    await running.requests.settle(entry.id);
    await running.board.finish(entry.id);
    await running.delivery.post(entry, answer, signal);
  };
}

async function handleUpdate(
  spooled: SpooledUpdate,
  commands: TelegramCommands,
  buttons: TelegramButtons,
): Promise<void> {
  const { update } = spooled;
  if ('message' in update) await commands.handle(spooled, update.message);
  else if ('callback_query' in update) await buttons.handle(spooled, update.callback_query);
}

/** One person's updates are served in their order. */
function senderKey(update: Update): string {
  if ('message' in update) return `${update.message.chat.id}:${update.message.from?.id ?? 0}`;
  const press = knownIdSchema.safeParse(update);
  return press.success ? `press:${press.data.callback_query.from.id}` : 'other';
}
