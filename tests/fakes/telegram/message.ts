/** A message with every state it went through. */
import { isDeepStrictEqual } from 'node:util';
import type { Chat, MessageEntity, User } from 'telegraf/types';
import type { FakeChat } from './chat.ts';
import type { FormattedText } from './html.ts';
import type { FakeButton, Keyboard } from './markup.ts';
import { type Media, mediaFields } from './media.ts';

export interface Author {
  readonly user: User;
  /** An anonymous admin writes as the group, others may write as a channel. */
  readonly senderChat?: Chat;
}

export interface Version {
  readonly at: number;
  /** The text, or the caption of the media. */
  readonly body: FormattedText;
  readonly media: Media | undefined;
  readonly keyboard: Keyboard;
}

export interface Placing {
  readonly replyTo?: FakeMessage | undefined;
  /** Of another chat or topic. */
  readonly externalReplyTo?: FakeMessage | undefined;
  /** The topic of a forum. */
  readonly threadId?: number | undefined;
  /** The service message that began the topic: whatever is no other reply comes as a reply to it. */
  readonly topicRoot?: FakeMessage | undefined;
  readonly albumId?: string | undefined;
  readonly silent?: boolean;
  /** Fields of kinds that the fake does not know otherwise: a sticker, a place. */
  readonly extra?: object | undefined;
}

export class FakeMessage {
  readonly id: number;
  readonly chat: FakeChat;
  readonly author: Author;
  readonly placing: Placing;
  /** Every state, oldest first; never empty. */
  readonly history: Version[];
  deleted = false;
  /** Of the bot. */
  reactions: readonly string[] = [];

  constructor(chat: FakeChat, id: number, author: Author, first: Version, placing: Placing) {
    this.chat = chat;
    this.id = id;
    this.author = author;
    this.history = [first];
    this.placing = placing;
  }

  get present(): Version {
    const last = this.history.at(-1);
    if (!last) throw new Error('a message has at least one state');
    return last;
  }

  get fromBot(): boolean {
    return this.author.user.id === this.chat.world.bot.id;
  }

  /** As people see the author. */
  get authorName(): string {
    const { user, senderChat } = this.author;
    return senderChat && 'title' in senderChat ? senderChat.title : user.first_name;
  }

  /** The text, or the caption. */
  get text(): string {
    return this.present.body.text;
  }

  get entities(): readonly MessageEntity[] {
    return this.present.body.entities;
  }

  get media(): Media | undefined {
    return this.present.media;
  }

  get video(): Media | undefined {
    return this.media?.kind === 'video' ? this.media : undefined;
  }

  get buttons(): readonly FakeButton[] {
    return this.present.keyboard.flat();
  }

  get edits(): number {
    return this.history.length - 1;
  }

  get replyTo(): FakeMessage | undefined {
    return this.placing.replyTo;
  }

  /** What can be pressed or opened in the text: mentions, links, commands, hashtags, with the words they cover. */
  get activeText(): readonly { readonly type: string; readonly text: string }[] {
    const active = [
      'mention',
      'text_mention',
      'url',
      'text_link',
      'email',
      'bot_command',
      'hashtag',
      'cashtag',
    ];
    return this.entities
      .filter(({ type }) => active.includes(type))
      .map(({ type, offset, length }) => ({ type, text: this.text.slice(offset, offset + length) }));
  }

  /** Whether the next state would look the same to people. */
  looksLike({ body, media, keyboard }: Version): boolean {
    const now = this.present;
    return (
      now.media?.file.id === media?.file.id && isDeepStrictEqual([now.body, now.keyboard], [body, keyboard])
    );
  }

  /** What a bot is told of a message that is gone. */
  inaccessible(): object {
    return { chat: this.chat.api, message_id: this.id, date: 0 };
  }

  /** What a bot is told of it when it is replied to from another chat or topic. */
  external(): object {
    const { media, placing, author, chat } = this;
    const { user, senderChat } = author;
    const date = seconds(this.history[0]?.at ?? 0);
    return {
      origin: senderChat
        ? { type: 'chat', sender_chat: senderChat, date }
        : { type: 'user', sender_user: user, date },
      ...(!chat.isPrivate && { chat: chat.api, message_id: this.id }),
      ...(media && mediaFields(media)),
      ...placing.extra,
    };
  }

  /** The message that began this row of replies; in a forum that is the topic's. */
  get threadRoot(): FakeMessage {
    return this.replyTo?.threadRoot ?? this;
  }

  /** The message as the Bot API tells it. */
  toApi({ nested = false } = {}): object {
    const { body, media, keyboard } = this.present;
    const { externalReplyTo, threadId, albumId, topicRoot, extra } = this.placing;
    const answered = this.replyTo?.deleted ? undefined : this.replyTo;
    const replyTo = answered ?? (externalReplyTo ? undefined : topicRoot);
    const isThread = this.replyTo !== undefined && !this.chat.isPrivate && !this.chat.forum;
    const [text, entities] = media ? ['caption', 'caption_entities'] : ['text', 'entities'];
    return {
      message_id: this.id,
      from: this.author.user,
      ...(this.author.senderChat && { sender_chat: this.author.senderChat }),
      chat: this.chat.api,
      date: seconds(this.history[0]?.at ?? 0),
      ...(this.edits > 0 && { edit_date: seconds(this.present.at) }),
      ...(isThread && { message_thread_id: this.threadRoot.id }),
      ...(threadId !== undefined && { message_thread_id: threadId, is_topic_message: true }),
      ...(albumId !== undefined && { media_group_id: albumId }),
      ...(replyTo && !nested && { reply_to_message: replyTo.toApi({ nested: true }) }),
      ...(externalReplyTo && !nested && { external_reply: externalReplyTo.external() }),
      ...(media && mediaFields(media)),
      ...(body.text !== '' && { [text]: body.text }),
      ...(body.entities.length > 0 && { [entities]: body.entities }),
      ...(keyboard.length > 0 && { reply_markup: { inline_keyboard: keyboard } }),
      ...extra,
    };
  }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
