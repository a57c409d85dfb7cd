/** A chat as the people in it use it. What they do becomes updates for the bot, as far as the bot may see it. */
import { randomInt } from 'node:crypto';
import type { Chat, Sticker } from 'telegraf/types';
import { typed } from './entities.ts';
import { fileFields } from './files.ts';
import { type Media, photoFrom, silent } from './media.ts';
import { type Author, FakeMessage, type Placing, type Version } from './message.ts';
import { channelBot, type FakeUser, groupAnonymousBot, telegramService } from './people.ts';
import { FakePress } from './press.ts';
import type { World } from './world.ts';

export type Status = 'creator' | 'administrator' | 'member' | 'restricted' | 'left' | 'kicked';

export interface Member {
  readonly user: FakeUser;
  status: Status;
  /** Writes as the group. */
  anonymous: boolean;
}

export interface GroupOptions {
  readonly title?: string;
  readonly members?: readonly FakeUser[];
  readonly admins?: readonly FakeUser[];
  readonly owner?: FakeUser;
  readonly anonymousAdmins?: readonly FakeUser[];
  readonly botIsAdmin?: boolean;
  /** With topics. */
  readonly forum?: boolean;
  /** Not a supergroup yet. */
  readonly basic?: boolean;
}

export interface FakeChannel {
  readonly id: number;
  readonly title: string;
}

export interface SendOptions {
  /** Who sends; the person of a private chat, else the first member. */
  readonly from?: FakeUser;
  /** In the name of this channel. */
  readonly asChannel?: FakeChannel;
  /** A post of the channel that the group belongs to, forwarded by Telegram itself. */
  readonly postOf?: FakeChannel;
  /** The person forwards it from somebody who does not want to be named. */
  readonly forwarded?: boolean;
  /** People without a user name, called by their names in the text. */
  readonly mentions?: readonly FakeUser[];
  readonly replyTo?: FakeMessage;
  /** A message of another chat, or of another topic, that is replied to. */
  readonly externalReplyTo?: FakeMessage;
  /** The topic of a forum. */
  readonly threadId?: number;
  readonly spoiler?: boolean;
}

export interface SentFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** As the person's client tells it; by the name's extension when absent. */
  readonly mimeType?: string;
}

export interface PressOptions {
  readonly from?: FakeUser;
  /** A client that sends data of a button which is not there. */
  readonly forged?: true;
}

const maxTextLength = 4096;
const maxCaptionLength = 1024;

export class FakeChat {
  readonly world: World;
  readonly api: Chat;
  readonly forum: boolean;
  readonly members = new Map<number, Member>();
  /** All that was ever written, oldest first, deleted ones too. */
  readonly messages: FakeMessage[] = [];
  /** What the bot is here. In a private chat it may write once the person has begun. */
  bot: Status | 'not started' | 'blocked' = 'member';
  /** The service messages that began the topics, by id, which is also the topic's. */
  readonly #topics = new Map<number, FakeMessage>();
  /** Of a forum. Admins may still write there. */
  readonly closedTopics = new Set<number>();
  readonly deletedTopics = new Set<number>();
  /** The supergroup that this group became. */
  movedTo: FakeChat | undefined;
  #nextId = 1;

  constructor(world: World, api: Chat, forum = false) {
    this.world = world;
    this.api = api;
    this.forum = forum;
    world.chats.set(api.id, this);
  }

  static private(world: World, user: FakeUser, started: boolean): FakeChat {
    const { id, first_name, username } = user.api;
    const api: Chat = { id, type: 'private', first_name, ...(username !== undefined && { username }) };
    const chat = new FakeChat(world, api);
    chat.add(user);
    if (!started) chat.bot = 'not started';
    return chat;
  }

  static group(world: World, options: GroupOptions): FakeChat {
    const { title = 'Cats', members = [], admins = [], anonymousAdmins = [], owner, forum = false } = options;
    const api: Chat = options.basic
      ? { id: world.groupId() + 1_000_000_000_000, type: 'group', title }
      : { id: world.groupId(), type: 'supergroup', title, ...(forum && { is_forum: true }) };
    const chat = new FakeChat(world, api, forum);
    for (const user of members) chat.add(user);
    for (const user of [...admins, ...anonymousAdmins]) chat.add(user, 'administrator');
    for (const user of anonymousAdmins) chat.add(user, 'administrator').anonymous = true;
    if (owner) chat.add(owner, 'creator');
    if (options.botIsAdmin) chat.bot = 'administrator';
    return chat;
  }

  get id(): number {
    return this.api.id;
  }

  get isPrivate(): boolean {
    return this.api.type === 'private';
  }

  get name(): string {
    return 'title' in this.api ? this.api.title : this.api.first_name;
  }

  add(user: FakeUser, status: Status = 'member'): Member {
    const member = { user, status, anonymous: false };
    this.members.set(user.id, member);
    return member;
  }

  /** @returns the message, if it is still there */
  find(id: number | undefined): FakeMessage | undefined {
    return this.messages.find((message) => message.id === id && !message.deleted);
  }

  write(author: Author, first: Omit<Version, 'at'>, placing: Placing): FakeMessage {
    const topicRoot = placing.threadId === undefined ? undefined : this.#topics.get(placing.threadId);
    while (this.#topics.has(this.#nextId)) this.#nextId += 1;
    const placed = { ...placing, topicRoot };
    const message = new FakeMessage(this, this.#nextId, author, { ...first, at: Date.now() }, placed);
    this.#nextId += 1;
    this.messages.push(message);
    this.world.diary.push({ kind: 'message', chat: this, message });
    return message;
  }

  // What people do.

  sendsText(text: string, options: SendOptions = {}): FakeMessage {
    if (text.length > maxTextLength)
      throw new Error(`A client lets no more than ${maxTextLength} characters through.`);
    return this.#says(text, undefined, options);
  }

  /** As a photo: Telegram recompresses it. */
  async sendsPhoto(bytes: Uint8Array, caption = '', options: SendOptions = {}): Promise<FakeMessage> {
    return this.#says(caption, await photoFrom(this.world.files, bytes, options.spoiler), options);
  }

  /** As a file: it arrives as it is. */
  sendsDocument({ name, bytes, mimeType }: SentFile, caption = '', options: SendOptions = {}): FakeMessage {
    const file = this.world.files.store('document', bytes, { name, mimeType });
    const media = {
      kind: 'document',
      file,
      sizes: [],
      width: 0,
      height: 0,
      ...silent,
      spoiler: false,
    } as const;
    return this.#says(caption, media, options);
  }

  /** Every photo is a message of its own; the first carries the caption. */
  async sendsAlbum(
    photos: readonly Uint8Array[],
    caption = '',
    options: SendOptions = {},
  ): Promise<FakeMessage[]> {
    if (photos.length < 2 || photos.length > 10) throw new Error('An album has from 2 to 10 pictures.');
    const album = await Promise.all(
      photos.map((bytes) => photoFrom(this.world.files, bytes, options.spoiler)),
    );
    const albumId = `${randomInt(2 ** 40)}`;
    return album.map((media, index) => this.#says(index === 0 ? caption : '', media, options, { albumId }));
  }

  /** Still when it is a WebP: a client makes a sticker of every WebP file. */
  sendsSticker(bytes: Uint8Array, kind: 'still' | 'animated' | 'video' = 'still', options: SendOptions = {}) {
    const mimeType = { still: 'image/webp', animated: 'application/x-tgsticker', video: 'video/webm' }[kind];
    const sticker = {
      ...fileFields(this.world.files.store('sticker', bytes, { mimeType })),
      type: 'regular',
      width: 512,
      height: 512,
      is_animated: kind === 'animated',
      is_video: kind === 'video',
    } satisfies Sticker;
    return this.sendsOther({ sticker }, options);
  }

  repliesTo(message: FakeMessage, text: string, options: SendOptions = {}): FakeMessage {
    return this.sendsText(text, { ...options, replyTo: message });
  }

  /** Something else, by the fields that the Bot API has for it: a sticker, a voice message, a place. */
  sendsOther(fields: object, options: SendOptions = {}): FakeMessage {
    return this.#says('', undefined, options, { extra: fields });
  }

  /** Opens a topic of a forum. Its service message reaches every bot, privacy mode or not. */
  opensTopic(name: string, from = this.#somebody()): FakeMessage {
    const root = this.#topicRoot(this.#nextId, name, from);
    this.messages.push(root);
    this.world.diary.push({ kind: 'message', chat: this, message: root });
    if (!this.#botIsOut) this.world.updates.add('message', root.toApi());
    return root;
  }

  #topicRoot(id: number, name: string, from: FakeUser): FakeMessage {
    if (!this.forum) throw new Error(`${this.name} has no topics.`);
    const forum_topic_created = { name, icon_color: 0x6f_b9_f0 };
    const nothing = { body: typed(''), media: undefined, keyboard: [], at: Date.now() };
    const placing = { threadId: id, extra: { forum_topic_created } };
    const root = new FakeMessage(this, id, { user: from.api }, nothing, placing);
    this.#topics.set(id, root);
    return root;
  }

  /** Changes the text or the caption of a message of a person. */
  edits(message: FakeMessage, text: string): void {
    message.history.push({ ...message.present, body: typed(text), at: Date.now() });
    if (this.#botSees(message)) this.world.updates.add('edited_message', message.toApi());
  }

  /** The bot is not told. */
  deletes(message: FakeMessage): void {
    message.deleted = true;
  }

  /** @param button its callback data or its label */
  presses(message: FakeMessage, button: string | RegExp, { from, forged }: PressOptions = {}): FakePress {
    const user = from ?? this.#somebody();
    if (message.deleted && !forged) throw new Error('The message is deleted.');
    const is = (text: string) => (typeof button === 'string' ? text === button : button.test(text));
    const found = message.buttons.find(({ text, callback_data: data }) => is(text) || is(data ?? ''));
    if (!found && (!forged || typeof button !== 'string')) {
      const labels = message.buttons.map(({ text }) => text).join(', ');
      throw new Error(`No button ${button} under message ${message.id}; it has: ${labels || 'none'}.`);
    }
    const data = found ? found.callback_data : String(button);
    if (data === undefined) throw new Error(`The button ${button} does not ask the bot.`);
    const press = new FakePress(user, message, { text: found?.text ?? data, data }, this.world.pressLifeMs);
    this.world.presses.set(press.id, press);
    this.world.diary.push({ kind: 'press', chat: this, press });
    this.world.updates.add('callback_query', press.toApi());
    return press;
  }

  /** In a private chat the person blocks the bot, in a group an admin throws it out. */
  removesBot(by?: FakeUser): void {
    this.#changesBot(this.isPrivate ? 'blocked' : 'kicked', by);
  }

  /** The bot may write again; in a group as this. */
  admitsBot(as: 'member' | 'administrator' = 'member', by?: FakeUser): void {
    this.#changesBot(as, by);
  }

  closesTopic(threadId: number, from?: FakeUser): void {
    this.closedTopics.add(threadId);
    this.sendsOther({ forum_topic_closed: {} }, { threadId, ...(from && { from }) });
  }

  /** With its messages. The bot is not told. */
  deletesTopic(threadId: number): void {
    this.deletedTopics.add(threadId);
    for (const message of this.messages) if (message.placing.threadId === threadId) this.deletes(message);
  }

  /**
   * From now on the group has another id, in which its messages are not known by theirs.
   * @param told the service messages that the bot gets, in their order
   */
  becomesSupergroup(told: readonly ('to' | 'from')[] = ['to', 'from']): FakeChat {
    const fresh = FakeChat.group(this.world, { title: this.name });
    for (const [id, member] of this.members) fresh.members.set(id, member);
    fresh.bot = this.bot;
    this.movedTo = fresh;
    for (const message of told) {
      if (message === 'to')
        this.#serviceMessage({ user: this.#somebody().api }, { migrate_to_chat_id: fresh.id });
      else {
        const asGroup = { user: groupAnonymousBot, senderChat: fresh.api };
        fresh.#serviceMessage(asGroup, { migrate_from_chat_id: this.id });
      }
    }
    return fresh;
  }

  /** Bots get these whether or not they may read what people write. */
  #serviceMessage(author: Author, extra: object): void {
    const message = this.write(author, { body: typed(''), media: undefined, keyboard: [] }, { extra });
    this.world.updates.add('message', message.toApi());
  }

  /** The bot may read but not write. */
  mutesBot(by?: FakeUser): void {
    this.#changesBot('restricted', by);
  }

  #changesBot(status: FakeChat['bot'], by: FakeUser | undefined): void {
    const memberStatus = (bot: FakeChat['bot']) =>
      bot === 'blocked' || bot === 'not started' ? 'kicked' : bot;
    const before = this.bot;
    this.bot = status;
    this.world.updates.add('my_chat_member', {
      chat: this.api,
      from: (by ?? this.#somebody()).api,
      date: Math.floor(Date.now() / 1000),
      old_chat_member: { user: this.world.bot, status: memberStatus(before) },
      new_chat_member: { user: this.world.bot, status: memberStatus(status) },
    });
  }

  #somebody(): FakeUser {
    const [first] = this.members.values();
    if (!first) throw new Error(`Nobody is in ${this.name}: name the person with "from".`);
    return first.user;
  }

  #says(text: string, media: Media | undefined, options: SendOptions, more: Placing = {}): FakeMessage {
    if (media && text.length > maxCaptionLength)
      throw new Error(`A client lets no more than ${maxCaptionLength} characters of a caption through.`);
    if (this.bot === 'not started') this.bot = 'member';
    const { replyTo, externalReplyTo, postOf, mentions = [] } = options;
    const { threadId = replyTo?.placing.threadId } = options;
    if (this.forum && threadId !== undefined && !this.#topics.has(threadId))
      this.#topicRoot(threadId, `Topic ${threadId}`, this.#leader()); // opened before the bot came
    const forward = postOf ? automaticForward(postOf) : options.forwarded ? forwardedByHand() : {};
    const extra = { ...forward, ...more.extra };
    const placing = { ...more, replyTo, externalReplyTo, threadId, extra };
    const called = mentions.map(({ api }) => api);
    const first = { body: typed(text, called), media, keyboard: [] };
    const message = this.write(this.#author(options), first, placing);
    if (this.#botSees(message)) this.world.updates.add('message', message.toApi());
    return message;
  }

  /** Who opens topics. */
  #leader(): FakeUser {
    const ranks: readonly Status[] = ['creator', 'administrator'];
    const leaders = [...this.members.values()].filter(({ status }) => ranks.includes(status));
    return leaders[0]?.user ?? this.#somebody();
  }

  #author({ from, asChannel, postOf }: SendOptions): Author {
    if (postOf) return { user: telegramService, senderChat: { ...postOf, type: 'channel' } };
    if (asChannel) return { user: channelBot, senderChat: { ...asChannel, type: 'channel' } };
    const user = from ?? this.#somebody();
    const member = this.members.get(user.id) ?? this.add(user);
    if (member.anonymous) return { user: groupAnonymousBot, senderChat: this.api };
    return { user: user.api };
  }

  get #botIsOut(): boolean {
    return this.bot === 'blocked' || this.bot === 'kicked' || this.bot === 'left';
  }

  /** In a group a bot with privacy mode gets commands and replies to its own messages only. */
  #botSees({ entities, replyTo, text }: FakeMessage): boolean {
    if (this.#botIsOut) return false;
    const { bot } = this.world;
    if (this.isPrivate || this.bot === 'administrator' || bot.can_read_all_group_messages) return true;
    if (replyTo?.fromBot) return true;
    const command = entities.find(({ type, offset }) => type === 'bot_command' && offset === 0);
    const [, addressee] = text.slice(0, command?.length ?? 0).split('@');
    return (
      command !== undefined &&
      (addressee === undefined || addressee.toLowerCase() === bot.username.toLowerCase())
    );
  }
}

function forwardedByHand(): object {
  const date = Math.floor(Date.now() / 1000) - 60;
  return { forward_origin: { type: 'hidden_user', sender_user_name: 'Shop', date } };
}

function automaticForward(chat: FakeChannel): object {
  const date = Math.floor(Date.now() / 1000);
  const origin = {
    type: 'channel',
    chat: { ...chat, type: 'channel' },
    message_id: randomInt(1, 2 ** 31),
    date,
  };
  return { is_automatic_forward: true, forward_origin: origin };
}
