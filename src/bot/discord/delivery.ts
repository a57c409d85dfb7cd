/**
 * Brings the answer of a job to its person, by the first of these that works: the interaction's token while it is
 * young, the bot's own edit of the message, a reply in the channel, a direct message. The first two may be repeated at
 * will, of the others Discord recognises a repetition for some minutes. A token that failed is never used again.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RESTJSONErrorCodes as Code } from 'discord.js';
import { z } from 'zod';
import type { Logger } from '../../log.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { fitToBytes } from '../../video/transform.ts';
import { finalAnswer, videoAnswer } from '../answers.ts';
import { messagesOf, renderFinal, renderVideo } from '../sentences/render.ts';
import { type Answer, DeliveryImpossible } from '../upkeep/delivery.ts';
import { type InteractionToken, Refused, type Sent, TooLarge, type Upload, type Wire } from './api.ts';
import { type NeededPermission, userIdOf } from './people.ts';
import { fileName, type MessageBody, toBody } from './rendering.ts';
import type { TokenStore } from './tokens.ts';

/** Where the answer of a job goes; kept in the ledger, without the token. */
export const replyToSchema = z.object({
  channelId: z.string(),
  messageId: z.string(),
  /** What the message is called beside the token: "@original", or its id. */
  webhookMessage: z.string(),
  isBotThere: z.boolean(),
});
export type DiscordReply = z.infer<typeof replyToSchema>;

/** What Discord lets everybody upload, less a little for the rest of the request. */
const safeUploadBytes = 9.5 * 2 ** 20;
const shrinkBy = 0.6;
const fitAttempts = 4;

export interface DeliveryTools {
  readonly wire: Wire;
  readonly tokens: TokenStore;
  readonly ffmpegPath: () => Promise<string>;
  /** Which permissions the bot lacks in a channel, as far as it can know. */
  readonly lacking: (channelId: string) => readonly NeededPermission[];
  readonly log: Logger;
}

type Send = (upload: Upload | undefined, text: string) => Promise<void>;

export async function deliverAnswer(
  entry: LedgerEntry,
  answer: Answer,
  signal: AbortSignal,
  tools: DeliveryTools,
): Promise<void> {
  const { wire, tokens, log } = tools;
  const reply = replyToSchema.parse(entry.request.replyTo);
  const userId = userIdOf(entry.request.userKey);
  const say = messagesOf(entry);
  const words = say.discord;
  const message = renderFinal(finalAnswer(entry, answer), say);
  const clip = new Clip(entry, answer, message.text, tools);
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

  const isInPlace =
    (await attemptByToken(entry, tools, (token) =>
      attempt('interaction', (upload, text) =>
        wire.editByToken(token, reply.webhookMessage, body(text), upload, signal),
      ),
    )) ||
    (!entry.request.isPrivate &&
      reply.isBotThere &&
      ((await attempt('edit', (upload, text) => wire.editByBot(reply, body(text), upload, signal))) ||
        (await attempt('reply', (upload, text) =>
          postReply(wire, entry, reply, body(text, userId), upload, signal),
        ))));

  if (!isInPlace) {
    const lacking = reply.isBotThere ? tools.lacking(reply.channelId) : [];
    const named = lacking.map((permission) => words.permissions[permission]).join(', ');
    const why = named ? words.missing(named) : words.tooLate;
    const sent = await attempt('dm', async (upload, text) => {
      const dm = await wire.openDm(userId, signal);
      await wire.post(dm, entry.id, body(`${why}\n${text}`), { upload, signal });
    });
    if (!sent) {
      const lack = named ? ` (it lacks ${named})` : '';
      throw new DeliveryImpossible(`Discord takes no answer${lack}: ${refusals.join(', ')}`);
    }
    if (!entry.request.isPrivate) await sayWhere(reply, words.sentAsDm(named), tools);
  }
  await tokens.forget(entry.id);
}

/** @returns false when there is no token, or Discord no longer takes it */
async function attemptByToken(
  entry: LedgerEntry,
  { tokens }: DeliveryTools,
  attempt: (token: InteractionToken) => Promise<boolean>,
): Promise<boolean> {
  const token = tokens.read(entry.id);
  if (!token) return false;
  const done = await attempt(token);
  if (!done) await tokens.forget(entry.id);
  return done;
}

async function postReply(
  wire: Wire,
  entry: LedgerEntry,
  { channelId, messageId }: Sent,
  body: MessageBody,
  upload: Upload | undefined,
  signal: AbortSignal,
): Promise<void> {
  try {
    await wire.post(channelId, entry.id, body, { repliesTo: messageId, upload, signal });
  } catch (error) {
    const mayNotReply =
      error instanceof Refused && error.code === Code.CannotReplyWithoutPermissionToReadMessageHistory;
    if (!mayNotReply) throw error;
    await wire.post(channelId, entry.id, body, { upload, signal });
  }
}

/** The message that was promised an answer should not wait for ever. Best effort. */
async function sayWhere(reply: DiscordReply, text: string, { wire }: DeliveryTools): Promise<void> {
  if (!reply.isBotThere) return;
  await wire.editByBot(reply, toBody({ text, buttons: [] })).catch(() => {});
}

/** The video of an answer, made smaller when a place does not take it. */
class Clip {
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
    this.#upload ??= { name, data: await readFile(this.#answer.files.video) };
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
    const { folder, video } = this.#answer.files;
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
