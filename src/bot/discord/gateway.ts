/**
 * A connection over which Discord sends interactions: in as many shards as Discord asks for, or of one shard, where several
 * bots share them. discord.js repairs most breaks; when a shard stays silent for five minutes, the connection is replaced.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type APIInteraction,
  type Client,
  type ClientOptions,
  DiscordAPIError,
  DiscordjsError,
  Events,
  GatewayCloseCodes,
  GatewayDispatchEvents,
  GatewayIntentBits,
  type Interaction,
  Status,
} from 'discord.js';
import { LRUCache } from 'lru-cache';
import { isKinoraError, KinoraError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { codeOf } from './api.ts';
import { EndingClient } from './ending-client.ts';
import { rememberChannel } from './people.ts';

export interface Shard {
  readonly id: number;
  /** Into how many Discord is divided. */
  readonly count: number;
}

export interface GatewayOptions {
  /** Absent: all. */
  readonly shard?: Shard | undefined;
  readonly token: string;
  readonly clientOptions: Partial<ClientOptions>;
  /** Silence of Discord, its heartbeats included, after which the connection is replaced. */
  readonly silentAfterMs: number;
  readonly onInteraction: (interaction: Interaction) => void;
  readonly onReady: (client: Client<true>) => void;
  /** Called when no login helps any more, after start(). */
  readonly onGivenUp?: (error: unknown) => void;
  readonly log: Logger;
}

/**
 * Discord allows 1000 logins a day and then takes the token away; at the longest wait it is 144 for each client. Where bots
 * share the shards, each shard has a client of its own: then discord.js stops in time, since it asks how many are left.
 */
const loginAgainMs = { first: 1_000, longest: 600_000 } as const;
const looksPerSilence = 20;
/** Interactions that discord.js holds back until all shards are ready. */
const heldInteractions = 1_000;

const unknownToken =
  'Discord does not know the token of the bot: set KINORA_DISCORD_TOKEN to the one under "Bot" in its Developer Portal.';
/** Close codes after which the same login fails again, as sentences. */
const refusals: Readonly<Record<number, string>> = {
  [GatewayCloseCodes.AuthenticationFailed]: unknownToken,
  [GatewayCloseCodes.InvalidShard]:
    'Discord refuses how the bot is divided into shards: make sure that nothing else logs in with its token, and update Kinora.',
  [GatewayCloseCodes.ShardingRequired]:
    'The bot is in too many servers for the shards that Discord itself recommends: start Kinora again in some minutes, or update it.',
  [GatewayCloseCodes.InvalidAPIVersion]:
    'Discord no longer speaks the version of its gateway that this Kinora uses: update Kinora.',
  [GatewayCloseCodes.InvalidIntents]:
    'Discord does not know the intents that this Kinora asks for: update Kinora.',
  [GatewayCloseCodes.DisallowedIntents]:
    'Discord does not allow the bot the intents that it asks for: switch them on under "Bot" in its Developer Portal.',
};

/** Discord would refuse the shard to the other bots, too. */
export class TooFewShards extends KinoraError {
  constructor() {
    const sentence =
      'The bot is in too many servers for so few shards: raise KINORA_DISCORD_SHARDS to the same number on all bots.';
    super('INVALID_CONFIG', sentence);
  }
}

/** The number of shards has changed: a new login asks for it, unless it is set. */
const isOfShards = (code: number): boolean =>
  code === GatewayCloseCodes.InvalidShard || code === GatewayCloseCodes.ShardingRequired;

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #stopping = new AbortController();
  #client: Client | null = null;
  /** By the monotonic clock, as below: the machine's clock may be set while the bot runs. */
  #connectedAt = 0;
  /** Shard → when it was last heard of. */
  readonly #heard = new Map<number, number>();
  /** Shard → the machine's time of its last ping. */
  readonly #pings = new Map<number, number>();
  #looking: NodeJS.Timeout | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /** The present connection; its caches of guilds and channels are empty until it is ready. */
  get client(): Client | null {
    return this.#client;
  }

  /** Whether Discord sends interactions now. */
  get isReady(): boolean {
    const client = this.#client;
    return client?.isReady() === true && client.ws.shards.every(({ status }) => status === Status.Ready);
  }

  /**
   * Resolves when interactions can arrive, or when Discord cannot be reached now and will be tried again.
   * @throws KinoraError INVALID_CONFIG when Discord will not take this bot, by its token or by a close code
   */
  async start(): Promise<void> {
    if (!(await this.#login())) void this.#loginLater();
    if (this.#stopping.signal.aborted) return;
    const { silentAfterMs } = this.#options;
    this.#looking = setInterval(() => this.#replaceIfSilent(), silentAfterMs / looksPerSilence);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#looking) clearInterval(this.#looking);
    await this.#client?.destroy();
  }

  #newClient(): Client {
    const { shard, clientOptions, log, onInteraction, onReady } = this.#options;
    const client = new EndingClient({
      intents: [GatewayIntentBits.Guilds],
      ...(shard ? { shards: [shard.id], shardCount: shard.count } : { shards: 'auto' }),
      allowedMentions: { parse: [], repliedUser: false },
      ...clientOptions,
    });
    const heard = (id: number): void => {
      if (client === this.#client) this.#heard.set(id, performance.now());
    };
    const channels = new LRUCache<string, object>({ max: heldInteractions });
    client.ws.on(GatewayDispatchEvents.InteractionCreate, (data: APIInteraction) => {
      if (data.channel) channels.set(data.id, data.channel);
    });
    client.on(Events.InteractionCreate, (interaction) => {
      heard(shard?.id ?? interaction.guild?.shardId ?? 0);
      rememberChannel(interaction, channels.get(interaction.id));
      // Another bot or client may serve the shard by now, even if discord.js has not closed its connection.
      if (client === this.#client && !this.#stopping.signal.aborted) onInteraction(interaction);
    });
    client.on(Events.ShardReady, heard);
    client.on(Events.ShardResume, heard);
    client.on(Events.Error, (error) => log.warn({ err: codeOf(error) }, 'discord'));
    client.on(Events.ShardError, (error) => log.warn({ err: codeOf(error) }, 'discord gateway'));
    client.on(Events.ShardDisconnect, ({ code }) => this.#closed(client, code));
    client.on(Events.ClientReady, onReady);
    return client;
  }

  /** Discord has closed a shard for good, after the login. */
  #closed(client: Client, code: number): void {
    this.#options.log.warn({ code }, 'discord gateway closed for good');
    if (client !== this.#client || !client.isReady()) return;
    client.destroy().catch(() => {}); // it is given up either way
    if (isOfShards(code) && !this.#options.shard) return void this.#loginLater();
    this.#client = null;
    this.#giveUp(this.#refusalOf(code) ?? new KinoraError('INVALID_CONFIG', `Discord closes with ${code}.`));
  }

  #refusalOf(code: number): KinoraError | undefined {
    if (this.#options.shard && isOfShards(code)) return new TooFewShards();
    const sentence = refusals[code];
    return sentence === undefined ? undefined : new KinoraError('INVALID_CONFIG', sentence);
  }

  #giveUp(error: unknown): void {
    const sentence = isKinoraError(error) ? error.message : 'Something is wrong with the connection.';
    this.#options.log.error(
      { err: codeOf(error) },
      `${sentence} Discord stays off until Kinora is started again.`,
    );
    this.#options.onGivenUp?.(error);
  }

  /** @returns false when Discord could not be reached, and it is to be tried again */
  async #login(): Promise<boolean> {
    const client = this.#newClient();
    this.#client = client;
    this.#connectedAt = performance.now();
    this.#heard.clear();
    this.#pings.clear();
    let closeCode = 0;
    client.on(Events.ShardDisconnect, ({ code }) => {
      closeCode = code;
    });
    try {
      const ready = new Promise((resolve) => client.once(Events.ClientReady, resolve));
      await client.login(this.#options.token);
      // A login that is accepted but never becomes ready counts as silence.
      const { signal } = this.#stopping;
      await Promise.race([ready, sleep(this.#options.silentAfterMs, undefined, { signal, ref: false })]);
      if (client.isReady()) return true;
      throw new Error('never ready');
    } catch (error) {
      await client.destroy();
      if (this.#stopping.signal.aborted) return false;
      // It was silent for too long meanwhile, and another one is in its place or on its way.
      if (client !== this.#client) return true;
      const isUnknown =
        (error instanceof DiscordjsError && error.code === 'TokenInvalid') ||
        (error instanceof DiscordAPIError && error.status === 401);
      const refusal = isUnknown
        ? new KinoraError('INVALID_CONFIG', unknownToken)
        : this.#refusalOf(closeCode);
      if (refusal) throw refusal;
      this.#options.log.warn({ err: codeOf(error) }, 'Discord cannot be reached; will try again');
      return false;
    }
  }

  async #loginLater(): Promise<void> {
    const { signal } = this.#stopping;
    this.#client = null;
    try {
      for (let ms: number = loginAgainMs.first; ; ms = Math.min(ms * 2, loginAgainMs.longest)) {
        await sleep(ms, undefined, { signal });
        if (await this.#login()) return;
        this.#client = null;
      }
    } catch (error) {
      this.#client = null;
      if (!signal.aborted) this.#giveUp(error);
    }
  }

  #replaceIfSilent(): void {
    const client = this.#client;
    if (!client) return; // a new connection is on its way
    const now = performance.now();
    const isSilent = client.ws.shards.some(({ id, lastPingTimestamp }) => {
      const isNewPing = lastPingTimestamp > 0 && this.#pings.get(id) !== lastPingTimestamp;
      this.#pings.set(id, lastPingTimestamp);
      if (isNewPing) this.#heard.set(id, now);
      return now - Math.max(this.#connectedAt, this.#heard.get(id) ?? 0) >= this.#options.silentAfterMs;
    });
    if (!isSilent) return;
    this.#options.log.error('Discord has not been heard of for too long; connecting anew');
    client.destroy().catch(() => {}); // it is given up either way
    void this.#loginLater();
  }
}
