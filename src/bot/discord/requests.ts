/**
 * Requests in Discord: the command /animate, Apps > Animate with its form, and earlier jobs again. Discord is answered
 * first, then the picture is fetched, then the queue decides, and the same message says what came of it.
 */
import {
  type AutocompleteInteraction,
  type ChatInputCommandInteraction,
  ComponentType,
  type MessageComponentInteraction,
  type MessageContextMenuCommandInteraction,
  MessageFlags,
  type ModalSubmitInteraction,
  type RepliableInteraction,
  TextInputStyle,
} from 'discord.js';
import { LRUCache } from 'lru-cache';
import { KinoraError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { readOptions } from '../../request/options-text.ts';
import { presetNames } from '../../request/presets.ts';
import type { ChatOptions } from '../../request/request.ts';
import { retry } from '../../retry.ts';
import type { Services } from '../platform.ts';
import { failed, type Refused as RefusedRequest, refused } from '../refusals.ts';
import {
  type Accepted,
  optionsFrom,
  type RequestOrigin,
  type RequestOutcome,
  type TrackedJob,
} from '../requests.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { type ChatMessage, messagesOf, renderRequest } from '../sentences/render.ts';
import { DeliveryDelayed } from '../upkeep/delivery.ts';
import { type DiscordApi, type InteractionToken, Refused } from './api.ts';
import { maxPromptLength } from './command-definitions.ts';
import type { DiscordReply } from './delivery.ts';
import { type Admins, isBotThere, type NeededPermission, personOf, placeOf } from './people.ts';
import {
  fetchPicture,
  maxPictureMegabytes,
  type PictureRules,
  pictureOf,
  picturesOf,
  type ShownPicture,
} from './pictures.ts';
import { contentOf, toBody } from './rendering.ts';
import type { Showings } from './showings.ts';
import { type TokenStore, tokenLifeMs } from './tokens.ts';

/** What came with a request. */
interface Sent {
  readonly pictures: readonly ShownPicture[];
  /** Address of a picture that shows what may move. */
  readonly mask?: string | undefined;
}

export interface RequestTools {
  readonly services: Services;
  readonly admins: Admins;
  readonly api: DiscordApi;
  readonly tokens: TokenStore;
  /** Called with each job whose acceptance was shown. */
  readonly track: (job: TrackedJob) => void;
  /** Absent where one bot does everything. */
  readonly showings?: Showings | undefined;
  /** Which permissions the bot lacks in a channel, as far as it can know. */
  readonly lacking: (channelId: string) => Promise<readonly NeededPermission[]>;
  readonly pictures: PictureRules;
  readonly log: Logger;
}

/** As many choices, and as long ones, as Discord takes. */
const mostChoices = 25;
const longestChoice = 100;
const formPrefix = 'animate:';
/** As long as Discord takes a form. */
const formLifeMs = 15 * 60_000;
const maxForms = 10_000;
/** Longest wait of an acceptance for a rate limit to pass; the progress follows anyway. */
const longestWaitMs = 10_000;
/** With less left of the token than this, the video is announced as a direct message. */
const reserveMs = 60_000;

export class DiscordRequests {
  readonly #tools: RequestTools;
  /** Pictures whose form is being filled in, by the interaction that opened it. In memory only: their links are signed. */
  readonly #forms = new LRUCache<string, readonly ShownPicture[]>({ max: maxForms, ttl: formLifeMs });
  /** Jobs whose acceptance is being shown. */
  readonly #showing = new Map<string, Promise<unknown>>();

  constructor(tools: RequestTools) {
    this.#tools = tools;
  }

  /** Resolves when no acceptance of this job can overwrite its final answer. */
  async settle(jobId: string): Promise<void> {
    await this.#showing.get(jobId)?.catch(() => {}); // its interaction reports the failure
    await this.#tools.showings?.over(jobId);
  }

  async command(interaction: ChatInputCommandInteraction): Promise<void> {
    const { options } = interaction;
    const isPrivate = options.getBoolean('private') ?? false;
    const image = options.getAttachment('image', true);
    const mask = options.getAttachment('mask');
    const files = ['image', 'mask'];
    const values = options.data.flatMap(({ name, value }) => (files.includes(name) ? [] : [[name, value]]));
    const asked = { ...Object.fromEntries(values), private: isPrivate };
    await this.#animate(interaction, isPrivate, { pictures: [pictureOf(image)], mask: mask?.url }, asked);
  }

  /** What /animate offers while somebody types a model. */
  async complete(interaction: AutocompleteInteraction): Promise<void> {
    const { models } = messagesFor(interaction.locale);
    const typed = interaction.options.getFocused().toLowerCase();
    const { model = [] } = this.#tools.services.requests.offered;
    const fitting = model.filter(({ id, title }) => `${id} ${title}`.toLowerCase().includes(typed));
    await interaction.respond(
      fitting.slice(0, mostChoices).map(({ id, title, credits }) => ({
        name: models.choice(title, credits).slice(0, longestChoice),
        value: id,
      })),
    );
  }

  /** A form can only be the very first answer. */
  async menu(interaction: MessageContextMenuCommandInteraction): Promise<void> {
    const { discord, settings } = messagesFor(interaction.locale);
    const pictures = picturesOf(interaction.targetMessage);
    if (pictures.length === 0) {
      await interaction.reply({ content: contentOf(discord.noPicture), flags: MessageFlags.Ephemeral });
      return;
    }
    this.#forms.set(interaction.id, pictures);
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
    const pictures = this.#forms.get(interaction.customId.slice(formPrefix.length));
    if (!pictures) {
      const { expired } = messagesFor(interaction.locale).discord;
      await interaction.reply({ content: contentOf(expired), flags: MessageFlags.Ephemeral });
      return;
    }
    const { fields } = interaction;
    const [preset] = fields.getStringSelectValues('preset');
    await this.#animate(
      interaction,
      false,
      { pictures },
      {
        prompt: fields.getTextInputValue('prompt'),
        preset,
      },
    );
  }

  /**
   * @param sent pictures, of which the first that can be animated is, and the address of a mask
   * @param values of the options, by their words
   */
  async #animate(
    interaction: ChatInputCommandInteraction | ModalSubmitInteraction,
    isPrivate: boolean,
    sent: Sent,
    values: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    // Before anything else: Discord waits three seconds, and a busy Redis or a slow download may take longer.
    const response = await interaction.deferReply({
      withResponse: true,
      ...(isPrivate ? { flags: MessageFlags.Ephemeral } : {}),
    });
    const { channelId } = interaction;
    const messageId = response.resource?.message?.id ?? response.interaction.responseMessageId;
    if (!channelId || !messageId) throw new Error('Discord did not say where its answer is');
    await this.submit(
      interaction,
      { channelId, messageId, webhookMessage: '@original' },
      async (origin) => {
        const read = optionsFrom(() => readOptions(values));
        return read.kind === 'refused' ? read : await this.#submitFirst(sent, origin, read.options);
      },
      isPrivate || interaction.guildId === null
        ? undefined
        : async (text) => await takeBack(interaction, '@original', text),
    );
  }

  /** When none of the pictures can be animated, the first one says why. */
  async #submitFirst(
    { pictures, mask }: Sent,
    origin: RequestOrigin,
    options: ChatOptions,
  ): Promise<RequestOutcome> {
    const { pictures: rules, services } = this.#tools;
    let deadline: AbortSignal | undefined;
    let first: RequestOutcome | undefined;
    for (const { url, isCovered } of pictures) {
      const picture = async () => {
        deadline ??= AbortSignal.timeout(rules.deadlineMs);
        const bytes = await fetchPicture(url, rules.origins, deadline);
        if (bytes === 'tooLarge') return refused({ kind: 'tooLarge', megabytes: maxPictureMegabytes });
        return bytes === 'failed' ? refused({ kind: 'notDownloaded' }) : bytes;
      };
      const outcome = await services.requests.submit({
        ...{ ...origin, picture, isCovered, options },
        mask: mask === undefined ? undefined : () => this.#fetchMask(mask),
      });
      if (!isOfPicture(outcome)) return outcome;
      first ??= outcome;
    }
    return first ?? refused({ kind: 'noPicture' });
  }

  async #fetchMask(url: string): Promise<Uint8Array | RefusedRequest> {
    const { origins, deadlineMs } = this.#tools.pictures;
    const bytes = await fetchPicture(url, origins, AbortSignal.timeout(deadlineMs));
    if (bytes instanceof Uint8Array) return bytes;
    return failed(new KinoraError('INVALID_OPTION', { kind: 'maskUnreadable' }));
  }

  /**
   * Submits a request and shows in the message at `reply` what came of it.
   * @param refuse shows a refusal, where that does not belong into the message
   */
  async submit(
    interaction: RepliableInteraction,
    reply: Omit<DiscordReply, 'isBotThere'>,
    submit: (origin: RequestOrigin) => Promise<RequestOutcome>,
    refuse?: (text: string) => Promise<void>,
  ): Promise<void> {
    const jobId = `dc-${interaction.id}`;
    const replyTo: DiscordReply = { ...reply, isBotThere: isBotThere(interaction) };
    const person = personOf(interaction, this.#tools.admins);
    const origin = { jobId, person, place: placeOf(interaction), replyTo };
    const submitAndShow = () => this.#submitAndShow(origin, replyTo, tokenOf(interaction), submit, refuse);
    const { showings } = this.#tools;
    const showing = showings ? showings.during(jobId, submitAndShow) : submitAndShow();
    this.#showing.set(jobId, showing);
    try {
      await showing;
    } finally {
      if (this.#showing.get(jobId) === showing) this.#showing.delete(jobId);
    }
  }

  /** @returns whether the request was accepted, or had been */
  async #submitAndShow(
    origin: RequestOrigin,
    replyTo: DiscordReply,
    token: InteractionToken,
    submit: (origin: RequestOrigin) => Promise<RequestOutcome>,
    refuse: ((text: string) => Promise<void>) | undefined,
  ): Promise<boolean> {
    const { tokens, track, api, log } = this.#tools;
    const { jobId, person } = origin;
    const show = (message: ChatMessage): Promise<void> =>
      waitForLimit(() => api.editByToken(token, replyTo.webhookMessage, toBody(message)));
    tokens.save(jobId, token);
    const outcome = await submit(origin);
    const message = renderRequest(outcome, messagesFor(person.locale));
    if (outcome.kind !== 'accepted') {
      if (outcome.kind === 'refused') tokens.forget(jobId);
      await (refuse ? refuse(message.text) : show(message));
      return outcome.kind === 'duplicate';
    }
    try {
      await show(await this.#withNotice(message, outcome, replyTo));
    } catch (error) {
      // The job runs all the same; its progress and its answer find their own way.
      log.warn({ jobId, err: String(error) }, 'the acceptance could not be shown');
      if (error instanceof Refused) tokens.forget(jobId);
    }
    track(outcome.job);
    return true;
  }

  /** Adds that the video will come as a direct message, when its place will be closed to the bot by then. */
  async #withNotice(
    message: ChatMessage,
    { job, position }: Accepted,
    reply: DiscordReply,
  ): Promise<ChatMessage> {
    if ((position.leftMs ?? 0) < tokenLifeMs - reserveMs) return message;
    const mayEditLater = !job.request.isPrivate && reply.isBotThere;
    // Where other bots share Discord, this may ask it.
    const isOpen = mayEditLater && !(await this.#tools.lacking(reply.channelId)).includes('ViewChannel');
    if (isOpen) return message;
    return { ...message, text: `${message.text}\n${messagesOf(job).discord.willBeDm}` };
  }
}

/**
 * Takes back a message of the bot, and only the person reads why. Where Discord does not delete it, the message itself
 * says why; where somebody else was faster, there is nothing left to edit.
 * @param message its id, or "@original"
 */
export async function takeBack(
  interaction: ChatInputCommandInteraction | MessageComponentInteraction | ModalSubmitInteraction,
  message: string,
  reason: string,
): Promise<void> {
  const content = contentOf(reason);
  try {
    await interaction.deleteReply(message);
  } catch {
    const edit = interaction.editReply({ message, content, attachments: [], components: [] });
    const isSaid = await edit.then(
      () => true,
      () => false,
    );
    if (isSaid) return;
  }
  await interaction.followUp({ content, flags: MessageFlags.Ephemeral });
}

/** Whether another picture may have better luck. */
function isOfPicture(outcome: RequestOutcome): boolean {
  if (outcome.kind !== 'refused') return false;
  const { reason } = outcome;
  if (reason.kind === 'failure') return reason.failure.code.startsWith('IMAGE_');
  return reason.kind === 'tooLarge' || reason.kind === 'notDownloaded';
}

export function tokenOf({ applicationId, token }: RepliableInteraction): InteractionToken {
  return { applicationId, token };
}

/** Waits for short rate limits to pass; every other error is thrown. */
export async function waitForLimit(work: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + longestWaitMs;
  await retry(work, (error) => {
    if (!(error instanceof DeliveryDelayed)) return undefined;
    return performance.now() + error.retryAfterMs > deadline ? undefined : error.retryAfterMs;
  });
}
