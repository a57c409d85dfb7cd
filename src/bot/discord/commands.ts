/** Commands that are answered at once, to the person alone: /queue, /me, /privacy, /help, and those of admins. */
import {
  type ButtonInteraction,
  ButtonStyle,
  type ChatInputCommandInteraction,
  MessageFlags,
} from 'discord.js';
import type { Logger } from '../../log.ts';
import type { Person } from '../people.ts';
import type { Services } from '../platform.ts';
import { type Messages, messagesFor } from '../sentences/catalogue.ts';
import { renderAccount, renderDeleted, renderQueue } from '../sentences/render.ts';
import { codeOf } from './api.ts';
import { adminCommandNames } from './command-definitions.ts';
import { type Admins, personOf, placeOf } from './people.ts';
import { buttonRows, contentOf, rowsOf } from './rendering.ts';

const forget = 'privacy:forget';
const confirm = 'privacy:confirm';
const keep = 'privacy:keep';

export interface TalkTools {
  readonly services: Services;
  readonly admins: Admins;
  readonly log: Logger;
}

export class Talk {
  readonly #tools: TalkTools;

  constructor(tools: TalkTools) {
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
    const { account, administration } = this.#tools.services;
    const { commandName } = interaction;
    const say = messagesFor(person.locale);
    if (commandName === 'queue') {
      await interaction.editReply(contentOf(renderQueue(await account.queue(person), say)));
    } else if (commandName === 'me') {
      const { text, buttons } = renderAccount(await account.me(person, placeOf(interaction)), say);
      await interaction.editReply({ content: contentOf(text), components: buttonRows(buttons) });
    } else if (commandName === 'privacy') {
      const { text, deleteAll } = say.privacy;
      await interaction.editReply({
        content: contentOf(text(account.retentionDays)),
        components: rowsOf([{ id: forget, label: deleteAll, style: ButtonStyle.Danger }]),
      });
    } else if (commandName === 'help') {
      await interaction.editReply(contentOf(say.helpText.commands));
    } else if (commandName === 'rules') {
      const text = await administration.ruleWords(person, placeOf(interaction), ruleWordsOf(interaction));
      await interaction.editReply(withRuleNames(contentOf(text), say));
    } else if (adminCommandNames.has(commandName)) {
      // The conversation refuses whoever is no admin, wherever the command was registered.
      const text = await administration.adminWords(person, wordsOf(interaction));
      await interaction.editReply(withNames(contentOf(text)));
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

/** Admins see names in the place of ids. Nobody is called by that: the client allows no mentions. */
function withNames(content: string): string {
  return content
    .replace(/role:discord:(\d{17,20})/g, '<@&$1>')
    .replace(/(?:user:|(?<!community:))discord:(\d{17,20})/g, '<@$1>');
}

/** The same for what is allowed where, and to whom. */
function withRuleNames(content: string, { rules: { labels } }: Messages): string {
  const named = (line: string): string => {
    if (line.startsWith(`${labels.channels}:`)) return line.replace(/\d{17,20}/g, '<#$&>');
    return line.startsWith(`${labels.roles}:`) ? line.replace(/\d{17,20}/g, '<@&$&>') : line;
  };
  return content.split('\n').map(named).join('\n');
}

/** The command of a moderator in the words that both platforms share. */
function ruleWordsOf({ options }: ChatInputCommandInteraction): string[] {
  const words = [
    options.getSubcommand(),
    options.getString('action'),
    options.getChannel('channel')?.id,
    options.getRole('role')?.id,
    options.getString('words'),
    options.getInteger('page'),
  ];
  return words.flatMap((word) => (word === null || word === undefined ? [] : [String(word)]));
}

/** The command of an admin in the words that both platforms share. */
function wordsOf({ commandName, options }: ChatInputCommandInteraction): string[] {
  const user = options.getUser('user');
  const role = options.getRole('role');
  const community = options.getString('community');
  const target = user
    ? `user:discord:${user.id}`
    : role
      ? `role:discord:${role.id}`
      : community === null
        ? undefined
        : `community:${community.includes(':') ? community : `discord:${community}`}`;
  const words = [
    commandName,
    options.getSubcommand(false),
    target,
    options.getInteger('credits'),
    options.getNumber('hours'),
    options.getString('job'),
    options.getInteger('entries'),
    options.getString('reason'),
  ];
  return words.flatMap((word) => (word === null || word === undefined ? [] : [String(word)]));
}
