/**
 * Uploads a clip, into an existing message or as a new one. Telegram shows it at once and inline when it is told size,
 * duration and a still picture.
 */
import { access } from 'node:fs/promises';
import type { InlineKeyboardMarkup, Opts } from 'telegraf/types';
import type { Api, CallOptions } from './api.ts';
import { type Spot, spotFields, unlessUnchanged } from './outbox.ts';

export interface Clip {
  readonly file: string;
  readonly thumbnail: string;
  readonly width: number;
  readonly height: number;
  readonly durationSeconds: number;
}

export interface Frame {
  /** Inert already, at most 1024 characters. */
  readonly caption: string;
  readonly markup: InlineKeyboardMarkup | undefined;
  /** Covered until it is tapped. */
  readonly isSpoiler: boolean;
}

const uploadDeadlineMs = 110_000;
/** Names are written into the upload's headers as they are: never those of a person's file. */
const videoName = 'kinora.mp4';
const thumbnailName = 'kinora.jpg';

/**
 * Replaces a message of ours by the clip. May be repeated.
 * @throws CallError
 */
export async function editIntoVideo(
  api: Api,
  chatId: number,
  messageId: number,
  clip: Clip,
  { caption, markup, isSpoiler }: Frame,
  options: CallOptions,
): Promise<void> {
  const thumbnail = await thumbnailOf(clip);
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
  api: Api,
  spot: Spot,
  clip: Clip,
  { caption, markup, isSpoiler }: Frame,
  options: CallOptions = {},
): Promise<void> {
  const { reply_parameters: reply, ...where } = spotFields(spot);
  const thumbnail = await thumbnailOf(clip);
  const payload = {
    ...where,
    // In a form telegraf would take an object for a file.
    ...(reply ? { reply_parameters: JSON.stringify(reply) } : {}),
    video: { source: clip.file, filename: videoName },
    ...videoFields(clip, isSpoiler),
    caption,
    ...(thumbnail ? { thumbnail } : {}),
    ...(markup ? { reply_markup: markup } : {}),
  };
  const typed = payload as unknown as Opts<'sendVideo'>;
  await api.call('sendVideo', typed, { deadlineMs: uploadDeadlineMs, ...options });
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

async function thumbnailOf({ thumbnail }: Clip) {
  const isThere = await access(thumbnail).then(
    () => true,
    () => false,
  );
  return isThere ? { source: thumbnail, filename: thumbnailName } : undefined;
}
