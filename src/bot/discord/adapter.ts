/** Kinora in Discord: joins the gateway, the handlers of interactions, status messages and final answers. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Client,
  type ClientOptions,
  DiscordAPIError,
  type Interaction,
  MessageFlags,
  type REST,
  type RESTGetCurrentApplicationResult,
  type RESTOptions,
  Routes,
} from 'discord.js';
import type { Logger } from '../../log.ts';
import type { ShardLeases } from '../../queue/shard-leases.ts';
import { findFfmpeg } from '../../video/ffmpeg-path.ts';
import type { ChatPlatform, Services } from '../platform.ts';
import { failed } from '../refusals.ts';
import type { TrackedJob } from '../requests.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { renderRefusal } from '../sentences/render.ts';
import { StatusBoard } from '../status-board.ts';
import { type Deliver, DeliveryDelayed } from '../upkeep/delivery.ts';
import { AdminRoles } from './admin-roles.ts';
import { codeOf, DiscordApi, guarded, restTimeoutMs } from './api.ts';
import { DiscordButtons } from './buttons.ts';
import { DiscordCommands } from './commands.ts';
import { DiscordDelivery } from './delivery.ts';
import { Gateway, type Shard, TooFewShards } from './gateway.ts';
import { loginPace } from './login-pace.ts';
import { type Admins, userIdOf } from './people.ts';
import { BotPermissions } from './permissions.ts';
import { discordPictureOrigins } from './pictures.ts';
import { registerCommands } from './registration.ts';
import { contentOf } from './rendering.ts';
import { DiscordRequests } from './requests.ts';
import { Showings } from './showings.ts';
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
  /** Where several bots share Discord; absent where the one that leads serves all of it. */
  readonly shards?: ShardLeases | undefined;
  /** Called when Discord refuses this bot, and may take another that shares it: the shards have to go to that one. */
  readonly onRefused?: (() => void) | undefined;
  /** Lease.mayAct, or that of the shards: asked before every call to Discord, where several bots may run. */
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
  readonly #rest: Partial<RESTOptions>;
  /** By shard; one where Discord is not divided. */
  readonly #gateways = new Map<number, Gateway>();
  readonly #api: DiscordApi;
  readonly #handling = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #adminRoles: AdminRoles;
  #running: Running | null = null;
  #leads = false;
  #unwatch: (() => void) | null = null;

  constructor(options: DiscordOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#admins = { userIds: options.adminUserIds, roleIds: options.adminRoleIds };
    const { clientOptions = {}, token, mayAct = async () => true } = options;
    this.#rest = { timeout: restTimeoutMs, ...clientOptions.rest, makeRequest: guarded(mayAct) };
    this.#api = new DiscordApi(token, this.#rest);
    this.#adminRoles = new AdminRoles({
      roleIds: options.adminRoleIds,
      clients: () => this.#clients,
      api: this.#api,
      elsewhere: (options.shards && options.adminServerIds) ?? [],
      log: options.log,
    });
  }

  get #clients(): Client[] {
    return [...this.#gateways.values()].flatMap(({ client }) => client ?? []);
  }

  get servedShards(): readonly number[] {
    return [...this.#gateways].flatMap(([shard, { isReady }]) => (isReady ? [shard] : []));
  }

  #open({ redis, client }: Services, shard?: Shard): Gateway {
    const { clientOptions = {}, token, silentAfterMs, log } = this.#options;
    const pace = shard ? { buildIdentifyThrottler: loginPace(redis, client.keys) } : {};
    const gateway = new Gateway({
      shard,
      token,
      clientOptions: { ...clientOptions, rest: this.#rest, ws: { ...pace, ...clientOptions.ws } },
      silentAfterMs: silentAfterMs ?? 5 * 60_000,
      onInteraction: (interaction) => this.#finishBeforeStop(this.#handle(interaction)),
      // With shards the leader registers the commands, whether it serves one or not.
      onReady: () => {
        if (!shard) this.#registerNow();
      },
      ...(shard ? { onGivenUp: (error) => this.#refused(error) } : {}),
      log,
    });
    this.#gateways.set(shard?.id ?? 0, gateway);
    return gateway;
  }

  /** Serves the shards that this bot has, where there are some. */
  async serve(services: Services): Promise<void> {
    const { shards } = this.#options;
    if (!shards) return;
    await this.#prepare(services);
    await shards.start({
      begin: (id) => {
        const gateway = this.#open(services, { id, count: shards.count });
        gateway.start().catch((error: unknown) => {
          this.#log.error({ shard: id }, String(error));
          this.#refused(error);
        });
      },
      end: async (id) => {
        const gateway = this.#gateways.get(id);
        this.#gateways.delete(id);
        await gateway?.stop();
      },
    });
  }

  /** With too few shards each bot that takes the refused one would end, too, until none is left. */
  #refused(error: unknown): void {
    if (!(error instanceof TooFewShards)) this.#options.onRefused?.();
  }

  async start(services: Services): Promise<void> {
    const { shards } = this.#options;
    if (!shards) await this.#prepare(services);
    this.#leads = true;
    this.#unwatch = services.models.onChange(() => this.#registerNow());
    await this.#running?.board.start();
    if (shards) this.#registerNow();
    else await this.#open(services).start();
  }

  async settle(jobId: string): Promise<void> {
    if (this.#options.shards) await this.#running?.requests.settle(jobId);
  }

  async #prepare(services: Services): Promise<void> {
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
    const isShared = this.#options.shards !== undefined;
    const permissions = new BotPermissions({ clients: () => this.#clients, api: this.#api, isShared });
    const lacking = (channelId: string) => permissions.lacking(channelId);
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
    const showings = this.#options.shards && new Showings(redis, client.keys);
    const track = (job: TrackedJob): void => (this.#leads ? board.track(job) : client.tellShown(job.id));
    const requests = new DiscordRequests({ ...shared, services, admins, track, showings, pictures });
    this.#running = {
      services,
      board,
      delivery,
      requests,
      buttons: new DiscordButtons({ services, admins, api: this.#api, requests }),
      commands: new DiscordCommands({ services, admins: this.#admins, log: this.#log }),
    };
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
    const handled = Promise.race([Promise.allSettled(this.#handling), late]);
    await Promise.all([handled, this.#options.shards?.giveUp()]);
    await Promise.all([...this.#gateways.values()].map((gateway) => gateway.stop()));
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

  /** Also again: other models may heed other options. */
  #registerNow(): void {
    if (this.#stopping.signal.aborted) return;
    const ready = this.#clients.find((client) => client.isReady());
    const identify = this.#options.shards ? () => this.#askIds() : ready && (async () => idsOf(ready));
    if (identify) this.#finishBeforeStop(this.#register(identify));
  }

  async #register(identify: () => Promise<RegisteringIds>): Promise<void> {
    const { adminServerIds = [] } = this.#options;
    const { signal } = this.#stopping;
    // It is prepared before a gateway opens.
    if (!this.#running) return;
    const { redis, client, requests } = this.#running.services;
    const where = { redis, keys: client.keys, log: this.#log };
    while (!signal.aborted) {
      const ids = await identify().catch(() => undefined);
      const { offered } = requests;
      if (ids && (await registerCommands({ ...ids, adminServerIds, offered, ...where }))) return;
      await sleep(registerAgainMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  async #askIds(): Promise<RegisteringIds> {
    const { rest } = this.#api;
    const { id } = (await rest.get(Routes.currentApplication())) as RESTGetCurrentApplicationResult;
    return { rest, applicationId: id };
  }
}

interface RegisteringIds {
  readonly rest: REST;
  readonly applicationId: string;
}

function idsOf({ rest, application }: Client<true>): RegisteringIds {
  return { rest, applicationId: application.id };
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
