/** Buttons under the bot's messages. A press is acknowledged first; whether the person may press is looked up then. */

import { readFile } from 'node:fs/promises';
import { type ButtonInteraction, type Message, MessageFlags, type ModalSubmitInteraction } from 'discord.js';
import { withDeadline } from '../../deadline.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { readOptions, typedValues } from '../../request/options-text.ts';
import type { ChatOptions } from '../../request/request.ts';
import { type Action, parseButtonId, type TransformedClip } from '../buttons.ts';
import type { Person } from '../people.ts';
import type { Services } from '../platform.ts';
import { refused } from '../refusals.ts';
import { type AgainAction, optionsFrom } from '../requests.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { renderCancelled, renderRefusal, renderSettings, renderTransformed } from '../sentences/render.ts';
import type { DiscordApi } from './api.ts';
import { animateOptionNames } from './command-definitions.ts';
import { type Admins, personOf, placeOf } from './people.ts';
import { changesIn, remixForm } from './remix-form.ts';
import { asCode, contentOf, fileName, toBody } from './rendering.ts';
import { type DiscordRequests, takeBack, tokenOf, waitForLimit } from './requests.ts';

type Press = ButtonInteraction | ModalSubmitInteraction;

/** Discord waits three seconds for a form, which can only be the first answer. */
const formWithinMs = 2_000;

export interface ButtonTools {
  readonly services: Services;
  readonly admins: Admins;
  readonly api: DiscordApi;
  readonly requests: DiscordRequests;
}

export class DiscordButtons {
  readonly #tools: ButtonTools;
  /** People whose clip is being smoothed or looped. */
  readonly #busy = new Set<string>();

  constructor(tools: ButtonTools) {
    this.#tools = tools;
  }

  async press(interaction: ButtonInteraction): Promise<void> {
    const pressed = parseButtonId(interaction.customId);
    if (!pressed) return;
    const { action, jobId } = pressed;
    switch (action) {
      case 'remix':
        return await this.#remixForm(interaction, jobId);
      case 'cancel':
      case 'settings':
        return await this.#tell(interaction, action, jobId);
      default:
        await interaction.deferUpdate();
        return await this.#opened(interaction, action, jobId, async (entry, person) => {
          if (action === 'delete') await this.#delete(interaction, entry, person);
          else if (action === 'smooth' || action === 'loop') {
            await this.#transform(interaction, action, entry, person);
          } else await this.#again(interaction, action, entry);
        });
    }
  }

  ownsForm(customId: string): boolean {
    return parseButtonId(customId)?.action === 'remix';
  }

  /** The filled-in form of a remix. */
  async form(interaction: ModalSubmitInteraction): Promise<void> {
    const jobId = parseButtonId(interaction.customId)?.jobId ?? '';
    await interaction.deferUpdate();
    await this.#opened(interaction, 'remix', jobId, (entry) =>
      this.#again(interaction, 'remix', entry, () => readOptions(changesIn(interaction, entry))),
    );
  }

  /** Answers that only the person who pressed sees. */
  async #tell(interaction: ButtonInteraction, action: 'cancel' | 'settings', jobId: string): Promise<void> {
    await interaction.deferReply({ flags: MessageFlags.Ephemeral });
    const { buttons } = this.#tools.services;
    const person = personOf(interaction, this.#tools.admins);
    const say = messagesFor(person.locale);
    if (action === 'cancel') {
      await interaction.editReply(contentOf(renderCancelled(await buttons.cancel(jobId, person), say)));
      return;
    }
    const opened = await buttons.open(jobId, person, action);
    await interaction.editReply(
      opened.kind === 'refused'
        ? contentOf(renderRefusal(opened.reason, say))
        : asCode(`${renderSettings(opened.entry, say)}\n${commandOf(opened.entry)}`),
    );
  }

  async #opened(
    interaction: Press,
    action: Action,
    jobId: string,
    work: (entry: LedgerEntry, person: Person) => Promise<void>,
  ): Promise<void> {
    const person = personOf(interaction, this.#tools.admins);
    const opened = await this.#tools.services.buttons.open(jobId, person, action);
    if (opened.kind === 'open') return await work(opened.entry, person);
    await whisper(interaction, renderRefusal(opened.reason, messagesFor(person.locale)));
  }

  async #again(
    interaction: Press,
    action: AgainAction,
    entry: LedgerEntry,
    readChanges: () => ChatOptions = () => ({}),
  ): Promise<void> {
    const { isPrivate } = entry.request;
    const placeholder = await followUp(interaction, isPrivate);
    const { channelId, id } = placeholder;
    await this.#tools.requests.submit(
      interaction,
      { channelId, messageId: id, webhookMessage: id },
      async (origin) => {
        const changes = optionsFrom(readChanges);
        if (changes.kind === 'refused') return changes;
        return await this.#tools.services.requests.submitAgain(entry, action, origin, changes.options);
      },
      async (text) => await takeBack(interaction, id, text),
    );
  }

  async #transform(
    interaction: ButtonInteraction,
    action: 'smooth' | 'loop',
    entry: LedgerEntry,
    person: Person,
  ): Promise<void> {
    if (this.#busy.has(person.userKey))
      return await whisper(interaction, messagesFor(interaction.locale).discord.busy);
    this.#busy.add(person.userKey);
    try {
      const placeholder = await followUp(interaction, entry.request.isPrivate);
      const { maxBytes } = placeOf(interaction);
      const read = async (clip: TransformedClip) => ({ ...clip, data: await readFile(clip.file) });
      const done = await this.#tools.services.buttons.transform(entry, action, maxBytes, read);
      const say = messagesFor(person.locale);
      if (done.kind === 'refused') {
        return await takeBack(interaction, placeholder.id, renderRefusal(done.reason, say));
      }
      const upload = { name: fileName(`kinora-${action}.mp4`, done.isSpoiler), data: done.data };
      const body = toBody({ text: renderTransformed(done, say), buttons: [] });
      await waitForLimit(() =>
        this.#tools.api.editByToken(tokenOf(interaction), placeholder.id, body, upload),
      );
    } finally {
      this.#busy.delete(person.userKey);
    }
  }

  async #delete(interaction: ButtonInteraction, entry: LedgerEntry, person: Person): Promise<void> {
    await this.#tools.services.buttons.remove(entry);
    await takeBack(interaction, '@original', messagesFor(person.locale).result.deleted);
  }

  async #remixForm(interaction: ButtonInteraction, jobId: string): Promise<void> {
    const person = personOf(interaction, this.#tools.admins);
    const opening = this.#tools.services.buttons.open(jobId, person, 'remix');
    const opened = await withDeadline(formWithinMs, opening, () => refused('unavailable'));
    if (opened.kind === 'refused') {
      const content = contentOf(renderRefusal(opened.reason, messagesFor(person.locale)));
      await interaction.reply({ content, flags: MessageFlags.Ephemeral });
      return;
    }
    const { requests, models } = this.#tools.services;
    const { entry } = opened;
    const say = messagesFor(interaction.locale);
    await interaction.showModal({
      custom_id: interaction.customId,
      title: say.buttons.remix,
      components: remixForm(entry, requests.offered, models.of(entry.model), say),
    });
  }
}

/** The command that makes the same video again, with the options that the command has. */
function commandOf({ request }: LedgerEntry): string {
  const words = typedValues(request.generation).flatMap(([word, value]) => {
    if (value === '' || !animateOptionNames.has(word)) return [];
    return [`${word}:${word === 'smooth' ? Number(value) > 1 : value}`];
  });
  return `/animate ${words.join(' ')}`;
}

/** Posts the message that the next answer will replace. */
async function followUp(interaction: Press, isPrivate: boolean): Promise<Message> {
  return await interaction.followUp({
    content: messagesFor(interaction.locale).discord.placeholder,
    ...(isPrivate ? { flags: MessageFlags.Ephemeral } : {}),
  });
}

/** Shown to the person who pressed alone. */
async function whisper(interaction: Press, text: string): Promise<void> {
  await interaction.followUp({ content: contentOf(text), flags: MessageFlags.Ephemeral });
}
