/**
 * From "animate this" to a queued job whose status message lives: posts the message, fetches the picture, asks the
 * queue, and says what came of it. What a crash interrupts is taken up again without a second message or a second job.
 */
import type { Message } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import type { JobClient } from '../../queue/client.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import type { Ask, AskAnswer, Conversation, Person } from '../conversation.ts';
import { type ChatOptions, parseWords } from '../options.ts';
import type { StatusBoard } from '../status-board.ts';
import { CallError } from './api.ts';
import { type AnswerPlace, albumJobId, messageJobId, toReplyTo } from './ids.ts';
import { besides, type Outbox } from './outbox.ts';
import { placeOf } from './people.ts';
import { type Downloads, maxDownloadBytes, type PictureFile } from './pictures.ts';
import type { SpooledUpdate } from './update-spool.ts';

export interface RequestTools {
  readonly outbox: Outbox;
  readonly downloads: Downloads;
  readonly client: JobClient;
  readonly conversation: Conversation;
  readonly board: StatusBoard;
  readonly log: Logger;
}

/** What an earlier job is asked again with. */
export interface Again {
  readonly entry: LedgerEntry;
  readonly action: 'reroll' | 'remix' | 'subtle' | 'strong';
  readonly changes?: ChatOptions;
}

/** How long a final answer waits for the acceptance before it. */
const acceptingPatienceMs = 5_000;

type AskParts = Pick<Ask, 'jobId' | 'person' | 'place' | 'replyTo'>;

export class Requests {
  readonly #tools: RequestTools;
  /** Jobs whose acceptance is still being shown. */
  readonly #accepting = new Map<string, { readonly done: Promise<void>; readonly giveUp: () => void }>();

  constructor(tools: RequestTools) {
    this.#tools = tools;
  }

  /** Resolves when no acceptance of this job can still overwrite its final answer. One that takes long is given up. */
  async settle(jobId: string): Promise<void> {
    const accepting = this.#accepting.get(jobId);
    if (!accepting) return;
    const patience = setTimeout(accepting.giveUp, acceptingPatienceMs);
    await accepting.done;
    clearTimeout(patience);
  }

  /** A picture with words; both may be in different messages. */
  async animate(
    spooled: SpooledUpdate,
    message: Message,
    person: Person,
    picture: PictureFile,
    words: string,
  ): Promise<void> {
    const { outbox, conversation, downloads } = this.#tools;
    const album = 'media_group_id' in message ? message.media_group_id : undefined;
    const chatId = message.chat.id;
    const jobId = album === undefined ? messageJobId(chatId, message.message_id) : albumJobId(chatId, album);
    const options = this.changes(words, person);
    if (typeof options === 'string') {
      await outbox.send(besides(message), options);
      return;
    }
    await this.#run(spooled, message, person, jobId, async (parts) => {
      const say = conversation.messages(person);
      const bytes = await downloads.fetch(picture, spooled.signal);
      if (bytes === 'too large') return refused(say.refusal.tooLarge(maxDownloadBytes / 1_000_000));
      if (bytes === 'failed') return refused(say.refusal.notDownloaded);
      return await conversation.ask({ ...parts, picture: bytes, options });
    });
  }

  /** A new job from an earlier one, asked for by a button or by a reply. */
  async again(
    spooled: SpooledUpdate,
    message: Message,
    person: Person,
    jobId: string,
    { entry, action, changes }: Again,
  ): Promise<void> {
    const { conversation } = this.#tools;
    await this.#run(spooled, message, person, jobId, (parts) =>
      conversation.askAgain(entry, action, parts, changes),
    );
  }

  /** Options, or the sentence why they are none. */
  changes(words: string, person: Person): ChatOptions | string {
    try {
      return parseWords(words);
    } catch (error) {
      const { conversation } = this.#tools;
      return conversation.failure(error, conversation.messages(person));
    }
  }

  async #run(
    spooled: SpooledUpdate,
    message: Message,
    person: Person,
    jobId: string,
    ask: (parts: AskParts) => Promise<AskAnswer>,
  ): Promise<void> {
    const { client, board } = this.#tools;
    // Asked before: by an update that came twice, or by another picture of the album.
    if (await client.ledger.read(jobId).catch(() => undefined)) return;
    const spot = besides(message);
    const statusId = spooled.notes['status'] ?? (await this.#postStatus(spooled, message, person));
    if (statusId === 'blocked') return;
    const place: AnswerPlace = {
      chatId: spot.chatId,
      requestId: message.message_id,
      ...(statusId === undefined ? {} : { statusId }),
      ...(spot.threadId === undefined ? {} : { threadId: spot.threadId }),
    };
    const shown = new AbortController();
    const showing = (async () => {
      const parts = { jobId, person, place: placeOf(message), replyTo: toReplyTo(place) };
      const answer = await ask(parts);
      if (answer.isDuplicate) return await this.#drop(message, statusId, jobId);
      if (answer.accepted && statusId !== undefined) {
        const entry = await client.ledger.read(jobId).catch(() => undefined);
        if (entry && entry.endedAt === undefined) board.track(entry);
      }
      await this.#show(message, statusId, answer, shown.signal);
    })();
    this.#accepting.set(jobId, { done: showing.catch(() => {}), giveUp: () => shown.abort() });
    try {
      await showing;
    } finally {
      this.#accepting.delete(jobId);
    }
  }

  /** @returns undefined when nobody knows whether it was posted: the job runs all the same */
  async #postStatus(
    spooled: SpooledUpdate,
    message: Message,
    person: Person,
  ): Promise<number | 'blocked' | undefined> {
    const { outbox, conversation, log } = this.#tools;
    try {
      const id = await outbox.send(besides(message), conversation.messages(person).status.encoding);
      await spooled.note('status', id);
      return id;
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      log.warn({ err: error.message }, 'a status message could not be posted');
      return error.isChatLost ? 'blocked' : undefined;
    }
  }

  /** The job has a status message already; a second one would never change. */
  async #drop(message: Message, statusId: number | undefined, jobId: string): Promise<void> {
    const { client, outbox } = this.#tools;
    const entry = await client.ledger.read(jobId).catch(() => undefined);
    if (statusId === undefined || !entry || entry.request.replyTo['statusId'] === statusId) return;
    await outbox.remove(message.chat.id, statusId);
  }

  async #show(
    message: Message,
    statusId: number | undefined,
    answer: AskAnswer,
    signal: AbortSignal,
  ): Promise<void> {
    const { outbox, log } = this.#tools;
    const { text, buttons } = answer;
    try {
      if (statusId !== undefined) {
        return await outbox.edit(message.chat.id, statusId, text, buttons, 'insist', { signal });
      }
      // Without a message that could become the result, only bad news are told at once.
      if (!answer.accepted) await outbox.send(besides(message), text);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof CallError)) throw error;
      log.warn({ err: error.message }, 'the answer to a request could not be shown');
      if (error.isMessageGone && !answer.accepted) await outbox.send(besides(message), text);
    }
  }
}

function refused(text: string): AskAnswer {
  return { accepted: false, text, buttons: [] };
}
