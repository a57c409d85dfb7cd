/** All that the fake Telegram knows: people, chats, files, updates, commands. */
import { randomBytes } from 'node:crypto';
import type { UserFromGetMe } from 'telegraf/types';
import type { FakeChat } from './chat.ts';
import { CommandRegistry } from './commands.ts';
import { FileStore } from './files.ts';
import type { Media } from './media.ts';
import type { FakeMessage } from './message.ts';
import type { FakeUser } from './people.ts';
import type { FakePress } from './press.ts';
import { UpdateQueue } from './updates.ts';

/** What happened, in order, for the transcript. */
export type Entry =
  | { readonly kind: 'message'; readonly chat: FakeChat; readonly message: FakeMessage }
  | { readonly kind: 'press'; readonly chat: FakeChat; readonly press: FakePress };

export class World {
  readonly bot: UserFromGetMe;
  readonly token: string;
  /** How long a pressed button waits for its answer. */
  readonly pressLifeMs: number;
  readonly users = new Map<number, FakeUser>();
  readonly chats = new Map<number, FakeChat>();
  readonly files = new FileStore();
  /** What was once sent, by file_id: sending it again keeps its size and duration. */
  readonly sentMedia = new Map<string, Media>();
  readonly updates = new UpdateQueue();
  readonly commands = new CommandRegistry();
  readonly presses = new Map<string, FakePress>();
  readonly diary: Entry[] = [];
  /** Name and descriptions of the bot, by method and language. */
  readonly profile = new Map<string, string>();
  webhookUrl = '';
  #nextUserId = 5_000_000_001;
  #nextGroupId = -1_002_000_000_001;

  constructor({ botUsername, pressLifeMs }: { botUsername: string; pressLifeMs: number }) {
    const id = 7_100_000_001;
    this.token = `${id}:AA${randomBytes(25).toString('base64url').slice(0, 33)}`;
    this.pressLifeMs = pressLifeMs;
    this.bot = {
      id,
      is_bot: true,
      first_name: 'Kinora',
      username: botUsername,
      can_join_groups: true,
      can_read_all_group_messages: false,
      supports_inline_queries: false,
    };
  }

  /** Larger than 32 bits, as new ids are. */
  userId(): number {
    this.#nextUserId += 1;
    return this.#nextUserId;
  }

  groupId(): number {
    this.#nextGroupId -= 1;
    return this.#nextGroupId;
  }

  /** What a person sent under this file_id. */
  messageMedia(fileId: string): Media | undefined {
    const messages = [...this.chats.values()].flatMap((chat) => chat.messages);
    const media = messages.map((message) => message.media);
    return media.find(
      (each) => each?.file.id === fileId || each?.sizes.some(({ file }) => file.id === fileId),
    );
  }
}
