/** One thing a person asked the bot, and all that the bot answered to it. */
import { randomBytes } from 'node:crypto';
import {
  ApplicationIntegrationType,
  InteractionContextType,
  type InteractionResponseType,
  type InteractionType,
} from 'discord.js';
import type { FakeChannel } from './channel.ts';
import type { FakeMessage } from './message.ts';
import { type Choice, type ModalBody, type ModalInput, modalInputs } from './modal-body.ts';
import type { FakeUser } from './people.ts';
import { snowflake } from './snowflake.ts';

export const defaultUploadLimitBytes = 10 * 1024 * 1024;
const maxFollowUpsOfUserInstall = 5;

export interface Asked {
  readonly type: InteractionType;
  readonly user: FakeUser;
  readonly channel: FakeChannel;
  /** True where the bot is only present because this person installed the app. */
  readonly byUserInstall: boolean;
  readonly data: unknown;
  /** The message whose button was pressed. */
  readonly source?: FakeMessage | undefined;
}

export interface FakeModal {
  readonly interaction: FakeInteraction;
  readonly customId: string;
  readonly title: string;
  readonly parts: ModalBody['components'];
  readonly inputs: readonly { readonly label: string; readonly input: ModalInput }[];
}

export class FakeInteraction {
  readonly id = snowflake();
  /** Secret for as long as it lives. */
  readonly token = randomBytes(96).toString('base64url');
  readonly asked: Asked;
  readonly askedAt = Date.now();
  readonly followUps: FakeMessage[] = [];
  response: InteractionResponseType | undefined;
  acknowledgedAt: number | undefined;
  original: FakeMessage | undefined;
  choices: readonly Choice[] | undefined;
  #modal: FakeModal | undefined;
  #expired = false;

  constructor(asked: Asked) {
    this.asked = asked;
  }

  get acknowledgedAfterMs(): number | undefined {
    return this.acknowledgedAt === undefined ? undefined : this.acknowledgedAt - this.askedAt;
  }

  /** True once the person read "The application did not respond". */
  get failed(): boolean {
    return this.acknowledgedAt === undefined && Date.now() - this.askedAt > this.#timing.ackWithinMs;
  }

  get expired(): boolean {
    return this.#expired || Date.now() - this.askedAt > this.#timing.tokenLifeMs;
  }

  /** The answer as it stands now; undefined when there is none, or it was deleted. */
  message(): FakeMessage | undefined {
    return this.original?.deleted ? undefined : this.original;
  }

  /** The answer and the follow-ups that can be seen now. */
  replies(): FakeMessage[] {
    return [this.original, ...this.followUps].flatMap((message) =>
      message && !message.deleted ? message : [],
    );
  }

  modal(): FakeModal | undefined {
    return this.#modal;
  }

  showModal({ custom_id, title, components }: ModalBody): void {
    const inputs = components.flatMap(modalInputs);
    this.#modal = { interaction: this, customId: custom_id, title, parts: components, inputs };
  }

  expire(): void {
    this.#expired = true;
  }

  get mayFollowUp(): boolean {
    return (
      !this.asked.byUserInstall ||
      this.asked.channel.botIsHere ||
      this.followUps.length < maxFollowUpsOfUserInstall
    );
  }

  get uploadLimitBytes(): number {
    const { user, channel } = this.asked;
    return Math.max(user.uploadLimitBytes, channel.guild?.uploadLimitBytes ?? 0) || defaultUploadLimitBytes;
  }

  get #timing() {
    return this.asked.channel.world.timing;
  }

  toJson(): object {
    const { type, user, channel, data, source, byUserInstall } = this.asked;
    const { guild, world } = channel;
    const context = guild
      ? InteractionContextType.Guild
      : channel.botIsHere
        ? InteractionContextType.BotDM
        : InteractionContextType.PrivateChannel;
    return {
      id: this.id,
      application_id: world.bot.id,
      type,
      token: this.token,
      version: 1,
      data,
      channel: channel.toJson(),
      channel_id: channel.id,
      context,
      locale: user.locale,
      app_permissions: String(channel.botPermissions),
      attachment_size_limit: this.uploadLimitBytes,
      entitlements: [],
      authorizing_integration_owners: byUserInstall
        ? { [ApplicationIntegrationType.UserInstall]: user.id }
        : { [ApplicationIntegrationType.GuildInstall]: guild?.id ?? '0' },
      ...(guild
        ? {
            guild_id: guild.id,
            guild_locale: guild.locale,
            guild: { id: guild.id, locale: guild.locale, features: [] },
            member: { ...guild.memberJson(user), permissions: String(guild.permissionsOf(user)) },
          }
        : { user: user.api }),
      ...(source && { message: source.toJson((file) => world.files.attachment(file)) }),
    };
  }
}
