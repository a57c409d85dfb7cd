/** Telegram's users, anonymous group admins, channels and chats as the people and places of the queue. */
import type { Message, User } from 'telegraf/types';
import type { Person, Place } from '../people.ts';
import { generalTopicId, type TelegramApi } from './api.ts';

/** Limit of the Bot API for uploads. */
export const maxUploadBytes = 50_000_000;

/** Telegram's group and channel ids are negative. */
export const isGroup = (chatId: number): boolean => chatId < 0;

export class People {
  readonly #adminUserIds: ReadonlySet<number>;

  constructor(adminUserIds: readonly (number | string)[]) {
    this.#adminUserIds = new Set(adminUserIds.map(Number));
  }

  /** The sender of a message. A person who writes as a group or a channel is that chat, and never an admin. */
  senderOf(message: Pick<Message, 'chat'> & { from?: User; sender_chat?: { id: number } }): Person {
    const { from, sender_chat: senderChat } = message;
    if (senderChat) return chatAsPerson(senderChat.id, from?.language_code);
    return from ? this.user(from) : chatAsPerson(message.chat.id, undefined);
  }

  user(user: User): Person {
    return {
      userKey: `telegram:${user.id}`,
      roleKeys: [],
      locale: user.language_code ?? 'en',
      isAdmin: !user.is_bot && this.#adminUserIds.has(user.id),
    };
  }
}

/** All who write as the chat share one identity, which differs from the chat's key as a community. */
export function chatAsPerson(chatId: number, locale: string | undefined): Person {
  return { userKey: `telegram:as${chatId}`, roleKeys: [], locale: locale ?? 'en', isAdmin: false };
}

/** The place of a message. Where a group has topics, they are its channels. */
export function placeOf(message: Message): Place {
  const { chat, is_topic_message: isInTopic, message_thread_id: threadId } = message;
  const isForum = 'is_forum' in chat && chat.is_forum === true;
  const topic = (isInTopic && threadId) || generalTopicId;
  return {
    ...(isGroup(chat.id) ? { communityKey: `telegram:${chat.id}` } : {}),
    ...(isForum ? { channelKey: `telegram:${topic}` } : {}),
    hasRoles: false,
    maxBytes: maxUploadBytes,
  };
}

/**
 * Whether this user is an admin of the group.
 * @throws CallError
 */
export async function isAdminOfGroup(api: TelegramApi, chatId: number, userId: number): Promise<boolean> {
  if (!isGroup(chatId)) return false;
  const { status } = await api.callWithRetries('getChatMember', { chat_id: chatId, user_id: userId });
  return status === 'administrator' || status === 'creator';
}
