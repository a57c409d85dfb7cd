/**
 * Tells people's servers that a video is over. A queue of its own: a server that is away is tried again over a day, and
 * holds up nothing else.
 */
import { Queue, UnrecoverableError, Worker } from 'bullmq';
import { z } from 'zod';
import type { Answer } from '../../bot/upkeep/delivery.ts';
import { Periodic } from '../../bot/upkeep/periodic.ts';
import type { Logger } from '../../log.ts';
import { independentOfRedis } from '../../queue/client.ts';
import { assertKnown, contractField, firstContract } from '../../queue/contract.ts';
import { jobIdSchema } from '../../queue/jobs.ts';
import type { Keys } from '../../queue/keys.ts';
import { leavingNewer } from '../../queue/leave.ts';
import { Ledger, type LedgerEntry } from '../../queue/ledger.ts';
import { OverdueDelays } from '../../queue/overdue-delays.ts';
import { type Redis, redisTime } from '../../queue/redis.ts';
import { Webhooks, webhookQueueName } from '../../queue/webhooks.ts';
import type { Outgoing } from '../outgoing/outgoing.ts';
import type { WebhookSigner } from './signing.ts';

/** Pauses between attempts, each up to a tenth longer: about a day in all. */
const pausesMs = [5, 60, 300, 1_800, 7_200, 18_000, 28_800, 28_800].map((seconds) => seconds * 1000);
/** Until the job is settled, so that whoever is told finds its video completed. */
const settlingMs = 250;
const deadlineMs = 20_000;
const lookForDelaysEveryMs = 5_000;
const atOnce = 16;

const messageSchema = z.object({
  contract: contractField,
  webhookId: z.string(),
  jobId: jobIdSchema,
  status: z.enum(['completed', 'failed']),
  at: z.number(),
});
type Message = z.input<typeof messageSchema>;

export interface SenderTools {
  /** A fail-fast connection, and a patient one; the caller closes them after stop(). */
  readonly redis: Redis;
  readonly patient: Redis;
  readonly keys: Keys;
  readonly signer: WebhookSigner;
  readonly outgoing: Outgoing;
  /** Shorter in tests. */
  readonly pausesMs?: readonly number[];
  readonly log: Logger;
}

export class WebhookSender {
  readonly #tools: SenderTools;
  readonly #webhooks: Webhooks;
  readonly #ledger: Ledger;
  readonly #queue: Queue<Message>;
  readonly #worker: Worker<Message>;
  readonly #lookForDelays: Periodic;

  constructor(tools: SenderTools) {
    const { redis, patient, keys, log } = tools;
    const pauses = tools.pausesMs ?? pausesMs;
    this.#tools = tools;
    this.#webhooks = new Webhooks(redis, keys);
    this.#ledger = new Ledger(patient, keys);
    const onError = (error: Error): void => log.warn({ err: error.message }, 'webhook connection');
    this.#queue = new Queue<Message>(webhookQueueName, {
      connection: redis,
      prefix: keys.bull,
      ...independentOfRedis,
      defaultJobOptions: {
        attempts: pauses.length + 1,
        backoff: { type: 'webhook' },
        delay: settlingMs,
        removeOnComplete: true,
        removeOnFail: true,
      },
    }).on('error', onError);
    this.#worker = new Worker<Message>(
      webhookQueueName,
      (job, token) =>
        leavingNewer(job, token, log, async () => {
          assertKnown(job.data);
          await this.#send(messageSchema.parse(job.data), job.id ?? '');
        }),
      {
        connection: patient,
        prefix: keys.bull,
        concurrency: atOnce,
        settings: {
          backoffStrategy: (attempts) => (pauses[attempts - 1] ?? 0) * (1 + Math.random() / 10),
        },
      },
    ).on('error', onError);
    const delays = new OverdueDelays(redis, `${keys.bull}:${webhookQueueName}`);
    this.#lookForDelays = new Periodic(
      () => delays.run(),
      lookForDelaysEveryMs,
      (error) =>
        log.warn({ err: String(error) }, 'looking for webhooks that wait too long failed; will look again'),
    );
    this.#lookForDelays.start();
  }

  async stop(): Promise<void> {
    // Those under way are sent again under the same id.
    await Promise.allSettled([this.#worker.close(true), this.#queue.close(), this.#lookForDelays.stop()]);
  }

  /** Writes down who is to be told of a job that is over. */
  async announce({ id: jobId, request }: LedgerEntry, answer: Answer): Promise<void> {
    const status = answer.kind === 'video' ? 'completed' : 'failed';
    const at = await redisTime(this.#tools.redis);
    for (const { id: webhookId, isDisabled } of await this.#webhooks.of(request.userKey)) {
      if (isDisabled) continue;
      const message = { contract: firstContract, webhookId, jobId, status, at } as const;
      await this.#queue.add(status, message, { jobId: `${jobId}-${webhookId}` });
    }
  }

  async #send({ webhookId, jobId, status, at }: Message, queueId: string): Promise<void> {
    const { redis, signer, outgoing, log } = this.#tools;
    const webhook = await this.#webhooks.read(webhookId);
    const entry = await this.#ledger.read(jobId);
    // Removed or deleted since.
    if (!webhook || webhook.isDisabled || !entry || entry.isDiscarded) return;
    if (entry.deliveredAt === undefined) throw new Error('the job is not settled yet');
    const { body, headers } = signedMessage(signer, webhookId, `msg_${queueId}`, {
      type: `video.${status}`,
      timestamp: new Date(at).toISOString(),
      data: { id: jobId, object: 'video', status },
      sentAt: await redisTime(redis),
    });
    const answered = await post(outgoing, webhook.url, body, headers);
    if (answered >= 200 && answered < 300) return;
    log.info({ jobId, webhookId, status: answered }, 'a webhook was refused');
    if (answered === 410) {
      await this.#webhooks.disable(webhookId);
      throw new UnrecoverableError('the server is gone');
    }
    throw new Error(`the server answered ${answered}`);
  }
}

/** A message as the Standard Webhooks specification signs it. */
export function signedMessage(
  signer: WebhookSigner,
  webhookId: string,
  messageId: string,
  {
    sentAt,
    ...content
  }: { readonly type: string; readonly timestamp: string; readonly data: unknown; readonly sentAt: number },
): { readonly body: string; readonly headers: Readonly<Record<string, string>> } {
  const body = JSON.stringify(content);
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'Kinora',
    ...signer.headersOf(webhookId, messageId, body, sentAt),
  };
  return { body, headers };
}

/**
 * Redirects are not followed, and the answer's body is not read.
 * @returns the status
 */
export async function post(
  outgoing: Outgoing,
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<number> {
  const signal = AbortSignal.timeout(deadlineMs);
  const response = await outgoing.call(url, { method: 'POST', headers, body, signal });
  if (response === 'malformed' || response === 'notPublic') throw new Error(`the address is ${response}`);
  await response.body?.cancel();
  return response.status;
}
