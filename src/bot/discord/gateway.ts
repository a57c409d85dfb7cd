/**
 * The connection over which Discord sends interactions. discord.js repairs most breaks; a connection that stays silent
 * for five minutes is replaced by a new one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Client,
  type ClientOptions,
  DiscordAPIError,
  DiscordjsError,
  Events,
  GatewayIntentBits,
  type Interaction,
} from 'discord.js';
import { KinoraError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { codeOf } from './api.ts';

export interface GatewayOptions {
  readonly token: string;
  readonly clientOptions: Partial<ClientOptions>;
  /** Silence of Discord, its heartbeats included, after which the connection is replaced. */
  readonly silentAfterMs: number;
  readonly onInteraction: (interaction: Interaction) => void;
  readonly onReady: (client: Client<true>) => void;
  readonly log: Logger;
}

/** Discord allows 1000 logins a day and then takes the token away; at the longest wait it is 144. */
const loginAgainMs = { first: 1_000, longest: 600_000 } as const;
const looksPerSilence = 20;

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #stopping = new AbortController();
  #client: Client | null = null;
  #lastHeard = 0;
  #looking: NodeJS.Timeout | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /** The present connection; its caches of guilds and channels are empty until it is ready. */
  get client(): Client | null {
    return this.#client;
  }

  /**
   * Resolves when interactions can arrive, or when Discord cannot be reached now and will be tried again.
   * @throws KinoraError INVALID_CONFIG when Discord does not know the token
   */
  async start(): Promise<void> {
    if (!(await this.#login())) void this.#loginLater();
    const { silentAfterMs } = this.#options;
    this.#looking = setInterval(() => this.#replaceIfSilent(), silentAfterMs / looksPerSilence);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#looking) clearInterval(this.#looking);
    await this.#client?.destroy();
  }

  #newClient(): Client {
    const { clientOptions, log, onInteraction, onReady } = this.#options;
    const client = new Client({
      intents: [GatewayIntentBits.Guilds],
      allowedMentions: { parse: [], repliedUser: false },
      ...clientOptions,
    });
    const heard = (): void => {
      if (client === this.#client) this.#lastHeard = Date.now();
    };
    client.on(Events.InteractionCreate, (interaction) => {
      heard();
      onInteraction(interaction);
    });
    client.on(Events.ShardReady, heard);
    client.on(Events.ShardResume, heard);
    client.on(Events.Error, (error) => log.warn({ err: codeOf(error) }, 'discord'));
    client.on(Events.ShardError, (error) => log.warn({ err: codeOf(error) }, 'discord gateway'));
    client.on(Events.ShardDisconnect, ({ code }) => log.warn({ code }, 'discord gateway closed for good'));
    client.on(Events.ClientReady, (ready) => {
      heard();
      onReady(ready);
    });
    return client;
  }

  /** @returns false when Discord could not be reached */
  async #login(): Promise<boolean> {
    const client = this.#newClient();
    this.#client = client;
    this.#lastHeard = Date.now();
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
      const isUnknown =
        (error instanceof DiscordjsError && error.code === 'TokenInvalid') ||
        (error instanceof DiscordAPIError && error.status === 401);
      if (isUnknown) throw new KinoraError('INVALID_CONFIG', 'Discord does not know the token of the bot.');
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
      if (!signal.aborted) this.#options.log.error({ err: codeOf(error) }, 'Discord is given up');
    }
  }

  #replaceIfSilent(): void {
    const client = this.#client;
    if (!client) return; // a new connection is on its way
    for (const { lastPingTimestamp } of client.ws.shards.values()) {
      this.#lastHeard = Math.max(this.#lastHeard, lastPingTimestamp);
    }
    if (Date.now() - this.#lastHeard < this.#options.silentAfterMs) return;
    this.#options.log.error('Discord has not been heard of for too long; connecting anew');
    client.destroy().catch(() => {}); // it is given up either way
    void this.#loginLater();
  }
}
