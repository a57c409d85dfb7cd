/** Telegram's users, anonymous group admins, channels and chats as the people and places of the queue. */
import type { Message, User } from 'telegraf/types';
import type { Person, Place } from '../people.ts';
import { generalTopicId, type TelegramApi } from './api.ts';

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
    if (senderChat) {
      const person = chatAsPerson(senderChat.id, from?.language_code);
      // Only admins of a group can write as the group; every member can have a channel, or a hundred.
      return senderChat.id === message.chat.id ? person : { ...person, isChannel: true };
    }
    return from ? this.user(from) : chatAsPerson(message.chat.id, undefined);
  }

  /**
   * Whom a message replies to.
   * @returns the userKey, 'nobody' for a reply that means no one person, and undefined where there is no reply
   */
  repliedTo(message: Message): string | 'nobody' | undefined {
    const replied = chosenReply(message);
    if (replied) {
      const isUnclear = isNotFromPeople(replied) || isAboutOthers(replied);
      return isUnclear ? 'nobody' : this.senderOf(replied).userKey;
    }
    const origin = 'external_reply' in message ? message.external_reply?.origin : undefined;
    switch (origin?.type) {
      case undefined:
        return undefined;
      case 'user':
        return origin.sender_user.is_bot ? 'nobody' : this.user(origin.sender_user).userKey;
      case 'hidden_user':
        return 'nobody';
      case 'chat':
        return chatAsPerson(origin.sender_chat.id, undefined).userKey;
      case 'channel':
        return chatAsPerson(origin.chat.id, undefined).userKey;
    }
  }

  user(user: User): Person {
    return {
      userKey: userKeyOf(user.id),
      name: [user.first_name, user.last_name].filter(Boolean).join(' '),
      roleKeys: [],
      locale: user.language_code ?? 'en',
      isAdmin: !user.is_bot && this.#adminUserIds.has(user.id),
    };
  }
}

/** Messages of other bots, and posts of a channel that its discussion group repeats by itself. */
export function isNotFromPeople(message: Message): boolean {
  return isAutomaticForward(message) || (message.from?.is_bot === true && message.sender_chat === undefined);
}

function isAutomaticForward(message: Message): boolean {
  return 'is_automatic_forward' in message && message.is_automatic_forward === true;
}

/**
 * The message that a person chose to reply to. All that is written in a topic comes as a reply to the service message
 * that opened it, and all comments under a post of a channel as replies to that post.
 */
function chosenReply(message: Message): Message | undefined {
  const replied = 'reply_to_message' in message ? message.reply_to_message : undefined;
  if (!replied || 'forum_topic_created' in replied || isAutomaticForward(replied)) return undefined;
  const isTopicRoot = message.is_topic_message && replied.message_id === message.message_thread_id;
  return isTopicRoot ? undefined : replied;
}

/** "Eve added Ada", "Eve removed Ada": a reply may mean either. */
function isAboutOthers(message: Message): boolean {
  const joined = 'new_chat_members' in message ? message.new_chat_members : [];
  const left = 'left_chat_member' in message ? [message.left_chat_member] : [];
  return [...joined, ...left].some(({ id }) => id !== message.from?.id);
}

/** All who write as the chat share one identity, which differs from the chat's key as a community. */
export function chatAsPerson(chatId: number, locale: string | undefined): Person {
  return { userKey: `telegram:as${chatId}`, roleKeys: [], locale: locale ?? 'en', isAdmin: false };
}

export const userKeyOf = (userId: number): string => `telegram:${userId}`;

/** A person's own chat with the bot; those who write as a group or channel have none. */
export function privateChatOf({ userKey }: Person): { readonly chatId: number } | undefined {
  const [, id] = /^telegram:(\d+)$/.exec(userKey) ?? [];
  return id === undefined ? undefined : { chatId: Number(id) };
}

export const communityKey = (chatId: number): string => `telegram:${chatId}`;

/**
 * The place of a message. Where a group has topics, they are its channels.
 * @param maxBytes of an upload
 */
export function placeOf(message: Message, maxBytes: number): Place {
  const { chat, is_topic_message: isInTopic, message_thread_id: threadId } = message;
  const isForum = 'is_forum' in chat && chat.is_forum === true;
  const topic = (isInTopic && threadId) || generalTopicId;
  return {
    ...(isGroup(chat.id) ? { communityKey: communityKey(chat.id) } : {}),
    ...(isForum ? { channelKey: `telegram:${topic}` } : {}),
    hasRoles: false,
    maxBytes,
  };
}

/**
 * Whether this user is an admin of the group.
 * @throws CallError
 */
export async function isAdminOfGroup(api: TelegramApi, chatId: number, userId: number): Promise<boolean> {
  if (!isGroup(chatId)) return false;
  const { status } = await api.following({ chatId }, (group) =>
    api.callWithRetries('getChatMember', { chat_id: group.chatId, user_id: userId }),
  );
  return status === 'administrator' || status === 'creator';
}

/** The text of a command, with the key of a person where a name stands for one without a user name. */
export function withMentionedKeys(message: Message): string {
  const [text, entities = []] =
    'text' in message
      ? [message.text, message.entities]
      : 'caption' in message
        ? [message.caption ?? '', message.caption_entities]
        : [''];
  return entities.reduceRight((words, entity) => {
    if (entity.type !== 'text_mention') return words;
    const { offset, length, user } = entity;
    return `${words.slice(0, offset)} telegram:${user.id} ${words.slice(offset + length)}`;
  }, text);
}
