/**
 * The messages of a job: status updates, and its final answer by the first of these ways that works: the interaction's
 * token while it is young, the bot's own edit of the message, a reply in the channel, a direct message. The first two
 * can be repeated at will, of the others Discord recognises a repetition for some minutes. A token that failed is never
 * used again.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RESTJSONErrorCodes as Code } from 'discord.js';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Logger } from '../../log.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { fitToBytes } from '../../video/transform.ts';
import { finalAnswer, videoAnswer } from '../answers.ts';
import type { TrackedJob } from '../requests.ts';
import { type ChatMessage, messagesOf, renderFinal, renderVideo } from '../sentences/render.ts';
import { type Answer, DeliveryImpossible, mayCall } from '../upkeep/delivery.ts';
import { type DiscordApi, Refused, type Sent, TooLarge, type Upload } from './api.ts';
import { type NeededPermission, userIdOf } from './people.ts';
import { fileName, type MessageBody, toBody } from './rendering.ts';
import type { TokenStore } from './tokens.ts';

/** Where the answer of a job goes; kept in the ledger, without the token. */
export const replyToSchema = z.object({
  channelId: z.string(),
  messageId: z.string(),
  /** Name of the message in calls with the token: "@original", or its id. */
  webhookMessage: z.string(),
  isBotThere: z.boolean(),
});
export type DiscordReply = z.infer<typeof replyToSchema>;

/** Discord's lowest upload limit, less a little for the rest of the request. */
const safeUploadBytes = 9.5 * 2 ** 20;
const shrinkBy = 0.6;
const fitAttempts = 4;

export interface DeliveryTools {
  readonly api: DiscordApi;
  readonly tokens: TokenStore;
  readonly ffmpegPath: () => Promise<string>;
  /** Which permissions the bot lacks in a channel, as far as it can know. */
  readonly lacking: (channelId: string) => Promise<readonly NeededPermission[]>;
  /** Edits notify nobody: after a longer wait than this the person is called. */
  readonly notifyAfterMs: number;
  readonly log: Logger;
}

type Send = (upload: Upload | undefined, text: string) => Promise<void>;

export class DiscordDelivery {
  readonly #tools: DeliveryTools;
  /** Jobs whose message is gone, or closed to the bot; their answer finds another way. */
  readonly #unshowable = new LRUCache<string, true>({ max: 10_000 });

  constructor(tools: DeliveryTools) {
    this.#tools = tools;
  }

  /** One status update, in the message of the job. */
  async show({ id, request }: TrackedJob, message: ChatMessage): Promise<boolean> {
    const { api, tokens } = this.#tools;
    const reply = replyToSchema.parse(request.replyTo);
    const token = await tokens.read(id);
    const canEdit = !request.isPrivate && reply.isBotThere && !this.#unshowable.has(id);
    try {
      if (token) await api.editByToken(token, reply.webhookMessage, toBody(message));
      else if (canEdit) await api.editByBot(reply, toBody(message));
      return token !== undefined || canEdit;
    } catch (error) {
      // Discord bans addresses that repeat what it refuses.
      if (error instanceof Refused && token) tokens.forget(id);
      else if (error instanceof Refused) this.#unshowable.set(id, true);
      throw error;
    }
  }

  /** @throws DeliveryDelayed, DeliveryImpossible, or an error that may pass at the next attempt */
  async post(entry: LedgerEntry, answer: Answer, signal: AbortSignal): Promise<void> {
    const { api, tokens, log } = this.#tools;
    const reply = replyToSchema.parse(entry.request.replyTo);
    const userId = userIdOf(entry.request.userKey);
    const message = renderFinal(finalAnswer(entry, answer), messagesOf(entry));
    const clip = new ClipUpload(entry, answer, message.text, this.#tools);
    const body = (text: string, mention?: string): MessageBody =>
      toBody({ text, buttons: message.buttons }, mention);
    const refusals: string[] = [];
    const attempt = async (way: string, send: Send): Promise<boolean> => {
      try {
        await clip.send(send, signal);
        if (refusals.length > 0) log.info({ jobId: entry.id, way, after: refusals }, 'answered another way');
        return true;
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        refusals.push(`${way}: ${error.code} (${error.status})`);
        return false;
      }
    };
    const byToken = async (): Promise<boolean> => {
      const token = await tokens.read(entry.id);
      if (!token) return false;
      const isDone = await attempt('interaction', (upload, text) =>
        api.editByToken(token, reply.webhookMessage, body(text), upload, signal),
      );
      if (isDone) await this.#notify(entry, answer, signal);
      else tokens.forget(entry.id);
      return isDone;
    };
    const byBot = async (): Promise<boolean> => {
      if (entry.request.isPrivate || !reply.isBotThere) return false;
      if (await attempt('edit', (upload, text) => api.editByBot(reply, body(text), upload, signal))) {
        await this.#notify(entry, answer, signal);
        return true;
      }
      return await attempt('reply', (upload, text) =>
        postReply(api, entry, reply, body(text, userId), upload, signal),
      );
    };
    const byDirectMessage = (why: string): Promise<boolean> =>
      attempt('dm', async (upload, text) => {
        const dm = await api.openDm(userId, signal);
        await api.post(dm, entry.id, body(`${why}\n${text}`), { upload, signal });
      });

    if (!(await byToken()) && !(await byBot())) {
      const { discord } = messagesOf(entry);
      const lacking = reply.isBotThere ? await this.#tools.lacking(reply.channelId) : [];
      const named = lacking.map((permission) => discord.permissions[permission]).join(', ');
      if (!(await byDirectMessage(named ? discord.missing(named) : discord.tooLate))) {
        const lack = named ? ` (it lacks ${named})` : '';
        throw new DeliveryImpossible(`Discord takes no answer${lack}: ${refusals.join(', ')}`);
      }
      if (!entry.request.isPrivate) await this.#sayWhere(reply, discord.sentAsDm(named));
    }
    tokens.forget(entry.id);
  }

  /**
   * Calls the person to a video that came by an edit. Best effort, and once: by the token it is tried only where the bot
   * may not write.
   */
  async #notify(entry: LedgerEntry, answer: Answer, signal: AbortSignal): Promise<void> {
    const { api, tokens, lacking, notifyAfterMs } = this.#tools;
    const { request, id } = entry;
    if (answer.kind !== 'video' || !(await mayCall(answer, notifyAfterMs))) return;
    const { channelId, messageId, isBotThere } = replyToSchema.parse(request.replyTo);
    const text = messagesOf(entry).result.ready;
    const body = toBody({ text, buttons: [] }, userIdOf(request.userKey));
    try {
      if (isBotThere && !request.isPrivate && (await lacking(channelId)).length === 0) {
        await api.post(channelId, `${id}:ready`, body, { repliesTo: messageId, signal });
        return;
      }
    } catch (error) {
      if (!(error instanceof Refused)) return;
    }
    // The video is posted: a Redis that is away now must not have it posted again.
    const token = await tokens.read(id).catch(() => undefined);
    if (token) await api.followUp(token, body, { isPrivate: request.isPrivate, signal }).catch(() => {});
  }

  /** The message in the place of the request says where the answer is. Best effort. */
  async #sayWhere(reply: DiscordReply, text: string): Promise<void> {
    if (!reply.isBotThere) return;
    await this.#tools.api.editByBot(reply, toBody({ text, buttons: [] })).catch(() => {});
  }
}

async function postReply(
  api: DiscordApi,
  entry: LedgerEntry,
  { channelId, messageId }: Sent,
  body: MessageBody,
  upload: Upload | undefined,
  signal: AbortSignal,
): Promise<void> {
  try {
    await api.post(channelId, entry.id, body, { repliesTo: messageId, upload, signal });
  } catch (error) {
    const mayNotReply =
      error instanceof Refused && error.code === Code.CannotReplyWithoutPermissionToReadMessageHistory;
    if (!mayNotReply) throw error;
    await api.post(channelId, entry.id, body, { upload, signal });
  }
}

/** The video of an answer, made smaller when a place does not take it. */
class ClipUpload {
  readonly #entry: LedgerEntry;
  readonly #answer: Answer;
  readonly #tools: DeliveryTools;
  #upload: Upload | undefined;
  #text: string;

  constructor(entry: LedgerEntry, answer: Answer, text: string, tools: DeliveryTools) {
    this.#entry = entry;
    this.#answer = answer;
    this.#tools = tools;
    this.#text = text;
  }

  async send(send: Send, signal: AbortSignal): Promise<void> {
    if (this.#answer.kind !== 'video') return await send(undefined, this.#text);
    const name = fileName(`kinora-${this.#answer.artifact.seed}.mp4`, this.#entry.request.isSpoiler);
    this.#upload ??= { name, data: await readFile((await this.#answer.files()).video) };
    for (let attempt = 1; ; attempt++) {
      try {
        return await send(this.#upload, this.#text);
      } catch (error) {
        if (!(error instanceof TooLarge)) throw error;
        if (attempt === fitAttempts) throw new Refused(413, Code.RequestEntityTooLarge);
        this.#upload = { name, data: await this.#smaller(this.#upload.data.length, signal) };
      }
    }
  }

  async #smaller(bytes: number, signal: AbortSignal): Promise<Buffer> {
    const { ffmpegPath, log } = this.#tools;
    if (this.#answer.kind !== 'video') throw new Error('only videos can be made smaller');
    const { folder, video } = await this.#answer.files();
    const out = join(folder, 'smaller.mp4');
    const budget = Math.floor(bytes > safeUploadBytes ? safeUploadBytes : bytes * shrinkBy);
    log.info({ jobId: this.#entry.id, bytes, budget }, 'the clip is too large for its place; made smaller');
    try {
      await fitToBytes(video, out, budget, { ffmpegPath: await ffmpegPath(), signal });
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn({ jobId: this.#entry.id, budget }, 'the clip cannot be made small enough');
      throw new Refused(413, Code.RequestEntityTooLarge);
    }
    const compressed = { ...videoAnswer(this.#entry, this.#answer), isCompressed: true };
    this.#text = renderVideo(compressed, messagesOf(this.#entry));
    return await readFile(out);
  }
}
