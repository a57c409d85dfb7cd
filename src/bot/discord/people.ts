/** Discord's members, servers and channels as the people and places of the bot. Knows no queue. */
import { type BaseInteraction, PermissionFlagsBits as Can, InteractionContextType } from 'discord.js';
import type { Person, Place } from '../people.ts';
import type { Messages } from '../sentences/catalogue.ts';

/** By the configuration: Discord's own permissions make nobody an admin. */
export interface Admins {
  readonly userIds: readonly string[];
  readonly roleIds: readonly string[];
}

export type NeededPermission = keyof Messages['discord']['permissions'];

/** What the bot needs where it answers later than an interaction allows. */
export const neededPermissions: Readonly<Record<NeededPermission, bigint>> = {
  ViewChannel: Can.ViewChannel,
  SendMessages: Can.SendMessages,
  SendMessagesInThreads: Can.SendMessagesInThreads,
  AttachFiles: Can.AttachFiles,
  ReadMessageHistory: Can.ReadMessageHistory,
};

/** The most that the queue takes. */
const maxRoles = 64;
const prefix = 'discord:';

export function personOf(interaction: BaseInteraction, admins: Admins): Person {
  const { member, user, locale, memberPermissions } = interaction;
  const roles = member === null ? [] : rolesOf(member);
  return {
    userKey: `${prefix}${user.id}`,
    roleKeys: roles.slice(0, maxRoles).map((id) => `${prefix}${id}`),
    locale,
    isAdmin: admins.userIds.includes(user.id) || roles.some((id) => admins.roleIds.includes(id)),
    isModerator: memberPermissions?.has(Can.ManageGuild) ?? false,
  };
}

function rolesOf({ roles }: NonNullable<BaseInteraction['member']>): readonly string[] {
  return Array.isArray(roles) ? roles : [...roles.cache.keys()];
}

export function placeOf(interaction: BaseInteraction): Place {
  const { guildId, attachmentSizeLimit } = interaction;
  return {
    ...(guildId === null ? {} : { communityKey: `${prefix}${guildId}`, ...channelOf(interaction) }),
    maxBytes: attachmentSizeLimit,
  };
}

/** A thread counts as the channel it belongs to. A channel is age-restricted only where Discord says so. */
function channelOf({ channel, channelId }: BaseInteraction): Pick<Place, 'channelKey' | 'isAgeRestricted'> {
  const thread = channel?.isThread() ? channel : undefined;
  const whole = thread ? thread.parent : channel;
  const id = thread ? thread.parentId : channelId;
  return {
    ...(id === null ? {} : { channelKey: `${prefix}${id}` }),
    isAgeRestricted: whole !== null && 'nsfw' in whole && whole.nsfw === true,
  };
}

/** Whether the bot itself is a member there, and not only installed by the person. */
export function isBotThere({ guildId, context, client }: BaseInteraction): boolean {
  if (guildId !== null) return client.guilds.cache.has(guildId);
  return context !== InteractionContextType.PrivateChannel;
}

export function userIdOf(userKey: string): string {
  return userKey.slice(prefix.length);
}
