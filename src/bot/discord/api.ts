/**
 * The calls to Discord by which answers are posted, and what their failures mean. Its errors carry codes only: those of
 * discord.js carry addresses, and with them interaction tokens.
 */
import { createHash } from 'node:crypto';
import {
  DefaultRestOptions,
  DiscordAPIError,
  HTTPError,
  MessageFlags,
  RateLimitError,
  type RawFile,
  REST,
  RESTJSONErrorCodes,
  type RESTOptions,
  type RESTPostAPIChannelMessageResult,
  type RESTPostAPICurrentUserCreateDMChannelResult,
  Routes,
} from 'discord.js';
import { DeliveryDelayed } from '../upkeep/delivery.ts';
import type { MessageBody } from './rendering.ts';

/** Discord refuses this for good. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: number;
  /** Discord's own number of the error. */
  readonly code: number;
  constructor(status: number, code: number) {
    super(`Discord refuses: ${code} (${status})`);
    this.status = status;
    this.code = code;
  }
}

/** The file is too large for the place of the message. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** Discord did not answer, or not sensibly; a later attempt may succeed. */
class Unanswered extends Error {
  override readonly name = 'Unanswered';
}

/** With this an interaction can be answered for a quarter of an hour. The token is a secret. */
export interface InteractionToken {
  readonly applicationId: string;
  readonly token: string;
}

export interface Upload {
  readonly name: string;
  readonly data: Buffer;
}

export interface Sent {
  readonly channelId: string;
  readonly messageId: string;
}

/** Deadline of one call: a large upload takes its time. */
export const restTimeoutMs = 60_000;

/** Calls Discord as discord.js does, unless another bot leads: then it rejects. */
export function guarded(mayAct: () => Promise<boolean>): RESTOptions['makeRequest'] {
  return async (url, init) => {
    if (!(await mayAct())) throw new Error('another bot leads');
    return await DefaultRestOptions.makeRequest(url, init);
  };
}

export class DiscordApi {
  /** For calls that are not made here. */
  readonly rest: REST;

  /** Has a REST client of its own, which outlives the gateway and never waits for a rate limit by itself. */
  constructor(token: string, options: Partial<RESTOptions> = {}) {
    this.rest = new REST({ timeout: restTimeoutMs, ...options, rejectOnRateLimit: () => true });
    this.rest.setToken(token);
    this.rest.on('error', () => {}); // every failure is thrown to its caller
  }

  /** Edits an answer by its interaction's token. Repeating it changes nothing. */
  async editByToken(
    { applicationId, token }: InteractionToken,
    message: string,
    body: MessageBody,
    upload?: Upload,
    signal?: AbortSignal,
  ): Promise<void> {
    const route = Routes.webhookMessage(applicationId, token, message);
    await this.#call(() => this.rest.patch(route, { ...request(body, upload, signal), auth: false }));
  }

  /** Posts one more message by an interaction's token. Not to be repeated: Discord would post it again. */
  async followUp(
    { applicationId, token }: InteractionToken,
    body: MessageBody,
    { isPrivate, signal }: { isPrivate: boolean; signal: AbortSignal },
  ): Promise<void> {
    const whole = isPrivate ? { ...body, flags: MessageFlags.Ephemeral } : body;
    const options = { ...request(whole, undefined, signal), auth: false };
    await this.#call(() => this.rest.post(Routes.webhook(applicationId, token), options));
  }

  /** Edits a message of the bot with the bot's own rights. Repeating it changes nothing. */
  async editByBot(
    { channelId, messageId }: Sent,
    body: MessageBody,
    upload?: Upload,
    signal?: AbortSignal,
  ): Promise<void> {
    const route = Routes.channelMessage(channelId, messageId);
    await this.#call(() => this.rest.patch(route, request(body, upload, signal)));
  }

  /**
   * Posts a message. Within the next minutes Discord gives back the first one when it is repeated.
   * @param key the same for every repetition
   */
  async post(
    channelId: string,
    key: string,
    body: MessageBody,
    { repliesTo, upload, signal }: { repliesTo?: string; upload?: Upload | undefined; signal?: AbortSignal },
  ): Promise<Sent> {
    const whole = {
      ...body,
      nonce: createHash('sha256').update(key).digest('hex').slice(0, 25),
      enforce_nonce: true,
      ...(repliesTo === undefined
        ? {}
        : { message_reference: { message_id: repliesTo, fail_if_not_exists: false } }),
    };
    const send = () => this.rest.post(Routes.channelMessages(channelId), request(whole, upload, signal));
    const sent = (await this.#call(send)) as RESTPostAPIChannelMessageResult;
    return { channelId: sent.channel_id, messageId: sent.id };
  }

  /** Id of the direct messages with a person. */
  async openDm(userId: string, signal?: AbortSignal): Promise<string> {
    const options = { body: { recipient_id: userId }, ...(signal ? { signal } : {}) };
    const dm = await this.#call(() => this.rest.post(Routes.userChannels(), options));
    return (dm as RESTPostAPICurrentUserCreateDMChannelResult).id;
  }

  /** What Discord tells of a route. @returns to be parsed by the caller */
  async read(route: `/${string}`): Promise<unknown> {
    return await this.#call(() => this.rest.get(route));
  }

  async #call<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw meaningOf(error);
    }
  }
}

function request(body: object, upload: Upload | undefined, signal: AbortSignal | undefined) {
  const files: RawFile[] = upload ? [{ name: upload.name, data: upload.data, contentType: 'video/mp4' }] : [];
  return {
    // By its name the new file replaces one that an earlier attempt left in the message.
    body: { ...body, attachments: upload ? [{ id: '0', filename: upload.name }] : [] },
    files,
    ...(signal ? { signal } : {}),
  };
}

/** What a failure of discord.js means, without anything secret. */
function meaningOf(error: unknown): Error {
  if (error instanceof RateLimitError) {
    const ms = Math.max(error.retryAfter, error.timeToReset, 250);
    return new DeliveryDelayed('Discord asks for a pause', ms);
  }
  if (error instanceof DiscordAPIError) {
    const code = Number(error.code) || 0;
    if (error.status === 413 || code === RESTJSONErrorCodes.RequestEntityTooLarge) {
      return new TooLarge('The file is too large for this place');
    }
    return new Refused(error.status, code);
  }
  return new Unanswered(`Discord did not answer: ${codeOf(error)}`);
}

/** The part of a failure that may be logged: its kind and number, never an address. */
export function codeOf(error: unknown): string {
  if (error instanceof DiscordAPIError) return `DiscordAPIError ${error.code} (${error.status})`;
  if (error instanceof HTTPError) return `HTTP ${error.status}`;
  if (error instanceof RateLimitError) return 'rate limit';
  if (!(error instanceof Error)) return typeof error;
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
