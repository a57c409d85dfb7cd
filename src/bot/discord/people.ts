/** Who asks, and where, as the conversation wants to know it. Knows no queue. */
import { type BaseInteraction, InteractionContextType } from 'discord.js';
import type { Person, Place } from '../conversation.ts';

/** By the configuration. What Discord's own permissions say does not make an admin. */
export interface Admins {
  readonly userIds: readonly string[];
  readonly roleIds: readonly string[];
}

/** The most that the queue takes. */
const maxRoles = 64;
const prefix = 'discord:';

export function personOf(interaction: BaseInteraction, admins: Admins): Person {
  const { member, user, locale } = interaction;
  const roles = member === null ? [] : rolesOf(member);
  return {
    userKey: `${prefix}${user.id}`,
    roleKeys: roles.slice(0, maxRoles).map((id) => `${prefix}${id}`),
    locale,
    isAdmin: admins.userIds.includes(user.id) || roles.some((id) => admins.roleIds.includes(id)),
  };
}

function rolesOf({ roles }: NonNullable<BaseInteraction['member']>): readonly string[] {
  return Array.isArray(roles) ? roles : [...roles.cache.keys()];
}

export function placeOf(interaction: BaseInteraction): Place {
  const { guildId, attachmentSizeLimit } = interaction;
  return {
    ...(guildId === null ? {} : { communityKey: `${prefix}${guildId}` }),
    maxBytes: attachmentSizeLimit,
  };
}

/** Whether the bot is there itself, and not only by a person's own installation of it. */
export function isBotThere({ guildId, context, client }: BaseInteraction): boolean {
  if (guildId !== null) return client.guilds.cache.has(guildId);
  return context !== InteractionContextType.PrivateChannel;
}

export function userIdOf(userKey: string): string {
  return userKey.slice(prefix.length);
}
