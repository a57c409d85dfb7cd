/** How a method of the Bot API gets at what it works with. */
import { ApiError, badRequest, forbidden } from './api-error.ts';
import type { FakeChat } from './chat.ts';
import type { FakeMessage } from './message.ts';
import type { Params } from './params.ts';
import type { World } from './world.ts';

export interface Request {
  readonly world: World;
  readonly params: Params;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
}

/** @returns the "result", or a promise of it; throws ApiError */
export type Method = (request: Request) => unknown;
export type Methods = Readonly<Record<string, Method>>;

export function readChat({ world, params }: Request): FakeChat {
  const given = params.text('chat_id') ?? '';
  if (given === '') throw badRequest('chat_id is empty');
  const chat = world.chats.get(Number(given));
  if (!chat && world.users.has(Number(given))) throw forbidden("bot can't initiate conversation with a user");
  if (!chat) throw badRequest('chat not found');
  if (chat.movedTo) {
    const description = 'Bad Request: group chat was upgraded to a supergroup chat';
    throw new ApiError(400, description, { migrate_to_chat_id: chat.movedTo.id });
  }
  if (chat.bot === 'not started') throw forbidden("bot can't initiate conversation with a user");
  if (chat.bot === 'blocked') throw forbidden('bot was blocked by the user');
  if (chat.bot === 'kicked') throw forbidden(`bot was kicked from the ${chat.api.type} chat`);
  if (chat.bot === 'left') throw forbidden(`bot is not a member of the ${chat.api.type} chat`);
  return chat;
}

/** A message of the bot that is to be edited. */
export function readOwnMessage(request: Request): FakeMessage {
  const { params } = request;
  if (params.text('inline_message_id') !== undefined) throw badRequest('MESSAGE_ID_INVALID');
  const chat = readChat(request);
  const id = params.integer('message_id');
  if (id === undefined) throw badRequest('message identifier is not specified');
  const message = chat.find(id);
  if (!message) throw badRequest('message to edit not found');
  if (!message.fromBot) throw badRequest("message can't be edited");
  return message;
}
