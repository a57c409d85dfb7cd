/** The commands the bot registered, and what a person's client does with them before it sends one. */
import {
  ApplicationCommandType,
  ApplicationIntegrationType,
  InteractionContextType,
  ApplicationCommandOptionType as Option,
  PermissionFlagsBits,
} from 'discord.js';
import { z } from 'zod';
import { parseForm } from './api-error.ts';
import type { FakeChannel } from './channel.ts';
import { type CommandBody, commandBody, type LeafOption } from './command-body.ts';
import type { FakeUser } from './people.ts';
import { snowflake } from './snowflake.ts';

export interface FakeCommand {
  readonly id: string;
  readonly version: string;
  readonly guildId: string | undefined;
  readonly body: CommandBody;
}

/** Where a command is meant for: a path of subcommands leads to its options. */
export interface FoundCommand {
  readonly command: FakeCommand;
  readonly path: readonly { readonly type: Option; readonly name: string }[];
  readonly options: readonly LeafOption[];
}

const maxOfType = new Map<ApplicationCommandType, number>([
  [ApplicationCommandType.ChatInput, 100],
  [ApplicationCommandType.User, 15],
  [ApplicationCommandType.Message, 15],
]);
const commandList = z
  .array(commandBody)
  .refine((commands) => {
    const keys = commands.map(({ type, name }) => `${type} ${name}`);
    return new Set(keys).size === keys.length;
  }, 'Application command names must be unique')
  .refine(
    (commands) =>
      [...maxOfType].every(
        ([type, max]) => commands.filter((command) => command.type === type).length <= max,
      ),
    'Maximum number of application commands reached',
  );

export class CommandRegistry {
  #commands: FakeCommand[] = [];

  list(guildId: string | undefined): FakeCommand[] {
    return this.#commands.filter((command) => command.guildId === guildId);
  }

  /** Bulk overwrite: commands that stay keep their id, unchanged ones their version too. */
  replace(guildId: string | undefined, bodies: unknown): FakeCommand[] {
    const replaced = parseForm(commandList, bodies).map((body) => this.#renewed(guildId, body));
    this.#commands = [...this.#commands.filter((command) => command.guildId !== guildId), ...replaced];
    return replaced;
  }

  /** Creates one, or overwrites the one of the same name and type. */
  create(guildId: string | undefined, bodyToCheck: unknown): FakeCommand {
    const created = this.#renewed(guildId, parseForm(commandBody, bodyToCheck));
    this.#commands = [...this.#commands.filter(({ id }) => id !== created.id), created];
    return created;
  }

  remove(guildId: string | undefined, id: string): boolean {
    const before = this.#commands.length;
    this.#commands = this.#commands.filter((command) => command.guildId !== guildId || command.id !== id);
    return this.#commands.length < before;
  }

  #renewed(guildId: string | undefined, body: CommandBody): FakeCommand {
    const old = this.list(guildId).find(
      (each) => each.body.type === body.type && each.body.name === body.name,
    );
    if (old && JSON.stringify(old.body) === JSON.stringify(body)) return old;
    return { id: old?.id ?? snowflake(), version: snowflake(), guildId, body };
  }

  /**
   * The command as this person's client offers it here.
   * @param words its name and the names of subcommands
   * @throws when the client would not offer it: not registered, not in this place, not with these permissions
   */
  find(
    type: ApplicationCommandType,
    words: readonly string[],
    where: { readonly user: FakeUser; readonly channel: FakeChannel; readonly byUserInstall: boolean },
  ): FoundCommand {
    const [name = '', ...branches] = words;
    const { channel } = where;
    const candidates = [
      ...(channel.guild?.hasBot ? this.list(channel.guild.id) : []),
      ...this.list(undefined),
    ];
    const command = candidates.find(({ body }) => body.type === type && body.name === name);
    if (!command) {
      const known = candidates.map(({ body }) => body.name).join(', ') || 'none';
      throw new Error(`No command "${name}" is registered here; there are: ${known}.`);
    }
    assertOffered(command, where);
    return { command, ...descend(command.body, branches) };
  }
}

function assertOffered(
  { body, guildId }: FakeCommand,
  { user, channel, byUserInstall }: { user: FakeUser; channel: FakeChannel; byUserInstall: boolean },
): void {
  const { GuildInstall, UserInstall } = ApplicationIntegrationType;
  const { Guild, BotDM, PrivateChannel } = InteractionContextType;
  const installs: readonly number[] = body.integration_types ?? [GuildInstall];
  const contexts: readonly number[] = body.contexts ?? [Guild, BotDM, PrivateChannel];
  const context = channel.guild ? Guild : channel.botIsHere ? BotDM : PrivateChannel;
  const refuse = (reason: string): never => {
    throw new Error(`Discord does not offer the command "${body.name}" here: ${reason}.`);
  };
  if (guildId === undefined && !contexts.includes(context))
    refuse(`its contexts are [${contexts}], this is ${context}`);
  if (!installs.includes(byUserInstall ? UserInstall : GuildInstall))
    refuse(
      `its integration_types are [${installs}] and it is used by ${byUserInstall ? 'user' : 'guild'} install`,
    );
  if (!byUserInstall && !channel.botIsHere) refuse('the bot is not in this place');
  const needed = body.default_member_permissions;
  if (channel.guild && needed !== null && needed !== undefined) {
    const has = channel.guild.permissionsOf(user);
    const enough = needed === '0' ? false : (has & BigInt(needed)) === BigInt(needed);
    if (!enough && !(has & PermissionFlagsBits.Administrator)) refuse(`it needs the permissions ${needed}`);
  }
}

function descend(body: CommandBody, branches: readonly string[]): Pick<FoundCommand, 'path' | 'options'> {
  let options: CommandBody['options'] = body.options;
  const path: { type: Option; name: string }[] = [];
  for (const name of branches) {
    const next = [...options].find((option) => option.name === name);
    if (!next || (next.type !== Option.Subcommand && next.type !== Option.SubcommandGroup))
      throw new Error(`"${body.name}" has no subcommand "${name}".`);
    path.push({ type: next.type, name });
    options = next.options ?? [];
  }
  const leaves = [...options].filter(
    (option): option is LeafOption =>
      option.type !== Option.Subcommand && option.type !== Option.SubcommandGroup,
  );
  if (leaves.length < options.length)
    throw new Error(`"${[body.name, ...branches].join(' ')}" needs a subcommand.`);
  return { path, options: leaves };
}

/** As the API describes it; translations only when asked for. */
export function commandJson(
  { id, version, guildId, body }: FakeCommand,
  applicationId: string,
  localized: boolean,
): object {
  const shown = localized ? body : withoutTranslations(body);
  return {
    ...shown,
    id,
    version,
    application_id: applicationId,
    default_member_permissions: body.default_member_permissions ?? null,
    description: body.description ?? '',
    nsfw: body.nsfw ?? false,
    ...(guildId !== undefined && { guild_id: guildId }),
    ...(guildId === undefined && {
      contexts: body.contexts ?? null,
      integration_types: body.integration_types ?? [ApplicationIntegrationType.GuildInstall],
    }),
  };
}

function withoutTranslations(body: CommandBody): object {
  return JSON.parse(
    JSON.stringify(body, (key, value: unknown) => (key.endsWith('_localizations') ? undefined : value)),
  );
}
