/** People with a Telegram client, and the stand-ins that Telegram shows for anonymous ones and for itself. */
import type { User } from 'telegraf/types';
import type { World } from './world.ts';

export interface UserOptions {
  readonly name?: string;
  readonly username?: string;
  /** Of the person's client, for example "en" or "zh-hans". Some clients tell none. */
  readonly languageCode?: string | undefined;
}

export class FakeUser {
  readonly api: User;

  constructor(world: World, { name = 'Ada', username, languageCode = 'en' }: UserOptions = {}) {
    this.api = {
      id: world.userId(),
      is_bot: false,
      first_name: name,
      ...(username !== undefined && { username }),
      ...(languageCode !== '' && { language_code: languageCode }),
    };
    world.users.set(this.id, this);
  }

  get id(): number {
    return this.api.id;
  }

  get name(): string {
    return this.api.first_name;
  }
}

/** Author of what an admin writes as the group: one identity for the anonymous admins of all groups. */
export const groupAnonymousBot: User = {
  id: 1_087_968_824,
  is_bot: true,
  first_name: 'Group',
  username: 'GroupAnonymousBot',
};

/** Author of what somebody writes as a channel. */
export const channelBot: User = {
  id: 136_817_688,
  is_bot: true,
  first_name: 'Channel',
  username: 'Channel_Bot',
};

/** Author of what Telegram itself forwards from a channel into its discussion group; no bot, says the Bot API. */
export const telegramService: User = { id: 777_000, is_bot: false, first_name: 'Telegram' };
