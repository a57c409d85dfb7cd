/** A channel: of a guild, of direct messages with the bot, or of a group of friends without it. */
import { ChannelType, OverwriteType } from 'discord.js';
import type { FakeGuild } from './guild.ts';
import type { FakeMessage } from './message.ts';
import type { FakeUser } from './people.ts';
import { everybodyMay } from './role.ts';
import { snowflake } from './snowflake.ts';
import type { World } from './world.ts';

export interface ChannelOptions {
  readonly name?: string;
  readonly nsfw?: boolean;
}

interface Place {
  readonly type: ChannelType;
  readonly guild?: FakeGuild | undefined;
  readonly people?: readonly FakeUser[];
  /** Of a thread. */
  readonly parent?: FakeChannel;
}

export class FakeChannel {
  readonly kind = 'channel';
  readonly id = snowflake();
  readonly world: World;
  readonly type: ChannelType;
  readonly guild: FakeGuild | undefined;
  readonly people: readonly FakeUser[];
  readonly parent: FakeChannel | undefined;
  readonly name: string;
  readonly nsfw: boolean;
  readonly messages = new Map<string, FakeMessage>();
  deleted = false;
  #denied = 0n;

  constructor(world: World, place: Place, { name = 'general', nsfw = false }: ChannelOptions = {}) {
    this.world = world;
    this.type = place.type;
    this.guild = place.guild;
    this.people = place.people ?? [];
    this.parent = place.parent;
    this.name = name;
    this.nsfw = nsfw;
    world.channels.set(this.id, this);
  }

  /** Of a private one the bot hears only where somebody uses it. */
  thread({ name = 'thread', isPrivate = false }: { name?: string; isPrivate?: boolean } = {}): FakeChannel {
    const type = isPrivate ? ChannelType.PrivateThread : ChannelType.PublicThread;
    const thread = new FakeChannel(
      this.world,
      { type, guild: this.guild, parent: this },
      { name, nsfw: this.nsfw },
    );
    if (this.guild?.hasBot && !isPrivate) this.world.emit('THREAD_CREATE', thread.toJson());
    return thread;
  }

  /** What everybody sees in it, oldest first. */
  get visible(): FakeMessage[] {
    return [...this.messages.values()].filter(({ deleted, ephemeral }) => !deleted && !ephemeral);
  }

  /** Whether the bot itself, with its own token, is there at all. */
  get botIsHere(): boolean {
    if (this.guild) return this.guild.hasBot;
    return this.type === ChannelType.DM;
  }

  get botPermissions(): bigint {
    if (!this.guild) return everybodyMay;
    const granted = this.guild.hasBot ? this.guild.botPermissions : 0n;
    return granted & ~this.#denied;
  }

  /** Takes permissions of the bot away in this channel. */
  deny(...permissions: readonly bigint[]): this {
    for (const permission of permissions) this.#denied |= permission;
    this.#changed('CHANNEL_UPDATE');
    return this;
  }

  allow(...permissions: readonly bigint[]): this {
    for (const permission of permissions) this.#denied &= ~permission;
    this.#changed('CHANNEL_UPDATE');
    return this;
  }

  delete(): void {
    this.deleted = true;
    this.#changed('CHANNEL_DELETE');
  }

  #changed(event: 'CHANNEL_UPDATE' | 'CHANNEL_DELETE'): void {
    if (this.guild?.hasBot) this.world.emit(event, this.toJson());
  }

  toJson() {
    if (!this.guild)
      return {
        id: this.id,
        type: this.type,
        last_message_id: null,
        flags: 0,
        recipients: this.people.map(({ api }) => api),
      };
    const denied = this.#denied;
    if (this.parent)
      return {
        id: this.id,
        type: this.type,
        name: this.name,
        guild_id: this.guild.id,
        parent_id: this.parent.id,
        nsfw: this.nsfw,
        owner_id: this.guild.ownerId,
        last_message_id: null,
        rate_limit_per_user: 0,
        message_count: 0,
        member_count: 1,
        total_message_sent: 0,
        flags: 0,
        thread_metadata: {
          archived: false,
          archive_timestamp: new Date(0).toISOString(),
          auto_archive_duration: 4320,
          locked: false,
        },
      };
    return {
      id: this.id,
      type: this.type,
      name: this.name,
      guild_id: this.guild.id,
      nsfw: this.nsfw,
      position: 0,
      parent_id: null,
      topic: null,
      rate_limit_per_user: 0,
      last_message_id: null,
      flags: 0,
      permission_overwrites: denied
        ? [{ id: this.world.bot.id, type: OverwriteType.Member, allow: '0', deny: String(denied) }]
        : [],
    };
  }
}
