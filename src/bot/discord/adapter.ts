/** Kinora in Discord: joins the gateway, the handlers of interactions, status messages and final answers. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type ClientOptions, DiscordAPIError, type Interaction, MessageFlags } from 'discord.js';
import type { Logger } from '../../log.ts';
import { findFfmpeg } from '../../video/ffmpeg-path.ts';
import type { ChatPlatform, Services } from '../platform.ts';
import { failed } from '../refusals.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { renderRefusal } from '../sentences/render.ts';
import { StatusBoard } from '../status-board.ts';
import { type Deliver, DeliveryDelayed } from '../upkeep/delivery.ts';
import { AdminRoles } from './admin-roles.ts';
import { codeOf, DiscordApi, guarded, restTimeoutMs } from './api.ts';
import { DiscordButtons } from './buttons.ts';
import { DiscordCommands } from './commands.ts';
import { DiscordDelivery } from './delivery.ts';
import { Gateway } from './gateway.ts';
import { type Admins, type NeededPermission, neededPermissions, userIdOf } from './people.ts';
import { discordPictureOrigins } from './pictures.ts';
import { registerCommands } from './registration.ts';
import { contentOf } from './rendering.ts';
import { DiscordRequests } from './requests.ts';
import { TokenStore } from './tokens.ts';

export interface DiscordOptions {
  /** Of the bot; a secret. */
  readonly token: string;
  readonly adminUserIds: readonly string[];
  readonly adminRoleIds: readonly string[];
  /** Servers in which the commands of admins are offered. */
  readonly adminServerIds?: readonly string[] | undefined;
  /** Where earlier versions kept interaction tokens. */
  readonly dataFolder?: string | undefined;
  readonly ffmpegPath?: string | undefined;
  /** Lease.mayAct: asked before every call to Discord, where several bots may run. */
  readonly mayAct?: () => Promise<boolean>;
  readonly log: Logger;
  readonly clientOptions?: Partial<ClientOptions>;
  /** From where pictures may be fetched. */
  readonly pictureOrigins?: readonly string[];
  readonly pictureDeadlineMs?: number;
  /** Shortest time between two edits of one status message; Discord takes five in five seconds. */
  readonly statusEveryMs?: number;
  readonly silentAfterMs?: number;
  /** After a longer wait than this a message calls the person to the video, since edits notify nobody. */
  readonly notifyAfterMs?: number;
}

interface Running {
  readonly services: Services;
  readonly board: StatusBoard;
  readonly delivery: DiscordDelivery;
  readonly requests: DiscordRequests;
  readonly buttons: DiscordButtons;
  readonly commands: DiscordCommands;
}

const registerAgainMs = 60_000;
/** How long interactions and the registration of commands may take when the bot stops. */
const finishWithinMs = 5_000;
const notYetMs = 1_000;
const defaultNotifyAfterMs = 120_000;

export class DiscordPlatform implements ChatPlatform {
  readonly name = 'discord';
  readonly #options: DiscordOptions;
  readonly #log: Logger;
  readonly #admins: Admins;
  readonly #gateway: Gateway;
  readonly #api: DiscordApi;
  readonly #handling = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #adminRoles: AdminRoles;
  #running: Running | null = null;
  #unwatch: (() => void) | null = null;

  constructor(options: DiscordOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#admins = { userIds: options.adminUserIds, roleIds: options.adminRoleIds };
    this.#adminRoles = new AdminRoles(options.adminRoleIds, () => this.#gateway.client, options.log);
    const { clientOptions = {}, token, log, mayAct = async () => true } = options;
    const rest = { timeout: restTimeoutMs, ...clientOptions.rest, makeRequest: guarded(mayAct) };
    this.#gateway = new Gateway({
      token,
      clientOptions: { ...clientOptions, rest },
      silentAfterMs: options.silentAfterMs ?? 5 * 60_000,
      onInteraction: (interaction) => this.#finishBeforeStop(this.#handle(interaction)),
      onReady: (client) => this.#finishBeforeStop(this.#register(client)),
      log,
    });
    this.#api = new DiscordApi(token, rest);
  }

  async start(services: Services): Promise<void> {
    const { redis, client } = services;
    const tokens = new TokenStore(redis, client.keys, this.#options.token, this.#log);
    const { dataFolder } = this.#options;
    if (dataFolder !== undefined) await tokens.adopt(join(dataFolder, 'discord-tokens'));
    if (
      this.#admins.userIds.length + this.#admins.roleIds.length > 0 &&
      !this.#options.adminServerIds?.length
    ) {
      this.#log.warn('there are admins but no server of theirs is named: their commands are offered nowhere');
    }
    const { statusEveryMs = 2_500, notifyAfterMs = defaultNotifyAfterMs } = this.#options;
    const { pictureOrigins, pictureDeadlineMs } = this.#options;
    const lacking = (channelId: string): NeededPermission[] => this.#lacking(channelId);
    const shared = { api: this.#api, tokens, lacking, log: this.#log };
    const ffmpegPath = async () => (await findFfmpeg({ ffmpegPath: this.#options.ffmpegPath })).path;
    const delivery = new DiscordDelivery({ ...shared, ffmpegPath, notifyAfterMs });
    const board = new StatusBoard({
      client: services.client,
      platform: this.name,
      show: (job, message) => delivery.show(job, message),
      tipFor: (prompt) => services.requests.tipFor(prompt),
      everyMs: () => statusEveryMs,
      log: this.#log,
    });
    const pictures = {
      origins: pictureOrigins ?? discordPictureOrigins,
      deadlineMs: pictureDeadlineMs ?? 10_000,
    };
    const admins = this.#admins;
    const requests = new DiscordRequests({ ...shared, services, admins, board, pictures });
    this.#running = {
      services,
      board,
      delivery,
      requests,
      buttons: new DiscordButtons({ services, admins, api: this.#api, requests }),
      commands: new DiscordCommands({ services, admins: this.#admins, log: this.#log }),
    };
    this.#unwatch = services.models.onChange(() => this.#registerAgain());
    await board.start();
    await this.#gateway.start();
  }

  readonly deliver: Deliver = async (entry, answer, signal) => {
    if (!this.#running) throw new DeliveryDelayed('Discord is not started yet', notYetMs);
    const { requests, board, delivery } = this.#running;
    await requests.settle(entry.id);
    await board.finish(entry.id);
    await delivery.post(entry, answer, signal);
  };

  async isAdmin(userKey: string): Promise<boolean> {
    const id = userIdOf(userKey);
    return this.#admins.userIds.includes(id) || (await this.#adminRoles.hasOne(id));
  }

  /** Answers under way may still be posted afterwards. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#unwatch?.();
    this.#running?.board.stop();
    const late = sleep(finishWithinMs, undefined, { ref: false });
    await Promise.race([Promise.allSettled(this.#handling), late]);
    await this.#gateway.stop();
  }

  #finishBeforeStop(work: Promise<void>): void {
    const handling = work.finally(() => this.#handling.delete(handling));
    this.#handling.add(handling);
  }

  /** An error in one interaction must not end the process. */
  async #handle(interaction: Interaction): Promise<void> {
    const running = this.#running;
    if (!running || this.#stopping.signal.aborted) return;
    try {
      await dispatch(interaction, running);
    } catch (error) {
      this.#log.error({ interaction: interaction.id, ...describe(error) }, 'an interaction failed');
      await apologise(interaction).catch(() => {}); // its token may be dead
    }
  }

  #lacking(channelId: string): NeededPermission[] {
    const channel = this.#gateway.client?.channels.cache.get(channelId);
    if (!channel || channel.isDMBased()) return [];
    const { me } = channel.guild.members;
    const granted = me && channel.permissionsFor(me);
    if (!granted) return [];
    const needed = Object.keys(neededPermissions) as NeededPermission[];
    const elsewhere = channel.isThread() ? 'SendMessages' : 'SendMessagesInThreads';
    return needed.filter(
      (permission) => permission !== elsewhere && !granted.has(neededPermissions[permission]),
    );
  }

  /** Other models may heed other options. */
  #registerAgain(): void {
    const { client } = this.#gateway;
    if (client?.isReady() && !this.#stopping.signal.aborted) this.#finishBeforeStop(this.#register(client));
  }

  async #register({ rest, application }: Client<true>): Promise<void> {
    const { adminServerIds = [] } = this.#options;
    const { signal } = this.#stopping;
    const { id: applicationId } = application;
    // start() comes before the gateway opens.
    if (!this.#running) return;
    const { redis, client, requests } = this.#running.services;
    const { offered } = requests;
    const where = { redis, keys: client.keys, log: this.#log };
    const commands = { rest, applicationId, adminServerIds, offered, ...where };
    while (!signal.aborted) {
      if (await registerCommands(commands)) return;
      await sleep(registerAgainMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }
}

async function dispatch(interaction: Interaction, { requests, buttons, commands }: Running): Promise<void> {
  if (interaction.isAutocomplete()) await requests.complete(interaction);
  else if (interaction.isChatInputCommand()) {
    if (interaction.commandName === 'animate') await requests.command(interaction);
    else await commands.command(interaction);
  } else if (interaction.isMessageContextMenuCommand()) {
    await requests.menu(interaction);
  } else if (interaction.isButton()) {
    if (commands.owns(interaction.customId)) await commands.press(interaction);
    else await buttons.press(interaction);
  } else if (interaction.isModalSubmit()) {
    if (requests.ownsForm(interaction.customId)) await requests.form(interaction);
    else if (buttons.ownsForm(interaction.customId)) await buttons.form(interaction);
  }
}

async function apologise(interaction: Interaction): Promise<void> {
  if (!interaction.isRepliable()) return;
  const { reason } = failed(new Error('It did not work.'));
  const sentence = renderRefusal(reason, messagesFor(interaction.locale));
  const content = contentOf(sentence);
  if (interaction.deferred && !interaction.isMessageComponent()) await interaction.editReply(content);
  else if (interaction.deferred || interaction.replied) {
    await interaction.followUp({ content, flags: MessageFlags.Ephemeral });
  } else await interaction.reply({ content, flags: MessageFlags.Ephemeral });
}

/** For the log: errors of discord.js carry addresses with tokens, so only their code is logged. */
function describe(error: unknown): { readonly err: string; readonly stack?: string } {
  const err = codeOf(error);
  const isForeign = error instanceof DiscordAPIError || !(error instanceof Error) || 'url' in error;
  return isForeign || error.stack === undefined ? { err } : { err, stack: error.stack };
}
