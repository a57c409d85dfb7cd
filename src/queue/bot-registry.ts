/** Which bots live over this Redis, and which of them leads. */
import { z } from 'zod';
import type { Keys } from './keys.ts';
import { type Redis, redisTime } from './redis.ts';
import { readJson } from './stored-json.ts';

const botSchema = z.object({
  /** By Redis's clock. */
  beatAt: z.number(),
  pid: z.int(),
  /** In which space `pid` is valid; its first word is the name of the machine. */
  host: z.string(),
  /** Into how many shards it divides Discord; absent where it does not. */
  shards: z.int().optional(),
});
export type BotBeat = z.infer<typeof botSchema>;

export interface BotEntry extends BotBeat {
  readonly id: string;
  readonly leads: boolean;
  readonly isAlive: boolean;
}

/** Of a bot that beats every second. */
const aliveForMs = 10_000;

/** A bot that ends properly removes its entry. What another version wrote is left out. */
export async function botEntries(redis: Redis, keys: Keys): Promise<BotEntry[]> {
  const [all, lease, now] = await Promise.all([
    redis.hgetall(keys.bots),
    redis.get(keys.leader),
    redisTime(redis),
  ]);
  const leader = lease?.split(' ')[0];
  return Object.entries(all).flatMap(([id, text]) => {
    const beat = readJson(text, botSchema);
    const isAlive = beat !== undefined && Math.abs(now - beat.beatAt) < aliveForMs;
    return beat ? [{ id, ...beat, leads: id === leader, isAlive }] : [];
  });
}
