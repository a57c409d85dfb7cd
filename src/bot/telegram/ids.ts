/**
 * Job ids made from Telegram's own ids, short enough for a button's 64 bytes, and where the answer of a job goes.
 * The same message, album or press always makes the same job id.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { RequestOrigin } from '../requests.ts';

export function messageJobId(chatId: number, messageId: number): string {
  return `tg-${chatId.toString(36)}-${messageId.toString(36)}`;
}

/** All pictures of an album together are one request. */
export function albumJobId(chatId: number, albumId: string): string {
  return `tg-${chatId.toString(36)}-a${shortened(albumId)}`;
}

export function pressJobId(callbackId: string): string {
  return `tg-cb-${shortened(callbackId)}`;
}

/** Telegram's long ids are decimal numbers, but nobody promises it. */
function shortened(id: string): string {
  if (/^[1-9]\d{0,31}$/.test(id)) return BigInt(id).toString(36);
  return createHash('sha256').update(id).digest('hex').slice(0, 24);
}

const answerPlaceSchema = z.object({
  chatId: z.int(),
  /** The message with the request: answers reply to it when the status message is gone. */
  requestId: z.int(),
  /** The status message, which becomes the result; absent when nobody knows whether it was posted. */
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
    requestId,
    ...(statusId === undefined ? {} : { statusId }),
    ...(threadId === undefined ? {} : { threadId }),
  };
}
