/** Commands that are answered at once, to the person alone: all but /animate. */
import {
  type ButtonInteraction,
  ButtonStyle,
  type ChatInputCommandInteraction,
  MessageFlags,
} from 'discord.js';
import type { Logger } from '../../log.ts';
import type { Person } from '../people.ts';
import type { Services } from '../platform.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { renderAccount, renderDeleted, renderQueue, renderStudioLink } from '../sentences/render.ts';
import { renderAdmin, renderHelp } from '../sentences/render-admin.ts';
import { renderRules } from '../sentences/render-rules.ts';
import { codeOf } from './api.ts';
import { adminCommandNames } from './command-definitions.ts';
import { adminCommandOf, ruleCommandOf } from './command-options.ts';
import { contentWithNames } from './mentions.ts';
import { type Admins, personOf, placeOf } from './people.ts';
import { buttonRows, contentOf, rowsOf } from './rendering.ts';

const forget = 'privacy:forget';
const confirm = 'privacy:confirm';
const keep = 'privacy:keep';

export interface CommandTools {
  readonly services: Services;
  readonly admins: Admins;
  readonly log: Logger;
}

export class DiscordCommands {
  readonly #tools: CommandTools;

  constructor(tools: CommandTools) {
    this.#tools = tools;
  }

  async command(interaction: ChatInputCommandInteraction): Promise<void> {
    await interaction.deferReply({ flags: MessageFlags.Ephemeral });
    const person = personOf(interaction, this.#tools.admins);
    try {
      await this.#answer(interaction, person);
    } catch (error) {
      this.#tools.log.warn({ command: interaction.commandName, err: codeOf(error) }, 'a command failed');
      await interaction.editReply(contentOf(messagesFor(person.locale).refusal.unavailable));
    }
  }

  async #answer(interaction: ChatInputCommandInteraction, person: Person): Promise<void> {
    const { account, administration, requests, studio } = this.#tools.services;
    const { commandName } = interaction;
    const say = messagesFor(person.locale);
    if (commandName === 'queue') {
      await interaction.editReply(contentOf(renderQueue(await account.queue(person), say)));
    } else if (commandName === 'me') {
      const { text, buttons } = renderAccount(await account.me(person, placeOf(interaction)), say);
      await interaction.editReply({ content: contentOf(text), components: buttonRows(buttons) });
    } else if (commandName === 'web') {
      const { user } = interaction;
      const link = await studio.linkFor(person, user.globalName ?? user.username);
      // The brackets keep Discord from looking at the link.
      const behind = link.kind === 'link' ? `\n<${link.url}>` : '';
      await interaction.editReply(`${contentOf(renderStudioLink(link, say))}${behind}`);
    } else if (commandName === 'privacy') {
      const { text, deleteAll } = say.privacy;
      await interaction.editReply({
        content: contentOf(text(account.retentionDays)),
        components: rowsOf([{ id: forget, label: deleteAll, style: ButtonStyle.Danger }]),
      });
    } else if (commandName === 'help') {
      await interaction.editReply(
        contentOf(renderHelp(say.helpText.commands(requests.offered), person, say)),
      );
    } else if (commandName === 'rules') {
      const command = ruleCommandOf(interaction);
      const outcome = await administration.rules(person, placeOf(interaction), command);
      await interaction.editReply(contentWithNames((names) => renderRules(outcome, say, names)));
    } else if (adminCommandNames.has(commandName)) {
      const outcome = await administration.admin(person, adminCommandOf(interaction));
      await interaction.editReply(contentWithNames((names) => renderAdmin(outcome, say, names)));
    }
  }

  owns(customId: string): boolean {
    return [forget, confirm, keep].includes(customId);
  }

  /** "Delete everything", and the question whether they mean it. The message is theirs alone. */
  async press(interaction: ButtonInteraction): Promise<void> {
    const person = personOf(interaction, this.#tools.admins);
    const words = messagesFor(interaction.locale).discord;
    if (interaction.customId === forget) {
      await interaction.update({
        content: contentOf(words.sure),
        components: rowsOf([
          { id: confirm, label: words.confirm, style: ButtonStyle.Danger },
          { id: keep, label: words.keep, style: ButtonStyle.Secondary },
        ]),
      });
      return;
    }
    if (interaction.customId === keep) {
      await interaction.update({ content: contentOf(words.kept), components: [] });
      return;
    }
    await interaction.update({ content: contentOf(words.placeholder), components: [] });
    const deleted = await this.#tools.services.account.forget(person);
    await interaction.editReply(contentOf(renderDeleted(deleted, messagesFor(person.locale))));
  }
}
