/** What the bot writes: checked, stored, and seen by people. */
import { z } from 'zod';
import { badRequest } from './api-error.ts';
import type { FakeChat } from './chat.ts';
import type { FormattedText } from './html.ts';
import type { FakeMessage, Placing, Version } from './message.ts';
import { type Request, readChat } from './method.ts';

const maxTextLength = 4096;
const maxCaptionLength = 1024;
const replyParameters = z.object({
  message_id: z.number().int(),
  chat_id: z.union([z.number(), z.string()]).optional(),
  allow_sending_without_reply: z.boolean().optional(),
});

/** Sends; everything that may be wrong with the place is known before the file is looked at. */
export async function post(
  request: Request,
  content: () => Promise<Omit<Version, 'at'>> | Omit<Version, 'at'>,
): Promise<FakeMessage> {
  const chat = readWritableChat(request);
  const placing = readPlacing(request, chat);
  return chat.write({ user: request.world.bot }, await content(), placing);
}

/** @throws ApiError 400 when nothing would change */
export function edit(message: FakeMessage, next: Omit<Version, 'at'>): object {
  const version = { ...next, at: Date.now() };
  if (message.looksLike(version))
    throw badRequest(
      'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message',
    );
  message.history.push(version);
  return message.toApi();
}

export function checkedText(body: FormattedText): FormattedText {
  if (body.text === '') throw badRequest('message text is empty');
  if (body.text.length > maxTextLength) throw badRequest('message is too long');
  return body;
}

export function checkedCaption(body: FormattedText): FormattedText {
  if (body.text.length > maxCaptionLength) throw badRequest('message caption is too long');
  return body;
}

export function readWritableChat(request: Request): FakeChat {
  const chat = readChat(request);
  if (chat.bot === 'restricted') throw badRequest('not enough rights to send text messages to the chat');
  return chat;
}

function readPlacing({ params }: Request, chat: FakeChat): Placing {
  const given = params.object('reply_parameters', replyParameters, 'ReplyParameters');
  const id = given?.message_id ?? params.integer('reply_to_message_id');
  const mayMiss = given?.allow_sending_without_reply ?? params.flag('allow_sending_without_reply');
  const replyTo = chat.find(id);
  if (id !== undefined && !replyTo && !mayMiss) throw badRequest('message to be replied not found');
  const named = params.integer('message_thread_id');
  const isThere =
    named !== undefined &&
    !chat.deletedTopics.has(named) &&
    chat.messages.some(({ placing }) => placing.threadId === named);
  // The general topic is not found by its id either: nothing is placed in it.
  if (named !== undefined && !isThere) throw badRequest('message thread not found');
  const threadId = named ?? replyTo?.placing.threadId;
  if (threadId !== undefined && chat.closedTopics.has(threadId) && chat.bot !== 'administrator')
    throw badRequest('TOPIC_CLOSED');
  return {
    replyTo,
    threadId,
    silent: params.flag('disable_notification'),
  };
}
