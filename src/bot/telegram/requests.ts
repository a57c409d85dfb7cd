/**
 * Requests in Telegram: posts the status message, fetches the picture, submits the request, and shows what came of it.
 * What a crash interrupts is taken up again without a second message or a second job.
 */
import { createHash } from 'node:crypto';
import type { Message } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { parseWords } from '../../request/options-text.ts';
import type { ChatOptions } from '../../request/request.ts';
import type { Person } from '../people.ts';
import type { Services } from '../platform.ts';
import { refused } from '../refusals.ts';
import { type AgainAction, optionsFrom, type RequestOrigin, type RequestOutcome } from '../requests.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { renderRefusal, renderRequest } from '../sentences/render.ts';
import type { StatusBoard } from '../status-board.ts';
import { CallError, replyTo, type Target, type TelegramApi } from './api.ts';
import { type AnswerPlace, targetOf, toReplyTo } from './delivery.ts';
import { isGroup, placeOf, privateChatOf } from './people.ts';
import type { PictureFile, Pictures } from './pictures.ts';
import type { SpooledUpdate } from './update-spool.ts';

export interface RequestTools {
  readonly api: TelegramApi;
  readonly pictures: Pictures;
  readonly services: Services;
  readonly board: StatusBoard;
  readonly log: Logger;
}

/** An earlier job that is requested again. */
export interface Again {
  readonly entry: LedgerEntry;
  readonly action: AgainAction;
  readonly changes?: ChatOptions;
}

/** How long a final answer waits for the acceptance before it. */
const acceptingPatienceMs = 5_000;

export class TelegramRequests {
  readonly #tools: RequestTools;
  /** Jobs whose acceptance is still being shown. */
  readonly #accepting = new Map<string, { readonly done: Promise<void>; readonly giveUp: () => void }>();

  constructor(tools: RequestTools) {
    this.#tools = tools;
  }

  /** Resolves when no acceptance of this job can overwrite its final answer. One that takes long is given up. */
  async settle(jobId: string): Promise<void> {
    const accepting = this.#accepting.get(jobId);
    if (!accepting) return;
    const patience = setTimeout(accepting.giveUp, acceptingPatienceMs);
    await accepting.done;
    clearTimeout(patience);
  }

  /**
   * A picture with words; both may be in different messages.
   * @returns false when the words are refused
   */
  async animate(
    spooled: SpooledUpdate,
    message: Message,
    person: Person,
    picture: PictureFile,
    words: string,
    jobId = jobIdOf(message),
  ): Promise<boolean> {
    const { api, services, pictures } = this.#tools;
    const from = 'forward_origin' in message ? 'others' : 'the person';
    const options = optionsFrom(() => parseWords(words, from));
    if (options.kind === 'refused') {
      await api.send(replyTo(message), renderRefusal(options.reason, messagesFor(person.locale)));
      return false;
    }
    const isPrivate = options.options.isPrivate ?? false;
    await this.#run(spooled, message, { jobId, person, isPrivate }, async (origin) => {
      const fetchPicture = async () => {
        // It throws only when the bot stops.
        const bytes = await pictures.fetch(picture, spooled.signal).catch(() => 'failed' as const);
        if (bytes === 'tooLarge')
          return refused({ kind: 'tooLarge', megabytes: api.limits.download / 1_000_000 });
        return bytes === 'failed' ? refused({ kind: 'notDownloaded' }) : bytes;
      };
      const { isCovered } = picture;
      const outcome = await services.requests.submit({
        ...origin,
        picture: fetchPicture,
        isCovered,
        options: options.options,
      });
      // A bot that stops answers nothing: the next one asks again.
      if (outcome.kind === 'refused') spooled.signal.throwIfAborted();
      return outcome;
    });
    return true;
  }

  /** A new job from an earlier one, by a button or by a reply. */
  async again(
    spooled: SpooledUpdate,
    message: Message,
    person: Person,
    jobId: string,
    { entry, action, changes }: Again,
  ): Promise<void> {
    const { requests } = this.#tools.services;
    const isPrivate = changes?.isPrivate ?? entry.request.isPrivate;
    await this.#run(spooled, message, { jobId, person, isPrivate }, (origin) =>
      requests.submitAgain(entry, action, origin, changes),
    );
  }

  async #run(
    spooled: SpooledUpdate,
    message: Message,
    { jobId, person, isPrivate }: { jobId: string; person: Person; isPrivate: boolean },
    submit: (origin: RequestOrigin) => Promise<RequestOutcome>,
  ): Promise<void> {
    const { api, board, services } = this.#tools;
    const { client } = services;
    // Requested before: by an update that came twice, or by another picture of the album.
    if (await client.ledger.read(jobId).catch(() => undefined)) return;
    const target = isPrivate && isGroup(message.chat.id) ? privateChatOf(person) : replyTo(message);
    const wasPosted = spooled.notes['status'] !== undefined;
    const place = target ? await this.#postStatus(spooled, target, person) : 'refused';
    // Where the first message is refused, the video would be, too.
    if (place === 'refused') {
      const { noPrivateChat } = messagesFor(person.locale).refusal;
      if (target?.chatId !== message.chat.id) await api.send(replyTo(message), noPrivateChat);
      return;
    }
    const shown = new AbortController();
    const showing = (async () => {
      const outcome = await submit({
        jobId,
        person,
        place: placeOf(message, api.limits.upload),
        replyTo: toReplyTo(place),
      });
      if (outcome.kind === 'duplicate') {
        // The job has its status message already, and another one would never change. That of an earlier attempt may be it.
        if (!wasPosted && place.statusId !== undefined) await api.remove(place.chatId, place.statusId);
        return;
      }
      if (outcome.kind === 'accepted' && place.statusId !== undefined) board.track(outcome.job);
      await this.#show(place, outcome, person, shown.signal);
    })();
    this.#accepting.set(jobId, { done: showing.catch(() => {}), giveUp: () => shown.abort() });
    try {
      await showing;
    } finally {
      this.#accepting.delete(jobId);
    }
  }

  /** @returns where the job's messages are: without a status message when it is not known whether that was posted */
  async #postStatus(
    spooled: SpooledUpdate,
    target: Target,
    person: Person,
  ): Promise<AnswerPlace | 'refused'> {
    const { api, log } = this.#tools;
    const { chatId, replyToId: requestId, threadId } = target;
    const place: AnswerPlace = { chatId, requestId, threadId };
    const statusId = spooled.notes['status'];
    if (statusId !== undefined) return { ...place, statusId };
    try {
      const sent = await api.send(target, messagesFor(person.locale).status.encoding);
      await spooled.note('status', sent.message_id);
      const hasMoved = sent.chat.id !== chatId;
      return { ...(hasMoved ? { chatId: sent.chat.id } : place), statusId: sent.message_id };
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      log.warn({ err: error.message }, 'a status message could not be posted');
      return error.isRefusal ? 'refused' : place;
    }
  }

  async #show(
    place: AnswerPlace,
    outcome: RequestOutcome,
    person: Person,
    signal: AbortSignal,
  ): Promise<void> {
    const { api, log } = this.#tools;
    const { chatId, statusId } = place;
    const answer = renderRequest(outcome, messagesFor(person.locale));
    const isRefused = outcome.kind === 'refused';
    try {
      if (statusId !== undefined) {
        return await api.edit(chatId, statusId, answer, 'with retries', { signal });
      }
      // Without a message that could become the result, only a refusal is told at once.
      if (isRefused) await api.send(targetOf(place), answer.text);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof CallError)) throw error;
      log.warn({ err: error.message }, 'the answer to a request could not be shown');
      if (error.isMessageGone && isRefused) await api.send(targetOf(place), answer.text);
    }
  }
}

function jobIdOf(message: Message): string {
  const album = 'media_group_id' in message ? message.media_group_id : undefined;
  const chatId = message.chat.id;
  return album === undefined ? messageJobId(chatId, message.message_id) : albumJobId(chatId, album);
}

/** Whether it has the form of an id that is made here. */
export function isJobId(id: string): boolean {
  return /^tg-[\w-]+$/.test(id);
}

/** The same message, album or press always makes the same job id, short enough for a button's 64 bytes. */
export function messageJobId(chatId: number, messageId: number): string {
  return `tg-${chatId.toString(36)}-${messageId.toString(36)}`;
}

/** All pictures of an album together are one request. */
function albumJobId(chatId: number, albumId: string): string {
  return `tg-${chatId.toString(36)}-a${shortened(albumId)}`;
}

export function pressJobId(callbackId: string): string {
  return `tg-cb-${shortened(callbackId)}`;
}

/** Telegram's long ids are decimal numbers so far, which is not documented. */
function shortened(id: string): string {
  if (/^[1-9]\d{0,31}$/.test(id)) return BigInt(id).toString(36);
  return createHash('sha256').update(id).digest('hex').slice(0, 24);
}
