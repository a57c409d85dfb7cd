/**
 * A Discord for tests: REST, gateway and CDN on a port of this machine, against which the real discord.js runs. It
 * keeps what people see, lets them act, refuses what Discord refuses, and makes trouble on order.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientOptions } from 'discord.js';
import type { FakeChannel } from './channel.ts';
import { CommandRegistry, type FakeCommand } from './commands.ts';
import type { Fault, FaultOptions } from './faults.ts';
import { FakeGateway } from './gateway.ts';
import { FakeGuild, type GuildOptions } from './guild.ts';
import { type Call, FakeHttp } from './http.ts';
import { FakeUser, type UserOptions } from './people.ts';
import type { LimitOptions } from './rate-limits.ts';
import { applicationRoutes } from './routes-application.ts';
import { cdnRoutes } from './routes-cdn.ts';
import { interactionRoutes } from './routes-interactions.ts';
import { messageRoutes } from './routes-messages.ts';
import { transcript } from './transcript.ts';
import { type Timing, World } from './world.ts';

const discordTiming: Timing = {
  ackWithinMs: 3000,
  tokenLifeMs: 15 * 60_000,
  attachmentLifeMs: 24 * 3_600_000,
  heartbeatIntervalMs: 41_250,
};

export interface FakeDiscordOptions extends Partial<Timing> {
  /** Whether the bot was granted to read what people write in guilds; mostly it is not. */
  readonly messageContent?: boolean;
  /** Into how many shards Discord wants the bot divided. */
  readonly shards?: number;
  /** How many of them may log in at a time. */
  readonly maxConcurrency?: number;
  /** Is told the port, and gives the address under which it is reached: for a Discord behind a proxy. */
  readonly behind?: (port: number) => string;
}

export class FakeDiscord {
  readonly world: World;
  readonly gateway: FakeGateway;
  /** What the bot logs in with. */
  readonly token: string;
  readonly #http: FakeHttp;
  #baseUrl = '';

  private constructor(timing: Timing, messageContent: boolean) {
    this.world = new World(timing, new CommandRegistry(), messageContent);
    const idPart = Buffer.from(this.world.bot.id).toString('base64url');
    this.token = `${idPart}.${randomBytes(4).toString('base64url')}.${randomBytes(28).toString('base64url')}`;
    const routes = [
      ...applicationRoutes(this.world, () => this.gateway),
      ...messageRoutes(this.world),
      ...interactionRoutes(this.world),
      ...cdnRoutes(this.world),
    ];
    this.#http = new FakeHttp(routes, this.token);
    this.gateway = new FakeGateway(this.world, this.token, this.#http.server);
  }

  static async start({
    messageContent = false,
    shards = 1,
    maxConcurrency = 1,
    behind,
    ...timing
  }: FakeDiscordOptions): Promise<FakeDiscord> {
    const fake = new FakeDiscord({ ...discordTiming, ...timing }, messageContent);
    fake.gateway.shards = shards;
    fake.gateway.maxConcurrency = maxConcurrency;
    const url = await fake.#http.listen();
    fake.#baseUrl = behind?.(Number(new URL(url).port)) ?? url;
    fake.world.files.baseUrl = fake.#baseUrl;
    fake.gateway.url = fake.#baseUrl.replace('http', 'ws');
    return fake;
  }

  /** Where attachments come from: protocol, host and port. */
  get cdn(): string {
    return this.#baseUrl;
  }

  get applicationId(): string {
    return this.world.bot.id;
  }

  /** Points the client here. It may identify at once again, where the real Discord makes it wait five seconds. */
  get clientOptions() {
    return {
      rest: { api: `${this.#baseUrl}/api`, cdn: this.#baseUrl },
      ws: { buildIdentifyThrottler: () => ({ waitForIdentify: async () => {} }) },
    } satisfies Partial<ClientOptions>;
  }

  guild(options?: GuildOptions): FakeGuild {
    return new FakeGuild(this.world, options);
  }

  user(options?: UserOptions): FakeUser {
    return new FakeUser(this.world, options);
  }

  /** Registered commands, of all places or of one guild. */
  commands(guild?: FakeGuild): FakeCommand[] {
    return this.world.commands.list(guild?.id);
  }

  /** Every answer so far that interactions can be answered with stops working, as after 15 minutes. */
  expireTokens(): void {
    for (const interaction of this.world.interactions.values()) interaction.expire();
  }

  expireAttachments(): void {
    this.world.files.expire();
  }

  fail(options: FaultOptions): Fault {
    return this.#http.fail(options);
  }

  /** From now on the bucket holds so many requests per window. */
  limit(options: LimitOptions): void {
    this.#http.limits.add(options);
  }

  /** What the bot asked for, oldest first. */
  calls(filter: { method?: string; route?: string | RegExp } = {}): Call[] {
    return this.#http.called(filter);
  }

  /** Answers of 401, 403 and 429: Discord bans an address after 10 000 of them in 10 minutes. */
  invalidRequests(): Call[] {
    return this.calls().filter(({ status }) => status === 401 || status === 403 || status === 429);
  }

  dropGateway(how: { resume: boolean; forMs?: number }): void {
    this.gateway.drop(how);
  }

  /** @param options.states shows every state that a message went through, not only the last */
  transcript(channel?: FakeChannel, options: { states?: boolean } = {}): string {
    return transcript(this.world, channel, options.states);
  }

  /** What must never be found in a log: the token, interaction tokens, signatures of links. */
  secrets(): string[] {
    const interactions = [...this.world.interactions.values()].map(({ token }) => token);
    return [this.token, ...interactions, ...this.world.files.signatures()];
  }

  /**
   * Waits until the predicate gives something truthy, and returns it.
   * @throws with the transcript when it does not happen in time
   */
  async until<Result>(predicate: () => Result | Promise<Result>, ms = 120_000): Promise<NonNullable<Result>> {
    const deadline = Date.now() + ms;
    for (;;) {
      const result = await predicate();
      if (result) return result;
      if (Date.now() > deadline) throw new Error(`Did not happen within ${ms} ms.\n${this.transcript()}`);
      await sleep(5);
    }
  }

  /** @throws what went wrong inside the fake itself, if anything */
  async stop(): Promise<void> {
    await this.gateway.close();
    await this.#http.close();
    if (this.#http.crash !== undefined) throw this.#http.crash;
  }
}

/** Discord's own deadlines where no others are given. */
export function startFakeDiscord(options: FakeDiscordOptions = {}): Promise<FakeDiscord> {
  return FakeDiscord.start(options);
}
