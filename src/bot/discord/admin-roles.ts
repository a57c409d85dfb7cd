/**
 * Who has a role that makes admins, asked outside of an interaction, which would tell it. Discord is asked about one
 * member at a time, and its answer holds for a minute; without an answer nobody is an admin.
 */
import { type Client, DiscordAPIError, type GuildMember, RESTJSONErrorCodes } from 'discord.js';
import { LRUCache } from 'lru-cache';
import { withDeadline } from '../../deadline.ts';
import type { Logger } from '../../log.ts';
import { codeOf } from './api.ts';

const knownForMs = 60_000;
const mostKnown = 1_000;
const deadlineMs = 2_500;

export class AdminRoles {
  readonly #roleIds: readonly string[];
  readonly #client: () => Client | null;
  readonly #log: Logger;
  readonly #known = new LRUCache<string, boolean>({ max: mostKnown, ttl: knownForMs });

  constructor(roleIds: readonly string[], client: () => Client | null, log: Logger) {
    this.#roleIds = roleIds;
    this.#client = client;
    this.#log = log;
  }

  async hasOne(userId: string): Promise<boolean> {
    if (this.#roleIds.length === 0) return false;
    const known = this.#known.get(userId);
    if (known !== undefined) return known;
    try {
      const has = await withDeadline(deadlineMs, this.#ask(userId), () => undefined);
      if (has !== undefined) this.#known.set(userId, has);
      return has ?? false;
    } catch (error) {
      this.#log.warn({ err: codeOf(error) }, 'the roles of somebody could not be asked for');
      return false;
    }
  }

  async #ask(userId: string): Promise<boolean> {
    for (const guild of this.#client()?.guilds.cache.values() ?? []) {
      if (!this.#roleIds.some((id) => guild.roles.cache.has(id))) continue;
      const member = await guild.members.fetch({ user: userId, force: true, cache: false }).catch(ifNoMember);
      if (member && this.#roleIds.some((id) => member.roles.cache.has(id))) return true;
    }
    return false;
  }
}

function ifNoMember(error: unknown): GuildMember | undefined {
  if (error instanceof DiscordAPIError && error.code === RESTJSONErrorCodes.UnknownMember) return undefined;
  throw error;
}
