/** Discord's members, servers and channels as the people and places of the bot. Knows no queue. */
import {
  type BaseInteraction,
  PermissionFlagsBits as Can,
  ChannelType,
  InteractionContextType,
} from 'discord.js';
import { z } from 'zod';
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

const prefix = 'discord:';

export function personOf(interaction: BaseInteraction, admins: Admins): Person {
  const { member, user, locale, memberPermissions } = interaction;
  const roles = member === null ? [] : rolesOf(member);
  return {
    userKey: `${prefix}${user.id}`,
    name: user.displayName,
    roleKeys: roles.map((id) => `${prefix}${id}`),
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

const channelSchema = z.object({
  id: z.string(),
  type: z.number(),
  parent_id: z.string().nullish(),
  nsfw: z.boolean().optional(),
});
type ToldChannel = z.infer<typeof channelSchema>;

/** What Discord tells of the channel of an interaction. */
const toldChannels = new WeakMap<BaseInteraction, ToldChannel>();

/**
 * Keeps what an interaction tells of its channel: discord.js drops it where the bot is not, which is so in private threads
 * and where only the person has installed Kinora.
 * @param told as Discord sent it
 */
export function rememberChannel(interaction: BaseInteraction, told: unknown): void {
  const { data } = channelSchema.safeParse(told);
  if (data) toldChannels.set(interaction, data);
}

const threads: readonly ChannelType[] = [
  ChannelType.AnnouncementThread,
  ChannelType.PublicThread,
  ChannelType.PrivateThread,
];
export const isThread = (type: ChannelType): boolean => threads.includes(type);

/** A thread counts as the channel it belongs to. A channel is age-restricted only where Discord says so. */
function channelOf(interaction: BaseInteraction): Pick<Place, 'channelKey' | 'isAgeRestricted'> {
  const { channel, channelId, client } = interaction;
  const told = toldChannels.get(interaction);
  const inThread = told ? isThread(told.type) : (channel?.isThread() ?? false);
  const id = inThread ? (told?.parent_id ?? (channel?.isThread() ? channel.parentId : null)) : channelId;
  const whole = id ? client.channels.cache.get(id) : undefined;
  const known = whole && 'nsfw' in whole ? whole.nsfw : undefined;
  return {
    ...(id ? { channelKey: `${prefix}${id}` } : {}),
    // Of a thread, its channel knows better.
    isAgeRestricted: (inThread ? (known ?? told?.nsfw) : (told?.nsfw ?? known)) === true,
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
