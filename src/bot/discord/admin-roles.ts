/**
 * Who has a role that makes admins, asked outside of an interaction, which would tell it. Discord is asked about one
 * member at a time, and its answer holds for a minute; without an answer nobody is an admin.
 */
import { type Client, DiscordAPIError, type GuildMember, RESTJSONErrorCodes, Routes } from 'discord.js';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { withDeadline } from '../../deadline.ts';
import type { Logger } from '../../log.ts';
import { codeOf, type DiscordApi, Refused } from './api.ts';

const knownForMs = 60_000;
const mostKnown = 1_000;
const deadlineMs = 2_500;
const memberSchema = z.object({ roles: z.array(z.string()) });

export interface AdminRolesTools {
  readonly roleIds: readonly string[];
  /** Present connections. */
  readonly clients: () => readonly Client[];
  readonly api: DiscordApi;
  /** Servers that other bots may serve, and in which such roles may be. */
  readonly elsewhere: readonly string[];
  readonly log: Logger;
}

export class AdminRoles {
  readonly #tools: AdminRolesTools;
  readonly #known = new LRUCache<string, boolean>({ max: mostKnown, ttl: knownForMs });

  constructor(tools: AdminRolesTools) {
    this.#tools = tools;
  }

  async hasOne(userId: string): Promise<boolean> {
    if (this.#tools.roleIds.length === 0) return false;
    const known = this.#known.get(userId);
    if (known !== undefined) return known;
    try {
      const has = await withDeadline(deadlineMs, this.#ask(userId), () => undefined);
      if (has !== undefined) this.#known.set(userId, has);
      return has ?? false;
    } catch (error) {
      this.#tools.log.warn({ err: codeOf(error) }, 'the roles of somebody could not be asked for');
      return false;
    }
  }

  async #ask(userId: string): Promise<boolean> {
    const { roleIds, clients, api, elsewhere } = this.#tools;
    const served = clients().flatMap(({ guilds }) => [...guilds.cache.values()]);
    for (const guild of served) {
      if (!roleIds.some((id) => guild.roles.cache.has(id))) continue;
      const member = await guild.members.fetch({ user: userId, force: true, cache: false }).catch(ifNoMember);
      if (member && roleIds.some((id) => member.roles.cache.has(id))) return true;
    }
    for (const id of elsewhere.filter((each) => !served.some((guild) => guild.id === each))) {
      const member = await api.read(Routes.guildMember(id, userId)).catch(ifNoneThere);
      if (member && memberSchema.parse(member).roles.some((role) => roleIds.includes(role))) return true;
    }
    return false;
  }
}

function ifNoMember(error: unknown): GuildMember | undefined {
  if (error instanceof DiscordAPIError && error.code === RESTJSONErrorCodes.UnknownMember) return undefined;
  throw error;
}

function ifNoneThere(error: unknown): undefined {
  if (!(error instanceof Refused)) throw error;
}
