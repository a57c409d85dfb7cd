/** A person with a Discord client: runs commands, presses buttons, fills in modals, posts messages. */

import { setTimeout as sleep } from 'node:timers/promises';
import {
  type APIUser,
  ApplicationCommandType,
  ChannelType,
  ComponentType,
  InteractionType,
  Locale,
  MessageFlags,
} from 'discord.js';
import { FakeChannel } from './channel.ts';
import type { FakeFile } from './files.ts';
import { type FieldValue, fillModal } from './form.ts';
import { type Asked, FakeInteraction, type FakeModal } from './interaction.ts';
import type { FakeMessage } from './message.ts';
import type { MessageBody } from './message-body.ts';
import type { Choice } from './modal-body.ts';
import { fillOptions, type OptionValues } from './options.ts';
import { post, remove } from './posting.ts';
import { snowflake } from './snowflake.ts';
import type { World } from './world.ts';

export interface UserOptions {
  readonly name?: string;
  readonly locale?: Locale;
  /** Grows with Nitro. */
  readonly uploadLimitBytes?: number;
}

/**
 * In a channel, in the direct messages with the bot, or by the person's own installation of the app: in the given
 * channel, else in a group of friends without the bot.
 */
export interface Where {
  readonly channel?: FakeChannel;
  readonly dm?: true;
  readonly userInstall?: true;
}

/** With components it is as other bots post it; embeds are what Discord makes of links. */
export interface Posted extends Pick<MessageBody, 'content' | 'embeds' | 'components'> {
  readonly files?: readonly FakeFile[];
  readonly forwards?: FakeMessage;
}

export class FakeUser {
  readonly kind = 'user';
  readonly world: World;
  readonly api: APIUser;
  readonly locale: Locale;
  readonly uploadLimitBytes: number;
  takesDms = true;
  #dm: FakeChannel | undefined;
  #group: FakeChannel | undefined;

  constructor(
    world: World,
    { name = 'ada', locale = Locale.EnglishUS, uploadLimitBytes = 0 }: UserOptions = {},
  ) {
    this.world = world;
    this.locale = locale;
    this.uploadLimitBytes = uploadLimitBytes;
    this.api = { id: snowflake(), username: name, global_name: null, discriminator: '0', avatar: null };
    world.users.set(this.id, this);
  }

  get id(): string {
    return this.api.id;
  }

  get name(): string {
    return this.api.username;
  }

  /** The direct messages with the bot. */
  get dm(): FakeChannel {
    this.#dm ??= new FakeChannel(this.world, { type: ChannelType.DM, people: [this] }, { name: this.name });
    return this.#dm;
  }

  /** @param command for example "/animate" or "/quota grant" */
  runs(command: string, options: OptionValues = {}, where: Where = {}): FakeInteraction {
    const words = command.replace(/^\//, '').split(' ');
    const place = this.#place(where);
    const found = this.world.commands.find(ApplicationCommandType.ChatInput, words, { user: this, ...place });
    const { sent, resolved, text } = fillOptions(found.options, options, place.channel);
    const { id, guildId, body } = found.command;
    return this.#ask(`${command} ${text}`.trim(), {
      ...place,
      type: InteractionType.ApplicationCommand,
      data: {
        id,
        type: body.type,
        name: body.name,
        ...(guildId !== undefined && { guild_id: guildId }),
        options: nest(found.path, sent),
        resolved,
      },
    });
  }

  /** Types into an option that the bot completes, and reads the choices. */
  async completes(
    command: string,
    options: OptionValues,
    focused: string,
    where: Where = {},
  ): Promise<readonly Choice[]> {
    const words = command.replace(/^\//, '').split(' ');
    const place = this.#place(where);
    const found = this.world.commands.find(ApplicationCommandType.ChatInput, words, { user: this, ...place });
    if (!found.options.some(({ name, autocomplete }) => name === focused && autocomplete))
      throw new Error(`The option "${focused}" has no autocomplete.`);
    const { sent, resolved } = fillOptions(found.options, options, place.channel, focused);
    const { id, body } = found.command;
    const interaction = this.#dispatch({
      ...place,
      user: this,
      type: InteractionType.ApplicationCommandAutocomplete,
      data: { id, type: body.type, name: body.name, options: nest(found.path, sent), resolved },
    });
    while (!interaction.choices && !interaction.failed) await sleep(5);
    if (!interaction.choices) throw new Error(`No choices came for "${focused}".`);
    return interaction.choices;
  }

  /** Apps > name, on a message. */
  usesContextMenu(message: FakeMessage, name: string, where: Where = {}): FakeInteraction {
    const place = this.#place({ channel: message.channel, ...where });
    const { command } = this.world.commands.find(ApplicationCommandType.Message, [name], {
      user: this,
      ...place,
    });
    this.#assertSees(message);
    const target = message.toJson((file) => this.world.files.attachment(file));
    return this.#ask(`Apps > ${name}, on the message of ${message.origin.author.username}`, {
      ...place,
      type: InteractionType.ApplicationCommand,
      data: {
        id: command.id,
        type: command.body.type,
        name,
        target_id: message.id,
        resolved: { messages: { [message.id]: target } },
      },
    });
  }

  /** @param button its custom id, else its label */
  presses(message: FakeMessage, button: string): FakeInteraction {
    this.#assertSees(message);
    const buttons = message.pressables.filter(({ type }) => type === ComponentType.Button);
    const found =
      buttons.find(({ customId }) => customId === button) ?? buttons.find(({ label }) => label === button);
    if (!found) {
      const there = buttons.map(({ label, customId }) => `${label} (${customId})`).join(', ') || 'none';
      throw new Error(`No button "${button}" under the message; there are: ${there}.`);
    }
    if (found.disabled) throw new Error(`The button "${button}" is disabled.`);
    return this.#ask(`presses [${found.label}]`, {
      ...this.#placeOf(message),
      type: InteractionType.MessageComponent,
      source: message,
      data: { custom_id: found.customId, component_type: ComponentType.Button },
    });
  }

  selects(message: FakeMessage, customId: string, values: readonly string[]): FakeInteraction {
    this.#assertSees(message);
    const found = message.pressables.find((each) => each.customId === customId);
    if (!found || found.type === ComponentType.Button)
      throw new Error(`No menu "${customId}" in the message.`);
    return this.#ask(`selects ${values.join(', ')}`, {
      ...this.#placeOf(message),
      type: InteractionType.MessageComponent,
      source: message,
      data: { custom_id: customId, component_type: found.type, values },
    });
  }

  /** Sends a modal; a field that is not given keeps what the bot filled in. */
  submits(modal: FakeModal | undefined, fields: Readonly<Record<string, FieldValue>> = {}): FakeInteraction {
    if (!modal) throw new Error('There is no modal to submit.');
    const { asked } = modal.interaction;
    if (asked.user !== this) throw new Error(`The modal was shown to ${asked.user.name}.`);
    const { components, attachments, text } = fillModal(modal, fields);
    return this.#ask(`submits "${modal.title}" ${text}`.trim(), {
      channel: asked.channel,
      byUserInstall: asked.byUserInstall,
      source: asked.source,
      type: InteractionType.ModalSubmit,
      data: { custom_id: modal.customId, components, resolved: { attachments } },
    });
  }

  posts(channel: FakeChannel, { files = [], forwards, ...body }: Posted): FakeMessage {
    const numbered = new Map(files.map((file, n) => [String(n), file]));
    return post(
      channel,
      { author: this.api, ...(forwards && { forwards }) },
      { content: '', ...body, ...(body.components && { flags: MessageFlags.IsComponentsV2 }) },
      { via: 'user', uploads: { files: numbered, limitBytes: Number.POSITIVE_INFINITY } },
    );
  }

  deletes(message: FakeMessage): void {
    this.#assertSees(message);
    remove(message);
  }

  closesDms(): void {
    this.takesDms = false;
  }

  #ask(deed: string, asked: Omit<Asked, 'user'>): FakeInteraction {
    const interaction = this.#dispatch({ ...asked, user: this });
    this.world.diary.push({ kind: 'deed', channel: asked.channel, user: this, deed, interaction });
    return interaction;
  }

  #dispatch(asked: Asked): FakeInteraction {
    const interaction = new FakeInteraction(asked);
    this.world.interactions.set(interaction.id, interaction);
    this.world.emit('INTERACTION_CREATE', interaction.toJson());
    return interaction;
  }

  #place({ channel, dm, userInstall }: Where): Pick<Asked, 'channel' | 'byUserInstall'> {
    const byUserInstall = userInstall === true;
    const place = channel ?? (dm ? this.dm : byUserInstall ? this.#friends() : this.#firstChannel());
    place.guild?.member(this);
    return { channel: place, byUserInstall };
  }

  #placeOf({ channel }: FakeMessage): Pick<Asked, 'channel' | 'byUserInstall'> {
    channel.guild?.member(this);
    return { channel, byUserInstall: !channel.botIsHere };
  }

  #friends(): FakeChannel {
    this.#group ??= new FakeChannel(
      this.world,
      { type: ChannelType.GroupDM, people: [this] },
      { name: 'friends' },
    );
    return this.#group;
  }

  #firstChannel(): FakeChannel {
    const first = [...this.world.channels.values()].find(({ guild, deleted }) => guild?.hasBot && !deleted);
    if (!first) throw new Error('There is no channel yet: make one with server.guild().channel().');
    return first;
  }

  #assertSees(message: FakeMessage): void {
    if (message.deleted) throw new Error('The message was deleted.');
    if (message.origin.onlyFor !== undefined && message.origin.onlyFor !== this.id)
      throw new Error('The message is only shown to somebody else.');
  }
}

/** Options inside the subcommands that lead to them. */
function nest(path: readonly { type: number; name: string }[], leaves: readonly object[]): readonly object[] {
  return path.reduceRight<readonly object[]>((options, step) => [{ ...step, options }], leaves);
}
