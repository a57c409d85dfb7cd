/**
 * The final answer of a job: the status message becomes the video. When that message is gone, a new one is posted as a
 * reply to the request. Knows no Telegram updates.
 */
import { join } from 'node:path';
import type { JobFiles } from '../../queue/artifacts.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { fitToBytes } from '../../video/transform.ts';
import { finalAnswer, videoAnswer } from '../answers.ts';
import { messagesOf, renderFinal, renderVideo } from '../sentences/render.ts';
import { type Answer, DeliveryDelayed, DeliveryImpossible } from '../upkeep/delivery.ts';
import { type Api, CallError } from './api.ts';
import { type AnswerPlace, readAnswerPlace } from './ids.ts';
import { type Outbox, type Spot, spotFields } from './outbox.ts';
import { maxUploadBytes } from './people.ts';
import { fittingCaption, keyboard } from './rendering.ts';
import { type Clip, editIntoVideo, sendVideo } from './video-post.ts';

export interface AnswersTools {
  readonly api: Api;
  readonly outbox: Outbox;
  readonly ffmpegPath: () => Promise<string>;
  /** Edits notify nobody: after a longer wait than this the person is told by a message. */
  readonly notifyAfterMs: number;
}

type Video = Extract<Answer, { kind: 'video' }>;

/** A server that takes less than it should gets half of what it refused. */
const refusedShare = 0.5;

export class Answers {
  readonly #tools: AnswersTools;

  constructor(tools: AnswersTools) {
    this.#tools = tools;
  }

  /** @throws DeliveryDelayed, DeliveryImpossible, or CallError for what may pass at the next attempt */
  async post(entry: LedgerEntry, answer: Answer, signal: AbortSignal): Promise<void> {
    const place = readAnswerPlace(entry.request.replyTo);
    try {
      await this.#postTo(place, entry, answer, signal);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (error.movedTo !== undefined) {
        const { statusId: _, threadId: __, ...rest } = place;
        const moved = { ...rest, chatId: error.movedTo };
        return await this.#postTo(moved, entry, answer, signal).catch((again: unknown) => {
          throw toDeliveryError(again);
        });
      }
      throw toDeliveryError(error);
    }
  }

  async #postTo(place: AnswerPlace, entry: LedgerEntry, answer: Answer, signal: AbortSignal): Promise<void> {
    if (answer.kind === 'video') await this.#postVideo(place, entry, answer, signal);
    else await this.#postText(place, renderFinal(finalAnswer(entry, answer), messagesOf(entry)).text, signal);
  }

  async #postVideo(
    place: AnswerPlace,
    entry: LedgerEntry,
    answer: Video,
    signal: AbortSignal,
  ): Promise<void> {
    const { artifact, files } = answer;
    const clip: Clip = { ...artifact, file: files.video, thumbnail: files.thumbnail };
    let limit = maxUploadBytes;
    try {
      if (artifact.bytes <= limit) return await this.#postClip(place, entry, answer, clip, false, signal);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (mayNotSendVideos(error)) return await this.#sayNoRights(place, entry, signal, error);
      if (!error.isTooLarge) throw error;
      limit = Math.floor(artifact.bytes * refusedShare);
    }
    const smaller = await this.#fit(files, limit, signal);
    await this.#postClip(place, entry, answer, { ...clip, ...smaller }, true, signal);
  }

  async #postClip(
    place: AnswerPlace,
    entry: LedgerEntry,
    answer: Video,
    clip: Clip,
    isCompressed: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { api } = this.#tools;
    const say = messagesOf(entry);
    const video = videoAnswer(entry, answer);
    const final = isCompressed ? { ...video, isCompressed } : video;
    const caption = fittingCaption(video.prompt, (prompt) => renderVideo({ ...final, prompt }, say));
    const markup = keyboard(renderFinal(final, say).buttons);
    const frame = { caption, markup, isSpoiler: video.isSpoiler };
    if (place.statusId !== undefined) {
      try {
        await editIntoVideo(api, place.chatId, place.statusId, clip, frame, { signal });
        await this.#notify(place, entry, signal);
        return;
      } catch (error) {
        if (!(error instanceof CallError && error.isMessageGone)) throw error;
      }
    }
    await sendVideo(api, spotOf(place), clip, frame, { signal });
  }

  /** Best effort: the video is there. */
  async #notify(place: AnswerPlace, entry: LedgerEntry, signal: AbortSignal): Promise<void> {
    const { api, notifyAfterMs } = this.#tools;
    if (Date.now() - entry.createdAt < notifyAfterMs) return;
    const { ready } = messagesOf(entry).result;
    const message = { ...spotFields(spotOf(place)), text: ready };
    await api.call('sendMessage', message, { signal }).catch(() => {});
  }

  async #postText(place: AnswerPlace, text: string, signal: AbortSignal): Promise<void> {
    const { api, outbox } = this.#tools;
    const { chatId, statusId } = place;
    if (statusId !== undefined) {
      try {
        return await outbox.edit(chatId, statusId, text, [], 'once', { signal });
      } catch (error) {
        if (!(error instanceof CallError && error.isMessageGone)) throw error;
        // A video that was posted while it was being cancelled has no text to be edited.
        if (/there is no text/i.test(error.reason)) {
          await api.call('deleteMessage', { chat_id: chatId, message_id: statusId }, { signal });
        }
      }
    }
    await outbox.send(spotOf(place), text, {}, { signal });
  }

  async #sayNoRights(
    place: AnswerPlace,
    entry: LedgerEntry,
    signal: AbortSignal,
    error: CallError,
  ): Promise<never> {
    const { noRights } = messagesOf(entry).refusal;
    await this.#postText(place, noRights, signal).catch(() => {}); // best effort: we may not write at all
    throw new DeliveryImpossible(error.message);
  }

  async #fit(files: JobFiles, maxBytes: number, signal: AbortSignal) {
    const file = join(files.folder, 'telegram.mp4');
    const ffmpegPath = await this.#tools.ffmpegPath();
    const { width, height, durationSeconds } = await fitToBytes(files.video, file, maxBytes, {
      ffmpegPath,
      signal,
    });
    return { file, width, height, durationSeconds };
  }
}

function mayNotSendVideos({ status, reason }: CallError): boolean {
  return status === 400 && /not enough rights|CHAT_SEND_\w+_FORBIDDEN|CHAT_WRITE_FORBIDDEN/i.test(reason);
}

function spotOf({ chatId, requestId, threadId }: AnswerPlace): Spot {
  return { chatId, replyToId: requestId, threadId };
}

function toDeliveryError(error: unknown): unknown {
  if (!(error instanceof CallError)) return error;
  if (error.retryAfterMs !== undefined) return new DeliveryDelayed(error.message, error.retryAfterMs);
  return error.isChatLost ? new DeliveryImpossible(error.message) : error;
}
