/** All there is on this Discord at the moment, and the diary of who did what, for the transcript. */
import type { APIUser, GatewayIntentBits } from 'discord.js';
import type { FakeChannel } from './channel.ts';
import type { CommandRegistry } from './commands.ts';
import { FileStore } from './files.ts';
import type { FakeGuild } from './guild.ts';
import type { FakeInteraction } from './interaction.ts';
import type { FakeMessage, MessageJson } from './message.ts';
import type { FakeUser } from './people.ts';
import { snowflake } from './snowflake.ts';

export interface Timing {
  /** Discord: 3 s. */
  readonly ackWithinMs: number;
  /** Discord: 15 min. */
  readonly tokenLifeMs: number;
  /** Discord: about a day. */
  readonly attachmentLifeMs: number;
  /** Discord: about 41 s. */
  readonly heartbeatIntervalMs: number;
}

/** By id: guilds are spread over the shards, everything else comes over the first one. */
export function shardOf(guildId: string | undefined, shards: number): number {
  return guildId === undefined ? 0 : Number((BigInt(guildId) >> 22n) % BigInt(shards));
}

export type DiaryEntry =
  | { readonly kind: 'message'; readonly channel: FakeChannel; readonly message: FakeMessage }
  | {
      readonly kind: 'deed';
      readonly channel: FakeChannel;
      readonly user: FakeUser;
      readonly deed: string;
      readonly interaction: FakeInteraction;
    };

export type Emit = (event: string, data: unknown, intent?: GatewayIntentBits) => void;

export class World {
  readonly timing: Timing;
  readonly #messageContent: boolean;
  readonly bot: APIUser;
  readonly botRoleId = snowflake();
  readonly files: FileStore;
  readonly commands: CommandRegistry;
  readonly users = new Map<string, FakeUser>();
  readonly guilds = new Map<string, FakeGuild>();
  readonly channels = new Map<string, FakeChannel>();
  readonly interactions = new Map<string, FakeInteraction>();
  readonly diary: DiaryEntry[] = [];
  /** Sends an event to the bot; set by the gateway. */
  emit: Emit = () => {};

  constructor(timing: Timing, commands: CommandRegistry, messageContent: boolean) {
    this.#messageContent = messageContent;
    this.timing = timing;
    this.commands = commands;
    this.files = new FileStore(timing.attachmentLifeMs);
    this.bot = {
      id: snowflake(),
      username: 'Kinora',
      global_name: null,
      discriminator: '0001',
      avatar: null,
      bot: true,
    };
  }

  /** Without the privilege to read messages, the bot gets empty ones, by REST too, unless they address it. */
  asBotSees(message: FakeMessage): MessageJson {
    const json = message.toJson((file) => this.files.attachment(file));
    const { origin, channel, pings } = message;
    const readable = origin.author.id === this.bot.id || !channel.guild || pings.includes(this.bot.id);
    if (readable || this.#messageContent) return json;
    return { ...json, content: '', embeds: [], components: [], attachments: [] };
  }

  interactionByToken(token: string): FakeInteraction | undefined {
    return [...this.interactions.values()].find((interaction) => interaction.token === token);
  }
}
