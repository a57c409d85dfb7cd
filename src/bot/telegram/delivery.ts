/**
 * The messages of a job: status updates, and the final answer, for which the status message becomes the video. When that
 * message is gone, a new one is posted as a reply to the request.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { InlineKeyboardMarkup, Opts } from 'telegraf/types';
import { z } from 'zod';
import type { JobFiles } from '../../queue/job-files.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { fitToBytes } from '../../video/transform.ts';
import { finalAnswer, videoAnswer } from '../answers.ts';
import type { RequestOrigin, TrackedJob } from '../requests.ts';
import { type ChatMessage, messagesOf, renderFinal, renderVideo } from '../sentences/render.ts';
import {
  type Answer,
  DeliveryDelayed,
  DeliveryImpossible,
  DeliveryRefused,
  mayCall,
} from '../upkeep/delivery.ts';
import {
  CallError,
  type CallOptions,
  type Target,
  type TelegramApi,
  targetFields,
  unlessUnchanged,
} from './api.ts';
import { isGroup } from './people.ts';
import { fittingCaption, keyboard } from './rendering.ts';

const answerPlaceSchema = z.object({
  chatId: z.int(),
  /** The message with the request, when it is in this chat: answers reply to it when the status message is gone. */
  requestId: z.int().optional(),
  /** The status message, which becomes the result; absent when it is not known whether it was posted. */
  statusId: z.int().optional(),
  /** Topic of a forum. */
  threadId: z.int().optional(),
});
export type AnswerPlace = z.infer<typeof answerPlaceSchema>;

export function readAnswerPlace(replyTo: Readonly<Record<string, unknown>>): AnswerPlace {
  return answerPlaceSchema.parse(replyTo);
}

export function toReplyTo({ chatId, requestId, statusId, threadId }: AnswerPlace): RequestOrigin['replyTo'] {
  return {
    chatId,
    ...(requestId === undefined ? {} : { requestId }),
    ...(statusId === undefined ? {} : { statusId }),
    ...(threadId === undefined ? {} : { threadId }),
  };
}

/** Shortest time in ms between two edits of one message. */
export interface StatusPace {
  readonly private: number;
  readonly group: number;
}

/** Telegram takes one message per second in a private chat and 20 per minute in a group. */
export const defaultStatusPace: StatusPace = { private: 5_000, group: 15_000 };

/** Several messages of one chat share this part of the pace of one: 3.75 s in a group. */
const chatShare = 0.25;
const rememberedChats = 10_000;
/** A server that takes less than it should gets half of what it refused. */
const refusedShare = 0.5;

export interface DeliveryTools {
  readonly api: TelegramApi;
  readonly ffmpegPath: () => Promise<string>;
  /** Edits notify nobody: after a longer wait than this the person is told by a message. */
  readonly notifyAfterMs: number;
  readonly pace: StatusPace;
}

type Video = Extract<Answer, { kind: 'video' }>;

export class TelegramDelivery {
  readonly #tools: DeliveryTools;
  /** Chat → when the next status update may be written there. Telegram counts by chat, whatever message is edited. */
  readonly #free = new Map<number, number>();

  constructor(tools: DeliveryTools) {
    this.#tools = tools;
  }

  /** Shortest time between two status updates of a job. */
  statusEveryMs({ request }: TrackedJob): number {
    return this.#everyMs(readAnswerPlace(request.replyTo).chatId);
  }

  #everyMs(chatId: number): number {
    const { pace } = this.#tools;
    return isGroup(chatId) ? pace.group : pace.private;
  }

  /**
   * One status update.
   * @returns false when it is too soon for another one in this chat
   * @throws CallError; a flood limit holds for the one chat
   */
  async show({ request }: TrackedJob, message: ChatMessage): Promise<boolean> {
    const { chatId, statusId } = readAnswerPlace(request.replyTo);
    if (statusId === undefined) return false;
    const now = performance.now();
    if (now < (this.#free.get(chatId) ?? 0)) return false;
    this.#closeUntil(chatId, now + this.#everyMs(chatId) * chatShare);
    try {
      await this.#tools.api.edit(chatId, statusId, message, 'once');
      return true;
    } catch (error) {
      if (error instanceof CallError && error.retryAfterMs !== undefined) {
        this.#closeUntil(chatId, performance.now() + error.retryAfterMs);
      }
      throw error;
    }
  }

  #closeUntil(chatId: number, until: number): void {
    if (this.#free.size > rememberedChats) this.#free.clear();
    this.#free.set(chatId, until);
  }

  /** @throws DeliveryDelayed, DeliveryImpossible, DeliveryRefused, or CallError for what may pass at the next attempt */
  async post(entry: LedgerEntry, answer: Answer, signal: AbortSignal): Promise<void> {
    const place = readAnswerPlace(entry.request.replyTo);
    const isInTopic = place.threadId !== undefined || place.requestId !== undefined;
    try {
      await this.#postTo(place, entry, answer, signal).catch(async (error: unknown) => {
        if (!(error instanceof CallError && error.isTopicLost && isInTopic)) throw error;
        // A reply would be in the topic again.
        await this.#postTo({ chatId: place.chatId }, entry, answer, signal);
      });
    } catch (error) {
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
    const { artifact } = answer;
    const files = await answer.files();
    const clip: Clip = { ...artifact, file: files.video, thumbnail: files.thumbnail };
    let limit = this.#tools.api.limits.upload;
    try {
      if (artifact.bytes <= limit) return await this.#postClip(place, entry, answer, clip, false, signal);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (mayNotSendVideos(error)) return await this.#sayNoRights(place, entry, signal, error);
      if (!error.isTooLarge) throw error;
      limit = Math.floor(artifact.bytes * refusedShare);
    }
    const smaller = await this.#fit(files, limit, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw new DeliveryRefused(String(error)); // it cannot be made as small as this
    });
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
        await this.#notify(place, entry, answer, signal);
        return;
      } catch (error) {
        if (!(error instanceof CallError && error.isMessageGone)) throw error;
      }
    }
    await sendVideo(api, targetOf(place), clip, frame, { signal });
  }

  /** Best effort: the video is there. */
  async #notify(place: AnswerPlace, entry: LedgerEntry, video: Video, signal: AbortSignal): Promise<void> {
    const { api, notifyAfterMs } = this.#tools;
    if (!(await mayCall(video, notifyAfterMs))) return;
    const { ready } = messagesOf(entry).result;
    const message = { ...targetFields(targetOf(place)), text: ready };
    await api.call('sendMessage', message, { signal }).catch(() => {});
  }

  async #postText(place: AnswerPlace, text: string, signal: AbortSignal): Promise<void> {
    const { api } = this.#tools;
    const { chatId, statusId } = place;
    if (statusId !== undefined) {
      try {
        return await api.edit(chatId, statusId, { text, buttons: [] }, 'once', { signal });
      } catch (error) {
        if (!(error instanceof CallError && error.isMessageGone)) throw error;
        // A video that was posted while it was being cancelled has no text to be edited.
        if (/there is no text/i.test(error.reason)) {
          await api.call('deleteMessage', { chat_id: chatId, message_id: statusId }, { signal });
        }
      }
    }
    await api.send(targetOf(place), text, {}, { signal });
  }

  async #sayNoRights(
    place: AnswerPlace,
    entry: LedgerEntry,
    signal: AbortSignal,
    error: CallError,
  ): Promise<never> {
    const { noRights } = messagesOf(entry).refusal;
    await this.#postText(place, noRights, signal).catch(() => {}); // best effort: the bot may not write at all
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

export function targetOf({ chatId, requestId, threadId }: AnswerPlace): Target {
  return { chatId, replyToId: requestId, threadId };
}

function toDeliveryError(error: unknown): unknown {
  if (!(error instanceof CallError)) return error;
  if (error.retryAfterMs !== undefined) return new DeliveryDelayed(error.message, error.retryAfterMs);
  if (error.isChatLost || error.isTopicLost) return new DeliveryImpossible(error.message);
  return error.isRefusal ? new DeliveryRefused(error.message) : error;
}

interface Clip {
  readonly file: string;
  readonly thumbnail: string;
  readonly width: number;
  readonly height: number;
  readonly durationSeconds: number;
}

interface Frame {
  /** Inert already, at most 1024 characters. */
  readonly caption: string;
  readonly markup: InlineKeyboardMarkup | undefined;
  /** Covered until it is tapped. */
  readonly isSpoiler: boolean;
}

const uploadDeadlineMs = 110_000;
/** Names go into the upload's headers as they are, so they are never those of a person's file. */
const videoName = 'kinora.mp4';
const thumbnailName = 'kinora.jpg';

/**
 * Replaces a message of the bot by the clip. May be repeated.
 * @throws CallError
 */
async function editIntoVideo(
  api: TelegramApi,
  chatId: number,
  messageId: number,
  clip: Clip,
  { caption, markup, isSpoiler }: Frame,
  options: CallOptions,
): Promise<void> {
  const thumbnail = thumbnailOf(clip);
  const media = {
    type: 'video' as const,
    media: { source: clip.file, filename: videoName },
    ...videoFields(clip, isSpoiler),
    caption,
    // telegraf uploads no thumbnail inside of media; a form field of its own does.
    ...(thumbnail ? { thumbnail: 'attach://still' } : {}),
  };
  const payload = {
    chat_id: chatId,
    message_id: messageId,
    media,
    ...(thumbnail ? { still: thumbnail } : {}),
    ...(markup ? { reply_markup: markup } : {}),
  };
  // The types know neither a field for the thumbnail nor a reference to it.
  const typed = payload as unknown as Opts<'editMessageMedia'>;
  await unlessUnchanged(api.call('editMessageMedia', typed, { deadlineMs: uploadDeadlineMs, ...options }));
}

/**
 * Posts the clip as a new message.
 * @throws CallError
 */
export async function sendVideo(
  api: TelegramApi,
  target: Target,
  clip: Clip,
  { caption, markup, isSpoiler }: Frame,
  options: CallOptions = {},
): Promise<void> {
  const thumbnail = thumbnailOf(clip);
  const payload = {
    video: { source: clip.file, filename: videoName },
    ...videoFields(clip, isSpoiler),
    caption,
    ...(thumbnail ? { thumbnail } : {}),
    ...(markup ? { reply_markup: markup } : {}),
  };
  await api.following(target, async (place) => {
    const { reply_parameters: reply, ...where } = targetFields(place);
    // In a form telegraf would take an object for a file.
    const fields = reply ? { reply_parameters: JSON.stringify(reply) } : {};
    const typed = { ...where, ...fields, ...payload } as unknown as Opts<'sendVideo'>;
    await api.call('sendVideo', typed, { deadlineMs: uploadDeadlineMs, ...options });
  });
}

function videoFields({ width, height, durationSeconds }: Clip, isSpoiler: boolean) {
  return {
    width,
    height,
    duration: Math.max(1, Math.round(durationSeconds)),
    supports_streaming: true,
    ...(isSpoiler ? { has_spoiler: true } : {}),
  };
}

function thumbnailOf({ thumbnail }: Clip) {
  return existsSync(thumbnail) ? { source: thumbnail, filename: thumbnailName } : undefined;
}
