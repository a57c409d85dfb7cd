/**
 * A Telegram Bot API for tests, on a port of this machine, against which the real telegraf runs. It keeps what people
 * see, lets them act, refuses what Telegram refuses, and makes trouble on order.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeChat, type GroupOptions } from './chat.ts';
import type { MenuCommand } from './commands.ts';
import { type Fault, type FaultOptions, matches } from './faults.ts';
import { type Call, FakeHttp } from './http.ts';
import type { LimitOptions } from './limits.ts';
import type { FakeMessage } from './message.ts';
import { botMethods } from './methods-bot.ts';
import { messageMethods } from './methods-messages.ts';
import { FakeUser, type UserOptions } from './people.ts';
import { transcript } from './transcript.ts';
import { World } from './world.ts';

export interface FakeTelegramOptions {
  readonly botUsername?: string;
  /** Whether the bot gets all that is written in groups; mostly it does not. */
  readonly readsAllGroupMessages?: boolean;
  /** How long a pressed button waits for its answer. */
  readonly pressLifeMs?: number;
  /** As a server of the owner's with --local: files have no limit, and lie in this folder. */
  readonly localFolder?: string;
  /** Address of this machine to listen at; 127.0.0.1 when absent. */
  readonly host?: string;
}

export class FakeTelegram {
  readonly world: World;
  readonly #http: FakeHttp;
  #baseUrl = '';

  private constructor(options: FakeTelegramOptions) {
    const { botUsername = 'kinora_bot', pressLifeMs = 15_000, readsAllGroupMessages = false } = options;
    const { host = '127.0.0.1' } = options;
    this.world = new World({ botUsername, pressLifeMs });
    this.world.files.localFolder = options.localFolder;
    this.world.bot.can_read_all_group_messages = readsAllGroupMessages;
    this.#http = new FakeHttp(this.world, { ...botMethods, ...messageMethods }, host);
  }

  static async start(options: FakeTelegramOptions): Promise<FakeTelegram> {
    const fake = new FakeTelegram(options);
    fake.#baseUrl = await fake.#http.listen();
    return fake;
  }

  /** For telegraf: `new Telegraf(token, { telegram: { apiRoot } })`. Downloads come from here, too. */
  get apiRoot(): string {
    return this.#baseUrl;
  }

  get token(): string {
    return this.world.token;
  }

  user(options?: UserOptions): FakeUser {
    return new FakeUser(this.world, options);
  }

  /** The one private chat of the bot with this person. Until the person writes, the bot may not. */
  privateChat({
    user = this.user(),
    started = false,
  }: {
    user?: FakeUser;
    started?: boolean;
  } = {}): FakeChat {
    return this.world.chats.get(user.id) ?? FakeChat.private(this.world, user, started);
  }

  group(options: GroupOptions = {}): FakeChat {
    return FakeChat.group(this.world, options);
  }

  /** What is there now, oldest first. */
  messages(chat: FakeChat): FakeMessage[] {
    return chat.messages.filter(({ deleted }) => !deleted);
  }

  /** What the bot wrote and did not delete. */
  answers(chat: FakeChat): FakeMessage[] {
    return this.messages(chat).filter(({ fromBot }) => fromBot);
  }

  /** The menu of commands that the person's client offers in the chat. */
  menu(chat: FakeChat, user: FakeUser): readonly MenuCommand[] {
    return this.world.commands.menu(chat, user);
  }

  fail(options: FaultOptions): Fault {
    return this.#http.fail(options);
  }

  /** From now on a chat takes so many messages and edits in so much time. */
  limit(options: LimitOptions): void {
    this.#http.limits.add(options);
  }

  /** Nobody listens; what was open is cut. */
  async goesDown(): Promise<void> {
    await this.#http.close();
  }

  async comesBack(): Promise<void> {
    await this.#http.listen();
  }

  /** What the bot asked for, oldest first. Without a method: all but getUpdates. */
  calls(method?: string | RegExp, chat?: FakeChat): Call[] {
    const filter = { ...(method !== undefined && { method }), ...(chat && { chatId: chat.id }) };
    return this.#http.calls.filter((call) => matches(filter, call));
  }

  /** Updates that the bot has not confirmed yet. */
  get pendingUpdates(): number {
    return this.world.updates.pending.length;
  }

  /** Gives every update so far to the bot once more, as after a confirmation that got lost. */
  redeliver(): void {
    this.world.updates.redeliver();
  }

  /** Every path to a file given out so far stops working, as after an hour. */
  expireFileLinks(): void {
    this.world.files.expire();
  }

  /** Every press so far can no longer be answered. */
  expirePresses(): void {
    for (const press of this.world.presses.values()) press.expire();
  }

  /** @param options.states shows every state that a message went through, not only the last */
  transcript(chat?: FakeChat, options: { states?: boolean } = {}): string {
    return transcript(this.world, chat, options.states);
  }

  /** What must never be found in a log. */
  secrets(): string[] {
    return [this.token];
  }

  /**
   * Waits until the predicate gives something truthy, and returns it.
   * @throws with the transcript when it does not happen in time
   */
  async until<Result>(predicate: () => Result | Promise<Result>, ms = 120_000): Promise<NonNullable<Result>> {
    const deadline = Date.now() + ms;
    for (;;) {
      const result = await predicate();
      if (result) return result;
      if (Date.now() > deadline) throw new Error(`Did not happen within ${ms} ms.\n${this.transcript()}`);
      await sleep(5);
    }
  }

  /** @throws what went wrong inside the fake itself, if anything */
  async stop(): Promise<void> {
    await this.#http.close();
    if (this.#http.crash !== undefined) throw this.#http.crash;
  }
}

export function startFakeTelegram(options: FakeTelegramOptions = {}): Promise<FakeTelegram> {
  return FakeTelegram.start(options);
}
