/**
 * "Delete my data" removes the updates of a person that wait in Redis, too: those that a newer version kept, or that were
 * kept before Telegram was switched off, may wait for good.
 */
import { z } from 'zod';
import type { Keys } from '../../queue/keys.ts';
import type { Redis } from '../../queue/redis.ts';
import { readOfAny } from '../../queue/stored-json.ts';
import { chatAsPerson, userKeyOf } from './people.ts';

const withId = z.object({ id: z.int() });

/** What a record of any version says of who sent the update, and when (s, by Telegram's clock; a press of a button does not). */
const recordSchema = z.object({
  update: z.object({
    message: z.object({ from: withId, sender_chat: withId, date: z.int() }).partial().optional(),
    callback_query: z.object({ from: withId }).optional(),
  }),
});

/**
 * Those of messages that were sent after `wishedAt` (ms) stay. One that is being served is served all the same; it is only
 * not repeated after a crash.
 */
export async function forgetUpdates(
  redis: Redis,
  keys: Keys,
  userKey: string,
  wishedAt: number,
): Promise<void> {
  for (const [id, text] of Object.entries(await redis.hgetall(keys.updates))) {
    const { message, callback_query: press } = readOfAny(text, recordSchema)?.update ?? {};
    const from = (message ?? press)?.from;
    const chat = message?.sender_chat;
    const sender = chat ? chatAsPerson(chat.id, undefined).userKey : from && userKeyOf(from.id);
    const isLater = (message?.date ?? 0) * 1_000 > wishedAt;
    if (sender === userKey && !isLater) await redis.hdel(keys.updates, id);
  }
}
