/** Requests with a picture of their own: the command /animate, and Apps > Animate with its form. */
import {
  type ChatInputCommandInteraction,
  ComponentType,
  type MessageContextMenuCommandInteraction,
  MessageFlags,
  type ModalSubmitInteraction,
  TextInputStyle,
} from 'discord.js';
import { LRUCache } from 'lru-cache';
import { presetNames } from '../../request/presets.ts';
import { type ChatOptions, parseOptions } from '../options.ts';
import { failed, refused } from '../refusals.ts';
import type { RequestOrigin, RequestOutcome } from '../requests.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { type AskingTools, askAndSay } from './asking.ts';
import { maxPromptLength } from './command-definitions.ts';
import { fetchPicture, maxPictureMegabytes, type PictureRules, pictureUrlOf } from './pictures.ts';
import { contentOf } from './rendering.ts';

const formPrefix = 'animate:';
/** As long as Discord takes a form. */
const formLifeMs = 15 * 60_000;
const maxForms = 10_000;

export class Animate {
  readonly #tools: AskingTools;
  readonly #rules: PictureRules;
  /** Links of pictures whose form is being filled in, by the interaction that opened it. Only in memory: they are signed. */
  readonly #forms = new LRUCache<string, string>({ max: maxForms, ttl: formLifeMs });

  constructor(tools: AskingTools, rules: PictureRules) {
    this.#tools = tools;
    this.#rules = rules;
  }

  async command(interaction: ChatInputCommandInteraction): Promise<void> {
    const { options } = interaction;
    const isPrivate = options.getBoolean('private') ?? false;
    await this.#run(interaction, isPrivate, options.getAttachment('image', true).url, () =>
      parseOptions({
        prompt: options.getString('prompt') ?? undefined,
        preset: options.getString('preset') ?? undefined,
        motion: options.getString('motion') ?? undefined,
        camera: options.getString('camera') ?? undefined,
        seed: options.getInteger('seed') ?? undefined,
        negative: options.getString('negative') ?? undefined,
        frames: options.getInteger('frames') ?? undefined,
        guidance: options.getNumber('guidance') ?? undefined,
        loop: options.getBoolean('loop') ?? undefined,
        smooth: options.getBoolean('smooth') ?? undefined,
        isPrivate,
      }),
    );
  }

  /** A form can only be the very first answer. */
  async menu(interaction: MessageContextMenuCommandInteraction): Promise<void> {
    const { discord, settings } = messagesFor(interaction.locale);
    const url = pictureUrlOf(interaction.targetMessage);
    if (url === undefined) {
      await interaction.reply({ content: contentOf(discord.noPicture), flags: MessageFlags.Ephemeral });
      return;
    }
    this.#forms.set(interaction.id, url);
    await interaction.showModal({
      custom_id: `${formPrefix}${interaction.id}`,
      title: discord.animate,
      components: [
        {
          type: ComponentType.Label,
          label: discord.prompt,
          component: {
            type: ComponentType.TextInput,
            custom_id: 'prompt',
            style: TextInputStyle.Paragraph,
            required: false,
            max_length: maxPromptLength,
            placeholder: discord.promptExample,
          },
        },
        {
          type: ComponentType.Label,
          label: settings.labels.preset,
          component: {
            type: ComponentType.StringSelect,
            custom_id: 'preset',
            required: false,
            options: presetNames.map((value) => ({
              label: value,
              value,
              default: value === 'standard',
            })),
          },
        },
      ],
    });
  }

  ownsForm(customId: string): boolean {
    return customId.startsWith(formPrefix);
  }

  async form(interaction: ModalSubmitInteraction): Promise<void> {
    const url = this.#forms.get(interaction.customId.slice(formPrefix.length));
    if (url === undefined) {
      const { expired } = messagesFor(interaction.locale).discord;
      await interaction.reply({ content: contentOf(expired), flags: MessageFlags.Ephemeral });
      return;
    }
    const { fields } = interaction;
    const [preset] = fields.getStringSelectValues('preset');
    await this.#run(interaction, false, url, () =>
      parseOptions({ prompt: fields.getTextInputValue('prompt'), preset }),
    );
  }

  async #run(
    interaction: ChatInputCommandInteraction | ModalSubmitInteraction,
    isPrivate: boolean,
    url: string,
    readOptions: () => ChatOptions,
  ): Promise<void> {
    // Before anything else: Discord waits three seconds, and a busy Redis or a slow download may take longer.
    const response = await interaction.deferReply({
      withResponse: true,
      ...(isPrivate ? { flags: MessageFlags.Ephemeral } : {}),
    });
    const { channelId } = interaction;
    const messageId = response.resource?.message?.id ?? response.interaction.responseMessageId;
    if (!channelId || !messageId) throw new Error('Discord did not say where its answer is');
    const reply = { channelId, messageId, webhookMessage: '@original' };
    await askAndSay(
      interaction,
      reply,
      this.#tools,
      (origin) => this.#submit(url, readOptions, origin),
      isPrivate || interaction.guildId === null
        ? undefined
        : async (text) => {
            // Nobody else's business: the public "is thinking…" goes, and only the person hears why.
            await interaction.deleteReply();
            await interaction.followUp({ content: contentOf(text), flags: MessageFlags.Ephemeral });
          },
    );
  }

  async #submit(url: string, readOptions: () => ChatOptions, origin: RequestOrigin): Promise<RequestOutcome> {
    let options: ChatOptions;
    try {
      options = readOptions();
    } catch (error) {
      return failed(error);
    }
    const picture = await fetchPicture(url, this.#rules);
    if (picture === 'tooLarge') return refused({ kind: 'tooLarge', megabytes: maxPictureMegabytes });
    if (picture === 'notDownloaded') return refused({ kind: 'notDownloaded' });
    return await this.#tools.services.requests.submit({ ...origin, picture, options });
  }
}
