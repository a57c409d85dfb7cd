/** A guild: its channels, roles and members, and whether the bot is in it. */
import {
  type APIGuildMember,
  type APIUser,
  PermissionFlagsBits as Can,
  ChannelType,
  type Locale,
  PermissionsBitField,
} from 'discord.js';
import { type ChannelOptions, FakeChannel } from './channel.ts';
import type { FakeUser } from './people.ts';
import { everybodyMay, FakeRole, type RoleOptions } from './role.ts';
import { snowflake } from './snowflake.ts';
import type { World } from './world.ts';

export interface GuildOptions {
  readonly name?: string;
  readonly locale?: Locale;
  readonly owner?: FakeUser;
  /** False: the bot is not in it; it is only reachable through people who installed the app for themselves. */
  readonly hasBot?: boolean;
  readonly botPermissions?: bigint;
  /** Grows with boosts. */
  readonly uploadLimitBytes?: number;
}

type MemberJson = Omit<APIGuildMember, 'flags'> & { flags: number };

interface Member {
  readonly user: FakeUser;
  readonly roles: Set<FakeRole>;
}

export class FakeGuild {
  readonly kind = 'guild';
  readonly id = snowflake();
  readonly world: World;
  readonly name: string;
  readonly locale: Locale | 'en-US';
  readonly ownerId: string;
  readonly botPermissions: bigint;
  readonly uploadLimitBytes: number;
  readonly roles: FakeRole[];
  readonly channels: FakeChannel[] = [];
  readonly members = new Map<string, Member>();
  hasBot: boolean;

  constructor(world: World, options: GuildOptions = {}) {
    this.world = world;
    this.name = options.name ?? 'Guild';
    this.locale = options.locale ?? 'en-US';
    this.ownerId = options.owner?.id ?? snowflake();
    this.hasBot = options.hasBot ?? true;
    this.botPermissions = options.botPermissions ?? everybodyMay;
    this.uploadLimitBytes = options.uploadLimitBytes ?? 0;
    this.roles = [new FakeRole(this.id, { name: '@everyone', permissions: everybodyMay })];
    world.guilds.set(this.id, this);
    if (options.owner) this.member(options.owner);
    if (this.hasBot) world.emit('GUILD_CREATE', this.toJson());
  }

  channel(options?: ChannelOptions): FakeChannel {
    const channel = new FakeChannel(this.world, { type: ChannelType.GuildText, guild: this }, options);
    this.channels.push(channel);
    if (this.hasBot) this.world.emit('CHANNEL_CREATE', channel.toJson());
    return channel;
  }

  role(options?: RoleOptions): FakeRole {
    const role = new FakeRole(snowflake(), options);
    this.roles.push(role);
    if (this.hasBot) this.world.emit('GUILD_ROLE_CREATE', { guild_id: this.id, role: role.toJson() });
    return role;
  }

  /** Lets a person in, or gives one more roles and permissions. */
  member(
    user: FakeUser,
    { roles = [], permissions }: { roles?: FakeRole[]; permissions?: bigint } = {},
  ): this {
    const member = this.members.get(user.id) ?? { user, roles: new Set() };
    for (const role of roles) member.roles.add(role);
    if (permissions !== undefined) member.roles.add(this.role({ name: `${user.name}'s role`, permissions }));
    this.members.set(user.id, member);
    return this;
  }

  permissionsOf(user: FakeUser): bigint {
    if (user.id === this.ownerId) return PermissionsBitField.All;
    const roles = [...(this.members.get(user.id)?.roles ?? []), ...this.roles.slice(0, 1)];
    const all = roles.reduce((sum, { permissions }) => sum | permissions, 0n);
    return all & Can.Administrator ? PermissionsBitField.All : all;
  }

  kickBot(): void {
    this.hasBot = false;
    this.world.emit('GUILD_DELETE', { id: this.id });
  }

  inviteBot(): void {
    this.hasBot = true;
    this.world.emit('GUILD_CREATE', this.toJson());
  }

  memberJson(user: FakeUser): MemberJson {
    return memberJson(user.api, [...(this.members.get(user.id)?.roles ?? [])]);
  }

  get #botRole(): FakeRole {
    const { botRoleId, bot } = this.world;
    return new FakeRole(botRoleId, { name: bot.username, permissions: this.botPermissions });
  }

  /** The bot as a member. */
  botJson(): MemberJson {
    return memberJson(this.world.bot, [this.#botRole]);
  }

  toJson() {
    const { world } = this;
    const botRole = this.#botRole;
    return {
      id: this.id,
      name: this.name,
      owner_id: this.ownerId,
      preferred_locale: this.locale,
      joined_at: new Date(0).toISOString(),
      large: false,
      unavailable: false,
      member_count: this.members.size + 1,
      icon: null,
      splash: null,
      discovery_splash: null,
      banner: null,
      description: null,
      features: [],
      verification_level: 0,
      default_message_notifications: 1,
      explicit_content_filter: 0,
      mfa_level: 0,
      nsfw_level: 0,
      premium_tier: 0,
      premium_progress_bar_enabled: false,
      afk_channel_id: null,
      afk_timeout: 300,
      application_id: null,
      system_channel_id: null,
      system_channel_flags: 0,
      rules_channel_id: null,
      public_updates_channel_id: null,
      safety_alerts_channel_id: null,
      vanity_url_code: null,
      hub_type: null,
      incidents_data: null,
      roles: [...this.roles, botRole].map((role) => role.toJson()),
      channels: this.channels.filter(({ deleted }) => !deleted).map((channel) => channel.toJson()),
      members: [memberJson(world.bot, [botRole])],
      emojis: [],
      stickers: [],
      threads: [],
      presences: [],
      voice_states: [],
      stage_instances: [],
      guild_scheduled_events: [],
      soundboard_sounds: [],
    };
  }
}

function memberJson(user: APIUser, roles: readonly FakeRole[]): MemberJson {
  return {
    user,
    roles: roles.map(({ id }) => id),
    joined_at: new Date(0).toISOString(),
    deaf: false,
    mute: false,
    flags: 0,
  };
}
