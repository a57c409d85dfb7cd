/** A role of a guild, and what everybody may do by default. */
import { type APIRole, PermissionFlagsBits as Can } from 'discord.js';

export const everybodyMay =
  Can.ViewChannel |
  Can.SendMessages |
  Can.EmbedLinks |
  Can.AttachFiles |
  Can.ReadMessageHistory |
  Can.UseApplicationCommands;

export interface RoleOptions {
  readonly name?: string;
  readonly permissions?: bigint;
}

export class FakeRole {
  readonly kind = 'role';
  readonly id: string;
  readonly name: string;
  readonly permissions: bigint;

  constructor(id: string, { name = 'role', permissions = 0n }: RoleOptions = {}) {
    this.id = id;
    this.name = name;
    this.permissions = permissions;
  }

  toJson(): Omit<APIRole, 'flags'> & { flags: number } {
    return {
      id: this.id,
      name: this.name,
      permissions: String(this.permissions),
      color: 0,
      colors: { primary_color: 0, secondary_color: null, tertiary_color: null },
      hoist: false,
      position: 0,
      managed: false,
      mentionable: false,
      flags: 0,
    };
  }
}
