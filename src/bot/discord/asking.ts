/**
 * From an interaction that asks for a video to a queued job whose place is known: Discord's answer first, then the
 * picture, then the queue, then the words in the same message.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RepliableInteraction } from 'discord.js';
import type { Logger } from '../../log.ts';
import type { Services } from '../platform.ts';
import type { Accepted, RequestOrigin, RequestOutcome } from '../requests.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import { type ChatMessage, messagesOf, renderRequest } from '../sentences/render.ts';
import type { StatusBoard } from '../status-board.ts';
import { DeliveryDelayed } from '../upkeep/delivery.ts';
import { type InteractionToken, Refused, type Wire } from './api.ts';
import type { DiscordReply } from './delivery.ts';
import { type Admins, isBotThere, type NeededPermission, personOf, placeOf } from './people.ts';
import { toBody } from './rendering.ts';
import { type TokenStore, tokenLifeMs } from './tokens.ts';

export interface AskingTools {
  readonly services: Services;
  readonly admins: Admins;
  readonly wire: Wire;
  readonly tokens: TokenStore;
  readonly board: StatusBoard;
  readonly answering: Answering;
  readonly lacking: (channelId: string) => readonly NeededPermission[];
  readonly log: Logger;
}

/** The messages that are being written for the first time: the final answer waits for them. */
export class Answering {
  readonly #under = new Map<string, Promise<void>>();

  async during(jobId: string, work: () => Promise<void>): Promise<void> {
    const working = work();
    this.#under.set(jobId, working);
    try {
      await working;
    } finally {
      if (this.#under.get(jobId) === working) this.#under.delete(jobId);
    }
  }

  async over(jobId: string): Promise<void> {
    await this.#under.get(jobId)?.catch(() => {}); // whoever began it hears of it
  }
}

/** Longest that the acceptance waits for a rate limit to pass; the progress follows anyway. */
const patienceMs = 10_000;
/** With less left of the token than this, the video is announced as a direct message. */
const reserveMs = 60_000;

/**
 * Asks the queue and says in the message at `reply` what came of it.
 * @param refuse how to say no, where not in that message
 */
export async function askAndSay(
  interaction: RepliableInteraction,
  reply: Omit<DiscordReply, 'isBotThere'>,
  tools: AskingTools,
  ask: (origin: RequestOrigin) => Promise<RequestOutcome>,
  refuse?: (text: string) => Promise<void>,
): Promise<void> {
  const { tokens, board, answering, admins, wire } = tools;
  const jobId = `dc-${interaction.id}`;
  const token = tokenOf(interaction);
  const replyTo: DiscordReply = { ...reply, isBotThere: isBotThere(interaction) };
  const person = personOf(interaction, admins);
  await answering.during(jobId, async () => {
    await tokens.save(jobId, token);
    const outcome = await ask({ jobId, person, place: placeOf(interaction), replyTo });
    const answer = renderRequest(outcome, messagesFor(person.locale));
    if (outcome.kind !== 'accepted') {
      if (outcome.kind === 'refused') await tokens.forget(jobId);
      if (refuse) return await refuse(answer.text);
      return await insistOn(() => wire.editByToken(token, reply.webhookMessage, toBody(answer)));
    }
    const message = withNotice(answer, outcome, replyTo, tools);
    try {
      await insistOn(() => wire.editByToken(token, reply.webhookMessage, toBody(message)));
    } catch (error) {
      // The job runs all the same; its progress and its answer find their own way.
      tools.log.warn({ jobId, err: String(error) }, 'the acceptance could not be shown');
      if (error instanceof Refused) await tokens.forget(jobId);
    }
    board.track(outcome.job);
  });
}

export function tokenOf({ applicationId, token }: RepliableInteraction): InteractionToken {
  return { applicationId, token };
}

/** Says so when the video cannot be put where it was asked for. */
function withNotice(
  message: ChatMessage,
  { job, position }: Accepted,
  reply: DiscordReply,
  { lacking }: AskingTools,
): ChatMessage {
  const canEditLater =
    !job.request.isPrivate && reply.isBotThere && !lacking(reply.channelId).includes('ViewChannel');
  if (canEditLater) return message;
  if ((position.leftMs ?? 0) < tokenLifeMs - reserveMs) return message;
  return { ...message, text: `${message.text}\n${messagesOf(job).discord.willBeDm}` };
}

/** Waits for short rate limits; whatever else goes wrong is thrown. */
export async function insistOn(work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DeliveryDelayed) || Date.now() + error.retryAfterMs > deadline) throw error;
      await sleep(error.retryAfterMs);
    }
  }
}
