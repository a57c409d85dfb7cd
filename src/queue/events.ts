/**
 * Events between bot and workers while a job runs: progress, and requests to cancel. Redis pub/sub, best effort: an
 * event may be lost, so nothing depends on one.
 */
import { Cluster } from 'ioredis';
import { z } from 'zod';
import { jobIdSchema } from './jobs.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { readJson, writeJson } from './stored-json.ts';

/** Of a running job. */
export const phases = ['loading', 'encoding', 'denoising', 'decoding', 'finishing'] as const;

const queueEventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('progress'),
    jobId: jobIdSchema,
    phase: z.enum(phases),
    done: z.number(),
    total: z.number(),
    /** Milliseconds until the video is ready, when it can be told. */
    leftMs: z.number().optional(),
  }),
  z.object({ type: z.literal('cancel'), jobId: jobIdSchema }),
  /** A bot that does not lead has told somebody that their request was accepted: the leader shows how it goes on. */
  z.object({ type: z.literal('shown'), jobId: jobIdSchema }),
]);
export type QueueEvent = z.infer<typeof queueEventSchema>;

export type ProgressEvent = Extract<QueueEvent, { type: 'progress' }>;

/** Longer than any step takes. */
const progressKeptSeconds = 86_400;

/** What is kept of a job's progress. */
export interface KeptProgress {
  readonly latest: ProgressEvent;
  /** Its first step has begun, in this run or in one that a worker's death ended. */
  readonly isBegun: boolean;
}

const phasesBefore: readonly ProgressEvent['phase'][] = ['loading', 'encoding'];

/** Publishes progress, and keeps the latest of each job for those who were not listening. */
export function publishProgress(redis: Redis, keys: Keys, event: ProgressEvent): void {
  const text = writeJson(event);
  const key = keys.progress(event.jobId);
  const isBegun = !phasesBefore.includes(event.phase);
  // Kept first: whoever hears of it may look it up.
  const batch = redis.pipeline().hset(key, { latest: text, ...(isBegun ? { begun: '1' } : {}) });
  batch.expire(key, progressKeptSeconds).publish(keys.events, text);
  batch.exec().catch(() => {}); // best effort by contract
}

/** Undefined where there was no progress yet. */
export async function keptProgress(
  redis: Redis,
  keys: Keys,
  jobId: string,
): Promise<KeptProgress | undefined> {
  const { latest, begun } = await redis.hgetall(keys.progress(jobId));
  const event = readJson(latest ?? '', queueEventSchema);
  return event?.type === 'progress' ? { latest: event, isBegun: begun !== undefined } : undefined;
}

export function publishEvent(redis: Redis, channel: string, event: QueueEvent): void {
  redis.publish(channel, writeJson(event)).catch(() => {}); // best effort by contract
}

/**
 * A connection that only listens does not notice a dead peer; an unanswered command makes ioredis reconnect. Subscribing
 * again changes nothing where the subscription holds, and brings it back where it was lost.
 */
const subscribeEveryMs = 5_000;

/**
 * Calls `onEvent` for every event until the returned function is called. Takes a connection of its own from `redis`,
 * since a subscribed connection can do nothing else.
 */
export async function subscribeEvents(
  redis: Redis,
  channel: string,
  onEvent: (event: QueueEvent) => void,
): Promise<() => void> {
  // ioredis leaves nobody to hear of it when its own resubscription fails, and that would end the process.
  const subscriber =
    redis instanceof Cluster ? redis.duplicate() : redis.duplicate({ autoResubscribe: false });
  subscriber.on('error', () => {}); // ioredis reconnects
  subscriber.on('message', (_channel, message) => {
    const event = readJson(message, queueEventSchema); // another version may say things of its own
    if (event) onEvent(event);
  });
  try {
    await subscriber.subscribe(channel);
  } catch (error) {
    subscriber.disconnect();
    throw error;
  }
  const subscribe = (): void => void subscriber.subscribe(channel).catch(() => {}); // tried again soon
  subscriber.on('ready', subscribe);
  const repeating = setInterval(subscribe, subscribeEveryMs).unref();
  return () => {
    clearInterval(repeating);
    subscriber.disconnect();
  };
}
