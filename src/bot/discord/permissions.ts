/**
 * What the bot may not do in a channel: by what its connections tell of the servers that they serve, and by asking Discord
 * about those of other bots.
 */
import { PermissionFlagsBits as Can, type Client, RESTJSONErrorCodes as Code, Routes } from 'discord.js';
import { z } from 'zod';
import { type DiscordApi, Refused } from './api.ts';
import { isThread, type NeededPermission, neededPermissions } from './people.ts';

const bits = z.coerce.bigint();
const channelSchema = z.object({
  type: z.number(),
  guild_id: z.string().optional(),
  parent_id: z.string().nullish(),
  permission_overwrites: z.array(z.object({ id: z.string(), allow: bits, deny: bits })).default([]),
});
const guildSchema = z.object({ roles: z.array(z.object({ id: z.string(), permissions: bits })) });
const memberSchema = z.object({ roles: z.array(z.string()) });
const userSchema = z.object({ id: z.string() });

export interface PermissionTools {
  /** Present connections. */
  readonly clients: () => readonly Client[];
  readonly api: DiscordApi;
  /** Whether other bots serve other servers. */
  readonly isShared: boolean;
}

export class BotPermissions {
  readonly #tools: PermissionTools;

  constructor(tools: PermissionTools) {
    this.#tools = tools;
  }

  /** As far as it can be known: nothing where Discord does not say. */
  async lacking(channelId: string): Promise<readonly NeededPermission[]> {
    const { clients, isShared } = this.#tools;
    const [channel] = clients().flatMap(({ channels }) => channels.cache.get(channelId) ?? []);
    if (!channel) return isShared ? await this.#ask(channelId).catch(whereItMayNotLook) : [];
    if (channel.isDMBased()) return [];
    const { me } = channel.guild.members;
    const granted = me && channel.permissionsFor(me);
    return granted ? missingIn(granted.bitfield, channel.isThread()) : [];
  }

  /** By the rules of docs.discord.com/developers/topics/permissions. */
  async #ask(channelId: string): Promise<readonly NeededPermission[]> {
    const { api } = this.#tools;
    const channel = channelSchema.parse(await api.read(Routes.channel(channelId)));
    const { guild_id: guildId, parent_id: parentId } = channel;
    if (guildId === undefined) return [];
    const inThread = isThread(channel.type);
    const whole =
      inThread && parentId ? channelSchema.parse(await api.read(Routes.channel(parentId))) : channel;
    const { id } = userSchema.parse(await api.read(Routes.user()));
    const [guild, member] = await Promise.all([
      api.read(Routes.guild(guildId)),
      api.read(Routes.guildMember(guildId, id)),
    ]);
    const { roles } = memberSchema.parse(member);
    const isOwn = (role: { readonly id: string }): boolean => role.id === guildId || roles.includes(role.id);
    let granted = 0n;
    for (const { permissions } of guildSchema.parse(guild).roles.filter(isOwn)) granted |= permissions;
    if (granted & Can.Administrator) return [];
    for (const ids of [[guildId], roles, [id]]) {
      const those = whole.permission_overwrites.filter((overwrite) => ids.includes(overwrite.id));
      for (const { deny } of those) granted &= ~deny;
      for (const { allow } of those) granted |= allow;
    }
    return missingIn(granted, inThread);
  }
}

function missingIn(granted: bigint, inThread: boolean): readonly NeededPermission[] {
  const needed = Object.keys(neededPermissions) as NeededPermission[];
  const elsewhere = inThread ? 'SendMessages' : 'SendMessagesInThreads';
  const may = (permission: NeededPermission): boolean =>
    (granted & Can.Administrator) !== 0n || (granted & neededPermissions[permission]) !== 0n;
  return needed.filter((permission) => permission !== elsewhere && !may(permission));
}

function whereItMayNotLook(error: unknown): readonly NeededPermission[] {
  return error instanceof Refused && error.code === Code.MissingAccess ? ['ViewChannel'] : [];
}
